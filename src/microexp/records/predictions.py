"""`predictions.csv`: class probabilities of the held-out clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from microexp.run import storage
from microexp.run.names import WHOLE_DATASET, check_identity, fold_name

LAYOUT = "recognition/{experiment}/{method}/{fold}/predictions.csv"
"""Path of the predictions of a fold."""
COLUMNS = ("method", "seed", "dataset", "subject", "video", "expression", "label", "prediction")
"""Then one column `p_<class>` per class."""


def write_predictions(path: Path, rows: Sequence[tuple[object, ...]], classes: Sequence[str]) -> None:
    """Write `predictions.csv`: rows as in `COLUMNS`, then the class probabilities in the order of `classes`."""
    storage.write_csv(path, (*COLUMNS, *(f"p_{c}" for c in classes)), rows)


def check_fold(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Compare (method, data set, subject) of a file's rows with its path.

    Raises:
        UserError: when it is of another method or fold; a fold holds out a subject, or a whole data set.
    """
    for method, dataset, subject in sorted(set(rows)):
        whole = fold_name(dataset, WHOLE_DATASET)
        fold = whole if path.absolute().parent.name == whole else fold_name(dataset, subject)
        check_identity(path, {"method": method, "fold": fold}, LAYOUT)
