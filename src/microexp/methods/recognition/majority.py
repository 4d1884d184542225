"""The most frequent class of the training clips: what knowing nothing of a clip reaches."""

from __future__ import annotations

import json

import numpy as np

from microexp.methods.context import Context
from microexp.methods.recognition.base import RecognitionMethod, TrainingClips
from microexp.records.clips import Clips
from microexp.run.stage import NoParams


def shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) class shares of training labels; their argmax is the most frequent class."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    return np.asarray(counts / counts.sum())


class Majority(RecognitionMethod[np.ndarray, NoParams]):
    """The class shares of the training clips, for every clip."""

    seeded = False

    def fit(self, training: TrainingClips, options: NoParams, context: Context) -> np.ndarray:
        """Class shares."""
        return shares(training.targets()[1], len(training.classes))

    def predict(self, model: np.ndarray, clips: Clips) -> np.ndarray:
        """The shares, for each clip."""
        return np.tile(model, (len(clips), 1))

    def to_bytes(self, model: np.ndarray) -> bytes:
        """JSON."""
        return json.dumps(model.tolist()).encode()

    def from_bytes(self, data: bytes, options: NoParams) -> np.ndarray:
        """The shares."""
        return np.array(json.loads(data), np.float64)
