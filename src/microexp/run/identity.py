"""What a file is of: what it or its record says, against what its path says, for every kind of file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from microexp.errors import UserError

AGAIN = "delete it and run again"


def place_of(path: str | Path, layout: str) -> dict[str, str] | None:
    """What the end of a path says.

    Args:
        path: a file, such as `results/crops/casme2/sub01.h5`.
        layout: its form, such as `{dataset}/{subject}.h5`; a name stands for one folder or the part of a file's name.

    Returns:
        Name -> text, or None when the path has another form.
    """
    parts = re.split(r"\{(\w+)\}", layout)
    pattern = "".join(re.escape(p) if i % 2 == 0 else f"(?P<{p}>[^/]+?)" for i, p in enumerate(parts))
    match = re.search(rf"(?:^|/){pattern}$", Path(path).absolute().as_posix())
    return match.groupdict() if match else None


def check_identity(path: str | Path, found: Mapping[str, str], layout: str) -> None:
    """Compare what a file says of itself with its path.

    Args:
        path: the file.
        found: what is inside it: `{"dataset": "casme2", "subject": "sub01"}`, or `experiment`, `method`, `fold`.
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


def place_record(path: Path, layout: str, known: Mapping[str, str]) -> dict[str, Any]:
    """What a file's record keeps of its place, for `check_place`.

    Args:
        path: where the file is about to be written.
        layout: form of such a path.
        known: what the job knows of the names in it.

    Raises:
        UserError: when the path says something else than the job.
    """
    check_identity(path, known, layout)
    names = re.findall(r"\{(\w+)\}", layout)
    found = {**(place_of(path, layout) or {}), **{n: known[n] for n in names if n in known}}
    return {"layout": layout, "place": found} if found or not names else {}


def check_place(path: Path, record: Mapping[str, Any], *, anywhere: bool = True) -> None:
    """Compare the place that a record was written for with the place where its file is now.

    Args:
        path: the file.
        record: its record.
        anywhere: whether the file may lie under a path of another form, as a copy outside of the results may.

    Raises:
        UserError: as `check_identity`; nothing is compared when the record keeps no place.
    """
    layout = str(record.get("layout", ""))
    if not layout:
        return
    if not anywhere and place_of(path, layout) is None:
        raise UserError(file=path, problem="a file that was moved or swapped", expected=layout, hint=AGAIN)
    check_identity(path, record.get("place") or {}, layout)


# Whom the rows of a table are of, against what its path says.

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
