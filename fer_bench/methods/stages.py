"""Training in stages, each with its own optimiser, batches and length."""

from typing import NamedTuple

from fer_bench.records import Sampling


class Stage(NamedTuple):
    """One part of a training.

    Attributes:
        name: As the paper calls it, `i`: the folder of what it leaves behind, where another follows.
        epochs: Its length; a stage without epochs is left out.
        batch_size: Samples a step and device.
        sampling: Which samples an epoch has, see `Sampling`.
    """

    name: str
    epochs: int
    batch_size: int
    sampling: Sampling = "all"
