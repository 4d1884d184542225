"""Finding folders and videos under a release's root: any upper or lower case, links without loops, never outside."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.suffixes import VIDEO_SUFFIXES


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which `spNO.10` follows `spNO.9`."""
    return [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in re.split(r"(\d+)", text[:500])]


def children(folder: Path) -> list[Path]:
    """Folders and video files directly inside `folder`, in natural order; hidden ones are passed over.

    Raises:
        UserError: when the folder cannot be read.
    """
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] in "._" or entry.name.startswith("__MACOSX"):
                    continue
                if _is_folder(entry) or Path(entry.name).suffix.lower() in VIDEO_SUFFIXES:
                    found.append(folder / entry.name)
    except OSError as error:
        raise UserError(file=folder, problem=error.strerror, expected="a folder that can be read") from error
    return sorted(found, key=lambda p: natural(p.name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def folders(root: Path, depth: int, stop: re.Pattern[str] | None = None) -> Iterator[tuple[Path, list[Path]]]:
    """Yield `root` and the folders below it, nearest first, each with its children.

    Args:
        root: where to start.
        depth: how many levels below `root` to look at.
        stop: folders with a name that matches are not searched (those that hold frames are large).
    """
    level, seen = [root], {root.resolve()}
    for _ in range(depth + 1):
        below = []
        for folder in level:
            kids = children(folder)
            yield folder, kids
            for child in kids:
                if not child.is_dir() or (stop and stop.fullmatch(child.name)):
                    continue
                real = child.resolve()
                if real not in seen:
                    seen.add(real)
                    below.append(child)
        level = below


def parents_of(root: Path, pattern: re.Pattern[str], depth: int) -> dict[Path, list[Path]]:
    """Folders below `root` -> their children (folders, video files) with a stem that fits `pattern`, nearest first."""
    found = {}
    for folder, kids in folders(root, depth, stop=pattern):
        matching = [kid for kid in kids if pattern.fullmatch(stem(kid))]
        if matching:
            found[folder] = matching
    return found


def stem(path: Path) -> str:
    """Name of a video without the suffix of a video file; the whole name of a folder (which may hold dots)."""
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir() else path.name


def find_file(
    root: Path, patterns: tuple[str, ...], depth: int = 3, *, stop: re.Pattern[str] | None = None
) -> list[Path]:
    """Files with a name that matches one of the regular expressions (any case), nearest first.

    Args:
        root: where to start.
        patterns: regular expressions of the whole name, in order of preference.
        depth: how many levels below `root` to look at.
        stop: folders that are not searched.
    """
    found = []
    for folder, _ in folders(root, depth, stop):
        for name in sorted(p.name for p in _files(folder)):
            for rank, pattern in enumerate(patterns):
                if re.fullmatch(pattern, name, re.IGNORECASE):
                    found.append((rank, len(folder.parts), folder / name))
                    break
    return [path for _, _, path in sorted(found)]


def _files(folder: Path) -> list[Path]:
    suffixes = {".xlsx", ".xls", ".csv", ".xlsm", ".txt"}
    return [p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.name[0] not in "._~" and p.is_file()]
