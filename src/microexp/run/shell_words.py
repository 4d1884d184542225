"""Short words of the shell for many files.

A whole command is one argument of the shell, of which Linux takes 128 KiB; a program takes many times that.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence


def words(paths: Iterable[str]) -> str:
    """Words that bash expands to `paths`, in their order: neighbours that differ in one folder share one word."""
    found: list[str] = []
    group: list[list[str]] = []
    for parts in (str(path).split("/") for path in paths):
        if group and _place([*group[:2], parts]) is None:
            found.append(_word(group))
            group = []
        group.append(parts)
    return " ".join([*found, _word(group)] if group else found)


def _place(group: Sequence[Sequence[str]]) -> int | None:
    """Which part of the paths differs, if it is one alone."""
    first = group[0]
    if any(len(parts) != len(first) for parts in group[-2:]):
        return None
    differ = {k for parts in (group[1], group[-1]) for k, (a, b) in enumerate(zip(first, parts, strict=True)) if a != b}
    return differ.pop() if len(differ) == 1 else None


def _word(group: Sequence[Sequence[str]]) -> str:
    if len(group) == 1:
        return shlex.quote("/".join(group[0]))
    place = _place(group)
    assert place is not None
    before, after = group[0][:place], group[0][place + 1 :]
    choices = ",".join(_choice(parts[place]) for parts in group)
    return "/".join([*map(_quoted, before), f"{{{choices}}}", *map(_quoted, after)])


def _choice(part: str) -> str:
    """One alternative of a brace word, quoted whatever it holds: a bare comma would be one alternative more."""
    return "'" + part.replace("'", "'\"'\"'") + "'"


def _quoted(part: str) -> str:
    return shlex.quote(part) if part else ""
