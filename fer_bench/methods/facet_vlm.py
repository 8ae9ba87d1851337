"""FACET-VLM, text-guided fusion of views on CLIP (paper facet_vlm). No code of it is public."""

from collections.abc import Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.methods import clip_tuning
from fer_bench.methods.base import Method
from fer_bench.methods.objectives import prediction_loss
from fer_bench.methods.prompts import read_prompts
from fer_bench.methods.stages import Stage
from fer_bench.nn.clip import INITIAL_LOG_SCALE, OPENAI, SIZES, ClipImageTower, Size, cosines, embed_texts
from fer_bench.nn.global_batch import gather, local_rows
from fer_bench.nn.view_fusion import CrossViewAttention, TextGuidedFusion
from fer_bench.nn.weights import find_weights, read_weights, weights_label
from fer_bench.records import Batch, Target
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.representations.views import Views

Conditioning = Literal["candidate", "true_label", "vision_only"]
Targets = Literal["multi_positive", "diagonal"]
Norm = Literal["eq21", "eq22", "eq23"]


class FacetVLM(Method):
    """CLIP's image tower on each view, cross-view attention over all patches, and a fusion guided by a class's text.

    As written, the embedding of a training sample is conditioned on the prompt of its own label (eq. 15 with t_y), and
    then has to be nearest to that prompt among others: the network can pass the text through and never look at the
    image. On images of pure noise it learns that perfectly (a test shows it). At test time no label is known, so every
    class has to be tried, and there such a training is worth little. By default a sample is therefore conditioned on
    each class in turn, in training as in testing: the score of a class is the cosine between its text and the
    embedding that was conditioned on it.

    Equations 21, 22 and 23 are called equivalent and are not: of the sum of the squared distances of the three pairs of
    views they are 2/3, 1/9 and 1/3. The printed gradient (24) is that of eq. 23. Equation 12 leaves out what the
    cosine's normalisation does to the gradient; automatic differentiation does not. Equation 19 needs a transposed W_g.

    The paper is silent on the batch, the epochs, the warm-up, the temperature, what is unfrozen and when, and on the
    embedding of a single view (here the mean of that view's rows after the cross-view attention): those defaults are
    ours. It renders views at 30 degrees, where MiT takes 20.

    Departures from the paper: it prints one rate, 1e-4, for everything end to end, and here the tower's is a tenth of
    it (`tower_factor: 1` is the paper's); pixels are normalised by CLIP's mean and deviation, where it says ImageNet's
    or the dataset's; the prompts beside its template are ours, where it has GPT's, which it does not publish; texts
    have length 1 in the attention and the gate too, where it normalises them in eq. 8 alone; and biases, norms and
    positions do not decay, where eq. 26 decays everything.

    Cite: Behzad, "Facial emotion learning with text-guided multiview fusion via vision-language model for 3D/4D facial
    expression recognition", arXiv:2507.01673, 2025.

    Args:
        target: Expressions, or micro-expressions of which several can hold at once: each is then present or absent for
            itself, by the sign of its scaled cosine plus a learned bias.
        size: `base` is CLIP ViT-B/16; `nano` is ours, for CPUs.
        pretrained: True starts from OpenAI's weights, False at random, a path from a file under open_clip's keys. At
            random two prompts of a class have nothing in common, so that each has one, and every block is trained.
        yaws: Camera angles in degrees: left, front, right.
        image_size: Pixels across.
        window: Frames a dynamic image; None takes the whole sequence as one.
        stride: Frames between the starts of two windows; None for `window`.
        frames: So many frames of a sequence are used, evenly spread; None uses all.
        cvsa: False leaves out the cross-view attention (Figure 3), so that patches are averaged as they are.
        mtgf: False leaves out the text-guided fusion (Figure 3), so that only the averaged views are compared.
        mtgf_input: Text attends to the patches before the cross-view attention, as eq. 14 prints, or after it (`post`),
            as the text says.
        conditioning: `candidate`, see above. `true_label` is the literal training, and unsound. `vision_only` trains as
            `candidate` and closes the gate at test time.
        targets: Two samples of a class in a batch have the same text, and the literal loss (eq. 9 to 11) has each push
            the other's away: `diagonal`. `multi_positive` takes all samples of a class for right.
        norm: The constant of the consistency loss, by the equation that prints it.
        consistency: Weight of that loss (eq. 25); 0 leaves it out (Figure 3).
        learning_rate: Of everything but the tower.
        tower_factor: Times that, of the tower.
        weight_decay: Of all matrices but the positions.
        warmup_epochs: Linear from 0, step by step (eq. 27), then a cosine to 0.
        freeze_epochs: At the start, the tower does not learn.
        unfrozen_blocks: How many of the tower's last blocks learn after that.
        epochs: Length of training.
        batch_size: Samples a step and device; a text chooses among the images of all devices.

    Raises:
        InvalidSuite: the images do not fit the tower, or a class has no prompt.
    """

    tasks = ("classification", "multilabel")
    texts: Tensor

    def __init__(
        self,
        target: Target,
        size: Size = "base",
        pretrained: bool | str = True,
        yaws: tuple[float, ...] = (-30.0, 0.0, 30.0),
        image_size: int = 224,
        window: int | None = None,
        stride: int | None = None,
        frames: int | None = None,
        cvsa: bool = True,
        mtgf: bool = True,
        mtgf_input: Literal["pre", "post"] = "pre",
        conditioning: Conditioning = "candidate",
        targets: Targets = "multi_positive",
        norm: Norm = "eq23",
        consistency: float = 0.1,
        learning_rate: float = 1e-4,
        tower_factor: float = 0.1,
        weight_decay: float = 0.01,
        warmup_epochs: int = 5,
        freeze_epochs: int = 5,
        unfrozen_blocks: int = 4,
        epochs: int = 50,
        batch_size: int = 32,
    ) -> None:
        clip_tuning.check_size("facet_vlm", size, image_size, pretrained)
        views = Views(yaws=yaws, size=image_size)
        moving = DynamicViews(yaws=yaws, size=image_size, window=window, stride=stride, frames=frames)
        super().__init__(target, (views, moving), Stage("", epochs, batch_size))
        self.size, self.pretrained, self.yaws = size, pretrained, yaws
        self.conditioning, self.targets, self.mtgf_input = conditioning, targets, mtgf_input
        self.norm, self.consistency = norm, consistency
        self.learning_rate, self.tower_factor, self.weight_decay = learning_rate, tower_factor, weight_decay
        self.warmup_epochs, self.freeze_epochs = warmup_epochs, freeze_epochs
        self.weights = weights_label(pretrained, OPENAI)
        self.tower = ClipImageTower(size, image_size)
        if pretrained:
            self.tower.freeze_below(unfrozen_blocks)
        width = SIZES[size].shared
        self.positions = nn.Parameter(0.02 * torch.randn(len(yaws), self.tower.patches, width))
        self.cvsa = CrossViewAttention(width) if cvsa else None
        self.mtgf = TextGuidedFusion(width) if mtgf else None
        self.gate = nn.Linear(width, 1, bias=False) if mtgf else None
        self.log_scale = nn.Parameter(torch.tensor(INITIAL_LOG_SCALE))
        self.bias = nn.Parameter(torch.zeros(())) if target.task == "multilabel" else None
        prompts = read_prompts(target.outputs)
        self.prompts = prompts if pretrained else [sentences[:1] for sentences in prompts]
        self.register_buffer("texts", torch.zeros(sum(map(len, self.prompts)), width))
        if conditioning == "true_label":
            if target.task != "classification":
                raise InvalidSuite("facet_vlm: conditioning is true_label, which needs samples of one label each.")
            self.unsound = "it was trained on embeddings that had been conditioned on each sample's own label"

    def fetch(self) -> Path | None:
        return find_weights(self.pretrained, OPENAI)

    def initialise(self) -> None:
        path = self.fetch()
        state = read_weights(path) if path else None
        if path is not None and state is not None:
            self.tower.load(state, path)
        sentences = list(chain.from_iterable(self.prompts))
        self.texts.copy_(embed_texts(sentences, self.size, state, path))

    def why_unsupported(self, shape: tuple[int, ...]) -> str:
        if shape[0] == len(self.yaws) or (shape[0] == 1 and 0.0 in self.yaws):
            return ""
        return f"takes views at {', '.join(f'{yaw:g}' for yaw in self.yaws)} degrees, and the data show the front alone"

    def class_texts(self) -> Tensor:
        """Embeddings of the classes (C, d), each the mean over its prompts, of unit length."""
        means = [texts.mean(0) for texts in self.texts.split([len(sentences) for sentences in self.prompts])]
        return F.normalize(torch.stack(means), dim=-1)

    def draw_texts(self, classes: Sequence[int]) -> Tensor:
        """Embeddings (len(classes), d) of one prompt of each class named, drawn at random."""
        count = [len(sentences) for sentences in self.prompts]
        first = [0, *accumulate(count)]
        draws = torch.rand(len(classes)).tolist()
        return self.texts[[first[c] + int(draw * count[c]) for c, draw in zip(classes, draws, strict=True)]]

    def see(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What does not depend on a text, of uint8 images (B, V, 3, H, W).

        Returns:
            Patches (B, V * N, d) that a text attends to, and the embedding of each view (B, V, d).
        """
        B, V = x.shape[:2]
        _, tokens = self.tower(x.flatten(0, 1))
        # Where the data show the front alone, it has the front's positions.
        positions = self.positions if len(self.yaws) == V else self.positions[self.yaws.index(0.0)]
        z = (tokens.view(B, V, *tokens.shape[1:]) + positions).flatten(1, 2)  # (B, V * N, d), eq. 5 and 14
        attended = z if self.cvsa is None else self.cvsa(z)
        patches = attended if self.mtgf_input == "post" else z
        # Views have equally many patches, so that the mean of these is eq. 6.
        return patches, attended.view(B, V, -1, z.shape[-1]).mean(2)

    def embed(self, x: Tensor, texts: Tensor, gate: bool = True) -> tuple[Tensor, Tensor]:
        """Embeddings conditioned on texts.

        Args:
            x: Images (B, V, 3, H, W).
            texts: (K, d) for all samples, or (B, K, d) for each its own.
            gate: False keeps the gate closed.

        Returns:
            v_final (B, K, d), and the embeddings of the views (B, V, d).
        """
        patches, views = self.see(x)
        fused = views.mean(1)[:, None]  # (B, 1, d)
        if self.mtgf is None or self.gate is None or not gate:
            return fused.expand(-1, texts.shape[-2], -1), views
        alpha = torch.sigmoid(self.gate(texts))  # (..., K, 1)
        return alpha * self.mtgf(patches, texts) + (1 - alpha) * fused, views

    def scale(self) -> Tensor:
        """1 / tau, at most 100 as in CLIP."""
        return self.log_scale.exp().clamp(max=100)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, C) of images (B, V, 3, H, W): each class's text against the embedding conditioned on it."""
        return self.scores(x, self.class_texts(), gate=self.conditioning != "vision_only")[0]

    def scores(self, x: Tensor, texts: Tensor, gate: bool = True) -> tuple[Tensor, Tensor]:
        """Scaled cosines (B, C) with the texts (C, d) that condition them, and the views' embeddings (B, V, d)."""
        final, views = self.embed(x, texts, gate)
        found = self.scale() * F.cosine_similarity(final, texts, dim=-1)
        return (found if self.bias is None else found + self.bias), views

    def loss(self, batch: Batch) -> Tensor:
        """The contrastive loss, and the consistency of the views (eq. 25)."""
        x, label = batch["input"], gather(batch["label"])
        if self.conditioning == "true_label":
            # A prompt for each sample, as the paper draws them.
            texts = self.draw_texts(label.tolist())  # (B, d)
            final, views = self.embed(x, local_rows(texts)[:, None])
            similarity = self.scale() * cosines(gather(final[:, 0]), texts)  # (B, B), eq. 8
            contrast = info_nce(similarity, label, label, self.targets)
        else:
            scores, views = self.scores(x, self.draw_texts(range(len(self.prompts))))
            scores = gather(scores)
            contrast = prediction_loss(self.target, scores, label)
            if self.target.task == "classification":
                # Among the classes' texts no two are the same; among the images of a batch some share a text.
                contrast = (contrast + text_to_image(scores[:, label], label, label, self.targets)) / 2
        return contrast + self.consistency * view_consistency(gather(views), self.norm)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        head = [(name, p) for name, p in self.named_parameters() if not name.startswith("tower.")]
        return clip_tuning.tune(
            self,
            self.tower,
            head,
            spared=("positions",),
            learning_rate=self.learning_rate,
            tower_factor=self.tower_factor,
            weight_decay=self.weight_decay,
            warmup_epochs=self.warmup_epochs,
            freeze_epochs=self.freeze_epochs,
        )


def info_nce(similarity: Tensor, images: Tensor, texts: Tensor, targets: Targets) -> Tensor:
    """The symmetric contrastive loss (eq. 9 to 11) of scaled similarities (B, B), row = image, column = text.

    Args:
        images, texts: Their classes (B,).
        targets: `diagonal` takes the i-th text alone as right for the i-th image, `multi_positive` all of its class.
    """
    forth = text_to_image(similarity.T, texts, images, targets)
    return (forth + text_to_image(similarity, images, texts, targets)) / 2


def text_to_image(similarity: Tensor, images: Tensor, texts: Tensor, targets: Targets) -> Tensor:
    """Mean over the texts of minus the log of the probability of their right images (eq. 10).

    Args:
        similarity: Scaled, (images, texts); images and texts of one position belong together.
        images, texts: Their classes.
    """
    chosen = F.log_softmax(similarity, dim=0)
    if targets == "diagonal":
        return -chosen.diagonal().mean()
    right = images[:, None] == texts[None, :]
    return -chosen.masked_fill(~right, -torch.inf).logsumexp(0).mean()


def view_consistency(views: Tensor, norm: Norm) -> Tensor:
    """How far the embeddings of the views (B, V, d) are from each other, the mean over samples.

    With D the sum over unordered pairs of squared distances and V views, eq. 21 is 2 D / V, eq. 22 is D / V^2 and
    eq. 23 is D / V: for three views 2/3, 1/9 and 1/3. It is 0 where there is one view.
    """
    V = views.shape[1]
    # V times the squared distances from the mean add up to those of all pairs.
    pairs = V * (views - views.mean(1, keepdim=True)).square().sum((1, 2))  # (B,)
    return pairs.mean() * {"eq21": 2 / V, "eq22": 1 / V**2, "eq23": 1 / V}[norm]
