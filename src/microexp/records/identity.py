"""Whom a file is of: what stands inside it against what its path says, for every kind of file from here alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from microexp.errors import UserError

AGAIN = "delete it and run again"
TABLES = ("index/{dataset}/{table}.csv", "index/{dataset}/subjects/{subject}/{table}.csv")
"""Where tables stand that have columns `dataset` and `subject`."""


def place_of(path: str | Path, layout: str) -> dict[str, str] | None:
    """What the end of a path says.

    Args:
        path: a file, such as `results/crops/casme2/sub01.h5`.
        layout: its form, such as `{dataset}/{subject}.h5`; a name stands for one folder or the part of a file's name.

    Returns:
        Name -> text, or None when the path has another form.
    """
    parts = re.split(r"\{(\w+)\}", layout)
    pattern = "".join(re.escape(p) if i % 2 == 0 else f"(?P<{p}>[^/]+)" for i, p in enumerate(parts))
    match = re.search(rf"(?:^|/){pattern}$", Path(path).absolute().as_posix())
    return match.groupdict() if match else None


def check_identity(path: str | Path, found: Mapping[str, str], layout: str) -> None:
    """Compare what a file says of itself with its path.

    Args:
        path: the file.
        found: what stands inside it: `{"dataset": "casme2", "subject": "sub01"}`, or `experiment`, `method`, `fold`.
        layout: form of the end of such a file's path, see `place_of`; names that `found` lacks are not compared, and
            nothing is when the path has another form.

    Raises:
        UserError: naming file, name and both values of the first that differs.
    """
    for name, expected in (place_of(path, layout) or {}).items():
        if name in found and str(found[name]) != expected:
            raise UserError(
                file=path,
                where=name,
                problem=f"{found[name]!r} inside a file that was moved or swapped",
                expected=f"{expected!r} as in its path",
                hint=AGAIN,
            )


def check_rows(path: str | Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Compare the columns `dataset` and `subject` of a table with its path; what is empty there says nothing.

    Raises:
        UserError: see `check_identity`.
    """
    seen = {tuple((n, row[n]) for n in ("dataset", "subject") if row.get(n)) for row in rows}
    for layout in TABLES:
        for found in sorted(seen):
            check_identity(path, dict(found), layout)
