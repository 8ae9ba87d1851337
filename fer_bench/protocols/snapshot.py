"""A protocol on one copy of the data. `Protocol.digest` hashes it; saved to a small file, it later shows why two
results have different digests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fer_bench.errors import InvalidFile
from fer_bench.records import Fold, atomic_write, digest

PARTS = {"train": "r", "val": "v", "test": "t", "auxiliary": "a"}
"""Part of a fold -> its letter in the column `parts`; a sample that has no part in a fold has `-`."""

_COLUMNS = ("id", "subject", "truth", "parts")


@dataclass(frozen=True)
class ProtocolSnapshot:
    """A protocol on one copy of the data: its classes, and every sample's truth and part in each fold.

    Attributes:
        protocol: The id of the protocol.
        classes: Its classes, in order.
        provenance: Of the data: as distributed, or which twin.
        samples: The samples that take part in a fold, sorted by id, as text: `id`, `subject` (empty where unknown
            it), `truth` (JSON: a label, a pair of numbers, or null) and `parts`, a letter a fold, see `PARTS`.
    """

    protocol: str
    classes: tuple[str, ...]
    provenance: str
    samples: pd.DataFrame

    @classmethod
    def of(
        cls, protocol: str, classes: tuple[str, ...], provenance: str, rows: pd.DataFrame, folds: list[Fold]
    ) -> ProtocolSnapshot:
        """From folds whose ids are sorted, and rows of all their samples: `id`, `subject` and `truth`."""
        letters: dict[str, list[str]] = {}
        for place, fold in enumerate(folds):
            for part, letter in PARTS.items():
                for i in getattr(fold, part):
                    letters.setdefault(i, ["-"] * len(folds))[place] = letter
        rows = rows[rows["id"].isin(letters)].sort_values("id")
        samples = pd.DataFrame(
            {
                "id": rows["id"].tolist(),
                "subject": rows["subject"].fillna("").tolist(),
                "truth": [json.dumps(truth) for truth in rows["truth"]],
                "parts": ["".join(letters[i]) for i in rows["id"]],
            },
            dtype=object,
        )
        return cls(protocol, classes, provenance, samples)

    @property
    def num_folds(self) -> int:
        """How many folds there are."""
        return len(self.samples["parts"].iloc[0]) if len(self.samples) else 0

    @property
    def digest(self) -> str:
        """Only results of equal digests are ranked together."""
        truth = [json.loads(text) for text in self.samples["truth"]]
        known = list(zip(self.samples["id"], truth, self.samples["parts"], strict=True))
        folds: list[dict[str, list[Any]]] = [{part: [] for part in PARTS} for _ in range(self.num_folds)]
        named = {letter: part for part, letter in PARTS.items()}
        for i, true, parts in known:
            for fold, letter in zip(folds, parts, strict=True):
                if letter != "-":
                    fold[named[letter]].append((i, true))
        return digest(
            {"protocol": self.protocol, "classes": self.classes, "provenance": self.provenance, "folds": folds}
        )

    def write(self, path: Path) -> None:
        """Write as a compressed Parquet file."""
        known = {"protocol": self.protocol, "classes": self.classes, "provenance": self.provenance}
        table = pa.Table.from_pandas(self.samples, preserve_index=False)
        table = table.replace_schema_metadata({"question": json.dumps(known)})
        with atomic_write(path) as file:
            pq.write_table(table, file, compression="zstd")

    @classmethod
    def read(cls, path: Path, requested: str) -> ProtocolSnapshot:
        """Read a snapshot; raises `InvalidFile`, also where its digest is not the requested one."""
        try:
            table = pq.ParquetFile(path).read()
            table.validate(full=True)
            known = json.loads((table.schema.metadata or {})[b"question"])
            samples = table.select(list(_COLUMNS)).to_pandas().astype(object)
            if not all(isinstance(value, str) for name in _COLUMNS for value in samples[name]):
                raise ValueError("a value is no text")
            found = cls(str(known["protocol"]), tuple(known["classes"]), str(known["provenance"]), samples)
            if found.digest != requested:
                raise ValueError(f"its digest is {found.digest}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError, pa.ArrowException) as error:
            message = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InvalidFile(
                path,
                f"is not the snapshot {requested} ({message:.200})",
                "Delete it; the next run of its suite writes it again.",
            ) from None
        return found
