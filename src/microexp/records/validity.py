"""Which frames of a video show what a stage needs, and why the others do not."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Reason(IntEnum):
    """What is the matter with a frame; the numbers are in shards.

    The frames themselves are usable after a `GAP` or a `CUT`: it is the motion from the frame before that is not.
    """

    NONE = 0
    """Nothing."""
    NO_FACE = 1
    """No face was found there."""
    OUTSIDE = 2
    """The face is not where the crop is cut, or is outside of the picture."""
    REPEATED = 3
    """The same picture as the frame before: it holds no motion of its own."""
    GAP = 4
    """Time is missing between the frame before and this one."""
    CUT = 5
    """Another place or another alignment than in the frame before."""
    DAMAGED = 6
    """It could not be decoded."""


WORDS = {
    Reason.NO_FACE: "no face",
    Reason.OUTSIDE: "face outside of the crop",
    Reason.REPEATED: "repeated",
    Reason.GAP: "after a gap",
    Reason.CUT: "after a cut",
    Reason.DAMAGED: "damaged",
}
BREAKS = (Reason.GAP, Reason.CUT)


def valid_frames(reason: np.ndarray) -> np.ndarray:
    """(T,) bool: frames that are usable in themselves."""
    return np.isin(reason, [Reason.NONE, *BREAKS])


def valid_pairs(valid: np.ndarray, reason: np.ndarray) -> np.ndarray:
    """(T-1,) bool: whether the motion from each frame to the next is one of the face.

    Both frames must be valid, with no gap or cut between them. A repeated frame is a copy of the one before: the motion
    into it is none, the motion from it is that from the frame that it repeats.

    Args:
        valid: (T,) bool.
        reason: (T,) `Reason`.
    """
    valid, reason = np.asarray(valid, bool), np.asarray(reason)
    shows = valid.copy()
    for t in np.flatnonzero(reason == Reason.REPEATED):
        shows[t] = t > 0 and shows[t - 1]
    pairs: np.ndarray = shows[:-1] & valid[1:] & ~np.isin(reason[1:], BREAKS)
    return pairs


def in_words(reason: np.ndarray) -> str:
    """`12 no face, 3 repeated`; '' when nothing is the matter."""
    counts = [(int((reason == code).sum()), words) for code, words in WORDS.items()]
    return ", ".join(f"{number} {words}" for number, words in counts if number)
