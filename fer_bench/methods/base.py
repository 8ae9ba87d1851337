"""The base of methods: the steps, written once."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as L
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MeanMetric

from fer_bench.methods.objectives import answers, prediction_loss, validation_metric
from fer_bench.methods.stages import Stage
from fer_bench.nn.global_batch import batch_size
from fer_bench.records import Batch, Target, Task, TrainingSet
from fer_bench.representations.base import Representation


class Method(L.LightningModule, ABC):
    """A system under test.

    A subclass writes `forward`, `loss` and `configure_optimizers`. Its constructor takes the `target` first, then its
    recipe with the paper's values as defaults: that signature is its configuration, and a suite may set any of it. It
    reads no file: weights come in by `initialise`. The steps below log to TensorBoard and CSV and never see a test
    label: scoring happens elsewhere, on saved predictions.

    Attributes:
        tasks: The tasks that it supports; a suite that pairs it with another is refused.
        auxiliary: Whether it needs samples of the training subjects besides the protocol's classes.
        shaped_by_data: Whether `configure_for_input` makes its layers.
        alternates: Whether some of its steps leave parameters out, as where two networks are trained in turn.
        representations: Its input: the first of these that a dataset allows.
        stages: The parts of its training, in order; most methods have one.
        stage: The current one.
        epochs: Length of all of them; 0 for a method that does not train.
        batch_size: Samples a step and device, in the last.
        monitor: The validation metric, logged each epoch, whose maximum selects the checkpoint; empty where the last
            epoch is scored.
        weights: The initial weights, in a word or two; empty for random weights.
        unsound: Why no number of this configuration may be compared with others, a sentence; empty where it may.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("classification",)
    auxiliary: ClassVar[bool] = False
    shaped_by_data: ClassVar[bool] = False
    alternates: ClassVar[bool] = False
    weights: str = ""
    unsound: str = ""

    def __init__(self, target: Target, representations: tuple[Representation, ...], *stages: Stage) -> None:
        super().__init__()
        self.target = target
        self.representations = representations
        self.stages, self.stage = stages, stages[-1]
        self.epochs, self.batch_size = sum(stage.epochs for stage in stages), stages[-1].batch_size
        name, self.val_metric = validation_metric(target)
        self.monitor = f"val/{name}" if name else ""
        # Lightning's own mean over processes rounds the number of samples.
        self.val_loss = MeanMetric()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Hooks of version 0.1 that the guide showed keep working for one release, with a warning."""
        super().__init_subclass__(**kwargs)
        for old, new in (("observe", "setup_from_training_set"), ("enter", "on_stage_start")):
            if old in vars(cls):
                warnings.warn(f"{cls.__name__}.{old} is now named {new}", DeprecationWarning, stacklevel=2)
                setattr(cls, new, vars(cls)[old])

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Predictions for inputs (B, *shape): raw scores (B, outputs), or meshes (B, V, 3) in millimetres."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Training loss of one batch, a scalar, with augmentation where the paper augments; in every process that of
        the whole batch, see `fer_bench.nn.global_batch`."""

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs that are saved: `output`, the scores of `forward`, and where the method gives them the `features`
        (B, F) that they are made of. For disentanglement whichever it has of `reconstruction` and `identity`, the first
        of which is the mesh of `forward`, both (B, V, 3) in millimetres, `identity_code` and `expression_code` (B, L).
        """
        return {"output": self(x)}

    def configure_for_input(self, shape: tuple[int, ...], shared: Callable[[str], NDArray[Any]]) -> None:
        """Build layers that depend on the extracted data; called once, before weights are loaded.

        Args:
            shape: Of a sample's representation.
            shared: Name -> an array that belongs to all samples, as the `triangles` of `Vertices`.
        """

    def compose(self, identity_code: Tensor, expression_code: Tensor) -> Tensor | None:
        """Meshes (B, V, 3) in millimetres of codes (B, L) as `predict` gives them; None where codes make no meshes."""
        return None

    def fetch(self) -> Path | None:
        """The file of the weights that training starts from, fetched if need be; None for a random start.

        Raises:
            WeightsNotFound: it is not there, and cannot be fetched.
        """
        return None

    def initialise(self) -> None:
        """Load those weights; called once, before the first step of the first attempt.

        Raises:
            WeightsNotFound: see `fetch`.
            InvalidFile: their file is damaged, or of another network.
        """

    def setup_from_training_set(self, training: TrainingSet) -> None:
        """Compute from the training fold what batches do not contain; called before the first step of every
        attempt, and never before a prediction. All that a method without epochs learns, it learns here."""

    def prepare_for_export(self) -> None:
        """Precompute what does not depend on the input; called before export, for operations that cannot be
        exported otherwise."""

    def on_stage_start(self, stage: Stage) -> None:
        """Called at the start of a stage, before its optimiser is made: freeze here what the stage does not train."""
        self.stage = stage

    enter = on_stage_start  # for methods of version 0.1 that call `super().enter(stage)`

    def why_unsupported(self, shape: tuple[int, ...]) -> str:
        """Why inputs of this shape are not supported, a part of a sentence; empty if they are."""
        return ""

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.loss(batch)
        self.log_loss("loss", loss, batch)
        return loss

    def log_loss(self, name: str, value: Tensor, batch: Batch) -> None:
        """Log a training loss, a scalar, as its mean over the epoch."""
        # It is that of the whole batch, and the same in all processes.
        size = batch_size(len(batch["id"]))
        self.log(f"train/{name}", value.detach(), on_epoch=True, on_step=False, batch_size=size)

    def validation_step(self, batch: Batch, _: int) -> None:
        outputs, label = self(batch["input"]), batch["label"]
        self.val_metric(*answers(self.target, outputs, label))
        size = len(batch["id"])
        # The loss of the scored outputs, so that it means the same for every method.
        self.val_loss(prediction_loss(self.target, outputs, label), size)
        self.log("val/loss", self.val_loss, batch_size=size)
        self.log(self.monitor, self.val_metric, batch_size=size, prog_bar=True)

    def predict_step(self, batch: Batch, _: int) -> dict[str, Any]:
        found = self.predict(batch["input"])
        return {"id": batch["id"]} | {name: value.float().cpu() for name, value in found.items()}

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)
