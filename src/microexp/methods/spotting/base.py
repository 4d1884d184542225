"""The contract of a spotting method: `fit` on training subjects, `propose` for any video, to and from bytes.

Everything that makes a result honest is the framework's (`microexp.methods.spotting.fold`): leaving subjects out, inner
folds, thresholds, the oracle row, the permuted control, seeds and resuming. A method sees only what it is handed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from microexp.errors import UserError
from microexp.methods.context import Context
from microexp.records.features import Features, Key
from microexp.records.index import KINDS, Expression
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


# What a spotting method may propose; anything else is refused, naming the method and the video.

NOTHING = (np.empty((0, 2)), np.empty(0))


def checked(found: object, video: SpottingVideo, method: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a method proposes: kind -> intervals (n, 2) and scores (n,) as float64; a kind that is missing has none.

    Raises:
        UserError: naming the method and the video, when it is anything else than the contract says.
    """
    if not isinstance(found, Mapping) or set(found) - set(KINDS):
        got = f"kinds {', '.join(map(str, found))}" if isinstance(found, Mapping) else type(found).__name__
        raise _nonsense(got, video, method)
    return {kind: _checked(found.get(kind, NOTHING), video, method) for kind in KINDS}


def _checked(part: Any, video: SpottingVideo, method: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        intervals, scores = (np.asarray(values, np.float64) for values in part)
    except (TypeError, ValueError) as error:
        raise _nonsense(f"{error}", video, method) from error
    if not intervals.size and not scores.size:
        return NOTHING
    if scores.ndim != 1 or intervals.shape != (len(scores), 2):
        raise _nonsense(f"intervals {intervals.shape} with scores {scores.shape}", video, method)
    onset, offset = intervals.T
    inside = (onset >= 0) & (onset <= offset) & (offset <= video.n_frames - 1)  # not so where a value is no number
    wrong = np.flatnonzero(~(inside & np.isfinite(scores)))
    if len(wrong):
        first = int(wrong[0])
        raise _nonsense(f"[{onset[first]:g}, {offset[first]:g}] with score {scores[first]:g}", video, method)
    return intervals, scores


def _nonsense(problem: str, video: SpottingVideo, method: str) -> UserError:
    return UserError(
        file=method,
        where="/".join(video.key),
        problem=f"proposed {problem}",
        expected=f"micro and macro: intervals (n, 2) inside frames 0 to {video.n_frames - 1} with finite scores (n,)",
    )
