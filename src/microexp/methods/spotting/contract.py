"""What a spotting method may propose; anything else is refused, naming the method and the video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.methods.spotting.base import SpottingVideo
from microexp.records.index import KINDS

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
