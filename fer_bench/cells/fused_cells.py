"""Cells whose predictions are fused from those of other cells; see `fer_bench.predictions.fusion`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fer_bench import registry
from fer_bench.cells.cell import LATE_FUSION, SAVED, Cell
from fer_bench.errors import FerBenchError
from fer_bench.metrics import score as measure
from fer_bench.predictions.evaluation import Evaluation, Row
from fer_bench.predictions.fusion import Fusion, choose_weight, first_of_each_batch, fuse, listing_order, parse_rule
from fer_bench.predictions.pooling import arrays, read_table
from fer_bench.protocols import Protocol
from fer_bench.records import OUTPUT, Result, atomic_write, digest
from fer_bench.stats.bootstrap import HEADLINE, metric_interval

_GIVEN_WEIGHT = "its weight was given, and may have been chosen on the tested samples"
_BROADCAST = "in batches of {} test samples, {}, each is given the last model's scores of the first"


def fused_cells(entry: str, fusion: Fusion, cells: Sequence[Cell]) -> tuple[list[Cell], dict[str, str]]:
    """The cells of a fusion, made from the plan's cells; and protocol -> why there are none.

    Args:
        entry: The fusion's name.
        cells: Of its methods at least.
    """
    found: list[Cell] = []
    without: dict[str, str] = {}
    for protocol in dict.fromkeys(cell.protocol for cell in cells):
        places: dict[tuple[int, int], dict[str, Cell]] = {}
        for cell in cells:
            if cell.protocol == protocol and cell.entry in fusion.of:
                places.setdefault((cell.fold, cell.seed), {})[cell.entry] = cell
        present = {cell.entry for cell in cells if cell.protocol == protocol}
        if absent := [name for name in fusion.of if name not in present]:
            without[protocol] = f"{absent[0]}, which it fuses, is skipped"
            continue
        if several := _questions([cell for cell in cells if cell.protocol == protocol and cell.entry in fusion.of]):
            without[protocol] = f"what it fuses answers different questions: {several}"
            continue
        found += [_cell(entry, fusion, [members[name] for name in fusion.of]) for members in places.values()]
    return found, without


def _questions(cells: Sequence[Cell]) -> str:
    """How the protocol snapshots of cells differ; empty where they are equal. Of saved predictions
    nothing but the samples is known, and these are compared whenever scores are joined."""
    digests = dict.fromkeys(cell.protocol_digest for cell in cells if cell.method != SAVED)
    return f"fer-bench protocol diff {' '.join([*digests][:2])}" if len(digests) > 1 else ""


def _cell(entry: str, fusion: Fusion, members: Sequence[Cell]) -> Cell:
    first = members[0]
    seen = {member.representation["label"]: member.representation["digest"] for member in members}
    sizes = [member.parameters for member in members]
    unsound = [member.unsound for member in members if member.unsound]
    unsound += _faults(fusion.rule, fusion.broadcast, fusion.shuffled)
    return replace(
        first,
        entry=entry,
        method=LATE_FUSION,
        arguments=fusion.model_dump(),
        representation={"name": LATE_FUSION, "label": " and ".join(seen), "digest": digest(list(seen.values()))},
        parameters=None if None in sizes else sum(size or 0 for size in sizes),
        weights=" and ".join(dict.fromkeys(member.weights for member in members if member.weights)),
        unsound="; ".join(dict.fromkeys(unsound)),
        folder=first.folder.parents[2] / entry / first.folder.parent.name / first.folder.name,
        selection=" and ".join(dict.fromkeys(member.selection for member in members)),
    )


def score_fused(cell: Cell) -> Result:
    """Write `predictions.parquet` and `result.json` of a fused cell, from those of the cells that it fuses.

    Raises:
        FerBenchError: one of these is not done, or their samples differ.
    """
    protocol = registry.find_protocol(cell.protocol)
    members = [Cell.read(_member(cell, name)) for name in cell.arguments["of"]]
    results = [member.result() for member in members]
    for member, result in zip(members, results, strict=True):
        if result is None:
            raise FerBenchError(f"{member.entry}, which it fuses, is not done.")
    chosen = {key: cell.arguments[key] for key in ("rule", "broadcast", "shuffled")}
    table, weight = fused_table([member.folder for member in members], protocol, **chosen)
    path = cell.folder / "predictions.parquet"
    with atomic_write(path) as file:
        table.to_parquet(file, index=False)
    done = [result for result in results if result is not None]
    outcome = replace(
        done[0],
        metrics=measure(protocol.task, *arrays(protocol, table), protocol.classes, protocol.tested),
        n=len(table),
        representation_digest=cell.representation["digest"],
        parameters=sum(result.parameters for result in done),
        epochs=0,
        selected_epoch=-1,
        fit_seconds=0.0,
        epoch_seconds=None,
        weight=weight,
        honest_epoch=None,
    )
    outcome.write(cell.folder / "result.json")
    return outcome


def _faults(rule: str, broadcast: int | None, shuffled: bool) -> list[str]:
    """Why a fusion by this rule is unsound."""
    found = [_GIVEN_WEIGHT] if rule.startswith("weighted:") else []
    if broadcast:
        found.append(
            _BROADCAST.format(broadcast, "shuffled" if shuffled else "listed class by class, which tells the class")
        )
    return found


def fused_table(
    folders: Sequence[Path], protocol: Protocol, rule: str, broadcast: int | None = None, shuffled: bool = False
) -> tuple[pd.DataFrame, float | None]:
    """The predictions of cells, fused; and the weight of the first, where there is one.

    Args:
        folders: The cells' folders.
        rule, broadcast, shuffled: See `Fusion`.

    Raises:
        FerBenchError: the cells' samples differ, or a weight is to be chosen and one of them has
            no validation samples.
        InvalidFile: a file is missing or damaged.
    """
    kind, weight = parse_rule(rule, len(folders), "rule")
    if kind == "weighted" and weight is None:
        if without := [folder for folder in folders if not (folder / "validation.parquet").exists()]:
            raise FerBenchError(
                f"{without[0]}: has no scores of validation samples to choose a weight by; give one, weighted:0.5."
            )
        others = _joined([folder / "validation.parquet" for folder in folders])
        truth = arrays(protocol, others[0])[1]
        headline = HEADLINE[protocol.task]
        weight = choose_weight(
            [arrays(protocol, table)[0] for table in others],
            lambda scores: measure(protocol.task, scores, truth, protocol.classes, ()).get(headline, float("nan")),
        )
    tables = _joined([folder / "predictions.parquet" for folder in folders])
    scores = [arrays(protocol, table)[0] for table in tables]
    if broadcast:
        order = listing_order(protocol.classes, tables[0]["label"].tolist(), tables[0]["id"].tolist())
        if shuffled:
            order = np.random.default_rng(0).permutation(order)
        spread = scores[-1].copy()
        spread[order] = first_of_each_batch(scores[-1][order], broadcast)
        scores[-1] = spread
    columns = [f"{OUTPUT}{name}" for name in protocol.outputs]
    found = tables[0].copy()
    found[columns] = fuse(scores, kind, weight)
    return found, weight


def _member(cell: Cell, name: str) -> Path:
    return cell.folder.parents[2] / name / cell.folder.parent.name / cell.folder.name


def _joined(paths: Sequence[Path]) -> list[pd.DataFrame]:
    """Tables of predictions with the same samples in the same order."""
    tables = [read_table(path).sort_values("id", ignore_index=True) for path in paths]
    truth = [name for name in ("label", "valence", "arousal") if name in tables[0]]
    for path, table in zip(paths[1:], tables[1:], strict=True):
        if not table["id"].equals(tables[0]["id"]):
            mine, theirs = set(tables[0]["id"]), set(table["id"])
            raise FerBenchError(
                f"{paths[0]} and {path} are not of the same samples: {len(mine - theirs)} are in the first alone, and "
                f"{len(theirs - mine)} in the second. Fuse cells of one protocol, fold and state of the data."
            )
        differ = [name for name in truth if not _equal(table[name], tables[0][name])]
        if differ:
            raise FerBenchError(f"{paths[0]} and {path} do not agree on the {differ[0]} of every sample.")
    return tables


def _equal(a: pd.Series, b: pd.Series) -> bool:
    """Whether two columns of the truth are the same; numbers up to single precision."""
    return bool(np.allclose(a, b, atol=1e-6)) if pd.api.types.is_numeric_dtype(a) else a.equals(b)


def compare_fused(folders: Sequence[Path], rule: str, broadcast: int | None = None) -> tuple[Evaluation, pd.DataFrame]:
    """Scores of cells alone and fused, with intervals over subjects, and the fused predictions.

    Args:
        folders: The cells' folders, of one protocol.
        rule, broadcast: See `Fusion`.

    Raises:
        FerBenchError: see `fused_table`; or a folder is no finished cell, or they are of different protocols, or of
            meshes.
    """
    parse_rule(rule, len(folders), "--rule")
    for folder in folders:
        if not (folder / "cell.json").is_file():
            raise FerBenchError(
                f"{folder}: is no cell's folder; give some like runs/SUITE/PROTOCOL/ENTRY/fold00/seed0."
            )
    cells = [Cell.read(folder) for folder in folders]
    for cell in cells:
        if cell.result() is None:
            raise FerBenchError(f"{cell.folder}: this cell is not done; run its suite first.")
    if len({cell.protocol for cell in cells}) > 1:
        both = " and ".join(dict.fromkeys(cell.protocol for cell in cells))
        raise FerBenchError(f"the cells answer different questions: {both}; fuse cells of one protocol.")
    if several := _questions(cells):
        raise FerBenchError(f"the cells answer different questions of one protocol; what differs: {several}")
    protocol = registry.find_protocol(cells[0].protocol)
    if protocol.task == "disentanglement":
        raise FerBenchError(f"{protocol.id} asks for meshes, which cannot be fused.")
    table, weight = fused_table(folders, protocol, rule, broadcast)
    named = [(cell.id, read_table(cell.folder / "predictions.parquet")) for cell in cells]
    named.append((f"{rule} of {len(cells)} cells", table))
    headline, rows = HEADLINE[protocol.task], []
    for name, each in named:
        outputs, truth = arrays(protocol, each)
        subjects = each["subject"].to_numpy(dtype=object)
        interval = metric_interval(protocol.task, headline, outputs, truth, protocol.classes, subjects)
        metrics = measure(protocol.task, outputs, truth, protocol.classes, protocol.tested)
        rows.append(Row(name, len(each), metrics, interval))
    notes = [f"n = {len(table)} samples of {protocol.id} in every row, joined by id"]
    if weight is not None:
        choice = "as given" if ":" in rule else f"chosen on the validation samples by {headline}"
        notes.append(f"weight of the first cell: {weight:.2f}, {choice}")
    notes.append(f"interval of {headline}: 95 %, bootstrap over {table['subject'].nunique()} subjects")
    unsound = [cell.unsound for cell in cells if cell.unsound] + _faults(rule, broadcast, False)
    notes += [f"unsound: {why}" for why in dict.fromkeys(unsound)]
    return Evaluation(protocol.task, tuple(rows), notes), table
