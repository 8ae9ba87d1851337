"""The 3D morphable model parameters in a folder of photographs, for the doctor's page."""

import itertools
from pathlib import Path

import pandas as pd

from fer_bench.data.survey import Finding, Findings
from fer_bench.errors import BrokenScan, DatasetNotFound, InvalidFile
from fer_bench.io.morphable_parameters import VECTORS
from fer_bench.io.parameter_source import ParameterSource, find_parameters

_TRIED = 20
_KINDS = {"json": "JSON beside the photographs", "parts": "one .npy a part", "table": "one table"}


def parameter_findings(root: Path, index: pd.DataFrame, *, read: bool) -> list[Finding]:
    """For each regressor the longest available vector, and the photographs without it.

    Args:
        root, index: The dataset.
        read: Also read every vector.
    """
    found = Findings()
    samples = [(sample, files[0]) for sample, files in zip(index["id"], index["files"], strict=True)]
    for regressor in sorted({name.partition("-")[0] for name in VECTORS}):
        try:
            source = _longest(root, samples, regressor)
        except InvalidFile as error:
            found.add("warning", str(error))
            continue
        if source is None:
            continue
        lacking = set(source.without(samples))
        found.add(
            "found",
            f"{source.vector} parameters ({_KINDS[source.kind]}) of {len(samples) - len(lacking):,} photographs",
        )
        found.add_if(sorted(lacking), "missing", f"photographs without {source.vector} parameters")
        if read:
            problems = (_problem(source, *sample) for sample in samples if sample[0] not in lacking)
            found.add_if(
                [str(problem) for problem in problems if problem],
                "warning",
                f"{source.vector} parameters that cannot be read",
            )
    return found.all


def _longest(root: Path, samples: list[tuple[str, str]], regressor: str) -> ParameterSource | None:
    """The source of the regressor's longest vector that any of the first samples with parameters has all parts of."""
    images = [image for _, image in samples]
    damaged: InvalidFile | None = None
    source: ParameterSource | None = None
    lengths = {name: sum(size for _, size in parts) for name, parts in VECTORS.items()}
    for vector in sorted((name for name in VECTORS if name.startswith(regressor)), key=lambda name: -lengths[name]):
        try:
            source = find_parameters(root, images, vector)
        except DatasetNotFound:
            return None
        except InvalidFile as error:  # a table that lacks the longer vector's columns may have the shorter one's
            damaged = damaged or error
            continue
        given = itertools.islice((sample for sample in samples if source.has(*sample)), _TRIED)
        if any(not _problem(source, *sample) for sample in given):
            return source
    if source is None and damaged is not None:
        raise damaged
    return source


def _problem(source: ParameterSource, sample: str, image: str) -> BrokenScan | None:
    try:
        source.read(sample, image)
    except BrokenScan as error:
        return error
    return None
