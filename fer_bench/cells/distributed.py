"""Settings of Lightning with which several processes train as one process would."""

from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import LayerSync
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from fer_bench.methods.base import Method
from fer_bench.nn import global_batch
from fer_bench.records import Batch


def together(method: Method) -> dict[str, Any]:
    """Options of the trainer of a method that several processes train.

    See `fer_bench.nn.global_batch` for what makes their training that of one process, with these exceptions:

    - A last batch that has fewer samples than there are processes is filled up with its own, see `ShuffledSampler`.
    - In face_disentanglement with `use_bn`, the discriminator drops other features in the joint training.
    - Sums are taken in another order, which shows in the last digits, and in more of them the longer the training: a
      maximum, a nearest point or a ReLU may fall on the other side.
    """
    # Buffers need not be broadcast: all processes compute the same ones.
    strategy = DDPStrategy(find_unused_parameters=method.alternates, broadcast_buffers=False)
    return {"strategy": strategy, "plugins": [WholeBatchLayers()]}


class WholeBatchLayers(LayerSync):
    """Exchanges layers before Lightning makes the method distributed, and restores them afterwards."""

    def apply(self, model: nn.Module) -> nn.Module:
        from fer_bench.nn import global_batch_layers  # imports timm, which a single process may not need

        global_batch_layers.exchange(model)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        from fer_bench.nn import global_batch_layers

        global_batch_layers.restore(model)
        return model


class ShareBatches(Callback):
    """Makes the rows of all processes known to what is computed from a batch."""

    def on_train_batch_start(self, trainer: L.Trainer, method: L.LightningModule, batch: Batch, number: int) -> None:
        global_batch.start(len(batch["id"]), method.device)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        global_batch.finish()
