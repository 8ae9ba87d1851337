"""Imports of every cell's process, done once by the server that it is forked from.

Nothing here may start a thread: a process forked from one that runs threads can hang, see `fer_bench.processes`.
"""

import gc
from contextlib import suppress
from importlib import import_module

STAGES = ("fer_bench.launch.worker", "fer_bench.cells.fit", "fer_bench.cells.score", "fer_bench.cells.stress")

LATER = ("pyarrow.dataset", "torch.utils.tensorboard", "torch.utils.serialization")
"""Modules that libraries import only when a cell uses them."""


def _load() -> None:
    for name in (*STAGES, *LATER):
        import_module(name)

    import numpy as np

    from fer_bench import registry
    from fer_bench.cells import manifest
    from fer_bench.errors import FerBenchError
    from fer_bench.geometry.sampling import farthest_point_sample

    registry.datasets()
    with suppress(FerBenchError):  # in a user's own methods; the error is reported when such a method is requested
        registry.methods()
    manifest.made_with()
    # The first call of a compiled function imports half of numba, which takes half a second.
    farthest_point_sample(np.zeros((1, 3), dtype=np.float32), 1)


gc.disable()  # a million objects are created and kept; collecting garbage among them takes an eighth of the time
_load()
gc.enable()
