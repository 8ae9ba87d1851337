"""A trap for what reads the labels of test samples: an index in which each of them is a wrong one."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pytest

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.data.base import FaceDataModule
from fer_bench.protocols import Protocol
from fer_bench.protocols.base import names


def mislabelled(index: pd.DataFrame, ids: Collection[str], protocol: Protocol) -> pd.DataFrame:
    """The index in which of these samples every class is the next one, and all numbers have the other sign."""
    theirs = index["id"].isin(ids)
    shown = sorted({name for label in index.loc[theirs, "label"].dropna() for name in names(label)})
    classes = [name for name in shown if name in protocol.classes] if protocol.classes else shown
    following = dict(zip(classes, [*classes[1:], *classes[:1]], strict=True))

    def lie(label: str) -> str:
        return "+".join(following.get(name, name) for name in names(label))

    index = index.copy()
    index.loc[theirs, "label"] = index.loc[theirs, "label"].map(lie, na_action="ignore")
    for column in ("valence", "arousal"):
        index.loc[theirs, column] = -index.loc[theirs, column]
    return index


def set_trap(patch: pytest.MonkeyPatch, cell: Cell, ids: Collection[str]) -> None:
    """From now on the cell's datasets mislabel these samples, whoever asks."""
    for part in cell.parts:
        dataset: type[FaceDataModule] = registry.load_dataset(part.dataset)
        own = {i.removeprefix(f"{part.dataset}/") for i in ids}
        honest = dataset.index(Path(part.root))
        lying = mislabelled(honest, own, registry.find_protocol(cell.protocol))
        if own & set(honest["id"]):
            asked = honest["id"].isin(own)
            assert not lying[asked].equals(honest[asked]), "the trap is a trap"
        patch.setattr(dataset, "index", classmethod(lambda cls, root, lying=lying: lying.copy()))
