"""Scores of recognition as MEGC2019 defines them: UF1, UAR and accuracy, pooled over all folds.

Per class, TP, FP and FN are summed over all folds before anything is divided (Li et al., MEGC 2019, eq. 1-3); the
figures of one data set restrict the same predictions to it. A class of which a part holds no clip leaves the means of
that part, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.metrics.bootstrap import Figure, draws, interval
from microexp.records.predictions import COLUMNS, check_fold
from microexp.records.tables import Row, Table
from microexp.run import storage

ALL = "all"


@dataclass(frozen=True)
class Prediction:
    """One method's answer to one clip, with one seed."""

    method: str
    seed: int
    dataset: str
    subject: str
    video: str
    expression: str
    label: str
    prediction: str

    @property
    def clip(self) -> tuple[str, str, str, str]:
        """What tells the clip from all others."""
        return self.dataset, self.subject, self.video, self.expression


@dataclass(frozen=True)
class Scores:
    """Scores of one confusion matrix.

    Attributes:
        uf1: unweighted mean of the classes' F1.
        uar: unweighted mean of the classes' recall.
        accuracy: share of clips that are right.
        f1: of each class, nan where the class has no clip.
        recall: of each class, nan where the class has no clip.
        absent: numbers of the classes that have no clip and were excluded from the means.
    """

    uf1: float
    uar: float
    accuracy: float
    f1: tuple[float, ...]
    recall: tuple[float, ...]
    absent: tuple[int, ...] = field(default=())


def read_predictions(paths: Iterable[Path]) -> list[Prediction]:
    """Read the `predictions.csv` of any number of folds.

    Raises:
        UserError: when a file or a value does not fit, or a file is of another fold than its path says.
    """
    found = []
    for path in paths:
        rows = storage.read_csv(path, COLUMNS)
        check_fold(path, ((row["method"], row["dataset"], row["subject"]) for row in rows))
        for number, row in enumerate(rows, 2):
            try:
                seed = int(row["seed"])
            except ValueError as error:
                raise UserError(
                    file=path, where=f"row {number}, seed", got=repr(row["seed"]), expected="a whole number"
                ) from error
            found.append(Prediction(row["method"], seed, *(row[c] for c in COLUMNS[2:])))
    return found


def grouped(predictions: Iterable[Prediction]) -> dict[str, dict[int, list[Prediction]]]:
    """Method -> seed -> predictions, in the order in which they first come."""
    groups: dict[str, dict[int, list[Prediction]]] = {}
    for p in predictions:
        groups.setdefault(p.method, {}).setdefault(p.seed, []).append(p)
    return groups


def check_once(predictions: Iterable[Prediction], file: object = "predictions") -> None:
    """Every method and seed must predict each clip exactly once, and all the same clips with the same labels.

    Raises:
        UserError: naming the first clip that is missing, there twice, or labelled in two ways.
    """
    expected: dict[tuple[str, str, str, str], str] | None = None
    first = ""
    for method, seeds in grouped(predictions).items():
        for seed, rows in seeds.items():
            name = f"{method}, seed {seed}"
            labels: dict[tuple[str, str, str, str], str] = {}
            for row in rows:
                if row.clip in labels:
                    raise UserError(
                        file=file,
                        where=name,
                        problem=f"clip {'/'.join(row.clip)} twice",
                        expected="each clip exactly once",
                    )
                labels[row.clip] = row.label
            if expected is None:
                expected, first = labels, name
            for clip in expected.keys() ^ labels.keys():
                lacks = name if clip in expected else first
                raise UserError(
                    file=file,
                    where=lacks,
                    problem=f"no clip {'/'.join(clip)}",
                    expected="the same clips for every method and seed",
                )
            for clip, label in labels.items():
                if label != expected[clip]:
                    raise UserError(
                        file=file,
                        where=f"{name}, clip {'/'.join(clip)}",
                        got=repr(label),
                        expected=repr(expected[clip]),
                    )


def confusion(rows: Iterable[Prediction], classes: Sequence[str], file: object = "predictions") -> np.ndarray:
    """(C, C) int64: clips of class i (row) that were predicted as class j (column).

    Raises:
        UserError: when a label or prediction is not among `classes`.
    """
    number = {c: i for i, c in enumerate(classes)}
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for row in rows:
        for what in (row.label, row.prediction):
            if what not in number:
                raise UserError(
                    file=file, where="/".join(row.clip), got=repr(what), expected="one of " + ", ".join(classes)
                )
        matrix[number[row.label], number[row.prediction]] += 1
    return matrix


def scores(matrix: np.ndarray) -> Scores:
    """Scores of a confusion matrix (C, C) with at least one clip."""
    f1, recall = class_scores(matrix)
    absent = np.isnan(recall)
    none = bool(absent.all())
    return Scores(
        uf1=float("nan") if none else float(np.mean(f1[~absent])),
        uar=float("nan") if none else float(np.mean(recall[~absent])),
        accuracy=float("nan") if none else float(np.trace(matrix) / matrix.sum()),
        f1=tuple(map(float, f1)),
        recall=tuple(map(float, recall)),
        absent=tuple(map(int, np.flatnonzero(absent))),
    )


def class_scores(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 and recall (..., C) of each class of confusion matrices (..., C, C); nan where a class has no clip."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1).astype(np.float64)
    real, predicted = matrices.sum(-1), matrices.sum(-2)
    with np.errstate(invalid="ignore"):
        recall = hits / real
        f1 = np.where(real > 0, 2 * hits / (real + predicted), np.nan)
    return f1, recall


def bootstrap(
    runs: Sequence[Sequence[Prediction]], classes: Sequence[str], samples: int, *, seed: int, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of UF1 and UAR when the subjects are drawn anew with replacement.

    Args:
        runs: predictions of each seed; within a sample the scores are averaged over them.
        classes: class names.
        samples: number of samples.
        seed: random seed.
        level: share of the samples inside the interval.
    """
    matrices = subject_matrices(runs, classes)
    drawn = drawn_scores(matrices, draws(matrices.shape[1], samples, seed=seed))
    return {name: interval(scores, level) for name, scores in zip(("uf1", "uar"), drawn, strict=True)}


def subject_matrices(runs: Sequence[Sequence[Prediction]], classes: Sequence[str]) -> np.ndarray:
    """(R, S, C, C) int64 confusion matrices of each seed and subject, subjects in the order of their names."""
    subjects = sorted({(p.dataset, p.subject) for p in runs[0]})
    number = {s: i for i, s in enumerate(subjects)}
    matrices = np.zeros((len(runs), len(subjects), len(classes), len(classes)), dtype=np.int64)
    for r, rows in enumerate(runs):
        by_subject: dict[tuple[str, str], list[Prediction]] = {}
        for p in rows:
            by_subject.setdefault((p.dataset, p.subject), []).append(p)
        for who, theirs in by_subject.items():
            matrices[r, number[who]] = confusion(theirs, classes)
    return matrices


def drawn_scores(matrices: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UF1 and UAR (B,) of samples that hold subject s `times[b, s]` times, means over the seeds.

    Args:
        matrices: (R, S, C, C) from `subject_matrices`.
        times: (B, S).
    """
    uf1, uar = class_scores(np.einsum("rsij,bs->brij", matrices, times))
    return np.nanmean(uf1, -1).mean(1), np.nanmean(uar, -1).mean(1)


def uf1_figure(runs: Sequence[Sequence[Prediction]], classes: Sequence[str], samples: int, *, seed: int) -> Figure:
    """UF1 of a method, a mean over its seeds, and the same when the subjects are drawn anew."""
    matrices = subject_matrices(runs, classes)
    value = float(np.mean([scores(m).uf1 for m in matrices.sum(1)]))
    times = draws(matrices.shape[1], samples, seed=seed)
    return Figure(value, drawn_scores(matrices, times)[0])


def parts(predictions: Iterable[Prediction]) -> list[str]:
    """`all`, then the data sets (only when there are several)."""
    datasets = sorted({p.dataset for p in predictions})
    return [ALL, *datasets] if len(datasets) > 1 else [ALL]


def classes_of(predictions: Iterable[Prediction]) -> list[str]:
    """All labels and predictions, sorted."""
    return sorted({c for p in predictions for c in (p.label, p.prediction)})


def summary(
    predictions: Sequence[Prediction], classes: Sequence[str] | None = None, samples: int = 1000, *, seed: int = 0
) -> tuple[list[Row], list[str]]:
    """One row per method and part, and notes.

    A row holds the mean and standard deviation over the seeds of UF1, UAR and accuracy, the bootstrap intervals over
    the part's subjects, and each class's F1 and number of clips.

    Raises:
        UserError: as `check_once` and `confusion`.
    """
    check_once(predictions)
    classes = list(classes) if classes else classes_of(predictions)
    rows: list[Row] = []
    notes: dict[str, None] = {}
    for method, seeds in grouped(predictions).items():
        for part in parts(predictions):
            runs = [[p for p in run if part in (ALL, p.dataset)] for run in seeds.values()]
            rows.append(_summary_row(method, part, runs, classes, samples, seed))
            missing = [classes[i] for i in scores(confusion(runs[0], classes)).absent]
            if missing:
                notes[f"{part}: no clip of {', '.join(missing)}; excluded from UF1 and UAR there"] = None
    return rows, list(notes)


def _summary_row(
    method: str, part: str, runs: Sequence[Sequence[Prediction]], classes: Sequence[str], samples: int, seed: int
) -> Row:
    found = [scores(confusion(run, classes)) for run in runs]
    row: dict[str, str | int | float | None] = {"method": method, "part": part, "clips": len(runs[0])}
    row["seeds"] = len(runs)
    for name in ("uf1", "uar", "accuracy"):
        values = [getattr(s, name) for s in found]
        row[name] = float(np.mean(values))
        row[f"{name}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    if samples:
        for name, (low, high) in bootstrap(runs, classes, samples, seed=seed).items():
            row[f"{name}_low"], row[f"{name}_high"] = low, high
    for i, name in enumerate(classes):
        row[f"f1_{name}"] = float(np.mean([s.f1[i] for s in found]))
        row[f"n_{name}"] = sum(p.label == name for p in runs[0])
    return row


def mean_confusion(runs: Mapping[int, Sequence[Prediction]], classes: Sequence[str]) -> np.ndarray:
    """(C, C) float64 confusion matrix averaged over the seeds."""
    return np.asarray(np.mean([confusion(rows, classes) for rows in runs.values()], axis=0))


def table(
    title: str,
    predictions: Sequence[Prediction],
    classes: Sequence[str] | None = None,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Table:
    """The table of an experiment: every method in all and per data set."""
    classes = list(classes) if classes else classes_of(predictions)
    rows, notes = summary(predictions, classes, samples, seed=seed)
    measures = [m for n in ("uf1", "uar") for m in (n, f"{n}_sd", f"{n}_low", f"{n}_high")] + [
        "accuracy",
        "accuracy_sd",
    ]
    per_class = [c for name in classes for c in (f"f1_{name}", f"n_{name}")]
    explained = [
        "TP, FP and FN are pooled over all folds; mean and sd (n - 1) over seeds; accuracy beside them.",
        f"low, high: 95 % interval of {samples} bootstrap samples over subjects." if samples else "",
        *notes,
    ]
    columns = ["method", "part", "clips", "seeds", *measures, *per_class]
    return Table(title, columns, rows, [line for line in explained if line])
