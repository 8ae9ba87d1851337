"""DrFER's losses on the features of a batch: the triplet loss, and the two divergences of its ablation."""

import torch
from torch import Tensor
from torch.nn import functional as F

_LEAST_VARIANCE = 1e-6  # of a feature that is the same in all samples, whose divergence would be infinite


def triplet_loss(features: Tensor, label: Tensor, margin: float) -> Tensor:
    """Eq. 6: the mean of max(|a - p|^2 - |a - n|^2 + margin, 0) over samples a with a partner p and an opponent n
    (Schroff et al., FaceNet, CVPR 2015).

    Features are scaled to length 1, as FaceNet does, without which a margin would mean nothing. Each sample draws its
    partner among the others of its label, and its opponent among those of other labels. 0 where none has both.

    Args:
        features: (B, D).
        label: (B,).
    """
    unit = F.normalize(features.float(), dim=1)
    same = label[:, None] == label[None, :]  # (B, B)
    partners, opponents = same & ~torch.eye(len(label), dtype=torch.bool, device=label.device), ~same
    anchors = (partners.any(1) & opponents.any(1)).nonzero()[:, 0]
    if not len(anchors):
        return unit.sum() * 0.0  # a zero that has a gradient
    near = unit[torch.multinomial(partners[anchors].float(), 1)[:, 0]]
    far = unit[torch.multinomial(opponents[anchors].float(), 1)[:, 0]]
    gap = (unit[anchors] - near).square().sum(1) - (unit[anchors] - far).square().sum(1)
    return F.relu(gap + margin).mean()


def kl_from_standard_normal(features: Tensor) -> Tensor:
    """Mean over features of KL(N(m, v) || N(0, 1)) = (m^2 + v - 1 - ln v) / 2, with a feature's moments in the batch.

    Args:
        features: (B, D), B > 1.
    """
    mean, variance = _moments(features)
    return _kl(mean, variance, torch.zeros_like(mean), torch.ones_like(variance)).mean()


def js_from_standard_normal(features: Tensor) -> Tensor:
    """Mean over features of the Jensen-Shannon divergence of N(m, v) and N(0, 1), the mixture of the two being taken
    for the normal distribution with its moments: that of normal distributions has no closed form.

    Args:
        features: (B, D), B > 1.
    """
    mean, variance = _moments(features)
    middle = mean / 2
    spread = (variance + 1) / 2 + mean**2 / 4
    zero, one = torch.zeros_like(mean), torch.ones_like(variance)
    return (_kl(mean, variance, middle, spread) + _kl(zero, one, middle, spread)).mean() / 2


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    features = features.float()  # a variance needs the digits
    return features.mean(0), features.var(0, correction=0).clamp_min(_LEAST_VARIANCE)


def _kl(mean: Tensor, variance: Tensor, other_mean: Tensor, other_variance: Tensor) -> Tensor:
    """Of one normal distribution from another, element by element."""
    ratio = variance / other_variance
    return (ratio + (mean - other_mean) ** 2 / other_variance - 1 - ratio.log()) / 2
