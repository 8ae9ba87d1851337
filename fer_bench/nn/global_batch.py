"""A training batch that several processes share, treated as the one batch that it is.

Of W processes, process r has rows r, r + W, r + 2 W, ... of the whole batch. To average the gradients of their own
means, as distributed training does, is right only where the parts are equal and the loss is a plain mean; it is not for
an uneven last batch, for samples without a rating, for a correlation, or where samples are compared with one another.
So losses are computed of the rows of all, which are gathered, and are the same number in every process; batch
normalisation takes the statistics of all rows; and each process draws what is random for the whole batch, and takes its
own rows of it. Several processes then compute and draw what one does, up to rounding.

All of this happens between `start` and `finish` alone. Elsewhere, and where one process trains, every function returns
what it was given.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, distributed

Item = TypeVar("Item")
Rows = TypeVar("Rows", Tensor, list[str])


class _Share(NamedTuple):
    whole: int  # rows of the whole batch
    own: int  # of these, with this process
    processes: int
    rank: int

    @property
    def rows(self) -> slice:
        return slice(self.rank, None, self.processes)


_share: _Share | None = None


def start(count: int, device: torch.device | str = "cpu") -> None:
    """Begin a batch of which this process has `count` rows, at least one; every process calls it.

    Args:
        device: One that the processes can exchange tensors from: with NCCL its own GPU.
    """
    global _share  # noqa: PLW0603 - layers deep in a network read it, and a process trains one batch at a time
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    whole = torch.tensor(count, device=device)
    distributed.all_reduce(whole)
    _share = _Share(int(whole), count, distributed.get_world_size(), distributed.get_rank())


def finish() -> None:
    """End the batch, after its step."""
    global _share  # noqa: PLW0603 - see `start`
    _share = None


def is_shared() -> bool:
    """Whether the current batch is shared by several processes."""
    return _share is not None


def batch_size(count: int) -> int:
    """Rows of the whole batch, of which this process has `count`."""
    return count if _share is None else _share.whole


def gather(rows: Tensor) -> Tensor:
    """The rows (N, ...) of all processes, in their order in the whole batch, of those (n, ...) of this one. A gradient
    reaches each process's own."""
    if _share is None:
        return rows
    found: Tensor = _Gather.apply(rows, _share)
    return found


def gather_list(items: Sequence[Item]) -> list[Item]:
    """As `gather`, for values that are not tensors."""
    if _share is None:
        return list(items)
    parts: list[Any] = [None] * _share.processes
    distributed.all_gather_object(parts, list(items))
    return [parts[row % _share.processes][row // _share.processes] for row in range(_share.whole)]


def local_rows(rows: Rows) -> Rows:
    """Of the rows (N, ...) of the whole batch those of this process."""
    return rows if _share is None else rows[_share.rows]


def average(mean: Tensor, count: int) -> Tensor:
    """The mean over the rows of all processes, a scalar, of the mean over `count` rows of this one; 0 where no process
    has any. Cheaper than `gather` where a row is large."""
    if _share is None:
        return mean
    total, rows = sum_over_processes(torch.stack([mean * count, mean.new_tensor(float(count))]))
    return total / rows.clamp(min=1)


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum over the processes; a gradient reaches each one's part."""
    if _share is None:
        return x
    found: Tensor = _Sum.apply(x)
    return found


def draw(count: int, sample: Callable[[int], Tensor]) -> Tensor:
    """Random rows (count, ...), some for each sample of this process: those that one process would draw for them.

    Args:
        count: As many as there are samples here, or a multiple of that, the rows of a sample one after another.
        sample: Number of rows -> random rows.
    """
    if _share is None:
        return sample(count)
    each, rest = divmod(count, _share.own)
    assert not rest, f"{count} random rows for {_share.own} samples"
    rows = sample(_share.whole * each)
    return rows.view(_share.whole, each, *rows.shape[1:])[_share.rows].flatten(0, 1)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, share: _Share) -> Tensor:
        ctx.share = share
        # Parts differ by one row at most, and those that have it come first: what fills up the others ends up last.
        longest = -(-share.whole // share.processes)
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(share.processes)]
        distributed.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[: share.whole]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total[ctx.share.rows], None
