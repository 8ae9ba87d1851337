"""Cells that nobody ran: their folders, with results and predictions."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_bench import registry
from fer_bench.cells.cell import Cell, Part
from fer_bench.cells.stress import conditions
from fer_bench.cells.stress_outcome import Outcome, predictions_path
from fer_bench.geometry.perturbations import Rotation
from fer_bench.launch.descriptions import describe
from fer_bench.metrics import score
from fer_bench.records import OUTPUT, Result, write_json
from fer_bench.representations.stressed import stressed_digest
from fer_bench.suites.arguments import resolve_arguments, total_epochs
from fer_bench.suites.reading import read_suite


@dataclass(frozen=True)
class Faker:
    """Writes cells below `runs`; what is not said is as the suite that ships asks."""

    runs: Path

    def cell(
        self,
        suite: str,
        protocol: str,
        entry: str,
        *,
        fold: int = 0,
        accuracy: float = 0.9,
        subjects: int = 10,
        each: int = 12,
        provenance: str = "as distributed",
        epochs: int | None = None,
        weights: str | None = None,
        broken: int = 0,
        arguments: dict[str, Any] | None = None,
        trainer: dict[str, Any] | None = None,
        representation: str = "",
        epoch_seconds: float = 60.0,
        state: str = "done",
    ) -> Cell:
        """One cell whose share of right answers is near `accuracy`: of `subjects` people with `each` samples."""
        asked, question = read_suite(registry.suites()[suite]), registry.find_protocol(protocol)
        method, wanted = resolve_arguments(entry, asked.methods[entry], suite)
        chosen = {**wanted, **(arguments or {})}
        moving = {"bu4dfe", "bp4d", "fourdme"} & set(question.datasets)
        offered = frozenset({"sequence" if moving else "mesh", "texture"})
        described = describe(method, chosen, question.target, [offered])
        seen = representation or described.representation.label
        cell = Cell(
            suite=suite,
            protocol=protocol,
            entry=entry,
            fold=fold,
            seed=0,
            method=method,
            arguments=chosen,
            trainer={**asked.trainer_of(entry).model_dump(), **(trainer or {})},
            parts=tuple(Part(dataset, "/data", "/cache") for dataset in question.datasets),
            provenance=provenance,
            protocol_digest="0123456789ab",
            representation={"name": described.representation.name, "label": seen, "digest": "ba9876543210"},
            parameters=1000,
            weights=described.weights if weights is None else weights,
            unsound="",
            folder=self.runs / suite / protocol / entry / f"fold{fold:02d}" / "seed0",
        )
        cell.write()
        if state != "done":
            cell.report(state, message="it broke")  # type: ignore[arg-type]
            return cell
        trained = total_epochs(wanted) if epochs is None else epochs
        table = self.predictions(question.classes, question.tested, question.task, fold, accuracy, subjects, each)
        table.to_parquet(cell.folder / "predictions.parquet", index=False)
        outputs = table[[f"{OUTPUT}{name}" for name in question.outputs]].to_numpy()
        metrics = score(question.task, outputs, table["label"].to_numpy(object), question.classes, question.tested)
        cell.report("done", epoch=trained, epochs=trained, fit_seconds=60.0)
        result = Result(
            metrics,
            len(table),
            broken,
            cell.protocol_digest,
            "ba9876543210",
            provenance,
            1000,
            trained,
            0,
            60.0,
            epoch_seconds,
        )
        result.write(cell.folder / "result.json")
        return cell

    def turn(self, cell: Cell, accuracy: Callable[[Rotation], float], subjects: int, each: int) -> None:
        """What the stage `stress` leaves behind of a cell whose faces were turned."""
        protocol, n = registry.find_protocol(cell.protocol), subjects * each
        for stress in conditions("rotation"):
            assert isinstance(stress, Rotation)
            path = predictions_path(cell, stress)
            path.parent.mkdir(exist_ok=True)
            table = self.predictions(protocol.classes, (), protocol.task, cell.fold, accuracy(stress), subjects, each)
            table.to_parquet(path, index=False)
            digest = stressed_digest(cell.representation["digest"], stress)
            found = Outcome(stress.label, stress.record, digest, cell.protocol_digest, n, 0, {}, {})
            write_json(path.with_suffix(".json"), asdict(found))

    def folds(self, suite: str, protocol: str, entry: str, **options: Any) -> list[Cell]:
        """All folds of an entry."""
        asked = read_suite(registry.suites()[suite])
        folds = asked.folds_of(registry.find_protocol(protocol))
        return [self.cell(suite, protocol, entry, fold=fold, **options) for fold in folds]

    def log(self, cell: Cell, attempt: int, epochs: range, loss: Callable[[int], float]) -> None:
        """A training log as Lightning writes it: a line of validation and one of training an epoch."""
        lines = []
        for epoch in epochs:
            lines.append({"epoch": epoch, "val/loss": loss(epoch), "val/accuracy": 1 - loss(epoch) / 2})
            lines.append({"epoch": epoch, "train/loss": 0.9 * loss(epoch)})
        path = cell.folder / "csv" / f"attempt{attempt}" / "metrics.csv"
        path.parent.mkdir(parents=True)
        pd.DataFrame(lines).to_csv(path, index=False)

    @staticmethod
    def predictions(
        classes: tuple[str, ...],
        tested: tuple[str, ...],
        task: str,
        fold: int,
        accuracy: float,
        subjects: int,
        each: int,
    ) -> pd.DataFrame:
        """A predictions file of one fold; for the same fold, the same samples."""
        random = np.random.default_rng(fold)
        n, true = subjects * each, tested or classes
        truth = random.integers(len(true), size=n)
        luck = random.random(n)
        if task == "multilabel":
            outputs = np.where(np.arange(len(classes)) == truth[:, None], 1.0, -1.0)
            wrong = random.random(outputs.shape) >= accuracy
            outputs = np.where(wrong, -outputs, outputs)
        else:
            index = np.array([classes.index(true[t]) for t in truth])
            chosen = np.where(luck < accuracy, index, (index + 1) % len(classes))
            outputs = np.eye(len(classes))[chosen]
        table = pd.DataFrame(outputs, columns=[f"{OUTPUT}{name}" for name in classes])
        people = [f"S{fold:02d}{number:02d}" for number in np.arange(n) // each]
        table.insert(0, "label", [true[t] for t in truth])
        table.insert(0, "subject", people)
        table.insert(0, "id", [f"{person}_{number}" for number, person in enumerate(people)])
        return table
