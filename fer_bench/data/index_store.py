"""Indices kept in the cache, so that a dataset of a million files is listed once and not before every command.

An index is a function of names and label files. The stored one is taken as long as no folder was touched (its time
changes when a name in it comes, goes or is replaced), no label file was written, and the code that made it is the same.
Not noticed is a small label file among hundreds of thousands (AffectNet's `.npy`) that is overwritten in place;
`fer-bench data check` always reads everything again.
"""

import hashlib
import inspect
import json
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fer_bench.data.layouts import Tree
from fer_bench.data.survey import Finding, Survey
from fer_bench.records import atomic_write, digest
from fer_bench.representations.cache_entry import default_cache

_KEY = b"fer_bench"
# The clock of a file system can be this coarse: a folder touched so shortly before it was listed could change again
# without its time changing.
_SETTLED_NS = 2_000_000_000


def load(name: str, reader: type, root: Path) -> Survey | None:
    """The stored survey of a dataset's folder, or None if there is none that still holds."""
    try:
        table = pq.read_table(_path(name, root))
        record = json.loads((table.schema.metadata or {})[_KEY])
        if record["reader"] != _code(reader) or not _unchanged(root, record):
            return None
        index = table.drop_columns(["files"]).to_pandas()
        index["files"] = _tuples(table["files"].combine_chunks())
        return Survey(index, tuple(Finding(f["kind"], f["text"], tuple(f["names"])) for f in record["findings"]))
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):  # none there, or damaged: it is made again
        return None


def save(name: str, reader: type, tree: Tree, survey: Survey) -> None:
    """Store a survey, unless the tree is still settling, had parts that could not be read (which no time of a folder
    would show when they are mended), or the cache cannot be written."""
    if not tree.settled or max(tree.folders.values(), default=0) > time.time_ns() - _SETTLED_NS:
        return
    record = {
        "reader": _code(reader),
        "folders": tree.folders,
        "labels": tree.labels,
        "findings": [asdict(finding) for finding in survey.findings],
    }
    table = pa.Table.from_pandas(survey.index.drop(columns="files"), preserve_index=False)
    table = table.append_column("files", pa.array(survey.index["files"], type=pa.list_(pa.string())))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(record).encode()})
    try:
        with atomic_write(_path(name, tree.root)) as file:
            pq.write_table(table, file, compression="zstd")
    except OSError:  # a read-only cache costs time and nothing else
        return


def _path(name: str, root: Path) -> Path:
    return default_cache() / name / f"index-{digest(str(root.resolve()))}.parquet"


def _unchanged(root: Path, record: dict[str, Any]) -> bool:
    return all((root / folder).stat().st_mtime_ns == when for folder, when in record["folders"].items()) and all(
        [(stat := (root / label).stat()).st_size, stat.st_mtime_ns] == list(state)
        for label, state in record["labels"].items()
    )


def _tuples(lists: pa.ListArray) -> list[tuple[str, ...]]:
    """Much faster than `to_pylist` on lists: the strings are converted in one go."""
    strings, ends = lists.flatten().to_pylist(), lists.value_lengths().to_numpy().cumsum()
    return [tuple(strings[start:end]) for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]


@cache
def _code(reader: type) -> str:
    """Hash of the sources that determine an index: a stored index of another version is not used."""
    package = Path(__file__).parent.parent
    sources = [Path(inspect.getfile(reader)), package / "expressions.py", package / "records.py"]
    sources += sorted([*package.glob("data/*.py"), *package.glob("geometry/*.py"), *package.glob("io/*.py")])
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
