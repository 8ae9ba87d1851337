"""Fabricated indices, of the sizes of the distributions or smaller; rows only, no file behind them."""

from collections.abc import Callable
from functools import cache

import pandas as pd
import pytest

from fer_bench.expressions import BASIC_SIX, EXPRESSIONS
from fer_bench.protocols.base import join
from fer_bench.records import make_index

BUILDERS: dict[str, Callable[[int], pd.DataFrame]] = {}
"""Dataset -> a function that makes the index of its first subjects."""
SUBJECTS = {"bu3dfe": 100, "bosphorus": 105, "bu4dfe": 101, "bp4d": 41, "coma": 12, "facescape": 847, "fourdme": 41}
AFFECTNET_TRAIN = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)
RAFDB = {
    "surprise": (1290, 329),
    "fear": (281, 74),
    "disgust": (717, 160),
    "happy": (4772, 1185),
    "sad": (1982, 478),
    "anger": (705, 162),
    "neutral": (2524, 680),
}


def builder(function: Callable[[int], pd.DataFrame]) -> Callable[[int], pd.DataFrame]:
    BUILDERS[function.__name__] = cache(function)
    return function


def people(count: int, women: float, digits: int) -> list[str]:
    """The first women and men, in the distribution's proportion."""
    share = round(women * count)
    return [f"F{n:0{digits}d}" for n in range(1, share + 1)] + [f"M{n:0{digits}d}" for n in range(1, count - share + 1)]


def row(name: str, subject: str | None, label: str | None, **more: object) -> dict[str, object]:
    return {"id": name, "subject": subject, "label": label, "files": ("x",), **more}


@builder
def bu3dfe(subjects: int) -> pd.DataFrame:
    rows = []
    for subject in people(subjects, 0.56, 4):
        rows.append(row(f"{subject}_NE00", subject, "neutral", level=0))
        for code in BASIC_SIX:
            rows += [
                row(f"{subject}_{code[:2].upper()}{level:02d}", subject, code, level=level) for level in (1, 2, 3, 4)
            ]
    return make_index(rows)


@builder
def bosphorus(subjects: int) -> pd.DataFrame:
    """13 of 21 subjects, 65 of 105, have all expressions; some have two takes; one has take 1 alone."""
    rows = []
    for number in range(subjects):
        subject = f"bs{number:03d}"
        rows += [row(f"{subject}_N_N_{take}", subject, "neutral") for take in range(1 + number % 3)]
        rows += [row(f"{subject}_LFAU_12_0", subject, None), row(f"{subject}_YR_R20_0", subject, None)]
        for code in BASIC_SIX:
            if number % 21 >= 13 and code in ("fear", "sad"):
                continue
            first = 1 if (number, code) == (2, "happy") else 0
            takes = range(first, first + 1 + (number % 4 == 0 and code == "happy"))
            rows += [row(f"{subject}_E_{code.upper()}_{take}", subject, code) for take in takes]
    return make_index(rows)


@builder
def bu4dfe(subjects: int) -> pd.DataFrame:
    return make_index(
        [row(f"{s}_{code.title()}", s, code) for s in people(subjects, 58 / 101, 3) for code in BASIC_SIX],
    )


@builder
def bp4d(subjects: int) -> pd.DataFrame:
    tasks = ("happy", "sad", "surprise", "embarrassment", "fear", "pain", "anger", "disgust")
    return make_index(
        [row(f"{s}_T{n}", s, label) for s in people(subjects, 23 / 41, 3) for n, label in enumerate(tasks, start=1)]
    )


@builder
def coma(subjects: int) -> pd.DataFrame:
    """Twelve sequences a subject, of unequal lengths; 20,466 meshes when all subjects are there."""
    rows = []
    for number in range(subjects):
        subject = f"FaceTalk_1707{number:02d}_00{number:03d}_TA"
        for position in range(12):
            name = f"{'abcdefghijkl'[position]}_mouth"
            length = 142 + (number * 12 + position < 18)  # 144 * 142 + 18 = 20,466
            length += 20 if position == 0 else -20 if position == 1 else 0
            rows += [row(f"{subject}/{name}/{frame:06d}", subject, name) for frame in range(1, length + 1)]
    return make_index(rows)


@builder
def facescape(subjects: int) -> pd.DataFrame:
    names = ("neutral", "smile", "mouth_stretch", "anger", *(f"other{n}" for n in range(5, 14)), "sad")
    names += tuple(f"other{n}" for n in range(15, 21))
    return make_index(
        [
            row(f"{subject}_{n}_{name}", str(subject), name)
            for subject in range(1, subjects + 1)
            for n, name in enumerate(names, start=1)
        ]
    )


@builder
def fourdme(subjects: int) -> pd.DataFrame:
    """267 clips of 41 subjects, so six or seven of each."""
    kinds = ("negative", "positive", "surprise", "repression", "positive+surprise", "others", "negative+repression")
    clips = round(267 * subjects / 41)
    return make_index(
        [
            row(f"S{c % subjects:02d}/S{c % subjects:02d}_clip{c:03d}", f"S{c % subjects:02d}", kinds[c % 7])
            for c in range(clips)
        ]
    )


@builder
def affectnet(scale: int) -> pd.DataFrame:
    """The release of 2021 with `scale` per mille of it."""
    rows = []
    for split, counts in (("train", AFFECTNET_TRAIN), ("val", (500,) * 7 + (499,))):
        labels = [label for label, n in zip(EXPRESSIONS, counts, strict=True) for _ in range(-(-n * scale // 1000))]
        rows += [
            row(f"{split}_{n}", None, label, split=split, valence=(n % 201 - 100) / 100, arousal=(n % 101) / 100)
            for n, label in enumerate(labels)
        ]
        rows.append(row(f"{split}_uncertain", None, "uncertain", split=split))
    return make_index(rows)


@builder
def rafdb(scale: int) -> pd.DataFrame:
    rows = []
    for position, (split, digits) in enumerate((("train", 5), ("test", 4))):
        labels = [label for label, counts in RAFDB.items() for _ in range(-(-counts[position] * scale // 1000))]
        rows += [row(f"{split}_{n:0{digits}d}", None, label, split=split) for n, label in enumerate(labels, start=1)]
    return make_index(rows)


def fabricate(datasets: tuple[str, ...], size: dict[str, int] | None = None) -> pd.DataFrame:
    """The index that a protocol on these datasets reads, of full size unless told otherwise."""
    indices = {name: BUILDERS[name]((size or {}).get(name, SUBJECTS.get(name, 1000))) for name in datasets}
    return indices[datasets[0]] if len(datasets) == 1 else join(indices)


@pytest.fixture(scope="session")
def full() -> Callable[..., pd.DataFrame]:
    """Dataset ids -> the fabricated index of full size."""
    return cache(lambda *datasets: fabricate(datasets))


@pytest.fixture(scope="session")
def small() -> Callable[..., pd.DataFrame]:
    """(dataset, subjects), or per mille of the photographs where subjects are not known -> a smaller index."""
    return lambda dataset, count: BUILDERS[dataset](count)
