"""`predictions.csv`: class probabilities of the held-out clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from microexp.run import storage

COLUMNS = ("method", "seed", "dataset", "subject", "video", "expression", "label", "prediction")
"""Then one column `p_<class>` per class."""


def write_predictions(path: Path, rows: Sequence[tuple[object, ...]], classes: Sequence[str]) -> None:
    """Write `predictions.csv`: rows as in `COLUMNS`, then the class probabilities in the order of `classes`."""
    storage.write_csv(path, (*COLUMNS, *(f"p_{c}" for c in classes)), rows)
