"""A sample whose files are there more than once: one copy of it is taken, and no two are mixed."""

from collections.abc import Mapping


def one_copy(copies: Mapping[str, Mapping[str, str]], needed: str) -> tuple[dict[str, str], list[str]]:
    """Suffix -> file of one sample, and the files that are left out.

    Of the places that hold the needed file, the one with most of the sample's files is taken, and the first by name
    where several have as many. What it lacks comes from places without the needed file, as landmarks that were unpacked
    into a folder of their own; never from another copy, whose texture or landmarks may belong to another mesh.

    Args:
        copies: Where files of the sample are -> suffix -> file.
        needed: The suffix without which there is no sample.
    """
    whole = sorted((place for place in copies if needed in copies[place]), key=lambda p: (-len(copies[p]), p))
    parts = [copies[place] for place in (*whole[:1], *sorted(copies.keys() - set(whole)))]
    taken: dict[str, str] = {}
    for files in parts:
        taken = {**files, **taken}
    every = {path for files in copies.values() for path in files.values()}
    return taken, sorted(every - set(taken.values()))
