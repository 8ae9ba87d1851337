"""Shares of the machine, in which cells run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from fer_bench.cells.cell import Cell
from fer_bench.errors import FerBenchError
from fer_bench.processes import available_cores

CELLS_A_GPU = 4
"""Maximum number of cells on one GPU: more would take turns rather than run in parallel."""

_USED = 0.9  # of a GPU's memory


@dataclass
class Slot:
    """A share of the machine: some threads, and some GPUs or none.

    Attributes:
        threads: CPU threads.
        devices: GPUs, as in CUDA_VISIBLE_DEVICES; None for none.
        memory: GPU memory of cells, where it is known, bytes by (protocol, entry), for slots that share GPUs as far as
            memory allows; None where the user has set the number of jobs.
        capacity: Bytes of the smallest of these GPUs.
        cell, stage, process, deadline, memory_kills: The running process, set by the launcher.
    """

    threads: int
    devices: str | None
    memory: Mapping[tuple[str, str], int] | None = field(default=None, repr=False)
    capacity: int = 0
    cell: Cell | None = None
    stage: str = ""
    process: BaseProcess | None = field(default=None, repr=False)
    deadline: float | None = None
    memory_kills: int = 0

    def has_room(self, cell: Cell, slots: Iterable[Slot]) -> bool:
        """Whether a cell fits into the memory of GPUs that others use. A cell of unknown size gets them alone."""
        if self.devices is None or self.memory is None:
            return True
        others = [s.cell for s in slots if s is not self and s.devices == self.devices and s.process and s.cell]
        if not others:
            return True
        needs = [self.memory.get((each.protocol, each.entry)) for each in (cell, *others)]
        known = [need for need in needs if need is not None]
        return len(known) == len(needs) and sum(known) <= _USED * self.capacity


def make_slots(
    jobs: int | None,
    cells: int,
    devices_per_cell: int,
    gpus: int,
    memory: Mapping[tuple[str, str], int] | None = None,
    capacity: int = 0,
) -> list[Slot]:
    """Divide the machine: slots for every group of GPUs a cell needs, or the CPU's cores among `jobs` slots.

    A slot's threads follow from the machine and `jobs`, never from how many cells are left: sums depend on the number
    of threads in their last digits, and a cell that is continued alone must end as it would have among others.

    Args:
        jobs: Cells at a time; None for the machine's share.
        cells: How many there are.
        devices_per_cell: GPUs that one needs, or processes on the CPU.
        gpus: How many there are.
        memory, capacity: See `Slot`; without them a GPU has one cell at a time.

    Raises:
        FerBenchError: a cell needs more GPUs than there are.
    """
    cores = available_cores()
    if gpus:
        groups = [range(g, g + devices_per_cell) for g in range(0, gpus - devices_per_cell + 1, devices_per_cell)]
        if not groups:
            raise FerBenchError(f"a cell asks for {devices_per_cell} GPUs (trainer.devices), and there are {gpus}.")
        named = [",".join(map(str, group)) for group in groups]
        if jobs is None:
            each = CELLS_A_GPU if memory else 1
            wanted = [name for _ in range(each) for name in named]
            share = max(1, cores // len(wanted))
            return [Slot(share, name, memory or {}, capacity) for name in wanted[:cells]]
        # More jobs than groups of GPUs share them, as the user requested.
        return [Slot(max(1, cores // jobs), named[i % len(named)]) for i in range(min(jobs, cells))]
    # Four small trainings saturate any CPU's memory bus; more is the user's choice.
    share = jobs or min(cores, 4)
    return [Slot(max(1, cores // share // devices_per_cell), None) for _ in range(min(share, cells))]
