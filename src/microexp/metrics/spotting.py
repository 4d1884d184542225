"""Spotting measured as in the micro-expression grand challenges (MEGC2020-2022): counts per kind, F1, STRS.

A prediction hits a ground truth of the same video and kind when the intersection over union of their closed intervals
of frames is at least .5. Precision is true positives over predictions, recall true positives over ground truths;
*overall* adds the counts of both kinds. Counts are pooled over all subjects and videos, those without any expression
included.

Two ways to count true positives:

* `megc`, as the official script does: ground truths hit by at least one prediction, so that one prediction may count
  for several of them. As there, an interval of a single frame (or one that ends before it begins) hits nothing.
* `one_to_one`: the largest number of pairs in which every prediction and every ground truth occurs once. Never above
  `megc` but for single frames, and the one for claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from microexp.metrics.bootstrap import Figure, draws, interval
from microexp.records.index import KINDS

Matching = Literal["megc", "one_to_one"]
OVERALL = "overall"
IOU = 0.5


@dataclass(frozen=True)
class Interval:
    """An expression, found or annotated: the closed interval [onset, offset] of a video.

    Attributes:
        subject: unit of the per-subject table and of the bootstrap; data sets keep apart, as `casme2/sub05`.
        video: unique within the subject.
        kind: `micro` or `macro`.
        emotion: for STRS; may be empty.
    """

    subject: str
    video: str
    onset: float
    offset: float
    kind: str
    emotion: str = ""


@dataclass(frozen=True)
class Counts:
    """True positives, predictions and ground truths."""

    true_positives: int = 0
    predictions: int = 0
    truths: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true_positives + other.true_positives,
            self.predictions + other.predictions,
            self.truths + other.truths,
        )

    @property
    def precision(self) -> float:
        """True positives over predictions; 0 without predictions."""
        return self.true_positives / self.predictions if self.predictions else 0.0

    @property
    def recall(self) -> float:
        """True positives over ground truths; 0 without ground truths."""
        return self.true_positives / self.truths if self.truths else 0.0

    @property
    def f1(self) -> float:
        """2·TP over (predictions + ground truths), the harmonic mean of precision and recall; 0 without either."""
        total = self.predictions + self.truths
        return 2 * self.true_positives / total if total else 0.0


KindCounts = Mapping[str, Counts]
"""Counts by `micro`, `macro` and `overall`."""


def closed_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, m) intersection over union of closed intervals of frames, (n, 2) and (m, 2)."""
    first, second = np.asarray(first, np.float64).reshape(-1, 2), np.asarray(second, np.float64).reshape(-1, 2)
    shared = np.minimum(first[:, None, 1], second[:, 1]) - np.maximum(first[:, None, 0], second[:, 0]) + 1
    shared = np.clip(shared, 0, None)
    lengths = (first[:, 1] - first[:, 0] + 1)[:, None] + (second[:, 1] - second[:, 0] + 1)
    union = lengths - shared
    iou: np.ndarray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def hits(predictions: np.ndarray, truths: np.ndarray, matching: Matching) -> np.ndarray:
    """(n, m) whether each prediction (n, 2) hits each ground truth (m, 2)."""
    found: np.ndarray = closed_iou(predictions, truths) >= IOU
    if matching == "megc":
        predictions, truths = np.asarray(predictions).reshape(-1, 2), np.asarray(truths).reshape(-1, 2)
        found &= (predictions[:, 1] > predictions[:, 0])[:, None] & (truths[:, 1] > truths[:, 0])
    return found


def true_positives(found: np.ndarray, matching: Matching) -> int:
    """True positives in a matrix of hits (predictions x ground truths)."""
    return int(found.any(0).sum()) if matching == "megc" else len(pairs(found, found))


def pairs(found: np.ndarray, iou: np.ndarray) -> dict[int, int]:
    """The one-to-one matching, ground truth -> prediction, with the most pairs and of those the largest sum of IoU.

    Args:
        found: (n, m) hits, predictions x ground truths.
        iou: (n, m) intersection over union, 0 to 1.
    """
    if found.sum(1).max(initial=0) <= 1:  # as where ground truths lie apart: each takes the best of its own
        best = np.where(found, iou, -1.0).argmax(0) if len(found) else np.empty(0, np.int64)
        return {int(t): int(best[t]) for t in np.flatnonzero(found.any(0))}
    from scipy.optimize import linear_sum_assignment  # its import takes longer than most whole evaluations

    one_more_pair = min(found.shape) + 1  # outweighs any sum of IoU
    rows, columns = linear_sum_assignment(found * (one_more_pair + iou), maximize=True)
    return {int(t): int(p) for p, t in zip(rows, columns, strict=True) if found[p, t]}


def count(predictions: Iterable[Interval], truths: Iterable[Interval], matching: Matching) -> dict[str, Counts]:
    """Pooled counts by kind and overall."""
    return _total(count_subjects(predictions, truths, matching).values())


def count_subjects(
    predictions: Iterable[Interval], truths: Iterable[Interval], matching: Matching, *, subjects: Iterable[str] = ()
) -> dict[str, dict[str, Counts]]:
    """Counts of every subject by kind and overall.

    Args:
        predictions: of any number of subjects and videos.
        truths: the same.
        matching: how true positives are counted.
        subjects: subjects to list even when they have neither a prediction nor a ground truth.
    """
    found, real = _group(predictions), _group(truths)
    table: dict[str, dict[str, Counts]] = {
        s: {kind: Counts() for kind in KINDS} for s in sorted({*subjects, *(key[0] for key in (*found, *real))})
    }
    for key in sorted({*found, *real}):
        subject, _, kind = key
        a, b = _array(found.get(key, [])), _array(real.get(key, []))
        table[subject][kind] += Counts(true_positives(hits(a, b, matching), matching), len(a), len(b))
    for row in table.values():
        row[OVERALL] = row["micro"] + row["macro"]
    return table


def bootstrap_f1(runs: Sequence[Mapping[str, KindCounts]], samples: int, seed: int) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of the pooled F1 by kind and overall, subjects drawn with replacement.

    Args:
        runs: subject -> counts, of each seed, with the same subjects; within a sample F1 is averaged over them.
        samples: number of samples.
        seed: random seed.
    """
    return {kind: interval(f1_figure(runs, samples, seed, kind=kind).drawn) for kind in (*KINDS, OVERALL)}


def f1_figure(runs: Sequence[Mapping[str, KindCounts]], samples: int, seed: int, *, kind: str = OVERALL) -> Figure:
    """Pooled F1, a mean over the seeds, and the same in samples of subjects; arguments as of `bootstrap_f1`."""
    times = draws(len(runs[0]), samples, seed=seed)
    values, drawn = [], []
    for run in runs:
        own = [run[subject][kind] for subject in sorted(run)]
        values.append(sum(own, Counts()).f1)
        rows = np.array([(c.true_positives, c.predictions + c.truths) for c in own], np.float64).reshape(-1, 2)
        hit, listed = (times @ rows).T
        drawn.append(np.divide(2 * hit, listed, out=np.zeros(samples), where=listed > 0))
    return Figure(float(np.mean(values)), np.mean(drawn, axis=0))


@dataclass(frozen=True)
class Strs:
    """Spot-then-recognise score (Liong, See & Chan 2023, doi:10.1016/j.image.2022.116875).

    Attributes:
        true_positives: of spotting: ground truths that a prediction took.
        false_positives: predictions that took none.
        false_negatives: ground truths that none took.
        precision: of the analysis: unweighted mean over all emotions of the ground truth.
        recall: the same.
        uf1: unweighted mean of the emotions' F1.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float
    recall: float
    uf1: float

    @property
    def f1_spotting(self) -> float:
        """F1 of spotting, by true and false positives and false negatives."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else 0.0

    @property
    def f1_analysis(self) -> float:
        """Harmonic mean of the analysis' macro precision and macro recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @property
    def strs(self) -> float:
        """The product of both."""
        return self.f1_spotting * self.f1_analysis


def strs(predictions: Sequence[Interval], truths: Sequence[Interval], every_video: bool = False) -> Strs:
    """The score as the reference computes it (github.com/genbing99/STRS-Metric).

    Predictions come in the order of their rows; each takes all ground truths of its video and kind that it hits (IoU of
    at least .5) and that no earlier one took. The analysis looks at these pairs, and at every emotion of the ground
    truth: one that all of the pairs have on both sides, or none, counts 0.

    Args:
        predictions: with emotions, in the order of their rows.
        truths: with emotions.
        every_video: the reference passes over subjects without any prediction and predictions in videos without a
            ground truth; True counts them too.
    """
    found, real = _group(predictions), _group(truths)
    people, shown = {p.subject for p in predictions}, {(t.subject, t.video) for t in truths}
    pairs_taken: list[tuple[str, str]] = []
    false_positives = false_negatives = 0
    for key in dict.fromkeys((*found, *real)):
        if not every_video and (key[0] not in people or key[:2] not in shown):
            continue
        taken, lone, missed = _take(found.get(key, []), real.get(key, []))
        pairs_taken += taken
        false_positives, false_negatives = false_positives + lone, false_negatives + missed
    precision, recall, uf1 = _analysis(pairs_taken, sorted({t.emotion for t in truths}))
    return Strs(len(pairs_taken), false_positives, false_negatives, precision, recall, uf1)


def _take(found: Sequence[Interval], real: Sequence[Interval]) -> tuple[list[tuple[str, str]], int, int]:
    """(ground truth's emotion, prediction's) of each ground truth taken, then predictions and ground truths without."""
    hit = closed_iou(_array(found), _array(real)) >= IOU
    free = np.ones(len(real), bool)
    taken, lone = [], 0
    for prediction, row in zip(found, hit, strict=True):
        mine = np.flatnonzero(row & free)
        free[mine] = False
        taken += [(real[int(i)].emotion, prediction.emotion) for i in mine]
        lone += not len(mine)
    return taken, lone, int(free.sum())


def _analysis(taken: Sequence[tuple[str, str]], emotions: Sequence[str]) -> tuple[float, float, float]:
    """Macro precision, recall and F1 over `emotions`."""
    rows = []
    for emotion in emotions:
        both = sum(t == p == emotion for t, p in taken)
        truth, predicted = (sum(pair[side] == emotion for pair in taken) for side in (0, 1))
        if both == len(taken):  # the reference's confusion matrix has a single cell then
            both = truth = predicted = 0
        rows.append(
            (
                both / predicted if predicted else 0.0,
                both / truth if truth else 0.0,
                2 * both / (truth + predicted) if truth + predicted else 0.0,
            )
        )
    means = np.mean(rows, 0) if rows else np.zeros(3)
    return float(means[0]), float(means[1]), float(means[2])


def _group(items: Iterable[Interval]) -> dict[tuple[str, str, str], list[Interval]]:
    groups: dict[tuple[str, str, str], list[Interval]] = {}
    for item in items:
        groups.setdefault((item.subject, item.video, item.kind), []).append(item)
    return groups


def _array(items: Sequence[Interval]) -> np.ndarray:
    return np.array([(i.onset, i.offset) for i in items], np.float64).reshape(-1, 2)


def _total(rows: Iterable[KindCounts]) -> dict[str, Counts]:
    rows = list(rows)
    return {kind: sum((row[kind] for row in rows), Counts()) for kind in (*KINDS, OVERALL)}
