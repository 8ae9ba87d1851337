"""A map over processes that keeps order and stops cleanly."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import pytest

from fer_bench.errors import FerBenchError
from fer_bench.processes import map_processes


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """As in a terminal, also where the tests run in the background and ignore Ctrl-C."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def test_order_is_kept() -> None:
    assert list(map_processes(abs, range(-40, 0), 2)) == list(range(40, 0, -1))


def test_a_process_that_was_killed_is_told_in_a_sentence() -> None:
    with pytest.raises(FerBenchError, match=r"one of 2 worker processes was ended from outside.*run it again\.$"):
        list(map_processes(signal.raise_signal, [signal.SIGKILL] * 2, 2))


def test_ctrl_c_waits_for_processes_that_are_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    submit, futures = ProcessPoolExecutor.submit, []

    def interrupted(pool: ProcessPoolExecutor, *work: Any) -> Future[Any]:
        os.kill(os.getpid(), signal.SIGINT)
        futures.append(submit(pool, *work))
        return futures[-1]

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(map_processes(abs, range(400), 2))
    assert len(futures) == 50
    assert all(future.done() for future in futures)
    assert any(future.cancelled() for future in futures), "what had not begun is not waited for"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
