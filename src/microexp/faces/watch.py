"""What crops themselves show of their use: pictures that repeat the one before, and cuts that nobody looked at."""

from __future__ import annotations

import numpy as np

from microexp.reading.frames import gaps
from microexp.records.validity import BREAKS, Reason

SMALL_PX = 48
"""Side to which crops are brought to be compared: the noise of camera and codec averages out."""
SAME_TAKE = 0.5
"""Correlation of two neighbouring crops, seen small, below which they are not of one take."""

SAME_LEVELS = 0.02
"""RMS difference of equal pictures, grey levels."""
WINDOW = 96
"""Frames in which a pattern of repeated pictures is looked for."""
LONGEST_PERIOD, CYCLES = 12, 8
DIP, STILL_LOW = 0.6, 0.8
"""Share of the largest change around below which a change is low, and below which it may be in a pattern of such."""
ALONE, BELOW_STILL = 0.3, 0.4
"""Share of the smaller neighbour's change, and of the change that three in ten do not exceed, for a single picture."""
OFTEN, SELDOM = 0.75, 0.34
"""Share of the cycles in which a frame of the pattern is low, and in which any other may be."""


class Watch:
    """Sees the crops of a video one after the other; holds one of them."""

    def __init__(self) -> None:
        self.change: list[float] = []
        self.likeness: list[float] = []
        self.damaged: list[bool] = []
        self._last: np.ndarray | None = None

    def see(self, crop: np.ndarray | None) -> None:
        """Take note of the next crop (S, S, C) uint8; None is a damaged one."""
        import cv2

        self.damaged.append(crop is None)
        change, likeness = np.nan, 1.0
        if crop is not None:
            middle = np.ascontiguousarray(crop[..., crop.shape[-1] // 2]).astype(np.float32)
            small = cv2.resize(middle, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA)
            small = cv2.GaussianBlur(small, (0, 0), 0.7)
            if self._last is not None:
                change = float(np.sqrt(np.square(small - self._last).mean()))
                likeness = _correlation(self._last, small)
            self._last = small
        self.change.append(change)
        self.likeness.append(likeness)

    def reasons(self, times_s: np.ndarray) -> np.ndarray:
        """(T,) uint8 `Reason` as far as the pictures tell.

        Args:
            times_s: (T,) of the crops.
        """
        reason = np.zeros(len(self.damaged), np.uint8)
        reason[gaps(times_s)] = Reason.GAP
        reason[np.array(self.likeness) < SAME_TAKE] = Reason.CUT
        reason[repeated(np.array(self.change))] = Reason.REPEATED
        reason[np.array(self.damaged, bool)] = Reason.DAMAGED
        return reason


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two pictures; flat ones are alike when they are equally bright."""
    a0, b0 = (a - a.mean()).ravel(), (b - b.mean()).ravel()
    norm = float(np.linalg.norm(a0) * np.linalg.norm(b0))
    if norm < 1e-6:
        return 1.0 if float(np.abs(a - b).mean()) < 8 else 0.0
    return float(a0 @ b0) / norm


def repeated(change: np.ndarray) -> np.ndarray:
    """(T,) bool: crops that hold the same picture as the one before.

    A picture that is the same to the last bits is one. A codec changes a repeated picture a little, by less than any
    real one changes but not by less than all do. Single ones stand out from their neighbours (a call that stutters, 24
    frames/s shown at 30); where there are more the pattern tells: a film of 30 frames/s that was recorded at
    60 or 90 changes little in every second frame, or in two of three, for seconds.

    Args:
        change: (T,) RMS difference to the crop before, seen small (grey levels); NaN where there is none.
    """
    found = (np.nan_to_num(change, nan=np.inf) <= SAME_LEVELS) | _alone(change)
    share = _share_of_largest_around(change)
    low = np.nan_to_num(share, nan=1.0)
    for start in [*range(0, len(change) - WINDOW, WINDOW // 2), max(0, len(change) - WINDOW)]:
        part = slice(start, start + WINDOW)
        found[part] |= _in_pattern(low[part])
    return np.asarray(found)


def _alone(change: np.ndarray) -> np.ndarray:
    """(T,) bool: single pictures that change far less than those before and after, and than a still face does."""
    found = np.zeros(len(change), bool)
    if np.isfinite(change).sum() > 2:
        around = np.minimum(change[:-2], change[2:])
        found[1:-1] = (change[1:-1] < ALONE * around) & (change[1:-1] < BELOW_STILL * np.nanquantile(change, 0.3))
    return found


def _share_of_largest_around(change: np.ndarray) -> np.ndarray:
    """(T,) of each change to the largest within two frames."""
    padded = np.pad(np.nan_to_num(change, nan=0.0), 2)
    largest = np.lib.stride_tricks.sliding_window_view(padded, 5).max(axis=1)
    return np.asarray(change / np.maximum(largest, 1e-9))


def _in_pattern(share: np.ndarray) -> np.ndarray:
    """(n,) bool: low shares that come back with a fixed period; none where there is no such period."""
    dips = share < DIP
    for period in range(2, LONGEST_PERIOD + 1):
        if len(share) < CYCLES * period:
            break
        phase = np.arange(len(share)) % period
        rates = np.array([dips[phase == k].mean() for k in range(period)])
        low = rates >= OFTEN
        if low.any() and not low.all() and rates[~low].max() <= SELDOM:
            return np.asarray(low[phase] & (share < STILL_LOW))
    return np.zeros(len(share), bool)


def merge(faces: np.ndarray, frame_index: np.ndarray, times_s: np.ndarray, *, pictures: np.ndarray) -> np.ndarray:
    """(T,) `Reason` of every crop, from those of the source frames and of the pictures.

    What is the matter with a frame itself goes before what lies between it and the one before. A gap or cut among
    source frames that were passed over lies before the next crop.
    """
    reason = faces[frame_index].copy()
    breaks = np.flatnonzero(faces == Reason.CUT)
    at = np.searchsorted(frame_index, breaks)
    reason = np.where(np.isin(reason, BREAKS), Reason.NONE, reason)
    own = reason == Reason.NONE
    reason = np.where(own, pictures, reason)
    before = np.zeros(len(reason), bool)
    before[at[at < len(reason)]] = True
    reason = np.where(before & np.isin(reason, [Reason.NONE, Reason.GAP]), Reason.CUT, reason)
    damaged = pictures == Reason.DAMAGED
    merged: np.ndarray = np.where(damaged, Reason.DAMAGED, reason).astype(np.uint8)
    return merged
