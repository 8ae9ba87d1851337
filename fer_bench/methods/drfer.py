"""DrFER: disentangled representations for 3D facial expression recognition (Li et al., 2024, arXiv:2403.08318)."""

from typing import ClassVar, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.mean_cloud import mean_cloud
from fer_bench.methods.base import Method
from fer_bench.methods.stages import Stage
from fer_bench.nn.feature_losses import js_from_standard_normal, kl_from_standard_normal, triplet_loss
from fer_bench.nn.global_batch import gather
from fer_bench.nn.point_augmentation import drop_points, scale_points
from fer_bench.nn.point_ops import chamfer
from fer_bench.nn.pointnet2 import PointNet2Encoder, PointNet2Head, Size
from fer_bench.records import Batch, Target, TrainingSet
from fer_bench.representations.points import Points

DIVERGENCES = {"kl": kl_from_standard_normal, "js": js_from_standard_normal}
NAMES = ("i", "ii", "iii")


class DrFER(Method):
    """Two PointNet++ branches take a face apart, into its expression on the mean face and its person without
    expression; a fusion module puts it together again. What is scored is a classifier on the expression's feature.

    Stage i trains the encoders of both branches as classifiers of expressions and of persons, and the fusion module to
    make a scan out of the mean face of its expression and the neutral scan of its person (eq. 1 to 3). Stage ii trains
    the branches to give these two faces (eq. 4 to 8), stage iii the whole, each branch also on what the other made,
    which must come out as the mean neutral face (eq. 9 and 10).

    The mean faces are made from the training fold alone, and so are the neutral scans: protocols name those as
    auxiliary samples. The paper averages clouds that are registered rigidly, whose points do not correspond; here they
    are averaged over a grid (`fer_bench.geometry.mean_cloud`). Of a person with several neutral scans the first by id
    is taken, and the mean neutral face stands for that of a person with none.

    The paper prints the points, the augmentations' names, Adam's betas, rates, the batches of stages i and iii, margin
    and lambda. Not printed, and as the public PointNet++ classifier has them (yanx27/Pointnet_Pointnet2_pytorch): the
    radii and widths of the encoders and classifiers, both ranges of augmentation, weight decay, 200 epochs and the
    rate's decay in stage i. Our own: the batch of stage ii, 100 and 50 epochs at a constant rate in stages ii and iii,
    the widths of decoders and fusion module, features of length 1 in the triplet loss, and that clouds are augmented on
    their way in and never as a target. The Chamfer distance is the sum of both mean squared distances. Two slips of
    that classifier are not followed: it steps the rate before the first epoch, so that it falls after 19 epochs and not
    20, and it drops an incomplete last batch.

    Cite: Li, Yang, Huang, "DrFER: Learning disentangled representations for 3D facial expression recognition",
    arXiv:2403.08318, 2024.

    Args:
        target: The expressions.
        size: Of the encoders: `ssg` as published, `msg` with several scales, `nano` for CPUs and quick trials (ours).
        points: Points a scan.
        epochs: Of stages i, ii and iii; a stage of 0 is left out, as in Table III.
        batch_sizes: Scans a step and device in each stage.
        learning_rates: Of Adam in each stage.
        weight_decay: Added to the gradient, as Adam does.
        step_epochs: In stage i the rate is multiplied by `gamma` every so many epochs.
        gamma: See `step_epochs`.
        triplet: The weight of the triplet loss, 1 in the paper; 0 is its ablation.
        margin: Of the triplet loss, alpha in eq. 6.
        classify: Whether stages ii and iii keep the cross-entropy of expressions; the ablation does not.
        divergence: What is asked of the distribution of expression features in stages ii and iii besides, as in the
            ablations "with L_KL" and "with L_JS"; the paper says neither of what nor from what. Here of each feature's
            moments in the batch from the standard normal distribution.
        fusion: Whether there is a fusion module.
        skip: Whether it sees features of several scales.
        fusion_weight: Of its reconstruction in stage iii, lambda in eq. 10.
        dropout: Of both hidden layers of the classifiers.
        max_point_dropout: Largest share of points that a cloud loses in training; 0 turns this off.
        scale: Smallest and largest factor of a cloud in training.

    Raises:
        InvalidSuite: fewer points than the first level has centres, or no stage has epochs.
    """

    auxiliary: ClassVar[bool] = True

    def __init__(
        self,
        target: Target,
        size: Size = "ssg",
        points: int = 2048,
        epochs: tuple[int, int, int] = (200, 100, 50),
        batch_sizes: tuple[int, int, int] = (24, 24, 16),
        learning_rates: tuple[float, float, float] = (1e-3, 1e-4, 1e-5),
        weight_decay: float = 1e-4,
        step_epochs: int = 20,
        gamma: float = 0.7,
        triplet: float = 1.0,
        margin: float = 0.3,
        classify: bool = True,
        divergence: Literal["none", "kl", "js"] = "none",
        fusion: bool = True,
        skip: bool = True,
        fusion_weight: float = 0.1,
        dropout: float = 0.4,
        max_point_dropout: float = 0.875,
        scale: tuple[float, float] = (0.8, 1.25),
    ) -> None:
        super().__init__(target, (Points(count=points),), *map(Stage, NAMES, epochs, batch_sizes))
        if sum(epochs) < 1 or min(epochs) < 0:
            raise InvalidSuite(f"drfer: epochs is {list(epochs)}; give three numbers, not all of them 0.")
        self.expression, self.identity = Branch(size, points), Branch(size, points)
        if points < (fewest := self.expression.encoder.fewest):
            raise InvalidSuite(f"drfer: points is {points}; give {fewest} or more.")
        features = self.expression.encoder.features
        self.classifier = PointNet2Head(len(target.outputs), dropout, features, size == "msg")
        self.persons: PointNet2Head | None = None  # as many outputs as the training fold has people
        self.fusion = Fusion(size, points, skip) if fusion else None
        self.learning_rates, self.weight_decay = dict(zip(NAMES, learning_rates, strict=True)), weight_decay
        self.step_epochs, self.gamma = step_epochs, gamma
        self.triplet, self.margin, self.classify, self.divergence = triplet, margin, classify, divergence
        self.fusion_weight, self.dropout, self.msg = fusion_weight, dropout, size == "msg"
        self.max_point_dropout, self.scale = max_point_dropout, scale
        self.person: dict[str, int] = {}  # sample -> number of its subject
        for name, faces in (("mean_faces", len(target.outputs)), ("neutral_faces", 0), ("mean_neutral", 1)):
            # Filled by `setup_from_training_set`.
            self.register_buffer(name, torch.zeros(faces, points, 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of clouds (B, N, 3)."""
        return self.predict(x)["output"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        features = self.expression.encoder(x)
        return {"output": self.classifier(features), "features": features}

    def setup_from_training_set(self, training: TrainingSet) -> None:
        """Make the targets and the classifier of persons: `mean_faces` (C, N, 3), `neutral_faces` (P, N, 3)."""
        people = sorted({training.subject[i] for i in training.train})
        number = {name: position for position, name in enumerate(people)}
        self.person = {i: number[training.subject[i]] for i in training.train}
        self._make_room_for(len(people))
        self.mean_faces = torch.stack(
            [
                _mean(training.read([i for i in training.train if training.label[i] == name]))
                for name in self.target.outputs
            ]
        )
        first: dict[int, str] = {}  # person -> their neutral scan
        for i in training.auxiliary:
            first.setdefault(number[training.subject[i]], i)
        neutral = training.read(list(first.values()))  # (P', N, 3)
        self.mean_neutral = _mean(neutral)[None]
        self.neutral_faces = self.mean_neutral.repeat(len(people), 1, 1)
        self.neutral_faces[list(first)] = neutral

    def _make_room_for(self, people: int) -> None:
        if self.persons is None:
            self.persons = PointNet2Head(people, self.dropout, self.identity.encoder.features, self.msg)

    def load_state_dict(self, state_dict: dict[str, Tensor], strict: bool = True, assign: bool = False):  # type: ignore[no-untyped-def,override]
        """As torch's; a checkpoint brings as many persons as it was trained on."""
        last = [value for name, value in state_dict.items() if name.startswith("persons.") and name.endswith(".bias")]
        if last:
            self._make_room_for(len(last[-1]))
        return super().load_state_dict(state_dict, strict, assign)

    def on_stage_start(self, stage: Stage) -> None:
        super().on_stage_start(stage)
        classifier = self.classifier if self.classify else None
        trained: dict[str, list[nn.Module | None]] = {
            "i": [self.expression.encoder, self.classifier, self.identity.encoder, self.persons, self.fusion],
            "ii": [self.expression, self.identity, classifier],
            "iii": [self.expression, self.identity, classifier, self.fusion],
        }
        self.requires_grad_(False)
        for module in trained[stage.name]:
            if module is not None:
                module.requires_grad_(True)

    def loss(self, batch: Batch) -> Tensor:
        """The loss of the stage that it is in."""
        x, label = batch["input"], batch["label"]
        seen = scale_points(drop_points(x, self.max_point_dropout), *self.scale) if self.training else x
        person = torch.tensor([self.person[i] for i in batch["id"]], device=x.device)
        expressive, neutral = self.mean_faces[label], self.neutral_faces[person]  # (B, N, 3) each
        if self.stage.name == "i":
            return self._first_loss(x, seen, label, person, expressive, neutral)
        feature, face = self.expression(seen)
        _, plain = self.identity(seen)
        loss = gather(chamfer(face, expressive)).mean() + gather(chamfer(plain, neutral)).mean()  # eq. 4 and 5
        if self.triplet:
            loss = loss + self.triplet * triplet_loss(gather(feature), gather(label), self.margin)  # eq. 6
        if self.classify:
            loss = loss + F.cross_entropy(gather(self.classifier(feature)), gather(label))
        if self.divergence != "none":
            loss = loss + DIVERGENCES[self.divergence](gather(feature))
        if self.stage.name == "iii":
            middle = self.mean_neutral.expand_as(x)
            for crossed in (self.identity(face)[1], self.expression(plain)[1]):
                loss = loss + gather(chamfer(crossed, middle)).mean()  # eq. 9
            if self.fusion is not None:
                fused = chamfer(self.fusion(face, plain), x)
                loss = loss + self.fusion_weight * gather(fused).mean()  # eq. 3 in eq. 10
        return loss

    def _first_loss(
        self, x: Tensor, seen: Tensor, label: Tensor, person: Tensor, expressive: Tensor, neutral: Tensor
    ) -> Tensor:
        """Eq. 1 to 3. Their networks share no weight, and Adam scales each weight's step by itself: one optimiser of
        the sum trains each as an optimiser of its own would."""
        assert self.persons is not None, "observe comes before training"
        persons = self.persons(self.identity.encoder(seen))
        loss = F.cross_entropy(gather(self(seen)), gather(label))
        loss = loss + F.cross_entropy(gather(persons), gather(person))
        if self.fusion is not None:
            loss = loss + gather(chamfer(self.fusion(expressive, neutral), x)).mean()
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        rate = self.learning_rates[self.stage.name]
        # Fused, which takes a fifth off a step of stage iii at the nano size: its updates are many and small.
        optimizer = torch.optim.Adam(trained, rate, betas=(0.9, 0.999), weight_decay=self.weight_decay, fused=True)
        if self.stage.name != "i":
            return optimizer
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.step_epochs, self.gamma)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}


class Branch(nn.Module):
    """An encoder and a decoder of fully connected layers (Fig. 3a): clouds to features, and features to clouds."""

    def __init__(self, size: Size, points: int) -> None:
        super().__init__()
        self.encoder = PointNet2Encoder(size)
        width = self.encoder.features
        self.decoder = nn.Sequential(
            *(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, 2 * width), nn.ReLU(inplace=True)),
            nn.Linear(2 * width, 3 * points),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, F) and the decoded clouds (B, N, 3) of clouds (B, N, 3)."""
        feature = self.encoder(x)
        return feature, self.decoder(feature).view(len(x), -1, 3)


class Fusion(nn.Module):
    """Makes one face out of the expression of one and the person of another (Fig. 3b).

    Two encoders, whose features together go through two hidden layers to a cloud. Skip connections bring in what both
    encoders knew at their coarser levels, its largest values over the cloud, behind each hidden layer.
    """

    def __init__(self, size: Size, points: int, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.encoders = nn.ModuleList(PointNet2Encoder(size) for _ in range(2))
        first, second, last = (2 * width for width in self.encoders[0].level_features)  # type: ignore[union-attr]
        extra = (second, first) if skip else (0, 0)
        self.hidden = nn.ModuleList([nn.Linear(last, last), nn.Linear(last + extra[0], last)])
        self.out = nn.Linear(last + extra[1], 3 * points)

    def forward(self, expressive: Tensor, neutral: Tensor) -> Tensor:
        """A cloud (B, N, 3) of two (B, N, 3)."""
        levels = [e.levels(x) for e, x in zip(self.encoders, (expressive, neutral), strict=True)]  # type: ignore[operator]
        first, second, last = (torch.cat(pair, dim=1) for pair in zip(*levels, strict=True))
        for layer, early in zip(self.hidden, (second, first), strict=True):
            last = F.relu(layer(last))
            last = torch.cat([last, early], dim=1) if self.skip else last
        return self.out(last).view(len(expressive), -1, 3)


def _mean(clouds: Tensor) -> Tensor:
    """(N, 3) of clouds (M, N, 3)."""
    return torch.from_numpy(mean_cloud(clouds.numpy()))
