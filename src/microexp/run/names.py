"""Names are data, checked before they become part of a path; what a file is of is checked against its path."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from microexp.errors import UserError

NAME = r"[A-Za-z0-9][A-Za-z0-9_.]*"
"""Data set, subject and video names; no '-', which joins data set and subject in a fold's name."""

WHOLE_DATASET = "all"
"""Stands for the subject in the name of a fold that leaves a whole data set out: `samm-all`."""

_NAME = re.compile(NAME)


def check_name(name: str, what: str, file: object = None) -> str:
    """Return `name` if it is safe as a folder and HDF5 group name.

    Raises:
        UserError: naming `file` and `what` when it holds anything but letters, digits, `_` and `.`.
    """
    if not _NAME.fullmatch(name) or len(name) > 100 or ".." in name:
        raise UserError(
            file=file,
            where=what,
            got=repr(name),
            expected="letters, digits, '_' and '.', first a letter or digit, at most 100 characters",
        )
    return name


def each_once(names: list[str]) -> list[str]:
    """`names`, checked by pydantic to hold nothing twice: a data set that is given again would count again.

    Raises:
        ValueError: naming the first that is there again.
    """
    again = [name for number, name in enumerate(names) if name in names[:number]]
    if again:
        raise ValueError(f"each once, and {again[0]!r} is there twice")
    return names


def safe_name(name: str) -> str:
    """`name` as one that `check_name` takes: `My Video (take 1)` -> `My_Video_take_1`, `Zoë` -> `Zoe`.

    What no letter or digit is left of (`中文`), and what is too long, is told apart by its hash.
    """
    if _NAME.fullmatch(name) and ".." not in name and len(name) <= 100:
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9.]+", "_", plain)).strip("_.")
    if safe and len(safe) <= 100:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{safe[:80]}_{digest}" if safe else f"x{digest}"


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """A safe name for each of these names, no two of them equal; those that are safe keep theirs."""
    wanted = sorted(names)
    given = {name: name for name in wanted if safe_name(name) == name}
    taken = set(given.values())
    for name in wanted:
        if name not in given:
            safe, number = safe_name(name), 1
            while (safe if number == 1 else f"{safe}_{number}") in taken:
                number += 1
            given[name] = safe if number == 1 else f"{safe}_{number}"
            taken.add(given[name])
    return given


def fold_name(dataset: str, subject: str) -> str:
    """Name of the leave-one-subject-out fold of `subject`: `casme2-sub05`."""
    return f"{dataset}-{subject}"


def split_fold(fold: str) -> tuple[str, str]:
    """(data set, subject) of a fold's name.

    Raises:
        UserError: when `fold` does not have the form `dataset-subject`.
    """
    dataset, dash, subject = fold.partition("-")
    if not dash or not _NAME.fullmatch(dataset) or not _NAME.fullmatch(subject):
        raise UserError(file="fold", got=repr(fold), expected="dataset-subject, such as casme2-sub05")
    return dataset, subject


# What a file is of: what it or its record says, against what its path says, for every kind of file.

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
