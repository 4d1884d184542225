"""A made-up recognition method, as somebody else would write it: an average map per class, a few steps towards it."""

from __future__ import annotations

import json

import numpy as np

from microexp.methods.recognition.base import RecognitionMethod
from microexp.run.stage import Params


class CentroidOptions(Params):
    """Options of `Centroids`."""

    epochs: int = 4
    rate: float = 0.5


class Centroids(RecognitionMethod[np.ndarray, CentroidOptions]):
    """Nearest average of the class's flow, approached step by step from random numbers."""

    Options = CentroidOptions
    interrupt: tuple[int, int] | None = None
    """(seed, epoch) at which a fit ends as if it were killed, for the tests of resuming."""
    started: list[tuple[int, bool]] = []  # noqa: RUF012
    """(seed, whether it went on from a state) of every fit."""

    def fit(self, training, options, context):
        """Steps towards the averages."""
        clips, label = training.targets()
        x = clips.maps[:, 1:3].reshape(len(clips), -1).astype(np.float64)
        centres = np.random.default_rng(context.seed).normal(size=(len(training.classes), x.shape[1]))
        first = 1
        self.started.append((context.seed, context.state is not None))
        if context.state is not None:
            first, centres = _unpacked(context.state)
        for epoch in range(first, options.epochs + 1):
            if self.interrupt == (context.seed, epoch):
                raise KeyboardInterrupt
            for k in np.unique(label):
                centres[k] += options.rate * (x[label == k].mean(0) - centres[k])
            context.log(epoch=epoch, spread=np.float32(np.abs(centres).mean()))
            context.keep(lambda after=epoch + 1: _packed(after, centres))
        return centres

    def predict(self, model, clips):
        """A softmax of distances."""
        x = clips.maps[:, 1:3].reshape(len(clips), -1).astype(np.float64)
        scores = -np.square(x[:, None] - model[None]).mean(2)
        e = np.exp(scores - scores.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def to_bytes(self, model):
        """JSON."""
        return json.dumps(model.tolist()).encode()

    def from_bytes(self, data, options):
        """The averages."""
        return np.array(json.loads(data))


def _packed(epoch, centres):
    return json.dumps([epoch, centres.tolist()]).encode()


def _unpacked(state):
    epoch, centres = json.loads(state)
    return epoch, np.array(centres)


class Crooked(Centroids):
    """Returns something else than probabilities per clip."""

    def predict(self, model, clips):
        """One row too few."""
        return super().predict(model, clips)[1:]
