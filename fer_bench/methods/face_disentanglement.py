"""Adversarial 3D face disentanglement of identity and expression (Gu et al., IEEE FG 2023)."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.methods.base import Method
from fer_bench.methods.stages import Stage
from fer_bench.methods.training_faces import draw_partners, faces_of_subjects, mean_and_radius, neutral_of
from fer_bench.nn.face_networks import (
    FaceAutoencoder,
    Faces,
    IdentityDiscriminator,
    kl_divergence,
    sample_code,
    statistics_kept,
)
from fer_bench.nn.global_batch import average, batch_size, gather, gather_list, is_shared, local_rows
from fer_bench.nn.mesh_operators import uniform_laplacian
from fer_bench.nn.weights import find_weights, fit_weights, read_weights, weights_label
from fer_bench.records import Batch, Target, TrainingSet
from fer_bench.representations.vertices import Vertices


class FaceDisentanglement(Method):
    """A variational PointNet autoencoder splits a registered face into identity and expression, offsets from the mean
    face that add up; a discriminator that knows which pairs of faces are of one person makes the identity one that
    passes for another face of that person.

    The discriminator is trained first, on pairs of training faces of one person or two. Then both are trained in turn,
    step by step: the discriminator to tell (face, another face of its person) from (face, its predicted identity), the
    autoencoder to rebuild the face and to be taken for the former. Losses as in eq. 7: mean squared error of the face
    (and with neutral faces, of the identity), the divergences of both codes, the discriminator's cross-entropy, the
    distance of the identity's code from the code of the predicted identity, and the Laplacian of the predicted
    identity. Faces are divided by one number, the largest distance of a training vertex from the origin.

    Paper and public code disagree in places; the code is followed, and the defaults are its values for CoMA without
    neutral faces. On CoMA the paper prints 5000 and 5e-4 for the reconstruction and the discriminator whether or not
    there are neutral faces; the code has 600 without and 1e-5 with. The text has batch normalisation in the
    discriminator; the code turns it off in the joint training but for CoMA with neutral faces. Neutral faces are those
    of the training fold: the code's, on CoMA, are also made from frames that it tests on. The paper scores the last
    epoch, and so is it here.

    The consistency of codes passes predicted identities through the encoder in training, and its batch normalisation
    remembers them beside the faces, which is what it then uses in the test. Identities vary less than faces, and every
    face is rebuilt worse than it was in training. The code does so; `statistics: faces` does not.

    Rank-1 recognition uses the means of the codes and a gallery of one mesh a subject that is no probe; the public code
    draws its codes, and its gallery of codes holds the probe's own neutral face.

    The autoencoder has 7,916,106 parameters on CoMA's 5,023 vertices, 9,582,504 on the 5,996 of the paper's BU-3DFE and
    7,458,834 on FaceScape's 4,547, with the codes that the paper has there; the discriminator has 1,611,686.

    Cite: Gu et al., "Adversarial 3D face disentanglement of identity and expression", IEEE FG 2023.

    Args:
        target: Of disentanglement.
        latent: Lengths of the codes of identity and of expression: 4 on CoMA, 40 on BU-3DFE, 64 on FaceScape.
        count: Vertices to keep of each mesh; None keeps all. 4,547 on FaceScape.
        neutral_truth: Whether training sees the neutral faces of its subjects ("Ours+ne-gt").
        discriminator: Whether there is one; without it the first of `epochs` must be 0.
        use_bn: Batch normalisation and dropout of the discriminator in the joint training; before it, always.
        reconstruction: Weight of the face's error, lambda 1 of the paper.
        neutral: Weight of the neutral terms, times `reconstruction`: 5 on CoMA, 0.5 on BU-3DFE, 1 on FaceScape.
        expression_truth: Whether the expression's offsets are held against those from the neutral face, as on BU-3DFE.
        kl: Weight of both divergences, lambda 2.
        kl_epochs: The divergences' weight falls to 0 in a straight line over so many epochs, 350 on CoMA; None keeps
            it.
        adversarial: Weight of the discriminator's judgement, lambda 3.
        consistency: Weight of the codes' distance, lambda 4.
        laplacian: Weight of the smoothness, lambda 5; 0 with neutral faces on CoMA and FaceScape.
        statistics: What the encoder's batch normalisation remembers for the test: `both`, faces and predicted
            identities, as the code; or `faces` alone.
        learning_rate: Of Adam, of the autoencoder, and of the discriminator before the joint training.
        weight_decay: Added to the autoencoder's gradient.
        discriminator_rate: Of Adam, of the discriminator in the joint training.
        step_epochs: In the joint training both rates are multiplied by `gamma` every so many epochs.
        gamma: See `step_epochs`.
        pretrained: A file in the layout of the public checkpoints `VAE-ID_DIS_model_*.pt` for the autoencoder to start
            from; with epochs of 0 it is scored as it is.
        epochs: Of the discriminator alone, and of the joint training.
        batch_sizes: Faces a step and device in both.

    Raises:
        InvalidSuite: epochs or latent are not positive where they must be.
    """

    tasks = ("disentanglement",)
    shaped_by_data: ClassVar[bool] = True
    alternates: ClassVar[bool] = True

    mean_face: Tensor
    radius: Tensor

    def __init__(
        self,
        target: Target,
        latent: tuple[int, int] = (4, 4),
        count: int | None = None,
        neutral_truth: bool = False,
        discriminator: bool = True,
        use_bn: bool = False,
        reconstruction: float = 600.0,
        neutral: float = 5.0,
        expression_truth: bool = False,
        kl: float = 5e-7,
        kl_epochs: int | None = 350,
        adversarial: float = 5e-4,
        consistency: float = 5e-3,
        laplacian: float = 1e-2,
        statistics: Literal["both", "faces"] = "both",
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-4,
        discriminator_rate: float = 1e-4,
        step_epochs: int = 50,
        gamma: float = 0.7,
        pretrained: bool | str = False,
        epochs: tuple[int, int] = (50, 300),
        batch_sizes: tuple[int, int] = (32, 32),
    ) -> None:
        super().__init__(target, (Vertices(count=count),), *map(Stage, ("discriminator", "joint"), epochs, batch_sizes))
        name = "face_disentanglement"
        if min(epochs) < 0 or min(latent) < 1:
            raise InvalidSuite(f"{name}: epochs is {list(epochs)} and latent {list(latent)}; give counts.")
        if epochs[0] and not discriminator:
            raise InvalidSuite(f"{name}: there is no discriminator to train first; set epochs to [0, ...].")
        if pretrained is True:
            raise InvalidSuite(f"{name}: no weights are published; set pretrained to false or to a file.")
        self.latent, self.neutral_truth, self.use_bn = latent, neutral_truth, use_bn
        self.reconstruction, self.neutral, self.expression_truth = reconstruction, neutral, expression_truth
        self.kl, self.kl_epochs, self.adversarial = kl, kl_epochs, adversarial
        self.consistency, self.laplacian, self.statistics = consistency, laplacian, statistics
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.discriminator_rate, self.step_epochs, self.gamma = discriminator_rate, step_epochs, gamma
        self.pretrained, self.weights = pretrained, weights_label(pretrained, None)
        self.discriminator = IdentityDiscriminator() if discriminator else None
        self.neutral_faces: dict[str, Tensor] = {}

    def configure_for_input(self, shape: tuple[int, ...], shared: Callable[[str], NDArray[Any]]) -> None:
        self.autoencoder = FaceAutoencoder(shape[0], self.latent)
        self.smoothness = uniform_laplacian(torch.tensor(shared("triangles")), shape[0])
        self.register_buffer("mean_face", torch.zeros(shape))  # in units of the radius
        self.register_buffer("radius", torch.ones(()))

    def fetch(self) -> Path | None:
        if (path := find_weights(self.pretrained, None)) is not None:
            self.unsound = "it starts from a network that was trained on this task, on people whom nobody names"
        return path

    def initialise(self) -> None:
        if (path := self.fetch()) is not None:
            fit_weights(self.autoencoder, read_weights(path), path)

    def setup_from_training_set(self, training: TrainingSet) -> None:
        self.training_faces: TrainingSet = training
        self.of_subject: dict[str, list[str]] = {}
        for i in training.train:
            self.of_subject.setdefault(training.subject[i], []).append(i)
        mean, radius = mean_and_radius(training)
        self.radius, self.mean_face = torch.tensor(radius), (mean / radius).float()
        if self.neutral_truth:
            self.neutral_faces = {subject: face / radius for subject, face in neutral_of(training).items()}

    def on_stage_start(self, stage: Stage) -> None:
        super().on_stage_start(stage)
        joint = stage.name == "joint"
        self.autoencoder.requires_grad_(joint)
        for name, parameter in () if self.discriminator is None else self.discriminator.named_parameters():
            parameter.requires_grad_(".bn" not in f".{name}" or self.use_bn or not joint)
        # Two optimisers in turn; before that, one.
        self.automatic_optimization = not joint

    def forward(self, x: Tensor) -> Tensor:
        return self.predict(x)["reconstruction"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        made = self.autoencoder(x / self.radius, sampled=False)
        return {
            "reconstruction": (self.mean_face + made.whole) * self.radius,
            "identity": (self.mean_face + made.identity) * self.radius,
            "identity_code": made.identity_code,
            "expression_code": made.expression_code,
        }

    def compose(self, identity_code: Tensor, expression_code: Tensor) -> Tensor:
        offsets = self.autoencoder.decode("id", identity_code) + self.autoencoder.decode("exp", expression_code)
        return (self.mean_face + offsets) * self.radius

    def loss(self, batch: Batch) -> Tensor:
        """Of the stage that it is in: the discriminator's own, or the autoencoder's."""
        x = batch["input"] / self.radius
        if self.stage.name == "discriminator":
            return self._loss_of_pairs(x, batch["id"])
        return self._loss_of_faces(x, self.autoencoder(x, sampled=True), batch["id"])

    def training_step(self, batch: Batch, number: int) -> Tensor:
        if self.stage.name == "discriminator":
            return super().training_step(batch, number)
        optimizers = self.optimizers()
        generator, critic = optimizers if isinstance(optimizers, list) else (optimizers, None)
        x = batch["input"] / self.radius
        made = self.autoencoder(x, sampled=True)
        if critic is not None:
            judged = self._loss_of_judgements(x, self.mean_face + made.identity.detach(), batch["id"])
            critic.zero_grad()
            self.manual_backward(judged)
            critic.step()
            self.log_loss("discriminator", judged, batch)
        loss = self._loss_of_faces(x, made, batch["id"])
        generator.zero_grad()
        self.manual_backward(loss)
        generator.step()
        self.log_loss("loss", loss, batch)
        return loss.detach()

    def on_train_epoch_end(self) -> None:
        if not self.automatic_optimization:
            schedules = self.lr_schedulers()
            for schedule in schedules if isinstance(schedules, list) else [schedules]:
                schedule.step()  # type: ignore[union-attr]

    def validation_step(self, batch: Batch, _: int) -> None:
        x = batch["input"]
        self.val_metric((self(x) - x).norm(dim=-1))
        self.log("val/reconstruction_mm", self.val_metric, batch_size=len(x), prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.stage.name == "discriminator":
            assert self.discriminator is not None
            return torch.optim.Adam(self.discriminator.parameters(), self.learning_rate)
        decay = self.weight_decay
        optimizers = [torch.optim.Adam(self.autoencoder.parameters(), self.learning_rate, weight_decay=decay)]
        if self.discriminator is not None:
            optimizers.append(torch.optim.Adam(self.discriminator.parameters(), self.discriminator_rate))
        return optimizers, [torch.optim.lr_scheduler.StepLR(o, self.step_epochs, self.gamma) for o in optimizers]

    def _loss_of_pairs(self, x: Tensor, ids: list[str]) -> Tensor:
        """Cross-entropy of pairs of training faces, of one person or two by the toss of a coin."""
        assert self.discriminator is not None
        same = (torch.rand(batch_size(len(ids))) < 0.5) | (len(self.of_subject) == 1)
        others = self._partners(ids, same.tolist())
        return F.cross_entropy(gather(self.discriminator(x, others, use_bn=True)), same.long().to(x.device))

    def _loss_of_judgements(self, x: Tensor, identities: Tensor, ids: list[str]) -> Tensor:
        """Cross-entropy of eq. 8: faces with another of their person, and with their predicted identity."""
        assert self.discriminator is not None
        others = self._partners(ids, [True] * batch_size(len(ids)))
        # Together, as in the code: batch normalisation sees both. Their order only decides which dropout a pair gets.
        order = torch.randperm(2 * batch_size(len(x)), device=x.device)
        order = torch.arange(2 * len(x), device=x.device) if is_shared() else order
        label = torch.arange(2, device=x.device).flip(0).repeat_interleave(len(x))
        logits = self.discriminator(torch.cat([x, x])[order], torch.cat([others, identities])[order], self.use_bn)
        return average(F.cross_entropy(logits, label[order]), len(logits))

    def _loss_of_faces(self, x: Tensor, made: Faces, ids: list[str]) -> Tensor:
        """Eq. 7."""
        identity = self.mean_face + made.identity
        loss = self.reconstruction * F.mse_loss(self.mean_face + made.whole, x)
        fade = 1 - (self.current_epoch + 1) / self.kl_epochs if self.kl_epochs else 1.0  # the code counts from 1
        divergence = kl_divergence(made.identity_spread, made.identity_code)
        divergence = divergence + kl_divergence(made.expression_spread, made.expression_code)
        loss = loss + self.kl * max(0.0, fade) * divergence
        if self.discriminator is not None:
            passes = torch.ones(len(x), dtype=torch.long, device=x.device)
            loss = loss + self.adversarial * F.cross_entropy(self.discriminator(x, identity, self.use_bn), passes)
        if self.consistency:
            with statistics_kept(self.autoencoder) if self.statistics == "faces" else nullcontext():
                again = sample_code(self.autoencoder.encode(identity)[0])
            loss = loss + self.consistency * F.l1_loss(again, made.identity_code)
        if self.laplacian:
            loss = loss + self.laplacian * self.smoothness(identity).square().sum((1, 2)).mean() / x.shape[1]
        loss = average(loss, len(x))
        if self.neutral_faces:
            expression = made.whole - made.identity
            weight = self.reconstruction * self.neutral
            loss = loss + weight * self._loss_of_neutral(x, identity, expression, ids)
        return loss

    def _loss_of_neutral(self, x: Tensor, identity: Tensor, expression: Tensor, ids: list[str]) -> Tensor:
        """Squared error of identities, with `expression_truth` of expressions too, of faces with a neutral face."""
        known, neutral = faces_of_subjects(self.training_faces, self.neutral_faces, ids, self.mean_face)
        if not known:
            return average(0 * identity.sum(), 0)
        loss = F.mse_loss(identity[known], neutral)
        if self.expression_truth:
            loss = loss + F.mse_loss(expression[known], x[known] - neutral)
        return average(loss, len(known))

    def _partners(self, ids: list[str], same: list[bool]) -> Tensor:
        """A partner for each face of this process, (B, V, 3), see `draw_partners`; drawn for the global batch."""
        partners = local_rows(draw_partners(self.training_faces, self.of_subject, gather_list(ids), same))
        return self.training_faces.read(partners).to(self.radius.device) / self.radius
