"""Scores of several action units at once: AUC and F1 per unit, pooled over all folds.

AUC is the chance that a clip that shows the unit gets a higher probability than one that does not (ties count half).
F1 is at probability one half, chosen on nothing. A unit that no clip shows, or every clip, has neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.datasets.classes import NAMES, numbers
from microexp.errors import UserError
from microexp.metrics.bootstrap import Figure, draws, interval
from microexp.metrics.recognition import ALL, Prediction, parts
from microexp.records.predictions import COLUMNS
from microexp.records.tables import Row, Table
from microexp.run import storage

THRESHOLD = 0.5
MEAN = "mean"


@dataclass(frozen=True)
class UnitPrediction(Prediction):
    """One method's answer to one clip; `label` holds the units as the sheet writes them.

    Attributes:
        p: unit's name (`AU12`) -> probability.
    """

    p: Mapping[str, float]


def read_predictions(paths: Iterable[Path]) -> list[UnitPrediction]:
    """Read the `predictions.csv` of any number of folds.

    Raises:
        UserError: when a file or a value does not fit.
    """
    found = []
    for path in paths:
        for number, row in enumerate(storage.read_csv(path, COLUMNS), 2):
            try:
                p = {name.removeprefix("p_"): float(value) for name, value in row.items() if name.startswith("p_AU")}
                cells = {name: row[name] for name in COLUMNS if name != "seed"}
                found.append(UnitPrediction(seed=int(row["seed"]), p=p, **cells))
            except ValueError as error:
                raise UserError(file=path, where=f"row {number}", problem=error, expected="numbers") from error
    return found


def auc(shown: np.ndarray, p: np.ndarray) -> float:
    """Area under the receiver operating characteristic of p (N,) for shown (N,) bool; nan without both."""
    yes = int(shown.sum())
    if not 0 < yes < len(shown):
        return float("nan")
    _, place, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[shown].sum() - yes * (yes + 1) / 2) / (yes * (len(shown) - yes)))


def f1(shown: np.ndarray, answer: np.ndarray) -> float:
    """F1 of answers (N,) bool; nan where nothing is shown."""
    if not shown.any():
        return float("nan")
    return float(2 * (shown & answer).sum() / (shown.sum() + answer.sum()))


def scores(shown: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC (U,) and F1 (U,) of each unit; shown (N, U) bool, p (N, U)."""
    columns = range(shown.shape[1])
    return (
        np.array([auc(shown[:, u], p[:, u]) for u in columns]),
        np.array([f1(shown[:, u], p[:, u] >= THRESHOLD) for u in columns]),
    )


def auc_figure(rows: Sequence[UnitPrediction], names: Sequence[str], samples: int, *, seed: int) -> Figure:
    """Mean AUC over the units, and the same when the subjects are drawn anew; nan where no unit has one."""
    shown, p = arrays(rows, names)
    subjects = [f"{row.dataset}/{row.subject}" for row in rows]
    people, who = np.unique(np.array(subjects, dtype=str), return_inverse=True)
    drawn = []
    for times in draws(len(people), samples, seed=seed):
        chosen = np.repeat(np.arange(len(rows)), times[who])
        drawn.append(_mean(scores(shown[chosen], p[chosen])[0]))
    return Figure(_mean(scores(shown, p)[0]), np.array(drawn))


def _mean(values: np.ndarray) -> float:
    """Of those that are there; nan without any."""
    return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else float("nan")


def arrays(rows: Sequence[UnitPrediction], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which units clips show (N, U) bool, and their probabilities (N, U).

    Raises:
        UserError: when a prediction lacks a unit.
    """
    for row in rows:
        missing = [name for name in names if name not in row.p]
        if missing:
            raise UserError(file="predictions", where="/".join(row.clip), problem=f"no p_{missing[0]}")
    shown = [[int(name.removeprefix("AU")) in own for name in names] for own in (numbers(r.label) for r in rows)]
    return np.array(shown, bool), np.array([[row.p[name] for name in names] for row in rows])


def table(
    title: str,
    predictions: Sequence[UnitPrediction],
    names: Sequence[str] = NAMES,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Table:
    """A row per method, part and unit that some clip shows, and first one of their mean."""
    rows: list[Row] = []
    for method in dict.fromkeys(p.method for p in predictions):
        own = [p for p in predictions if p.method == method]
        for part in parts(predictions):
            rows += _rows(method, part, [p for p in own if part in (ALL, p.dataset)], names, samples, seed)
    columns = ["method", "part", "unit", "clips", "shown", "auc", "auc_low", "auc_high", "unit_f1"]
    notes = [
        "Pooled over all folds. auc: .5 is chance. unit_f1: at probability .5, chosen on nothing. mean: over the units "
        "that are shown by some of the clips, not by all.",
        f"low, high: 95 % interval of {samples} bootstrap samples over subjects." if samples else "",
        "A method that learns from rendered flow alone has seen no real face (zero-shot); the others never "
        "the held-out subject.",
    ]
    return Table(title, columns, rows, [n for n in notes if n])


def _rows(
    method: str, part: str, own: Sequence[UnitPrediction], names: Sequence[str], samples: int, seed: int
) -> list[Row]:
    shown, p = arrays(own, names)
    areas, f1s = scores(shown, p)
    used = np.flatnonzero(np.isfinite(areas)).tolist()
    common: dict[str, str | int] = {"method": method, "part": part, "clips": len(own)}
    if not len(used):
        return [{**common, "unit": MEAN, "shown": 0, "auc": None, "unit_f1": None}]
    low, high = interval(auc_figure(own, names, samples, seed=seed).drawn) if samples else (None, None)
    mean: Row = {
        **common, "unit": MEAN, "shown": int(shown[:, used].any(1).sum()), "auc": float(areas[used].mean()),
        "auc_low": low, "auc_high": high, "unit_f1": float(f1s[used].mean()),
    }  # fmt: skip
    each: list[Row] = [
        {**common, "unit": names[u], "shown": int(shown[:, u].sum()), "auc": float(areas[u]), "unit_f1": float(f1s[u])}
        for u in used
    ]
    return [mean, *each]
