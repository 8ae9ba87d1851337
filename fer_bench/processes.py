"""A map over processes that keeps order, stops cleanly and does not fork threads."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from typing import Any, TypeVar

from fer_bench.errors import FerBenchError

Item = TypeVar("Item")
Output = TypeVar("Output")

Progress = Callable[[int, int], None]
"""Called with how many items are done, and how many there are."""

_work: Callable[[Any], Any]


def available_cores() -> int:
    """CPU cores that this process may use, which can be fewer than the machine has."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Not every cluster binds the tasks of Slurm to the cores that they were given.
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(here, int(given)) if given.isdecimal() and int(given) else here


def fork_server(*preload: str) -> ForkServerContext:
    """The context to start processes from.

    A forked copy of a process that runs threads (torch, numba) can hang; the fork server starts without any. It imports
    `preload` once, at once and beside the caller, and the processes forked from it have these modules at no cost; the
    first call decides.
    """
    # Several processes with threads of their own on one machine: a thread that waits by spinning takes the core that
    # another needs, and a training step of 75 ms has been seen to take 2,400.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # numpy's own matrix products are small here; as many threads in each process as there are cores only get in each
    # other's way, and take half as long again for the same bytes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = get_context("forkserver")
    if preload:
        context.set_forkserver_preload(list(preload))
        _start_server()
    return context


def _start_server() -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # it starts with the first process; only the main thread may set signal handlers
    # Ctrl-C in a terminal reaches every process, and the server would die of it in the middle of an import, with a
    # traceback. What is ignored here stays so in the server.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, previous)


def map_processes(work: Callable[[Item], Output], items: Sequence[Item], workers: int) -> Iterator[Output]:
    """`map(work, items)` over worker processes, in order; in this process when `workers` is 1.

    `work` is pickled once a worker, not once an item. When the caller stops early, or is interrupted, what has not
    begun is cancelled.

    Raises:
        FerBenchError: a worker process was killed.
    """
    if workers <= 1 or len(items) <= 1:
        yield from map(work, items)
        return
    # Small chunks keep a progress bar moving; more than one item each keeps the traffic small.
    size = max(1, min(8, len(items) // workers))
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    with ProcessPoolExecutor(min(workers, len(chunks)), fork_server(), initializer=_adopt, initargs=(work,)) as pool:
        try:
            with _undisturbed():
                futures = [pool.submit(_apply, chunk) for chunk in chunks]
            for future in futures:
                yield from future.result()
        except BrokenProcessPool:
            raise FerBenchError(
                f"one of {workers} worker processes was ended from outside, most often because memory ran out; "
                "end what else runs here, or give fewer --workers where the command has them, and run it again."
            ) from None
        finally:
            # Waits for running items, so that nothing is written after the caller has returned.
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits for the end of the block.

    A process that is being started when it comes is known to no one: nobody waits for it, and it ends with a traceback
    when it looks for the semaphores of a caller that has left.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Ctrl-C reaches the main thread alone
        return
    came: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if came and callable(previous):
            previous(signal.SIGINT, None)


def _adopt(work: Callable[[Any], Any]) -> None:
    # Ctrl-C in a terminal reaches every process; the caller alone acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    global _work  # noqa: PLW0603 - one assignment, at the start of a worker process
    _work = work


def _apply(chunk: Sequence[Any]) -> list[Any]:
    return [_work(item) for item in chunk]
