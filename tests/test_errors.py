"""What the system refuses, in a sentence."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.errors import sentence_of


@given(number=st.sampled_from(sorted(errno.errorcode)), name=st.text("abc/. ", min_size=1))
def test_every_refusal_that_names_a_place_is_one_sentence(number: int, name: str) -> None:
    told = sentence_of(OSError(number, os.strerror(number), name))
    assert told is not None
    assert told.startswith(f"{name}: ")
    assert told.endswith(".")
    assert "; " in told, "what to do"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EACCES, "make it accessible"),
        (errno.ENOTDIR, "a file where a folder is needed"),
        (errno.EEXIST, "a file where a folder is needed"),
        (errno.EISDIR, "a folder where a file is needed"),
        (errno.ENOENT, "No such file or directory); name another place"),
    ],
)
def test_what_to_do_depends_on_what_it_is(number: int, says: str) -> None:
    assert says in str(sentence_of(OSError(number, os.strerror(number), "x")))


def test_a_full_disk_need_not_name_a_place_and_a_fault_of_ours_is_no_sentence() -> None:
    assert sentence_of(OSError(errno.ENOSPC, "No space left on device")) is not None
    assert sentence_of(OSError(errno.EBADF, "Bad file descriptor")) is None
    assert sentence_of(OSError("made by hand")) is None
