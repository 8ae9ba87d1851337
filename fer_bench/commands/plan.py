"""`fer-bench plan SUITE`: every cell, what is skipped and why, and how long the rest will take."""

import json
from collections.abc import Sequence
from pathlib import Path

from fer_bench.cells.cell import Cell
from fer_bench.cells.forecast import Forecast, key
from fer_bench.commands.launchers import probe_entries, slots_for
from fer_bench.commands.options import load_suite
from fer_bench.launch.descriptions import blueprint
from fer_bench.launch.planning import Plan, index_of, make_plan
from fer_bench.registry import find_protocol
from fer_bench.stats.metric_units import duration, plural
from fer_bench.stats.power import Assumed, describe_power


def show_plan(
    suite_name: str,
    settings: list[str],
    only: list[str],
    runs: Path,
    data: Path | None,
    jobs: int | None = None,
    probed: bool = True,
) -> str:
    """Every cell with its state, what is skipped and why, and the time and memory that the rest will take.

    Args:
        jobs: Cells at a time, as of `run`.
        probed: Whether three steps are trained of every entry of which no cell is done, if its input is extracted.
    """
    name, suite = load_suite(suite_name, settings, data)
    plan = make_plan(name, suite, runs, only)
    states = {cell.id: cell.status().state for cell in plan.cells}
    lines = [f"{name}: {len(plan.cells)} cells"]
    lines += [f"  {states[c.id]:<12} {c.id}  {c.representation['label']}" for c in plan.cells]
    lines += [f"  {'skipped':<12} {name}/{protocol}/{entry}: {why}" for (protocol, entry), why in plan.skipped.items()]
    lines += [_tested(plan, protocol) for protocol in dict.fromkeys(cell.protocol for cell in plan.trained)]
    for need in plan.needs:
        for representation in need.representations:
            state = "ready" if need.path(representation).exists() else f"to extract from {len(need.source.ids)} samples"
            lines.append(f"input {representation.label} of {need.source.dataset} ({need.source.provenance}): {state}")
    left = [cell for cell in plan.trained if states[cell.id] != "done"]
    if not left:
        return "\n".join([*lines, "nothing is left to train"])
    lines += kept_lines(left)
    slots = slots_for(left, jobs)
    if probed:
        probe_entries(left, slots)
    return "\n".join([*lines, *_expected(plan, left, len(slots))])


def kept_lines(cells: Sequence[Cell]) -> list[str]:
    """The disk that the kept epochs of `best_on_test` take, a line an entry."""
    lines = []
    for protocol, entry in dict.fromkeys(key(cell) for cell in cells if cell.selection == "best_on_test"):
        cell = next(cell for cell in cells if key(cell) == (protocol, entry))
        method = blueprint(cell.method, json.dumps(cell.arguments), find_protocol(protocol).target)
        (*_, stage) = (stage for stage in method.stages if stage.epochs)
        epochs = cell.trainer["max_epochs"] or stage.epochs
        each = sum(value.numel() * value.element_size() for value in method.state_dict().values()) / 2**20
        # Some layers are made from the data.
        message = f"{epochs} epochs of {'at least ' if method.shaped_by_data else ''}{each:,.1f} MiB"
        lines.append(f"disk      {protocol}  {entry}: {message} a cell, {epochs * each:,.0f} MiB until it is scored")
    return lines


def _tested(plan: Plan, protocol_id: str) -> str:
    """What the planned folds of a protocol test, and the smallest difference that they resolve."""
    protocol = find_protocol(protocol_id)
    numbers = {cell.fold for cell in plan.cells if cell.protocol == protocol_id}
    index = index_of(protocol)
    ids = {i for fold in protocol.folds(index) if fold.number in numbers for i in fold.test}
    subjects = index.loc[index["id"].isin(ids), "subject"]
    known = bool(subjects.notna().all())
    people = subjects.nunique() if known else len(ids)
    sentence = describe_power(people, len(ids), plural(protocol.unit), protocol.task, known)
    assumed = f" ({Assumed()})" if "resolves" in sentence else ""
    return f"{protocol_id}: {sentence}{assumed}"


def _expected(plan: Plan, left: Sequence[Cell], slots: int) -> list[str]:
    forecast = Forecast.of(plan.trained)
    lines = []
    for protocol, entry in dict.fromkeys(map(key, left)):
        count = sum(key(cell) == (protocol, entry) for cell in left)
        seconds = forecast.seconds.get((protocol, entry))
        if seconds is None:
            lines.append(f"expected  {protocol}  {entry}: {count} cells, unknown until its input is extracted")
            continue
        memory, gpu = (each.get((protocol, entry)) for each in (forecast.memory, forecast.device_memory))
        message = "as of finished cells" if (protocol, entry) in forecast.measured else "from three steps"
        sizes = "".join(f", {size / 2**30:.1f} GiB{of}" for size, of in ((memory, ""), (gpu, " of a GPU")) if size)
        lines.append(f"expected  {protocol}  {entry}: {count} x {duration(seconds)} {message}{sizes}")
    unknown = sorted({cell.entry for cell in left if key(cell) not in forecast.seconds})
    total = forecast.total([cell for cell in left if key(cell) in forecast.seconds], slots) or 0.0
    if unknown:
        lines.append(f"about {duration(total)} left, {slots} at a time, and what is unknown: {', '.join(unknown)}")
    else:
        lines.append(f"about {duration(total)} left, {slots} at a time")
    return lines
