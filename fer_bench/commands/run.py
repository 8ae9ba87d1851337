"""The commands of the command line: what each does, and what it tells."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd
from rich.markup import escape

from fer_bench import registry
from fer_bench.cells.cell import DERIVED, Cell, cell_path, status_of
from fer_bench.commands import slurm
from fer_bench.data.layouts import find_root
from fer_bench.errors import FerBenchError
from fer_bench.launch.server import preload_of
from fer_bench.launch.slurm import launcher as slurm_launch
from fer_bench.processes import available_cores, fork_server
from fer_bench.protocols import Protocol
from fer_bench.protocols.base import join
from fer_bench.records import atomic_write
from fer_bench.suites.suite import Suite, read_suite
from fer_bench.terminal import console

if TYPE_CHECKING:
    from fer_bench.launch.planning import Plan
    from fer_bench.predictions.evaluate import Evaluation

FEW = 20
"""So many cells of an entry are told one by one."""


@dataclass(frozen=True)
class RunOptions:
    """How to run, not what: none of it changes a result.

    Attributes:
        jobs: Cells at a time; None for the machine's share.
        retry: States of cells to run again.
        time_limit: Seconds that a cell may take, on this machine; tasks of Slurm have their profile's.
        launcher, profile: Where it runs, and what tasks of Slurm ask for.
        detach: Whether tasks of Slurm are not waited for.
    """

    jobs: int | None = None
    retry: Sequence[str] = field(default_factory=tuple)
    overwrite: bool = False
    skip_broken: bool = False
    time_limit: float | None = None
    launcher: Literal["local", "slurm"] = "local"
    profile: Path | None = None
    detach: bool = False


def run(
    suite_name: str,
    settings: list[str],
    only: list[str],
    runs: Path,
    data: Path | None,
    out: Path,
    options: RunOptions,
    stress: Sequence[str] = (),
) -> bool:
    """Run a suite and write its leaderboard, then put it through members of the stress deck; True when every cell asked
    for is done, and has been put through them."""
    fork_server(*preload_of(load_suite(suite_name, settings, data, arguments=False)[1]))
    name, suite = load_suite(suite_name, settings, data)
    profile = slurm.prepared(options.profile) if options.launcher == "slurm" else None
    with console.status("reading the suite and the data ..."):
        from fer_bench.cells import snapshots
        from fer_bench.commands import display
        from fer_bench.commands.prepare import extract
        from fer_bench.launch.local import derived, launch, refuse_other_settings
        from fer_bench.launch.planning import make_plan
        from fer_bench.launch.slots import make_slots
        from fer_bench.leaderboard import rows as leaderboard
        from fer_bench.leaderboard.pages import formats

        if stress:
            from fer_bench.cells.stress import chosen_members, find_inputs
            from fer_bench.commands import stress_deck

            members = chosen_members(stress)
        plan = make_plan(name, suite, runs, only, fetch=True)
        if stress:
            find_inputs(plan)  # a suite of which nothing can be stressed is refused before it is trained
    for (protocol, entry), why in plan.skipped.items():
        console.print(f"skipped  {protocol}  {entry}: {escape(why)}", highlight=False)
    slurm.refuse_nodes(plan.trained, options.launcher)
    if not options.overwrite:  # before anything is prepared
        refuse_other_settings(plan.trained)
    for need in plan.needs:
        if profile is not None:
            slurm.extract_shards(console, need, profile)
        extract(need, available_cores(), options.skip_broken)
    plan = make_plan(name, suite, runs, only, fetch=True)  # what turned out broken is known only now
    snapshots.keep(plan.cells, plan.questions)
    if profile is None:
        _train(plan, runs / name, options)
    elif not slurm.run_cells(console, plan, runs / name, profile, options):
        console.print(
            f"They run without this command; where they stand: fer-bench status {suite_name}", highlight=False
        )
        return True
    for kind in DERIVED:
        # Always anew: it takes no training, and what is fused may have changed.
        if made := derived(plan.of(kind)):
            with display.RunDisplay(console, made).live() as observer:
                launch(made, make_slots(options.jobs, len(made), 1, 0), observer, first="score")
    rows = leaderboard.collect(name, suite, runs, plan.skipped)
    for table in display.leaderboard_tables(rows, suite.reference):
        console.print(table)
    written = formats.write(name, suite, rows, runs, out)
    states, total = Counter[str](cell.status().state for cell in plan.cells), len(plan.cells)
    console.print(f"wrote {', '.join(map(str, written))}", highlight=False)
    if states["done"] < total:
        console.print(
            f"{_count(states)}. Reasons: fer-bench status {suite_name}. Again: fer-bench run {suite_name}"
            + (" --retry failed,oom,timeout" if any(states[s] for s in ("failed", "oom", "timeout")) else ""),
            highlight=False,
        )
    complete = states["done"] == total
    return stress_deck.run(plan, members, rows, runs, out, options) and complete if stress else complete


def _train(plan: Plan, folder: Path, options: RunOptions) -> None:
    """Train and score on this machine what is not done, longest first, and write down how long that was expected to
    take and took."""
    from fer_bench.cells.forecast import Forecast, remember
    from fer_bench.commands import display
    from fer_bench.commands.plan import probe_entries, slots_for
    from fer_bench.launch.local import launch, pending
    from fer_bench.stats.units import duration

    cells = pending(slurm.free(console, plan.trained, folder), options.retry, options.overwrite)
    done = sum(cell.status().state == "done" for cell in plan.cells)
    if not cells:
        if plan.trained:
            told = f"nothing to run, {done} of {len(plan.cells)} cells are done"
            console.print(f"{plan.name}: {told}", highlight=False)
        return
    slots = slots_for(cells, options.jobs)
    forecast = Forecast.of(plan.trained)
    if options.jobs is None and slots[0].devices is not None:  # how many fit a GPU
        probe_entries(cells, slots)
        forecast = Forecast.of(plan.trained)
        slots = slots_for(cells, options.jobs, forecast)
    gpus = len({slot.devices for slot in slots if slot.devices is not None})
    where = f"{gpus} leases of GPUs" if gpus else f"{slots[0].threads} CPU threads each"
    expected = forecast.total(cells, len(slots))
    console.print(
        f"{plan.name}: {len(cells)} of {len(plan.cells)} cells to run, {len(slots)} at a time, {where}"
        f"{f', about {duration(expected)}' if expected else ''}; logs below {folder}",
        highlight=False,
    )
    begun = time.monotonic()
    try:
        with display.RunDisplay(console, cells, len(plan.cells), done, forecast, len(slots)).live() as observer:
            launch(forecast.longest_first(cells), slots, observer, limit=options.time_limit)
    except KeyboardInterrupt:
        remember(folder, forecast, cells, len(slots), time.monotonic() - begun)
        raise
    remember(folder, forecast, cells, len(slots), time.monotonic() - begun)


def show_status(suite_name: str, settings: list[str], runs: Path) -> str:
    """Where every cell of a suite stands, from its folder alone; of entries of many cells, each that has something to
    tell, and how many others there are."""
    name, suite = load_suite(suite_name, settings, arguments=False)
    lines, states = [], Counter[str]()
    places, old = slurm_launch.places(runs / name)
    for (protocol, entry), cells in groupby(suite.identities(), key=lambda cell: cell[:2]):
        each, others = [*cells], Counter[str]()
        for _, _, fold, seed in each:
            line = cell_path(protocol, entry, fold, seed)
            folder = runs / name / line
            status = status_of(folder)
            standing = slurm_launch.stand(folder, status, places.get(line))
            states[standing.state] += 1
            if len(each) > FEW and not standing.note and standing.state in ("done", "planned"):
                others[standing.state] += 1
                continue
            note = f"  epoch {status.epoch} of {status.epochs}" if status.epochs else ""
            lines.append(f"  {standing.state:<12} {line}{note}{f'  {standing.note}' if standing.note else ''}")
        lines += [f"  {state:<12} {protocol}/{entry}  {n} of {len(each)} cells" for state, n in others.items()]
    return "\n".join([f"{name}: {_count(states)}", *lines, *([old] if old else [])])


def write_leaderboard(suite_name: str, settings: list[str], runs: Path, out: Path, faces: bool = False) -> None:
    """Write and show a suite's leaderboard from the results that are there."""
    from fer_bench.commands import display
    from fer_bench.leaderboard import rows as leaderboard
    from fer_bench.leaderboard.pages import formats

    name, suite = load_suite(suite_name, settings, arguments=False)
    with leaderboard.uncollected():
        rows = leaderboard.collect(name, suite, runs)
        for table in display.leaderboard_tables(rows, suite.reference):
            console.print(table)
        written = formats.write(name, suite, rows, runs, out, faces=faces)
    console.print(f"wrote {', '.join(map(str, written))}", highlight=False)


def evaluate(
    paths: list[Path],
    task: str | None,
    protocol_id: str | None,
    fold: int | None,
    fuse: str | None,
    root: Path | None,
    out: Path | None,
) -> str:
    """Score prediction files; returns the table and its notes as text."""
    from fer_bench.predictions.evaluate import evaluate as score_files

    if (task is None) == (protocol_id is None):
        raise FerBenchError("evaluate needs either --task (the truth is in the files) or --protocol (it is not).")
    if protocol_id is None:
        evaluation = score_files(paths, str(task), fuse)
    else:
        protocol = registry.find_protocol(protocol_id)
        index = _index_of(protocol, root)
        if fold is not None and not 0 <= fold < protocol.num_folds:
            raise FerBenchError(f"--fold {fold}: {protocol_id} has folds 0 to {protocol.num_folds - 1}.")
        folds = protocol.folds(index, _left_out(paths))
        tested = {i for each in (folds if fold is None else [folds[fold]]) for i in each.test}
        truth = index[index["id"].isin(tested)]
        evaluation = score_files(paths, protocol.task, fuse, truth, protocol.classes or None, protocol.tested)
    if out is not None:
        with atomic_write(out) as file:
            file.write(evaluation.to_frame().to_csv(index=False).encode())
    return _shown(evaluation)


def fuse(cells: list[Path], rule: str, broadcast: int | None, out: Path | None) -> str:
    """Fuse the predictions of finished cells; returns the table and its notes as text."""
    from fer_bench.cells.fused import compare_fused

    evaluation, table = compare_fused(cells, rule, broadcast)
    if out is not None:
        with atomic_write(out) as file:
            file.write(table.to_csv(index=False).encode())
    return _shown(evaluation)


def _shown(evaluation: Evaluation) -> str:
    table = evaluation.to_frame()
    with pd.option_context("display.width", 250, "display.max_columns", None):
        shown = table.set_index("predictions").drop(columns="n").T.to_string(float_format=lambda value: f"{value:.4f}")
    return "\n".join([shown, "", *(f"- {note}" for note in evaluation.notes)])


def _index_of(protocol: Protocol, root: Path | None) -> pd.DataFrame:
    if len(protocol.datasets) == 1:
        name = protocol.datasets[0]
        return registry.load_dataset(name).index(find_root(name, root))
    if root is not None:
        both = " and ".join(protocol.datasets)
        raise FerBenchError(f"--root: {protocol.id} joins {both}; set FER_BENCH_DATA to the folder that holds them.")
    return join({name: registry.load_dataset(name).index(find_root(name)) for name in protocol.datasets})


def _left_out(paths: Sequence[Path]) -> set[str]:
    """Samples that the cells which wrote the predictions could not read; other files have to name every sample."""
    from fer_bench.representations.cache import CacheEntry
    from fer_bench.representations.joined import left_out

    cells = [Cell.read(path.parent) for path in paths if (path.parent / "cell.json").is_file()]
    entries = [{part.dataset: CacheEntry(Path(part.cache)) for part in cell.parts} for cell in cells]
    return {sample for each in entries for sample in left_out(each)}


def check(name: str, root: Path | None, names_only: bool, workers: int, as_json: bool) -> int:
    """Tell what a dataset's folder holds and what can be run on it; returns the exit code."""
    module, folder = registry.dataset_module(name), find_root(name, root)
    if workers > 1 and not names_only:
        fork_server(module)
    from fer_bench.commands import display
    from fer_bench.commands.doctor_page import page
    from fer_bench.data.doctor import diagnose

    dataset = registry.load_dataset(name)
    if as_json:
        diagnosis = diagnose(dataset, folder, read=not names_only, workers=workers)
        print(json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=False))
        return diagnosis.exit_code
    with display.reported(console, f"reading {name}") as report:
        diagnosis = diagnose(dataset, folder, read=not names_only, workers=workers, progress=report)
    for line in page(diagnosis):
        console.print(line, highlight=False, soft_wrap=True)
    return diagnosis.exit_code


def make_twin(
    name: str,
    out: Path,
    subjects: int | None,
    seed: int,
    face_model: Path | None,
    layout: str | None,
    preview: Path | None,
    workers: int,
) -> None:
    """Write a twin, and a contact sheet of it where asked."""
    from fer_bench.commands import display
    from fer_bench.io.images import writable_image
    from fer_bench.records import TWIN_MARKER, read_json
    from fer_bench.twins.face import load_face_model
    from fer_bench.twins.preview import contact_sheet

    write_twin = registry.load_twin(name)
    if preview is not None:
        writable_image(preview)
    model = load_face_model(face_model) if face_model else None
    with display.reported(console, f"writing a twin of {name}") as report:
        write_twin(out, subjects=subjects, seed=seed, face_model=model, layout=layout, workers=workers, progress=report)
    marker = read_json(out / TWIN_MARKER)
    console.print(f"wrote a twin of {name} with {marker['subjects']} subjects to {out}", highlight=False)
    if marker.get("quirks"):
        console.print(
            f"it holds {len(marker['quirks'])} faults on purpose, as real copies do: fer-bench data check {name} "
            f"--root {out}",
            highlight=False,
            soft_wrap=True,
        )
    if preview is not None:
        try:
            drawn = contact_sheet(model, preview, seed=seed, dataset=name)
        except KeyboardInterrupt:
            raise FerBenchError(f"stopped before {preview} was drawn; the twin at {out} is complete.") from None
        console.print(f"wrote {preview}" if drawn else f"no contact sheet: {name} has none", highlight=False)


def load_suite(
    suite_name: str, settings: list[str], data: Path | None = None, arguments: bool = True
) -> tuple[str, Suite]:
    """Name and content of a suite, with settings; `data` is where its datasets are looked for."""
    if data is not None:
        os.environ["FER_BENCH_DATA"] = str(data)
    name, path = registry.find_suite(suite_name)
    return name, read_suite(path, settings, arguments)


def _count(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if count) or "no cells"
