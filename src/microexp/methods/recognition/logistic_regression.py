"""Class-balanced logistic regression on flow: what a network has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import Field

from microexp.methods.context import Context
from microexp.methods.recognition.base import RecognitionMethod, TrainingClips
from microexp.records.clips import Clips, shrink
from microexp.run.stage import Params

ARRAYS = ("mean", "deviation", "weights", "bias")

LOGISTIC_SIZE = 28
"""Side of the flow maps, px: as the field's 28 x 28."""
LOGISTIC_C = 1e-3
"""Inverse regularisation on standardised pixels of maps of that size; fixed before any result was seen.

Neighbouring pixels say nearly the same, so on smaller maps it grows as the number of pixels falls.
"""


class LogisticOptions(Params):
    """Options of the method `logistic_regression`."""

    mirror: bool = Field(True, description="Train on the mirror images as well (u changes its sign).")
    mirror_test: bool = Field(False, description="Average the prediction over a clip and its mirror image.")
    size: int = Field(LOGISTIC_SIZE, ge=4, description="Side to which the flow maps are averaged down, px.")


class LogisticRegression(RecognitionMethod["Linear", LogisticOptions]):
    """Logistic regression on u and v."""

    Options = LogisticOptions
    seeded = False

    def fit(self, training: TrainingClips, options: LogisticOptions, context: Context) -> Linear:
        """Fit on the clips like those to recognise."""
        clips, label = training.targets()
        found = train_logistic(clips, label, len(training.classes), mirror=options.mirror, size=options.size)
        return replace(found, options=options)

    def predict(self, model: Linear, clips: Clips) -> np.ndarray:
        """Class probabilities."""
        return predict_logistic(model, clips, size=model.options.size, mirror=model.options.mirror_test)

    def to_bytes(self, model: Linear) -> bytes:
        """Safetensors."""
        from safetensors.numpy import save

        return bytes(save({name: np.ascontiguousarray(getattr(model, name)) for name in ARRAYS}))

    def from_bytes(self, data: bytes, options: LogisticOptions) -> Linear:
        """The regression."""
        from safetensors.numpy import load

        arrays = load(data)
        return Linear(arrays["mean"], arrays["deviation"], arrays["weights"], arrays["bias"], options)


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
    options: LogisticOptions = field(default_factory=LogisticOptions)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(N, D) pixels -> (N, classes) probabilities."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # the result must not depend on the number of threads
            return softmax(((x.astype(np.float64) - self.mean) / self.deviation) @ self.weights + self.bias)


def logistic(
    clips: Clips,
    labels: np.ndarray,
    train: np.ndarray,
    *,
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
    linear = train_logistic(
        clips.take(train), labels[train], classes,
        channels=channels, mirror=mirror, size=size, standardise=standardise, c=c,
    )  # fmt: skip
    return predict_logistic(linear, clips.take(test), channels, size=size, mirror=mirror_test)


def train_logistic(
    clips: Clips,
    labels: np.ndarray,
    classes: int,
    *,
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
    return fit(
        x, labels, classes, c=c or LOGISTIC_C * LOGISTIC_SIZE**2 / small.maps.shape[-1] ** 2, standardise=standardise
    )


def predict_logistic(
    linear: Linear,
    clips: Clips,
    channels: Sequence[str] = ("u", "v"),
    *,
    size: int = LOGISTIC_SIZE,
    mirror: bool = False,
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


def fit(x: np.ndarray, y: np.ndarray, classes: int, *, c: float = LOGISTIC_C, standardise: bool = True) -> Linear:
    """Standardise by the training rows (or not) and fit; a class without a training row gets probability 0."""
    from sklearn.linear_model import LogisticRegression as Fitted
    from threadpoolctl import threadpool_limits

    x = x.astype(np.float64)
    mean, deviation = x.mean(0), x.std(0) + 1e-6 if standardise else np.ones(x.shape[1])
    weights, bias = np.zeros((x.shape[1], classes)), np.full(classes, -np.inf)
    present, y = np.unique(y, return_inverse=True)
    if len(present) == 1:
        bias[present[0]] = 0.0
        return Linear(mean, deviation, weights, bias)
    with threadpool_limits(1):  # the result must not depend on the number of threads
        found = Fitted(C=c, class_weight="balanced", max_iter=1000, tol=1e-6).fit((x - mean) / deviation, y)
    coefficients, intercept = found.coef_, found.intercept_
    if len(present) == 2:  # scikit-learn keeps the second class's scores alone
        coefficients, intercept = np.stack([-coefficients[0], coefficients[0]]) / 2, np.array([-1, 1]) * intercept / 2
    weights[:, present], bias[present] = coefficients.T, intercept
    return Linear(mean, deviation, weights, bias)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Row-wise softmax."""
    e = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))
