"""`training.csv`: the log of a fold's trainings; a method adds columns of its own behind those that all have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from microexp.run import storage

COLUMNS = ("variant", "seed", "fit", "epoch")
Value = str | int | float


def write_training(path: Path, rows: Sequence[Mapping[str, Value]]) -> None:
    """Write the log: the common columns, then all others in the order in which they first occur."""
    columns = list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
    storage.write_csv(path, columns, [[row.get(name) for name in columns] for row in rows])
