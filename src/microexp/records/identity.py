"""Whom the rows of a table are of, against what its path says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from microexp.run.identity import check_identity

TABLES = ("index/{dataset}/{table}.csv", "index/{dataset}/subjects/{subject}/{table}.csv")
"""Paths of tables that have columns `dataset` and `subject`."""


def check_rows(path: str | Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Compare the columns `dataset` and `subject` of a table with its path; what is empty there says nothing.

    Raises:
        UserError: see `check_identity`.
    """
    seen = {tuple((n, row[n]) for n in ("dataset", "subject") if row.get(n)) for row in rows}
    for layout in TABLES:
        for found in sorted(seen):
            check_identity(path, dict(found), layout)
