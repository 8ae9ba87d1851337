"""A cell: one protocol, method entry, fold and seed of a suite, and the folder that holds all of it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from fer_bench.errors import InvalidFile
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import Result, read_json, write_json
from fer_bench.suites.selection import default_selection

State = Literal["planned", "running", "interrupted", "done", "failed", "oom", "timeout", "skipped"]
"""`interrupted`: was running, and its process is gone; the next run continues it from its last checkpoint."""

LATE_FUSION = "late_fusion"
"""Instead of a method: the predictions are fused from those of the entries in `of`."""

SAVED = "saved_predictions"
"""Instead of a method: the predictions are read from a file, whose path is that of the cell's part."""

LOCK = "cell.lock"

DERIVED = (SAVED, LATE_FUSION)
"""Cells without training, in the order in which they have to be scored."""

RETRIABLE = ("failed", "oom", "timeout")
"""States that a run skips unless `--retry` names them."""


def cell_path(protocol: str, entry: str, fold: int, seed: int) -> str:
    """The path of a cell in its suite's folder: `bu3dfe-s1-cv10@1/mit-nano/fold03/seed0`."""
    return f"{protocol}/{entry}/fold{fold:02d}/seed{seed}"


@dataclass(frozen=True)
class Part:
    """A cell's input from one dataset: its id, its folder, and the cache entry."""

    dataset: str
    root: str
    cache: str


@dataclass(frozen=True)
class Cell:
    """Everything that decides a cell's result, resolved; `cell.json`.

    Attributes:
        suite, protocol, entry, fold, seed: The identity, and the path.
        method, arguments: The method and every argument of its constructor; or one of `DERIVED`, and what it is of.
        trainer: Options of the trainer.
        parts: Where the samples are, a dataset each; the folders are not part of the result's identity.
        provenance: As distributed, or which twin.
        protocol_digest: See `Protocol.digest`.
        representation: `name`, `label`, `digest`.
        parameters: Trainable ones; None where the data decide, see `Result.parameters`.
        weights: What the method starts from, see `Method.weights`.
        unsound: Why its numbers may not be compared, see `Method.unsound`.
        folder: Where the cell lives.
        loggers: Trackers of its training; they decide nothing, and are no part of what it is.
        selection: Which epoch is scored, a rule of `fer_bench.suites.selection`; of a fusion those of what it fuses.
    """

    suite: str
    protocol: str
    entry: str
    fold: int
    seed: int
    method: str
    arguments: dict[str, Any]
    trainer: dict[str, Any]
    parts: tuple[Part, ...]
    provenance: str
    protocol_digest: str
    representation: dict[str, str]
    parameters: int | None
    weights: str
    unsound: str
    folder: Path = field(compare=False)
    loggers: tuple[str, ...] = field(default=(), compare=False)
    selection: str = "validation"

    @property
    def id(self) -> str:
        """The readable identity: `quickstart/bu3dfe-s1-cv10@1/mit-nano/fold03/seed0`."""
        return f"{self.suite}/{cell_path(self.protocol, self.entry, self.fold, self.seed)}"

    def differences(self, other: Cell) -> list[str]:
        """Names of the settings that determine the result and differ."""
        mine, theirs = (json.loads(json.dumps(asdict(cell), default=str)) for cell in (self, other))
        names = []
        for key, value in mine.items():
            if key in ("folder", "loggers"):
                continue
            if key == "parts":
                if [part["dataset"] for part in value] != [part["dataset"] for part in theirs[key]]:
                    names.append("datasets")
            elif isinstance(value, dict):
                changed = {k for k in value.keys() | theirs[key].keys() if value.get(k) != theirs[key].get(k)}
                names += [f"{key}.{k}" for k in sorted(changed)]
            elif value != theirs[key]:
                names.append(key)
        return names

    @property
    def content(self) -> dict[str, Any]:
        """What `cell.json` holds."""
        content = asdict(self)
        del content["folder"]
        return content

    def write(self) -> None:
        """Write `cell.json`."""
        write_json(self.folder / "cell.json", self.content)

    @classmethod
    def read(cls, folder: Path) -> Cell:
        """Read `cell.json`; raises `InvalidFile`."""
        content = read_json(folder / "cell.json")
        try:
            parts = tuple(Part(**part) for part in content.pop("parts"))
            loggers = tuple(content.pop("loggers", ()))
            if "selection" not in content and (protocol := PROTOCOLS.get(content["protocol"])):  # of before the choice
                content["selection"] = "" if content["method"] == SAVED else default_selection(protocol.task)
            if not {"name", "label", "digest"} <= content["representation"].keys():
                raise KeyError
            return cls(**content, parts=parts, folder=folder, loggers=loggers)
        except (KeyError, TypeError, AttributeError):
            raise InvalidFile(
                folder / "cell.json", "was written by another version", "Run the suite with --overwrite."
            ) from None

    @property
    def processes(self) -> int:
        """How many train it together."""
        return int(self.trainer["devices"] * self.trainer["num_nodes"])

    @property
    def checkpoints(self) -> Path:
        """`best.ckpt`, which is scored, and `last.ckpt` to go on from."""
        return self.folder / "checkpoints"

    @property
    def kept(self) -> Path:
        """Of `best_on_test` the weights of every epoch of the last stage, `0000.ckpt` and on, until they are scored."""
        return self.checkpoints / "epochs"

    @property
    def begun(self) -> bool:
        """Whether a checkpoint exists from which training can continue."""
        return _begun(self.folder)

    def result(self) -> Result | None:
        """The result, if the cell is done."""
        path = self.folder / "result.json"
        try:
            return Result.read(path)
        except InvalidFile:
            if path.exists():
                raise
            return None

    def lock(self) -> FileLock:
        """Held by the process that runs the cell; the system releases it when that process ends."""
        return FileLock(self.folder / LOCK)

    def status(self) -> Status:
        """The status; a running cell whose process has died is `interrupted`."""
        return status_of(self.folder)

    def report(self, state: State, **changes: Any) -> None:
        """Write the status; fields that are not given keep their values."""
        path = self.folder / "status.json"
        write_json(path, {**asdict(written_status(self.folder)), "state": state, "time": time.time(), **changes})


@dataclass
class Status:
    """The status of a cell; `status.json`.

    Attributes:
        stage: `fit`, `score`, `stress` or `probe`; `score` as soon as the training is complete.
        epoch, epochs: Epochs trained, of how many.
        monitor: The last value of the validation metric.
        fit_seconds: Training time so far, all attempts together.
        seconds: Wall time of all stages that have ended, in any state.
        epoch_seconds: Median time of an epoch of the last attempt, its validation too, without the first.
        message: One sentence on what went wrong.
        divided: Batches are this many times smaller than requested, since memory ran out with full ones; gradients of
            as many are added up before a step.
        time: When this was written, seconds since 1970.
    """

    state: State
    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    monitor: float | None = None
    fit_seconds: float = 0.0
    seconds: float = 0.0
    epoch_seconds: float | None = None
    message: str = ""
    divided: int = 1
    time: float = 0.0


def status_of(folder: Path) -> Status:
    """The status of the cell in a folder; a running cell whose process has died is `interrupted`."""
    status = written_status(folder)
    if status.state == "running" and not _locked(folder):
        status.state = "interrupted"
    return status


def written_status(folder: Path) -> Status:
    """The status as written, without checking whether a process is running the cell."""
    try:
        return Status(**read_json(folder / "status.json"))
    except (InvalidFile, TypeError):
        return _without_status(folder)


def _without_status(folder: Path) -> Status:
    """The status of a cell whose `status.json` is missing or damaged, from its other files: the result is written
    last."""
    try:
        result = Result.read(folder / "result.json")
    except InvalidFile:
        return Status("interrupted" if _begun(folder) else "planned")
    return Status("done", epoch=result.epochs, epochs=result.epochs, fit_seconds=result.fit_seconds)


def _begun(folder: Path) -> bool:
    # Other checkpoints are written before these: training does not continue from them.
    return any(path.name in ("last.ckpt", "end.ckpt") for path in (folder / "checkpoints").rglob("*.ckpt"))


def _locked(folder: Path) -> bool:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def last_run(manifest: dict[str, Any], stage: str) -> dict[str, Any]:
    """The last completed run of a stage in a cell's `manifest.json`; empty if none was completed."""
    found = [run for run in manifest.get("runs", []) if run.get("stage") == stage and run.get("completed")]
    return found[-1] if found else {}
