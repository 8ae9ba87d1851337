"""The differences between two protocol snapshots, as sentences about `A` and `B`."""

from collections.abc import Iterator, Sequence

import pandas as pd

from fer_bench.protocols.snapshot import ProtocolSnapshot

_SHOWN = 3


def differences(a: ProtocolSnapshot, b: ProtocolSnapshot) -> list[str]:
    """A sentence for each kind of difference; none where the questions are the same."""
    return [*_of_protocol(a, b), *_of_samples(a, b)]


def _of_protocol(a: ProtocolSnapshot, b: ProtocolSnapshot) -> Iterator[str]:
    if a.protocol != b.protocol:
        yield f"The protocols differ: A is {a.protocol}, B is {b.protocol}."
    if a.provenance != b.provenance:
        yield f"The data differ: A's are {a.provenance}, B's are {b.provenance}."
    if a.classes != b.classes:
        alone = [_alone(side, mine, theirs) for side, mine, theirs in (("A", a, b), ("B", b, a))]
        message = " and ".join(filter(None, alone)) or f"A has them in the order {', '.join(a.classes)}, B in another"
        yield f"The classes differ: {message}."
    if a.num_folds != b.num_folds:
        yield f"The folds differ in number: A has {a.num_folds}, B {b.num_folds}."


def _alone(side: str, mine: ProtocolSnapshot, theirs: ProtocolSnapshot) -> str:
    names = [name for name in mine.classes if name not in theirs.classes]
    return f"only {side} has {', '.join(names)}" if names else ""


def _of_samples(a: ProtocolSnapshot, b: ProtocolSnapshot) -> Iterator[str]:
    mine, theirs = (each.samples.set_index("id") for each in (a, b))
    for side, own, other in (("A", mine, theirs), ("B", theirs, mine)):
        alone = own[~own.index.isin(other.index)]
        known = set(other["subject"]) - {""}
        people = dict.fromkeys(s for s in alone["subject"] if s and s not in known)
        if people:
            count = alone["subject"].isin(people).sum()
            yield f"Only {side} has {_listed([*people], 'subject')}, with {_counted(int(count), 'sample')}."
        rest = alone.index[~alone["subject"].isin(people)].tolist()
        if rest:
            whose = " of subjects whom both have" if people or known else ""
            yield f"Only {side} has {_listed(rest, 'sample')}{whose}."
    both = mine.merge(theirs, left_index=True, right_index=True, suffixes=("_a", "_b"))
    if len(other := both[both["subject_a"] != both["subject_b"]]):
        yield f"{_counted(len(other), 'sample')} {_are(other)} of another subject: {_first(other, 'subject')}."
    if len(other := both[both["truth_a"] != both["truth_b"]]):
        yield f"{_counted(len(other), 'sample')} {_have(other)} another truth: {_first(other, 'truth')}."
    if a.num_folds == b.num_folds:
        yield from _of_folds(both)


def _of_folds(both: pd.DataFrame) -> Iterator[str]:
    """Who is tested in another fold; and who is tested in the same, and has another part in some fold."""
    moved = both[both["parts_a"] != both["parts_b"]]
    tested = pd.DataFrame({side: moved[f"parts_{side}"].map(_tested) for side in ("a", "b")}, dtype=object)
    elsewhere = (tested["a"] != tested["b"]) if len(moved) else pd.Series(dtype=bool)
    for rows, what in (
        (moved[elsewhere.to_numpy(dtype=bool)], "tested in another fold"),
        (moved[~elsewhere.to_numpy(dtype=bool)], "tested in the same fold, and in another part of some fold besides"),
    ):
        if not len(rows):
            continue
        unit, first = "sample", str(rows.index[0])
        count = len(rows)
        if (rows["subject_a"] != "").all():
            unit, first, count = "subject", str(rows["subject_a"].iloc[0]), rows["subject_a"].nunique()
        ends = [_roles(rows[f"parts_{side}"].iloc[0], rows[f"parts_{other}"].iloc[0]) for side, other in ("ab", "ba")]
        message = f"{first}, {ends[0]} in A and {ends[1]} in B"
        yield f"{_counted(count, unit)} {'is' if count == 1 else 'are'} {what}: {message}."


def _tested(parts: str) -> tuple[int, ...]:
    return tuple(number for number, letter in enumerate(parts) if letter == "t")


def _roles(parts: str, other: str) -> str:
    """The part of a sample in the first fold where it differs: `tested in fold 3`."""
    words = {"r": "trains", "v": "validates", "t": "is tested", "a": "is auxiliary", "-": "takes no part"}
    if (mine := _tested(parts)) != _tested(other):
        return f"tested in fold{'s' if len(mine) > 1 else ''} {_some(list(map(str, mine)))}" if mine else "never tested"
    number = next(n for n, (x, y) in enumerate(zip(parts, other, strict=True)) if x != y)
    return f"which {words[parts[number]]} in fold {number}"


def _first(rows: pd.DataFrame, what: str) -> str:
    one = rows.iloc[0]
    return f"{rows.index[0]}, {one[f'{what}_a'] or 'nobody'} in A and {one[f'{what}_b'] or 'nobody'} in B"


def _listed(names: Sequence[str], unit: str) -> str:
    return f"{_counted(len(names), unit)} ({_some(names)})"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def _are(rows: pd.DataFrame) -> str:
    return "is" if len(rows) == 1 else "are"


def _have(rows: pd.DataFrame) -> str:
    return "has" if len(rows) == 1 else "have"
