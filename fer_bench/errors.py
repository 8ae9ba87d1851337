"""Errors that a user can act on.

Each carries one sentence saying what is wrong, where, and what to do. The command line prints that sentence alone and
exits with the error's code; a traceback means a fault of ours.
"""

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path


class FerBenchError(Exception):
    """Base of every error whose message is meant for the user."""

    exit_code = 2


class InvalidFile(FerBenchError):
    """A file that exists but cannot be used.

    Args:
        path: The file.
        problem: What is wrong with it, without a full stop.
        remedy: What to do about it, a whole sentence.
    """

    def __init__(self, path: Path | str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}. {remedy}")
        self.path, self.problem, self.remedy = Path(path), problem, remedy

    def __reduce__(self) -> tuple[type, tuple[Path, str, str]]:
        # Exceptions are rebuilt from their arguments when they cross a process boundary.
        return type(self), (self.path, self.problem, self.remedy)


class DatasetNotFound(FerBenchError):
    """A dataset that is not where it was looked for."""


class WeightsNotFound(FerBenchError):
    """Published weights that are not on this machine and cannot be fetched."""


class BrokenScan(InvalidFile):
    """One sample of a dataset that cannot be read; `--skip-broken` leaves such samples out and counts them."""


class UnknownName(FerBenchError):
    """A method, dataset, protocol, suite or key that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known) or 'none'}."
        super().__init__(f"{where + ': ' if where else ''}unknown {kind} {name!r}; {hint}")
        self.args = (kind, name, tuple(known), where)
        self._sentence = f"{where + ': ' if where else ''}unknown {kind} {name!r}; {hint}"

    def __str__(self) -> str:
        return self._sentence


class InvalidSuite(FerBenchError):
    """A suite that cannot be run as written."""


class InvalidPredictions(InvalidFile):
    """A predictions file that cannot be scored."""


class ProtocolError(FerBenchError):
    """An index that a protocol cannot be applied to."""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def sentence_of(error: OSError) -> str | None:
    """An OSError as a sentence: what, where, and what to do; None if the error names no path."""
    if error.filename is None and error.errno not in (*_FULL, *_CLOSED):
        return None
    if error.errno in _FULL:
        message = f"cannot be written ({error.strerror}); make room, or name a folder on another disk."
    elif error.errno in _CLOSED:
        message = f"{error.strerror}; make it accessible, or name another folder."
    elif error.errno in (errno.EEXIST, errno.ENOTDIR):
        message = "there is a file where a folder is needed; move it away, or name another folder."
    elif error.errno == errno.EISDIR:
        message = "there is a folder where a file is needed; move it away, or name another file."
    else:
        message = f"cannot be read or written ({error.strerror}); name another place."
    return f"{error.filename2 or error.filename or 'a file'}: {message}"
