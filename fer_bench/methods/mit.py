"""MiT, the multi-view transformer (paper mit), after its paper and its public code (MultiviewTransformer)."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from timm.data import Mixup
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fer_bench.errors import InvalidFile, InvalidSuite
from fer_bench.methods.base import Method
from fer_bench.methods.objectives import cosine_with_warmup, decayed
from fer_bench.methods.stages import Stage
from fer_bench.nn.global_batch import gather
from fer_bench.nn.vit import IMAGENET, MEAN, STD, Size, deit, load_deit
from fer_bench.nn.weights import find_weights, holds, read_weights, weights_label
from fer_bench.records import Batch, Sampling, Target
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.representations.views import Views

Mixture = Literal["logits", "probs", "independent"]


class MiT(Method):
    """One DeiT a view, joined by a loss on the weighted mixture of the views.

    Equation 1 writes one patch embedding for all views; the code shares nothing between them, and the printed widths
    (576, 1152, 2304) and heads (9, 18, 36) are three times DeiT's, as there. We follow the code. The printed 15, 63 and
    255 M parameters are three times the count of one view in whole millions (3 x 5, 3 x 21, 3 x 85), which the public
    script prints; with six classes it is 16,576,722, 65,003,922 and 257,409,810.

    The public code mixes the images of each view by Mixup or CutMix (alpha 0.8 and 1.0) and keeps their labels unmixed,
    reads the images class after class without shuffling, and trains in half precision. Here images are shuffled and not
    mixed, and the precision is the trainer's; `mixup: true`, `sampling: by_class` and `trainer.precision: 16-mixed` do
    as the code.

    The paper calls the view weights trainable. They are not parameters and get no gradient: eq. 9 sets them to the
    softmax of the views' losses. Taken as printed, which the code confirms, that gives the *worse* view more weight,
    where the text promises more to the view that helps more; `weight_sign=-1` does what the text says.

    A view of a sequence is its dynamic image. The papers do not say how many images a sequence gives; by default it is
    one, of all frames.

    Cite: Behzad, Li, Zhao, "Disentangling 3D/4D facial affect recognition with faster multi-view transformer", IEEE
    Signal Processing Letters 28, 2021.

    Args:
        target: The expressions.
        size: Of each view's network; `nano` is not the paper's but ours, for CPUs.
        pretrained: True starts from DeiT's ImageNet weights, as the code does, and False at random. A path starts from
            a file: DeiT's own, or a checkpoint of the public MiT code (`modelRA0`, `modelRA20`, `modelRA_20`). That one
            has seen people whom nobody names, and perhaps the tested ones: a result that starts from it is marked
            unsound. Its classes are folders in alphabetical order; a head of others, or in another order, is not taken.
        yaws: Camera angles in degrees, one a view and network. The paper's "20 left, 0 right, -20 front" is a slip.
        image_size: Pixels across, a multiple of `patch_size`.
        pixels: `unit` leaves them in [0, 1] and no further, as the code does, which defines a mean, RandAugment and
            erasing and applies none. `imagenet` takes off the mean and divides by the deviation that DeiT's weights
            were trained with; a small network from a random start learns little without.
        mixup: Mix the images of each view of a batch as the code does, while the labels stay as they are.
        patch_size: Pixels across; the paper's "14 patches" are 14 x 14 of these.
        window: Frames a dynamic image; None takes the whole sequence as one.
        stride: Frames between the starts of two windows; None for `window`.
        frames: So many frames of a sequence are used, evenly spread; None uses all.
        mixture: What is mixed, see `mix`. `logits` is the code's, `probs` eq. 4 as printed. The gradient that the paper
            derives (eq. 8) belongs to the first, up to the view's weight, and does not follow from the second.
            `independent` is the baseline of Figure 3: a loss for each view, and equal logits at test time.
        shared: One network for all views, which is not MiT but an ablation of ours.
        weight_sign: Of the losses in eq. 9.
        reset_each_epoch: Begin every epoch with equal weights, as the code does; the paper does not say.
        eval_weights: `uniform` fuses the views equally at test time, as the code does; `learned` uses the weights of
            the last training step. The paper does not say.
        ema_decay: Score an exponential moving average of all weights instead. The code keeps one (0.99996) and never
            evaluates it, so that here it is kept only where it is asked for. At that decay the average of a few
            thousand steps is still mostly the beginning.
        drop_path: Rate of stochastic depth in the last block.
        learning_rate: For 512 scans a step; the rate used is proportional to `batch_size` times the devices.
        weight_decay: Of all matrices.
        warmup_epochs: A cosine to `minimum_learning_rate` over all epochs, the first ones replaced by a line from
            `warmup_learning_rate`, stepped once an epoch as in DeiT. The public code makes such a schedule and never
            steps it, so that its rate stays where the warm-up starts.
        warmup_learning_rate: Not scaled.
        minimum_learning_rate: Not scaled.
        sampling: See `Stage`; `by_class` is the code's.
        epochs: Length of training.
        batch_size: Scans a step and device.

    Raises:
        InvalidSuite: the image does not divide into whole patches, or there are no published weights of such networks.
    """

    view_weights: Tensor

    def __init__(
        self,
        target: Target,
        size: Size = "base",
        pretrained: bool | str = True,
        yaws: tuple[float, ...] = (-20.0, 0.0, 20.0),
        image_size: int = 224,
        pixels: Literal["unit", "imagenet"] = "unit",
        mixup: bool = False,
        patch_size: int = 16,
        window: int | None = None,
        stride: int | None = None,
        frames: int | None = None,
        mixture: Mixture = "logits",
        shared: bool = False,
        weight_sign: Literal[1, -1] = 1,
        reset_each_epoch: bool = True,
        eval_weights: Literal["uniform", "learned"] = "uniform",
        ema_decay: float | None = None,
        drop_path: float = 0.1,
        learning_rate: float = 5e-4,
        weight_decay: float = 0.05,
        warmup_epochs: int = 5,
        warmup_learning_rate: float = 1e-6,
        minimum_learning_rate: float = 1e-5,
        sampling: Sampling = "all",
        epochs: int = 200,
        batch_size: int = 64,
    ) -> None:
        views = Views(yaws=yaws, size=image_size)
        moving = DynamicViews(yaws=yaws, size=image_size, window=window, stride=stride, frames=frames)
        super().__init__(target, (views, moving), Stage("", epochs, batch_size, sampling))
        if image_size % patch_size:
            raise InvalidSuite(f"mit: image_size is {image_size}; give a multiple of patch_size, {patch_size}.")
        if pretrained is True and (size not in IMAGENET or patch_size != 16):
            raise InvalidSuite(
                f"mit: no weights are published for size {size} with patches of {patch_size} pixels; "
                "set pretrained to false."
            )
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise InvalidSuite(f"mit: ema_decay is {ema_decay}; give a number between 0 and 1, or leave it out.")
        self.size, self.pretrained, self.yaws = size, pretrained, yaws
        self.pixels, self.mixture, self.shared, self.weight_sign = pixels, mixture, shared, weight_sign
        self.reset_each_epoch, self.eval_weights = reset_each_epoch, eval_weights
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.warmup_epochs, self.warmup_learning_rate = warmup_epochs, warmup_learning_rate
        self.minimum_learning_rate = minimum_learning_rate
        self.mixup = Mixup(0.8, 1.0, num_classes=len(target.outputs)) if mixup else None
        # Made once and copied, as the code does: the views start equal, heads included.
        first = deit(size, len(target.outputs), image_size, patch_size, drop_path)
        copies = 0 if shared else len(yaws) - 1
        self.backbones = nn.ModuleList([first, *(copy.deepcopy(first) for _ in range(copies))])
        self.average = None if ema_decay is None else averaged(self.backbones, ema_decay)
        self.register_buffer("view_weights", torch.full((len(yaws),), 1 / len(yaws)))
        self.weights = weights_label(pretrained, IMAGENET.get(size))

    def fetch(self) -> Path | None:
        path = find_weights(self.pretrained, IMAGENET.get(self.size))
        if path is not None and holds(path, "modelRA"):
            self.unsound = "it starts from a network that was trained on this task, on people whom nobody names"
        return path

    def initialise(self) -> None:
        path = self.fetch()
        if path is None:
            return
        content = read_weights(path)
        if any(key.startswith("modelRA") for key in content):
            if self.shared:
                raise InvalidFile(path, "holds a network a view, and `shared` wants one", "Set shared to false.")
            in_order = list(self.target.outputs) == sorted(self.target.outputs)
            for yaw, network in zip(self.yaws, self.backbones, strict=True):
                key = f"modelRA{yaw:g}".replace("-", "_")
                if not isinstance(content.get(key), Mapping):
                    raise InvalidFile(path, f"has no view {key}", "Give a checkpoint of the views that `yaws` names.")
                load_deit(network, content[key], path, head=in_order)
        else:
            for network in self.backbones:
                load_deit(network, content.get("model", content), path)
        if self.average is not None:
            self.average.module.load_state_dict(self.backbones.state_dict())

    def why_unsupported(self, shape: tuple[int, ...]) -> str:
        views = len(self.yaws)
        return "" if shape[0] == views else f"takes {views} views, and the data show {shape[0]}"

    def view_logits(self, x: Tensor) -> Tensor:
        """Logits of each view (B, V, C) of uint8 images (B, V, 3, H, W).

        Images are never flipped: a mirrored left view is a right view, and would need the other network.
        """
        networks = self.backbones if self.training or self.average is None else cast(nn.ModuleList, self.average.module)
        pixels = x.to(self.dtype) / 255
        if self.pixels == "imagenet":
            mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
            pixels = (pixels - mean) / std
        if self.mixup is not None and self.training:
            pixels = torch.stack([self._mixed(view) for view in pixels.unbind(1)], 1)
        if self.shared:
            B, V = pixels.shape[:2]
            return networks[0](pixels.flatten(0, 1)).float().view(B, V, -1)
        return torch.stack([net(view) for net, view in zip(networks, pixels.unbind(1), strict=True)], 1).float()

    def _mixed(self, view: Tensor) -> Tensor:
        """Images (B, 3, H, W) of one view mixed by pairs; of an odd number the last stays as it is."""
        assert self.mixup is not None
        pairs = len(view) // 2 * 2
        if not pairs:
            return view
        mixed: Tensor = self.mixup(view[:pairs].clone(), torch.zeros(pairs, dtype=torch.long, device=view.device))[0]
        return torch.cat([mixed, view[pairs:]])

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, C) of uint8 images (B, V, 3, H, W): fused logits, or log-probabilities with `probs`."""
        weights = self.view_weights
        if self.eval_weights == "uniform":
            weights = torch.full_like(weights, 1 / len(weights))
        return mix(self.view_logits(x), weights, self.mixture)

    def loss(self, batch: Batch) -> Tensor:
        """Equation 4 or 8 with the current view weights, which eq. 9 then replaces for the next step.

        "We update the existing value" says no more than that there is an existing value. The code begins every epoch
        with 1/3, which would have no effect if a batch were weighted by its own losses.
        """
        logits, label = gather(self.view_logits(batch["input"])), gather(batch["label"])  # (B, V, C), (B,)
        if self.mixture == "independent":
            return sum(
                (F.cross_entropy(view, label) for view in logits.unbind(1)), torch.zeros((), device=label.device)
            )
        # A copy, for autograd needs the weights as they were here after they have been replaced.
        scores = mix(logits, self.view_weights.clone(), self.mixture)
        if self.training:
            self.view_weights.copy_(weigh(logits.detach(), label, self.weight_sign))
        return F.cross_entropy(scores, label)

    def on_train_epoch_start(self) -> None:
        if self.reset_each_epoch:
            self.view_weights.fill_(1 / len(self.view_weights))

    def on_train_batch_end(self, *_: object) -> None:
        # Only a step changes the weights, and with accumulated gradients not every batch ends with one.
        if self.average is not None and self.trainer.global_step > int(self.average.n_averaged):
            self.average.update_parameters(self.backbones)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        # One optimiser where the code has one a view: AdamW treats every number alone, so it is the same.
        # DeiT, from which the code is forked, decays neither biases and norms nor the class token and positions.
        groups = decayed(self.backbones.named_parameters(), self.weight_decay, {"cls_token", "pos_embed"})
        try:
            devices = self.trainer.world_size
        except RuntimeError:  # not attached to a trainer
            devices = 1
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate * self.batch_size * devices / 512, eps=1e-8)
        schedule = cosine_with_warmup(
            optimizer, self.epochs, self.warmup_epochs, self.warmup_learning_rate, self.minimum_learning_rate
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}


def mix(logits: Tensor, weights: Tensor, mixture: Mixture) -> Tensor:
    """One score a class from those of the views; cross-entropy of it is the multi-view loss.

    Args:
        logits: z of each view (B, V, C).
        weights: w of each view (V,), summing to one.
        mixture: `logits` and `independent` give sum_v w_v z_v, with the gradient w_v (softmax - onehot) to z_v (eq. 8);
            `probs` gives ln sum_v w_v softmax(z_v), so that cross-entropy is eq. 4 as printed.

    Returns:
        Scores (B, C).
    """
    if mixture != "probs":
        return (weights[:, None] * logits).sum(1)
    return torch.logsumexp(weights.log()[:, None] + F.log_softmax(logits, -1), 1)


def averaged(networks: nn.ModuleList, decay: float) -> AveragedModel:
    """An exponential moving average of networks, which no gradient reaches."""
    average = AveragedModel(networks, multi_avg_fn=get_ema_multi_avg_fn(decay))
    return average.requires_grad_(False)


def weigh(logits: Tensor, label: Tensor, sign: Literal[1, -1]) -> Tensor:
    """View weights of eq. 9: softmax over the views of their mean cross-entropy, times the sign.

    Args:
        logits: Of each view (B, V, C), without gradient.
        label: Class indices (B,).
        sign: +1 as printed and coded, -1 as the paper's text says.

    Returns:
        Weights (V,).
    """
    B, V, _ = logits.shape
    per_view = F.cross_entropy(logits.flatten(0, 1), label.repeat_interleave(V), reduction="none").view(B, V).mean(0)
    return torch.softmax(sign * per_view, 0)
