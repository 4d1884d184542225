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
from scipy.optimize import linear_sum_assignment

Matching = Literal["megc", "one_to_one"]
KINDS = ("micro", "macro")
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
    one_more_pair = min(found.shape) + 1  # outweighs any sum of IoU
    rows, columns = linear_sum_assignment(found * (one_more_pair + iou), maximize=True)
    return {int(t): int(p) for p, t in zip(rows, columns, strict=True) if found[p, t]}


def count(predictions: Iterable[Interval], truths: Iterable[Interval], matching: Matching) -> dict[str, Counts]:
    """Pooled counts by kind and overall."""
    return _total(count_subjects(predictions, truths, matching).values())


def count_subjects(
    predictions: Iterable[Interval], truths: Iterable[Interval], matching: Matching, subjects: Iterable[str] = ()
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


def bootstrap_f1(
    subjects: Mapping[str, KindCounts], samples: int, seed: int, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the pooled F1 by kind and overall, subjects drawn with replacement."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, max(1, len(subjects)), (samples, len(subjects)))
    limits = {}
    for kind in (*KINDS, OVERALL):
        rows = [(c.true_positives, c.predictions + c.truths) for c in (s[kind] for s in subjects.values())]
        sums = np.array(rows, np.float64).reshape(-1, 2)[drawn].sum(1)
        f1 = np.divide(2 * sums[:, 0], sums[:, 1], out=np.zeros(samples), where=sums[:, 1] > 0)
        low, high = np.quantile(f1, [(1 - level) / 2, (1 + level) / 2]) if samples else (np.nan, np.nan)
        limits[kind] = (float(low), float(high))
    return limits


def recognition_f1(predictions: Iterable[Interval], truths: Iterable[Interval]) -> float:
    """Unweighted F1 over the emotions of what was spotted (one-to-one, in any order of rows), 0 when nothing was."""
    found, real = _group(predictions), _group(truths)
    spotted: list[tuple[str, str]] = []
    for key in found.keys() & real.keys():
        a, b = (sorted(items[key], key=lambda i: (i.onset, i.offset, i.emotion)) for items in (found, real))
        owner = pairs(hits(_array(a), _array(b), "one_to_one"), closed_iou(_array(a), _array(b)))
        spotted += [(b[truth].emotion, a[prediction].emotion) for truth, prediction in owner.items()]
    scores = []
    for emotion in sorted({t for t, _ in spotted}):
        tp = sum(t == p == emotion for t, p in spotted)
        scores.append(2 * tp / sum((t == emotion) + (p == emotion) for t, p in spotted))
    return float(np.mean(scores)) if scores else 0.0


def strs(predictions: Sequence[Interval], truths: Sequence[Interval]) -> float:
    """Spot-then-recognise score of MEGC2022 and later: F1 of spotting x F1 of recognising what was spotted."""
    return count(predictions, truths, "one_to_one")[OVERALL].f1 * recognition_f1(predictions, truths)


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
