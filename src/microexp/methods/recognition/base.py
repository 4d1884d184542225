"""The contract of a recognition method: `fit` on clips of training subjects, `predict` any clips, to and from bytes.

Leaving subjects out, source domains, seeds and resuming are the framework's (`microexp.methods.recognition.fold`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np

from microexp.methods.context import Context
from microexp.records.clips import Clips
from microexp.run.stage import NoParams, Params

M = TypeVar("M")
O = TypeVar("O", bound=Params)  # noqa: E741


@dataclass(frozen=True)
class TrainingClips:
    """Clips of training subjects.

    Attributes:
        clips: N clips: those to recognise, and those of source domains.
        label: (N,) class number; -1 where a source's clip has none.
        classes: names of the classes.
        target: (N,) bool: clips like those that are to be recognised.
        domain: (N,) text: data set, or name of the source domain.
        own: data set of the held-out subject; None where a whole data set, or nobody, is held out.
        datasets: names of the data sets with the clips to be recognised.
        sources: names of the source domains.
        units: (N, classes) bool where action units are the target: which of `classes` each clip shows; `label` is 0
            then. None where the target is one class per clip.
    """

    clips: Clips
    label: np.ndarray
    classes: tuple[str, ...]
    target: np.ndarray
    domain: np.ndarray
    own: str | None
    datasets: tuple[str, ...]
    sources: tuple[str, ...]
    units: np.ndarray | None = None

    def targets(self) -> tuple[Clips, np.ndarray]:
        """The clips like those to recognise, and their labels: all that a plain classifier needs."""
        rows = np.flatnonzero(self.target)
        return self.clips.take(rows), self.label[rows]


class RecognitionMethod(ABC, Generic[M, O]):
    """A recognition method. Subclasses have no state: what is trained is the model that `fit` returns.

    Class attributes as in `microexp.methods.spotting.base.SpottingMethod`; `targets` says what the method can
    recognise: one `emotion` class per clip, `action_units` (several at once), or both.
    """

    Options: ClassVar[type[Params]] = NoParams
    version: ClassVar[int] = 1
    gpu: ClassVar[bool] = False
    seeded: ClassVar[bool] = True
    stacks: ClassVar[bool] = False
    targets: ClassVar[tuple[str, ...]] = ("emotion",)

    @abstractmethod
    def fit(self, training: TrainingClips, options: O, context: Context) -> M:
        """Train on these clips; nothing else may be read.

        Raises:
            UserError: when the data do not suffice.
        """

    @abstractmethod
    def predict(self, model: M, clips: Clips) -> np.ndarray:
        """Class probabilities (N, classes) of clips; of action units each one's own, which do not sum to 1."""

    @abstractmethod
    def to_bytes(self, model: M) -> bytes:
        """The model as bytes; the same model gives the same bytes."""

    @abstractmethod
    def from_bytes(self, data: bytes, options: O) -> M:
        """The model that `to_bytes` wrote."""

    def fit_many(self, training: TrainingClips, options: O, contexts: Sequence[Context]) -> list[M]:
        """Train with several seeds; by default one after the other. Who trains them together sets `stacks`."""
        return [self.fit(training, options, context) for context in contexts]
