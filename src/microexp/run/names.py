"""Names from sheets, folders and configs are data: they are checked before they become part of a path."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

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
