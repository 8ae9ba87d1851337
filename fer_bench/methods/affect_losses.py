"""Training for valence and arousal: losses of raw outputs and truth (B, 2), masking, and both last layers."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.methods.stages import Stage
from fer_bench.nn.global_batch import draw, gather
from fer_bench.records import Batch

Concordance = Literal["lin", "published"]

_LEAST = 1e-8  # a batch may hold one value only, or predict one


def correlation(predicted: Tensor, truth: Tensor) -> Tensor:
    """Pearson's, of each column of (B, D): (D,)."""
    p, t = predicted - predicted.mean(0), truth - truth.mean(0)
    return (p * t).sum(0) / (p.square().sum(0) * t.square().sum(0) + _LEAST**2).sqrt()


def concordance(predicted: Tensor, truth: Tensor, formula: Concordance = "lin") -> Tensor:
    """Lin's concordance correlation coefficient, of each column of (B, D): (D,). Variances and covariance are over
    B - 1, as in the public code of CAGE and Ig3D; the metric of the tables has B.

    Args:
        formula: `published` is Ig3D's public code, which has variances where the numerator needs standard deviations:
            2 var(p) var(t) r. Of numbers below 1 it is far too small, and exact agreement is not its maximum.
    """
    degrees = max(1, len(predicted) - 1)
    p, t = predicted - predicted.mean(0), truth - truth.mean(0)
    variances = p.square().sum(0) / degrees, t.square().sum(0) / degrees
    shared = (p * t).sum(0) / degrees
    if formula == "published":
        shared = variances[0] * variances[1] * correlation(predicted, truth)
    apart = (predicted.mean(0) - truth.mean(0)).square()
    return 2 * shared / (variances[0] + variances[1] + apart + _LEAST)


def shaken(predicted: Tensor, truth: Tensor, formula: Concordance = "lin") -> Tensor:
    """Squared error, concordance and correlation mixed with random weights for every batch, a scalar (Ig3D eq. 1,
    after Toisoul et al., Nature Machine Intelligence 3, 2021): the squared error summed over valence and arousal, the
    others averaged, as in the public code; 0 of fewer than two rows, which have no correlation."""
    if len(predicted) < 2:
        return 0 * predicted.sum()
    weights = torch.rand(3, device=predicted.device)
    terms = torch.stack(
        [
            F.mse_loss(predicted, truth) * predicted.shape[1],
            1 - concordance(predicted, truth, formula).mean(),
            1 - correlation(predicted, truth).mean(),
        ]
    )
    return (weights / weights.sum() * terms).sum()


def concordant(predicted: Tensor, truth: Tensor, weight: float = 3.0) -> Tensor:
    """Concordance and squared error of valence and arousal, each for itself and added up, a scalar: eq. 3 of Ig3D with
    1 - CCC for its L_CCC and a weight of 3, as in the public code."""
    return (1 - concordance(predicted, truth)).sum() + weight * (predicted - truth).square().mean(0).sum()


def rated(batch: Batch, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and true valence and arousal, of the samples of a batch, in all processes, that have been rated: (n, 2)
    both."""
    predicted, truth = gather(predicted), gather(batch["affect"])
    known = truth.isfinite().all(1)
    return predicted[known], truth[known]


CLASS_WEIGHTS = (0.015605, 0.008709, 0.046078, 0.083078, 0.185434, 0.305953, 0.046934, 0.308210)
"""Of the expressions in AffectNet's order, neutral to contempt, in the public code of CAGE and Ig3D."""


def with_errors(batch: Batch, scores: Tensor, affect: Tensor, weighted: bool = True, weight: float = 5.0) -> Tensor:
    """Cross-entropy of the eight expressions and mean squared error of valence and arousal, a scalar (Ig3D eq. 2).

    Args:
        scores: Of the expressions (B, 8).
        affect: Valence and arousal (B, 2).
        weighted: Expressions weigh as `CLASS_WEIGHTS` says.
        weight: Of the squared error, lambda.
    """
    weights = scores.new_tensor(CLASS_WEIGHTS) if weighted else None
    loss = F.cross_entropy(gather(scores), gather(batch["expression"]), weights, ignore_index=-1)
    return loss + weight * F.mse_loss(*rated(batch, affect))


def masked(vectors: Tensor, sizes: Sequence[int], probability: float) -> Tensor:
    """Vectors (B, P) of parts of these sizes, with numbers set to 0 as in the public code of Ig3D: each part of each
    vector is picked with a probability, and loses 1 to all of its numbers, as many equally likely."""
    P, n = vectors.shape[1], len(sizes)
    noise = draw(len(vectors), lambda rows: torch.rand(rows, P + 2 * n, device=vectors.device))
    picked, amount, order = noise.split([n, n, P], dim=1)
    kept = []
    for number, (size, part) in enumerate(zip(sizes, order.split(list(sizes), dim=1), strict=True)):
        lost = (amount[:, number : number + 1] * size).floor() + 1
        rank = part.argsort(1).argsort(1)
        kept.append((picked[:, number : number + 1] >= probability) | (rank >= lost))
    return vectors * torch.cat(kept, dim=1)


def train_one(stage: Stage, combined: nn.Module, affect: nn.Module | None) -> None:
    """Leave a gradient to one last layer: that of expressions, valence and arousal in the stage `combined` and where it
    is the only one, that of valence and arousal alone in the stage `affect`."""
    combined.requires_grad_(affect is None or stage.name == "combined")
    if affect is not None:
        affect.requires_grad_(stage.name == "affect")
