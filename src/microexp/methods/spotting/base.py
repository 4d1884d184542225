"""The contract of a spotting method: `fit` on training subjects, `propose` for any video, to and from bytes.

Everything that makes a result honest is the framework's (`microexp.methods.spotting.fold`): leaving subjects out, inner
folds, thresholds, the oracle row, the permuted control, seeds and resuming. A method sees only what it is handed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np

from microexp.methods.context import Context
from microexp.records.features import Features, Key
from microexp.records.index import Expression
from microexp.run.stage import NoParams, Params

M = TypeVar("M")
O = TypeVar("O", bound=Params)  # noqa: E741

Found = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Kind (`micro`, `macro`) -> closed intervals (n, 2) in source frames, fractional, and scores (n,)."""


@dataclass(frozen=True)
class SpottingVideo:
    """A video as a method sees it.

    Attributes:
        n_frames: source frames.
        fps: source frames per second.
        streams: stream -> its features, read lazily.
    """

    dataset: str
    subject: str
    video: str
    n_frames: int
    fps: float
    streams: Mapping[str, Features]

    @property
    def key(self) -> Key:
        """What tells the video from all others."""
        return self.dataset, self.subject, self.video


Truth = Mapping[Key, Sequence[Expression]]
"""Video -> its annotated expressions, in 0-based source frames."""


@dataclass(frozen=True)
class FitRequest:
    """One training: videos, their annotations, and the context that goes with it."""

    videos: Sequence[SpottingVideo]
    truth: Truth
    context: Context


class SpottingMethod(ABC, Generic[M, O]):
    """A spotting method. Subclasses have no state: what is trained is the model that `fit` returns.

    Class attributes:
        Options: pydantic model of its options.
        version: raised by its author when its results change.
        gpu: whether it uses a GPU where there is one.
        seeded: whether anything is random; a method without chance runs once.
        learns: whether it learns from annotations more than lengths and frequency (then a permuted control means
            something).
        stacks: whether it trains several fits at once (`fit_many`), which then is one unit of resuming.
    """

    Options: ClassVar[type[Params]] = NoParams
    version: ClassVar[int] = 1
    gpu: ClassVar[bool] = False
    seeded: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    stacks: ClassVar[bool] = False

    @abstractmethod
    def streams(self, options: O) -> tuple[str, ...]:
        """Feature streams that it reads; () for none."""

    def starts_from(self, options: O) -> Path | None:
        """The model file that training starts from, if any; one that knows people of the experiment is refused."""
        return None

    @abstractmethod
    def fit(self, videos: Sequence[SpottingVideo], truth: Truth, options: O, *, context: Context) -> M:
        """Train on these videos; nothing else may be read.

        Raises:
            UserError: when the data do not suffice.
        """

    @abstractmethod
    def propose(self, model: M, video: SpottingVideo) -> Found:
        """Intervals with scores for one video, of each kind; many and overlapping ones are welcome."""

    @abstractmethod
    def to_bytes(self, model: M) -> bytes:
        """The model as bytes; the same model gives the same bytes."""

    @abstractmethod
    def from_bytes(self, data: bytes, options: O) -> M:
        """The model that `to_bytes` wrote."""

    def fit_many(self, requests: Sequence[FitRequest], options: O, context: Context) -> list[M]:
        """Train several fits; by default one after the other.

        A method that trains them together sets `stacks`; `context` then keeps and restores the state of all of them.
        """
        return [self.fit(r.videos, r.truth, options, context=r.context) for r in requests]
