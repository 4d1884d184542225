"""From proposals to detections: threshold and top-k chosen on subjects of known truths, durations, overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microexp.methods.spotting.params import ChoiceParams
from microexp.metrics.spotting import Matching, closed_iou, hits
from microexp.records.index import KINDS

N_THRESHOLDS = 64


@dataclass(frozen=True)
class Candidates:
    """Cleaned proposals of one video and kind, best first, beside its truths.

    Attributes:
        intervals: (n, 2) closed, frames.
        scores: (n,) not increasing.
        truths: (m, 2).
    """

    intervals: np.ndarray
    scores: np.ndarray
    truths: np.ndarray


@dataclass(frozen=True)
class Choice:
    """What was chosen for one kind, and its F1 on the subjects on which it was chosen."""

    threshold: float
    top_k: int
    f1: float


def take(intervals: np.ndarray, scores: np.ndarray, choice: Choice) -> tuple[np.ndarray, np.ndarray]:
    """The `top_k` best of a video, of those with a score that reaches the threshold."""
    count = min(choice.top_k, int((scores >= choice.threshold).sum()))
    return intervals[:count], scores[:count]


def choose(videos: Mapping[str, Sequence[Candidates]], options: ChoiceParams) -> dict[str, Choice]:
    """Threshold and top-k of each kind with the best F1 over `videos` (kind -> candidates of every video).

    Of equally good ones the higher threshold wins, then the smaller top-k: what was never seen should not be guessed.
    While choosing, `one_to_one` matches greedily, best prediction first.
    """
    tops = tuple(sorted(options.top_k))
    grids = {kind: _grid(videos[kind], tops, options.matching) for kind in KINDS}
    if options.maximise == "kinds":
        found = {kind: _best(g.true_positives, g.predictions + g.truths) for kind, g in grids.items()}
    else:
        micro, macro = (grids[k] for k in KINDS)
        tp = micro.true_positives.reshape(-1, 1) + macro.true_positives.reshape(-1)
        total = (micro.predictions + micro.truths).reshape(-1, 1) + (macro.predictions + macro.truths).reshape(-1)
        a, b = np.unravel_index(_best(tp, total), tp.shape)
        found = {"micro": int(a), "macro": int(b)}
    return {kind: grids[kind].choice(found[kind], tops) for kind in KINDS}


@dataclass(frozen=True)
class _Grid:
    """Counts for every threshold (falling) and top-k (rising): arrays (thresholds, tops)."""

    thresholds: np.ndarray
    true_positives: np.ndarray
    predictions: np.ndarray
    truths: int

    def choice(self, index: int, tops: Sequence[int]) -> Choice:
        """Threshold, top-k and F1 of the place `index` in the flattened grid."""
        i, j = divmod(index, len(tops))
        total = int(self.predictions[i, j]) + self.truths
        f1 = 2 * int(self.true_positives[i, j]) / total if total else 0.0
        return Choice(float(self.thresholds[i]), tops[j], f1)


def _grid(videos: Sequence[Candidates], tops: Sequence[int], matching: Matching) -> _Grid:
    scores = np.concatenate([v.scores for v in videos]) if videos else np.empty(0)
    ranks = np.concatenate([np.arange(len(v.scores)) for v in videos]) if videos else np.empty(0)
    firsts = [_first_hits(v, matching) for v in videos]
    hit_ranks = np.concatenate([rank for rank, _ in firsts]) if videos else np.empty(0)
    hit_scores = np.concatenate([score for _, score in firsts]) if videos else np.empty(0)
    thresholds = _thresholds(hit_scores, scores)
    limit = np.asarray(tops)
    taken = (scores >= thresholds[:, None])[:, None] & (ranks < limit[:, None])
    hit = (hit_scores >= thresholds[:, None])[:, None] & (hit_ranks < limit[:, None])
    return _Grid(thresholds, hit.sum(-1), taken.sum(-1), sum(len(v.truths) for v in videos))


def _thresholds(hit_scores: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Candidates, falling: above every score, then half way between a score that hits something and the next lower one.

    The first keeps a kind silent. A threshold is best just below a hit; half way down to the next score it generalises
    a little better.
    """
    silent = np.nextafter(scores.max(), np.inf) if len(scores) else 1.0
    if not len(hit_scores):
        return np.array([silent])
    levels = np.unique(hit_scores)
    if len(levels) > N_THRESHOLDS:
        levels = levels[np.linspace(0, len(levels) - 1, N_THRESHOLDS).round().astype(int)]
    ordered = np.unique(scores)
    below = np.searchsorted(ordered, levels) - 1
    lower = np.where(below >= 0, ordered[np.maximum(below, 0)], levels)
    return np.append((levels + lower) / 2, silent)[::-1]


def _first_hits(video: Candidates, matching: Matching) -> tuple[np.ndarray, np.ndarray]:
    """Rank and score of the prediction that finds each truth that is found at all.

    Predictions are sorted, best first, so a truth is a true positive exactly where this one is among those taken.
    """
    found = hits(video.intervals, video.truths, matching)
    if matching == "megc":
        rank = found.argmax(0)[found.any(0)] if len(found) else np.empty(0, int)
    else:
        free = np.ones(found.shape[1], bool)
        taken = []
        for i in np.flatnonzero(found.any(1)):
            truth = np.flatnonzero(found[i] & free)
            if len(truth):
                free[truth[0]] = False
                taken.append(i)
        rank = np.array(taken, int)
    return rank, video.scores[rank]


def _best(true_positives: np.ndarray, total: np.ndarray | int) -> int:
    f1 = np.divide(2 * true_positives, total, out=np.zeros(true_positives.shape), where=np.asarray(total) > 0)
    return int(f1.argmax())


def duration_limits(lengths_s: Mapping[str, Sequence[float]], quantile: float, margin: float) -> dict[str, list[float]]:
    """Shortest and longest length of each kind, s: quantiles of the training lengths, widened by `margin`.

    A kind without any training expression gets no room at all: [0, 0].
    """
    limits = {}
    for kind in KINDS:
        values = np.asarray(lengths_s.get(kind, []), np.float64)
        if not len(values):
            limits[kind] = [0.0, 0.0]
            continue
        low, high = np.quantile(values, [quantile, 1 - quantile])
        limits[kind] = [round(float(low * (1 - margin)), 6), round(float(high * (1 + margin)), 6)]
    return limits


# From many proposals to few detections: duration filter, suppression of overlaps, consensus (vectorised NumPy).
#
# All functions work on the proposals of one video and kind: closed intervals (n, 2) in frames and scores (n,).
# Proposals are always taken in the same order, best first (ties: earlier onset, then earlier offset), so that the
# order in which they come never matters.


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
