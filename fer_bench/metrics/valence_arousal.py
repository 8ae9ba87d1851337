"""Metrics of continuous affect: valence and arousal, each in [-1, 1], as on AffectNet.

Every metric takes two real arrays `(N,)`, predictions then truth, finite and with N >= 1, and returns a float in the
inputs' unit (its square for MSE; none for the correlations). A ValueError says which of these was broken.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Estimator = Literal["population", "published"]


def mse(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Mean squared error, mean((p - t)^2)."""
    p, t = _pair(predicted, truth)
    return float(np.mean((p - t) ** 2))


def mae(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Mean absolute error, mean(|p - t|)."""
    p, t = _pair(predicted, truth)
    return float(np.mean(np.abs(p - t)))


def rmse(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(mse(predicted, truth)))


def ccc(predicted: ArrayLike, truth: ArrayLike, estimator: Estimator = "population") -> float:
    """Lin's concordance correlation coefficient, 2 cov(p, t) / (var(p) + var(t) + (mean(p) - mean(t))^2), in [-1, 1].

    Args:
        predicted: `(N,)`.
        truth: `(N,)`.
        estimator: `population` divides all three moments by N, as Lin does. `published` divides the covariance by N - 1
            and the variances by N, as Ig3D's public evaluation scripts do: larger by N / (N - 1), so that perfect
            agreement exceeds 1. Table 7 of Ig3D needs it for its fourth decimal; nothing else should.

    Returns:
        The coefficient; 0 when either input is constant, even if both hold the same constant: the ratio is then 0/0 or
        has nothing in its numerator, and a constant shows no concordance.

    Source: L. I.-K. Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45, 1989,
    255-268; with its 2000 correction.
    """
    if estimator not in get_args(Estimator):
        raise ValueError(f"estimator must be one of {get_args(Estimator)}, not {estimator!r}")
    p, t = _pair(predicted, truth)
    if _constant(p) or _constant(t):
        return 0.0
    dp, dt = p - p.mean(), t - t.mean()
    denominator = float(np.mean(dp**2) + np.mean(dt**2) + (p.mean() - t.mean()) ** 2)
    if denominator == 0:  # the squares of differences below 1e-162 vanish
        return 0.0
    correction = p.size / (p.size - 1) if estimator == "published" else 1.0
    return float(2 * correction * np.mean(dp * dt) / denominator)


def pcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Pearson's correlation coefficient, cov(p, t) / (sd(p) sd(t)), in [-1, 1]; 0 when either input is constant."""
    p, t = _pair(predicted, truth)
    # A constant is recognised by its values: its mean may be off by one rounding, which would be correlated as signal.
    if _constant(p) or _constant(t):
        return 0.0
    dp, dt = p - p.mean(), t - t.mean()
    scale = float(np.linalg.norm(dp) * np.linalg.norm(dt))
    return float(np.clip(dp @ dt / scale, -1.0, 1.0)) if scale > 0 else 0.0


def valence_arousal_metrics(predicted: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """All of `VALENCE_AROUSAL_METRICS`, on `(N, 2)` arrays whose columns are valence and arousal."""
    return {name: metric(predicted, truth) for name, metric in VALENCE_AROUSAL_METRICS.items()}


def ccc_mean(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Mean of the concordance of valence and that of arousal, on `(N, 2)` arrays.

    Unlike the pooled one it is 0 for a constant answer of the mean valence and the mean arousal;
    such an answer can have a pooled CCC of 0.5 and more, the more the two means lie apart.
    """
    return (_on_columns(ccc, slice(0, 1), predicted, truth) + _on_columns(ccc, slice(1, 2), predicted, truth)) / 2


def _on_columns(metric: Callable[..., float], columns: slice, predicted: ArrayLike, truth: ArrayLike) -> float:
    p, t = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != 2 or p.shape != t.shape:
        raise ValueError(f"predictions and truth must both be (N, 2), not {p.shape} and {t.shape}")
    return metric(p[:, columns].ravel(), t[:, columns].ravel())


_ONE_LIST: dict[str, Callable[..., float]] = {
    "mse": mse,
    "mae": mae,
    "rmse": rmse,
    "ccc": ccc,
    "pcc": pcc,
    "ccc_published": partial(ccc, estimator="published"),
}
VALENCE_AROUSAL_METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    name + suffix: partial(_on_columns, metric, columns)
    for suffix, columns in {"": slice(0, 2), "_valence": slice(0, 1), "_arousal": slice(1, 2)}.items()
    for name, metric in _ONE_LIST.items()
} | {"ccc_mean": ccc_mean}
"""Every metric of predictions and truth `(N, 2)`, by the name under which results are stored.

Without suffix, both columns are pooled into one list of 2N numbers as in Table 7 of Ig3D; `_valence` and `_arousal` are
separate as in its Table 8. Pooling lets the difference between the mean valence and the mean arousal count as
agreement, so a pooled CCC is usually above both separate ones, of which `ccc_mean` is the mean.
"""


def _pair(predicted: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, t = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if p.ndim != 1 or p.shape != t.shape:
        raise ValueError(f"predictions and truth must both be (N,), not {p.shape} and {t.shape}")
    if p.size == 0:
        raise ValueError("no samples to score")
    if not (np.isfinite(p).all() and np.isfinite(t).all()):
        raise ValueError("predictions and truth must be finite")
    return p, t


def _constant(values: NDArray[np.float64]) -> bool:
    return bool(values.min() == values.max())
