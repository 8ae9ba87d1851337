"""DDAMFN: a mixed feature network and dual-direction attention (Zhang et al., Electronics 12, 2023).

Modules are named as in the public checkpoints, which hold weights of layers that no image passes through; these are
here too, not trained, so that a state dict fits without exceptions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.errors import InvalidFile
from fer_bench.expressions import EXPRESSIONS
from fer_bench.nn.weights import OfAuthors, fit_weights, read_weights

FEATURES = 512
"""Length of `DDAMFNetwork.features_of`."""

ORDERS = {
    "affectnet": EXPRESSIONS,
    "rafdb": ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral"),
}
"""The classes of the public checkpoints' last layer, in order."""

FACES = OfAuthors(
    "MFN_msceleb.pth",
    "github.com/SainingZhang/DDAMFN (pretrained/, a pickled module: save its state_dict() under the same name)",
)
"""The backbone trained on faces of MS-Celeb-1M, from which the paper starts."""

CHOSEN = "it starts from a network whose epoch may have been chosen on the tested photographs"
"""Why a result is unsound that starts from a network which was trained on the dataset's photographs."""


class DDAMFNetwork(nn.Module):
    """Photographs (B, 3, 112, 112), normalised as ImageNet's, to raw scores.

    Args:
        classes: C.
        heads: Attention maps, of which the largest counts at each place; two in DDAMFN, one in Ig3D's intermediate
            fusion.
    """

    def __init__(self, classes: int, heads: int = 2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _Unit(3, 64, 3, stride=2),
            _Unit(64, 64, 3, groups=64),
            _Mixed(64, 64, {3: 64, 5: 32, 7: 32}, stride=2),
            _Residual(64, 9, {3: 96, 5: 32}),
            _Mixed(64, 128, {3: 128, 5: 64, 7: 64}, stride=2),
            _Residual(128, 16, {3: 192, 5: 64}),
            _Mixed(128, 256, {3: 256, 5: 256, 7: 256, 9: 256}, stride=2),
            _Residual(256, 6, {3: 172, 5: 170, 7: 170}),
            _Unit(256, FEATURES, 1),
        )
        self.heads = heads
        for number in range(heads):
            setattr(self, f"cat_head{number}", _Head())
        self.Linear = _Unit(FEATURES, FEATURES, 7, padding=0, groups=FEATURES, activation=False)
        self.fc = nn.Linear(FEATURES, classes)
        self.bn = nn.BatchNorm1d(classes).requires_grad_(False)  # of no use, and in the checkpoints

    def features_of(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the classifier sees (B, 512), and the attention maps (B, 512, 7, 7), one a head."""
        x = self.features(x)
        maps = [self.get_submodule(f"cat_head{number}")(x) for number in range(self.heads)]
        attended = x * torch.stack(maps).amax(0)
        return self.Linear(attended).flatten(1), maps

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Raw scores (B, C), and the attention maps."""
        found, maps = self.features_of(x)
        return self.fc(found), maps


def spread_of_heads(maps: Sequence[Tensor]) -> Tensor:
    """How far attention maps are apart, a scalar: the mean squared difference, added up over pairs; 0 of one map."""
    pairs = [F.mse_loss(a, b) for number, a in enumerate(maps) for b in maps[number + 1 :]]
    return torch.stack(pairs).sum() if pairs else maps[0].new_zeros(())


def load_ddamfn(network: DDAMFNetwork, path: Path, classes: tuple[str, ...], head: str) -> None:
    """Load a checkpoint of the public code into a network; raises `InvalidFile`.

    Args:
        classes: Of the network's last layer, in order.
        head: `new` leaves the last layer as it is; a key of `ORDERS` takes the checkpoint's.
    """
    content = read_weights(path)
    found = content.get("model_state_dict", content)
    if not isinstance(found, Mapping):
        raise InvalidFile(path, "holds no state dict", "Give a checkpoint of DDAMFN's public code.")
    state: dict[str, Any] = dict(found)
    children = list(dict.fromkeys(key.partition(".")[0] for key in state))
    if "features" not in children:
        # The backbone by itself: its first nine children are the features, in order.
        number = {name: place for place, name in enumerate(children[:9])}
        state = {
            f"features.{number[child]}.{rest}": value
            for key, value in state.items()
            for child, _, rest in [key.partition(".")]
            if child in number
        }
        fit_weights(network, state, path, spared=("cat_head", "Linear.", "fc.", "bn."))
        return
    last = {key for key in network.state_dict() if key.startswith(("fc.", "bn."))}
    if head == "new":
        kept = {key: value for key, value in state.items() if key not in last}
        fit_weights(network, kept, path, spared=("fc.", "bn."))
        return
    order = ORDERS[head]
    if unknown := [name for name in classes if name not in order]:
        raise InvalidFile(path, f"its head {head} has no class {unknown[0]}", "Set head to new.")
    rows = [order.index(name) for name in classes]
    for key, value in [(key, state[key]) for key in last & state.keys()]:
        if not isinstance(value, Tensor) or (value.ndim and len(value) != len(order)):
            raise InvalidFile(path, f"{key} is not of {len(order)} classes", "Set head to new, or name its order.")
        state[key] = value[rows] if value.ndim else value
    fit_weights(network, state, path)


class _Unit(nn.Module):
    """Convolution, batch normalisation and PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        around = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, around, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.prelu(self.bn(self.conv(x)))
        return out


class _Depthwise(nn.Module):
    """Depthwise convolutions, each of its own width on its own channels, side by side."""

    def __init__(self, kernels: dict[int, int], stride: int) -> None:
        super().__init__()
        self.split = list(kernels.values())
        self.mixed_depthwise_conv = nn.ModuleList(
            nn.Conv2d(count, count, kernel, stride, kernel // 2, groups=count, bias=False)
            for kernel, count in kernels.items()
        )
        # Of no use, and in the checkpoints.
        self.bn = nn.BatchNorm2d(sum(self.split)).requires_grad_(False)
        self.prelu = nn.PReLU(sum(self.split)).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(self.mixed_depthwise_conv, x.split(self.split, dim=1), strict=True)
        return torch.cat([convolution(part) for convolution, part in parts], dim=1)


class _Attention(nn.Module):
    """Coordinate attention (Hou et al., CVPR 2021): a weight for each row and one for each column of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(8, channels // 32)
        self.conv1 = nn.Conv2d(channels, narrow, 1)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, channels, 1)
        self.conv3 = nn.Conv2d(narrow, channels, 1)

    def weights(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(B, C, H, W) of what is known of rows (B, C, H, 1) and of columns (B, C, W, 1)."""
        both = F.hardswish(self.bn1(self.conv1(torch.cat([rows, columns], dim=2))))
        down, across = both.split([rows.shape[2], columns.shape[2]], dim=2)
        return self.conv2(down).sigmoid() * self.conv3(across).sigmoid().transpose(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3))


class _Mixed(nn.Module):
    """Widen, mixed depthwise convolutions, coordinate attention, narrow; added to its input where `residual`.

    Args:
        kernels: Kernel size -> channels.
    """

    def __init__(
        self, inputs: int, outputs: int, kernels: dict[int, int], stride: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        wide = sum(kernels.values())
        self.conv = _Unit(inputs, wide, 1)
        self.conv_dw = _Depthwise(kernels, stride)
        self.CA = _Attention(wide)
        self.project = _Unit(wide, outputs, 1, activation=False)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.CA(self.conv_dw(self.conv(x))))
        return x + out if self.residual else out


class _Residual(nn.Module):
    def __init__(self, channels: int, count: int, kernels: dict[int, int]) -> None:
        super().__init__()
        self.model = nn.Sequential(*(_Mixed(channels, channels, kernels, residual=True) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class _DirectionAttention(_Attention):
    """Coordinate attention of 7 x 7 features whose rows and columns are summed up by learned weights."""

    def __init__(self) -> None:
        super().__init__(FEATURES)
        self.Linear_h = _Unit(FEATURES, FEATURES, 1, activation=False)
        self.Linear_w = _Unit(FEATURES, FEATURES, 1, activation=False)
        self.Linear_h.conv = nn.Conv2d(FEATURES, FEATURES, (1, 7), groups=FEATURES, bias=False)
        self.Linear_w.conv = nn.Conv2d(FEATURES, FEATURES, (7, 1), groups=FEATURES, bias=False)
        self.Linear = _Unit(FEATURES, FEATURES, 7, padding=0, groups=FEATURES, activation=False)
        self.Linear.requires_grad_(False)  # of no use, and in the checkpoints

    def forward(self, x: Tensor) -> Tensor:
        return self.weights(self.Linear_h(x), self.Linear_w(x).transpose(2, 3))


class _Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.CoordAtt = _DirectionAttention()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.CoordAtt(x)
        return out
