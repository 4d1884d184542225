"""Baselines that stand beside MDML in every table: the majority class, and logistic regression on flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microexp.records.clips import Clips, shrink

LOGISTIC_SIZE = 28
"""Side of the flow maps, px: as the field's 28 x 28."""
LOGISTIC_C = 1e-3
"""Inverse regularisation on standardised pixels of maps of that size; fixed before any result was seen.

Neighbouring pixels say nearly the same, so on smaller maps it grows as the number of pixels falls.
"""


def majority(labels: np.ndarray, tests: int, classes: int) -> np.ndarray:
    """(tests, classes) class shares of the training labels; its argmax is the most frequent class."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    return np.tile(counts / counts.sum(), (tests, 1))


@dataclass(frozen=True)
class Linear:
    """A trained logistic regression.

    Attributes:
        mean, deviation: (D,) of the pixels, float64.
        weights: (D, classes) on standardised pixels.
        bias: (classes,); -inf for a class without a training clip.
    """

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(N, D) pixels -> (N, classes) probabilities."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # the result must not depend on the number of threads
            return softmax(((x.astype(np.float64) - self.mean) / self.deviation) @ self.weights + self.bias)


def logistic(
    clips: Clips,
    labels: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    classes: int,
    channels: Sequence[str] = ("u", "v"),
    mirror: bool = True,
    size: int = LOGISTIC_SIZE,
    mirror_test: bool = False,
    standardise: bool = True,
    c: float | None = None,
) -> np.ndarray:
    """Class probabilities (tests, classes) of a class-balanced logistic regression on flow.

    Args:
        clips: all clips.
        labels: (N,) class numbers.
        train: numbers of the training clips.
        test: numbers of the clips to predict.
        classes: number of classes; a class without a training clip gets probability 0.
        channels: which maps are the features.
        mirror: train on the mirror images as well.
        size: side of the maps, px.
        mirror_test: average the prediction over a clip and its mirror image.
        standardise: divide every pixel by its standard deviation over the training clips.
        c: inverse regularisation; by default `LOGISTIC_C` for the number of pixels.
    """
    linear = train_logistic(clips.take(train), labels[train], classes, channels, mirror, size, standardise, c)
    return predict_logistic(linear, clips.take(test), channels, size, mirror_test)


def train_logistic(
    clips: Clips,
    labels: np.ndarray,
    classes: int,
    channels: Sequence[str] = ("u", "v"),
    mirror: bool = True,
    size: int = LOGISTIC_SIZE,
    standardise: bool = True,
    c: float | None = None,
) -> Linear:
    """Train `logistic` on all `clips`."""
    small = shrink(clips, size)
    x, mirrored = flow_features(small, channels)
    if mirror:
        x, labels = np.concatenate([x, mirrored]), np.concatenate([labels, labels])
    return fit(x, labels, classes, c or LOGISTIC_C * LOGISTIC_SIZE**2 / small.maps.shape[-1] ** 2, standardise)


def predict_logistic(
    linear: Linear, clips: Clips, channels: Sequence[str] = ("u", "v"), size: int = LOGISTIC_SIZE, mirror: bool = False
) -> np.ndarray:
    """Class probabilities (N, classes) of all `clips`; with `mirror` averaged with those of the mirror images."""
    x, mirrored = flow_features(shrink(clips, size), channels)
    return (linear.predict(x) + linear.predict(mirrored)) / 2 if mirror else linear.predict(x)


def flow_features(clips: Clips, channels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of `channels` as one vector per clip, and those of the mirror images (u with its sign changed)."""
    maps = clips.maps[:, [clips.channels.index(c) for c in channels]]
    sign = np.array([-1.0 if c == "u" else 1.0 for c in channels], dtype=np.float32).reshape(-1, 1, 1)
    shape = len(maps), int(np.prod(maps.shape[1:]))
    return maps.reshape(shape), (maps[..., ::-1] * sign).reshape(shape)


def fit(x: np.ndarray, y: np.ndarray, classes: int, c: float = LOGISTIC_C, standardise: bool = True) -> Linear:
    """Standardise by the training rows (or not) and fit.

    The solution lies in the span of the training rows, so the fit runs on their principal coordinates: the same optimum
    as scikit-learn's `LogisticRegression(C=c, class_weight="balanced")` (tested), without its second of import.
    """
    from threadpoolctl import threadpool_limits

    x = x.astype(np.float64)
    mean, deviation = x.mean(0), x.std(0) + 1e-6 if standardise else np.ones(x.shape[1])
    weights, bias = np.zeros((x.shape[1], classes)), np.full(classes, -np.inf)
    present, y = np.unique(y, return_inverse=True)
    if len(present) == 1:
        bias[present[0]] = 0.0
        return Linear(mean, deviation, weights, bias)
    z = (x - mean) / deviation
    with threadpool_limits(1):  # the result must not depend on the number of threads
        values, vectors = np.linalg.eigh(z @ z.T)
        kept = values > values[-1] * 1e-10
        root = np.sqrt(values[kept])
        found, bias[present] = _fit(vectors[:, kept] * root, y, len(present), c)
        weights[:, present] = z.T @ ((vectors[:, kept] / root) @ found)
    return Linear(mean, deviation, weights, bias)


def _fit(z: np.ndarray, y: np.ndarray, classes: int, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (D, classes) and bias that minimise c * balanced cross-entropy + |weights|^2 / 2."""
    from scipy.optimize import minimize

    balanced = len(y) / (classes * np.bincount(y))[y]
    hit = np.eye(classes)[y]

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        table = flat.reshape(-1, classes)
        p = softmax(z @ table[:-1] + table[-1])
        loss = -c * (balanced * np.log((p * hit).sum(1) + 1e-300)).sum() + (table[:-1] ** 2).sum() / 2
        slope = c * balanced[:, None] * (p - hit)
        return loss, np.concatenate([z.T @ slope + table[:-1], slope.sum(0, keepdims=True)]).ravel()

    start = np.zeros((z.shape[1] + 1) * classes)
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-6})
    table = found.x.reshape(-1, classes)
    return table[:-1], table[-1]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Row-wise softmax."""
    e = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))
