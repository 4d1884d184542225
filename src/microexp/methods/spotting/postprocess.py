"""From many proposals to few detections: duration filter, suppression of overlaps, consensus (vectorised NumPy).

All functions work on the proposals of one video and kind: closed intervals (n, 2) in frames and scores (n,). Proposals
are always taken in the same order, best first (ties: earlier onset, then earlier offset), so that the order in which
they come never matters.
"""

from __future__ import annotations

import numpy as np

from microexp.methods.spotting.params import ChoiceParams
from microexp.metrics.spotting import closed_iou


def confidence_order(intervals: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Indices of the proposals, best first."""
    return np.lexsort((intervals[:, 1], intervals[:, 0], -scores))


def duration_filter(intervals: np.ndarray, limits_frame: tuple[float, float]) -> np.ndarray:
    """(n,) whether a length, offset - onset + 1, is inside the limits, both included."""
    lengths = intervals[:, 1] - intervals[:, 0] + 1
    return np.asarray((lengths >= limits_frame[0]) & (lengths <= limits_frame[1]))


def suppress(intervals: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Indices of the kept proposals, best first: each overlaps no better kept one by more than `iou`."""
    order = confidence_order(intervals, scores)
    ordered = intervals[order]
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:  # one row at a time: a table of all pairs of an hour of video takes gigabytes
            alive[i + 1 :] &= closed_iou(ordered[i : i + 1], ordered[i + 1 :])[0] <= iou
    return order[alive]


def supported(
    kept: np.ndarray, intervals: np.ndarray, scores: np.ndarray, *, needed: int, iou: float, confident: int
) -> np.ndarray:
    """(len(kept),) whether at least `needed` of the `confident` best proposals overlap a kept interval by `iou`.

    Args:
        kept: (k, 2) intervals that survived the suppression.
        intervals: (n, 2) all proposals, before it.
        scores: (n,).
        needed: supporters besides the kept proposal itself.
        iou: least IoU of a supporter.
        confident: size of the confident set.
    """
    best = intervals[confidence_order(intervals, scores)[:confident]]
    overlap = closed_iou(kept, best)
    same = (kept[:, None] == best).all(-1)
    itself = same.any(1) & (np.cumsum(same, 1) == 1).any(1)  # one exact copy is the proposal itself
    return np.asarray((overlap >= iou).sum(1) - itself >= needed)


def clean(
    intervals: np.ndarray, scores: np.ndarray, limits_frame: tuple[float, float], *, options: ChoiceParams
) -> tuple[np.ndarray, np.ndarray]:
    """All steps before threshold and top-k.

    Args:
        intervals: (n, 2) proposals of one video and kind; rounded to whole frames here.
        scores: (n,).
        limits_frame: shortest and longest length.
        options: of the suppression, and whether consensus is asked for.

    Returns:
        Intervals (m, 2) and scores (m,), best first.
    """
    intervals = np.rint(np.asarray(intervals, np.float64).reshape(-1, 2))
    scores = np.asarray(scores, np.float64)
    inside = duration_filter(intervals, limits_frame)
    intervals, scores = intervals[inside], scores[inside]
    chosen = suppress(intervals, scores, options.overlap_iou)
    kept, kept_scores = intervals[chosen], scores[chosen]
    if options.consensus:
        agreed = supported(
            kept, intervals, scores, needed=options.consensus, iou=options.consensus_iou, confident=options.confident
        )
        kept, kept_scores = kept[agreed], kept_scores[agreed]
    return kept, kept_scores
