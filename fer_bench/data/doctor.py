"""The doctor: compares a dataset's folder with the distribution, and lists the protocols that can run."""

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from fer_bench.data.base import FaceDataModule, dataset_id
from fer_bench.data.class_order import permuted_classes
from fer_bench.data.duplicates import duplicate_files
from fer_bench.data.parameter_files import parameter_findings
from fer_bench.data.survey import Finding, Findings
from fer_bench.errors import BrokenScan, ProtocolError
from fer_bench.geometry.frames import Clip
from fer_bench.geometry.plausibility import implausible
from fer_bench.geometry.scan import Scan
from fer_bench.io.photo import Photo
from fer_bench.processes import Progress, map_processes
from fer_bench.protocols import PROTOCOLS, Protocol
from fer_bench.protocols.base import names
from fer_bench.records import provenance, twin_folder

Readiness = Literal["ready", "ready with missing", "not possible", "needs another dataset"]
# Files that a loaded sample is read from: the first of a scan, one per frame of a sequence.
_SAMPLE_SUFFIXES = (".wrl", ".obj", ".ply", ".bnt", ".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class Verdict:
    """Whether a protocol can run on a folder.

    Attributes:
        protocol: Its id.
        state: `not possible` says why in `why`.
        samples: How many take part; `expected` in a complete distribution.
        why: The obstacle, or what else is needed.
    """

    protocol: str
    state: Readiness
    samples: int
    expected: int
    why: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All that was found out about a folder.

    Attributes:
        read: Whether the samples themselves were read, not only their names.
        broken: Sample id -> why it cannot be read.
    """

    dataset: str
    root: str
    provenance: str
    samples: int
    read: bool
    findings: tuple[Finding, ...]
    broken: dict[str, str]
    protocols: tuple[Verdict, ...] = field(default_factory=tuple)

    @property
    def exit_code(self) -> int:
        """0 ready, 1 usable with warnings, 2 not usable."""
        kinds = {finding.kind for finding in self.findings}
        if "error" in kinds or not any(v.state.startswith("ready") for v in self.protocols):
            return 2
        return 1 if kinds & {"missing", "warning"} or self.broken else 0

    def to_json(self) -> dict[str, Any]:
        """Everything, for machines."""
        verdict = ("ready", "usable with warnings", "not usable")[self.exit_code]
        return {**asdict(self), "verdict": verdict, "exit_code": self.exit_code}


def diagnose(
    dataset: type[FaceDataModule], root: Path, *, read: bool = True, workers: int = 1, progress: Progress | None = None
) -> Diagnosis:
    """Examine a dataset's folder, its stored index left aside.

    Args:
        dataset, root: What, and where.
        read: Also read every sample.
        workers: Processes that read.
        progress: Called with (samples read, samples in all).

    Raises:
        DatasetNotFound: there is no such folder, or something else in it.
        InvalidFile: a label file that nothing can do without is damaged.
    """
    survey = dataset.survey(root)
    index, offered = survey.index, dataset.offers(root)
    findings = [*survey.findings, *_labels(dataset, index)]
    broken: dict[str, str] = {}
    if read:
        found, broken = _read_all(dataset, root, index, offered, workers, progress)
        findings += [*found, *_copies(root, index)]
    if "photo" in offered:
        findings += parameter_findings(root, index, read=read)
    protocols = [p for p in PROTOCOLS.values() if dataset_id(dataset) in p.datasets]
    origin = provenance(root, (name for files in index["files"] for name in files))
    verdicts = tuple(_verdict(protocol, index, broken) for protocol in protocols)
    return Diagnosis(dataset_id(dataset), str(root), origin, len(index), read, tuple(findings), broken, verdicts)


def _labels(dataset: type[FaceDataModule], index: pd.DataFrame) -> list[Finding]:
    """Class counts, an order of classes that is not the distribution's, and subjects on both sides of a split."""
    found = Findings()
    labelled = index[index["label"].notna()]
    for split, group in labelled.groupby(labelled["split"].fillna(""), sort=True):
        counts = Counter(name for label in group["label"] for name in names(label))
        message = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
        found.add("found", f"{split + ': ' if split else ''}{message}")
        if permuted := permuted_classes(counts, dataset.class_counts.get(str(split), {})):
            fits = ", ".join(f"{read} has the share of {fit}" for read, fit in permuted.items())
            found.add("error", f"the classes are in another order than the distribution's: what was read as {fits}")
    known = index[index["subject"].notna() & index["split"].notna()]
    sides = known.groupby("subject")["split"].nunique()
    found.add_if(sides[sides > 1].index, "error", "subjects on both sides of the official split")
    return found.all


def _read_all(
    dataset: type[FaceDataModule],
    root: Path,
    index: pd.DataFrame,
    offered: frozenset[str],
    workers: int,
    progress: Progress | None,
) -> tuple[list[Finding], dict[str, str]]:
    files, ids = list(index["files"]), list(index["id"])
    broken: dict[str, str] = {}
    odd: dict[str, list[str]] = defaultdict(list)
    sizes: dict[tuple[int, int], list[str]] = defaultdict(list)
    for done, reading in enumerate(map_processes(_Read(dataset, root), files, workers), start=1):
        sample = ids[done - 1]
        if reading.problem:
            broken[sample] = reading.problem
        if reading.oddity:
            odd[reading.oddity].append(sample)
        if reading.size:
            sizes[reading.size].append(sample)
        if progress:
            progress(done, len(files))
    findings = [Finding("warning", f"scans that seem {oddity}", tuple(who)) for oddity, who in sorted(odd.items())]
    if "topology" in offered and sizes:
        common = sorted(sizes.items(), key=lambda item: -len(item[1]))
        message = ", ".join(f"{v:,} vertices and {t:,} triangles ({len(who):,} meshes)" for (v, t), who in common[:4])
        if len(sizes) == 1:
            findings.append(Finding("found", f"one topology: {message}"))
        else:
            rare = tuple(sorted(name for _, who in common[1:] for name in who))
            findings.append(Finding("warning", f"meshes of another topology than most ({message})", rare))
        strange = {v for v, _ in sizes} - set(dataset.vertices) if dataset.vertices else set[int]()
        if strange and twin_folder(root, index["files"].iloc[0]) is None:
            wanted = " or ".join(f"{count:,}" for count in dataset.vertices)
            message = ", ".join(f"{count:,}" for count in sorted(strange))
            findings.append(Finding("warning", f"meshes of {message} vertices, where the distribution's have {wanted}"))
    return findings, broken


def _copies(root: Path, index: pd.DataFrame) -> list[Finding]:
    """Files that are there twice; across a split they make the test easier than it is."""
    owner: dict[str, int] = {}
    for row, files in enumerate(index["files"]):
        first = files[0].rpartition(".")[2]
        owner |= {name: row for name in files if name.endswith(first) and f".{first.lower()}" in _SAMPLE_SUFFIXES}
    split = index["split"].fillna("").to_list()
    found = Findings()
    groups = {" = ".join(group): len({split[owner[name]] for name in group}) for group in duplicate_files(root, owner)}
    found.add_if([g for g, splits in groups.items() if splits == 1], "warning", "groups of files with equal content")
    found.add_if(
        [g for g, splits in groups.items() if splits > 1],
        "warning",
        "groups of files with equal content on both sides of the official split",
    )
    return found.all


def _verdict(protocol: Protocol, index: pd.DataFrame, broken: Collection[str]) -> Verdict:
    if len(protocol.datasets) > 1:
        return Verdict(
            protocol.id, "needs another dataset", 0, protocol.expected, f"joins {' and '.join(protocol.datasets)}"
        )
    try:
        selected = protocol.select(index)
        protocol.folds(index, broken)
    except ProtocolError as error:
        return Verdict(protocol.id, "not possible", 0, protocol.expected, str(error))
    samples = len(selected) - sum(i in broken for i in selected["id"])
    state: Readiness = "ready" if samples >= protocol.expected else "ready with missing"
    return Verdict(protocol.id, state, samples, protocol.expected)


@dataclass(frozen=True)
class _Reading:
    problem: str = ""
    oddity: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Read:
    """Reads one sample whole, frame by frame, and keeps nothing of it."""

    dataset: type[FaceDataModule]
    root: Path

    def __call__(self, files: tuple[str, ...]) -> _Reading:
        try:
            sample = self.dataset.load(self.root, files)
            if not isinstance(sample, Clip):
                return _look(sample)
        except BrokenScan as error:
            return _Reading(problem=str(error))
        problems: list[BrokenScan] = []
        readings: list[_Reading] = []
        for number in range(len(sample)):
            try:
                readings.append(_look(sample[number]))
            except BrokenScan as error:
                problems.append(error)
        if problems:
            others = ", ".join(problem.path.name for problem in problems[1:])
            return _Reading(problem=f"{problems[0]}{f' So are {len(problems) - 1} more: {others}.' if others else ''}")
        if not readings:
            return _Reading(problem=f"{self.root / files[0]}: has no frame that can be read.")
        return next((reading for reading in readings if reading.oddity), readings[0])


def _look(sample: Scan | Photo) -> _Reading:
    if isinstance(sample, Photo):
        sample.pixels()
        return _Reading()
    return _Reading(oddity=implausible(sample) or "", size=(len(sample.vertices), len(sample.triangles)))
