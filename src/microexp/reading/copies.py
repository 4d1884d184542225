"""Which of the copies of a release that lie under one root is read: raw or cropped, frames or video files."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.release import Release
from microexp.reading.trees import parents_of, stem


def start_folder(release: Release) -> Path:
    """Where videos are looked for: the option `videos`, else the whole root.

    Raises:
        UserError: when the option names no folder.
    """
    start = release.root / (release.options.videos or "")
    if not start.is_dir():
        raise UserError(file=start, where="option videos", problem="no such folder", expected="a folder with videos")
    return start


def find_copy(
    release: Release, pattern: re.Pattern[str], part: str | None = None, *, parts: Collection[str] = ()
) -> list[tuple[Path, re.Match[str]]]:
    """Videos of one copy, with the match of their folder's or file's stem.

    Raw copies are preferred to cropped ones and folders of frames to video files; the options `frames` and `videos`
    choose otherwise.

    Args:
        release: what is read.
        pattern: stem of a video's folder or file, at any depth.
        part: name of a folder on the way (any case) that the wanted part of the release has, such as `HS`.
        parts: names of all such parts; a copy that has none of them holds only the wanted part.

    Raises:
        UserError: when the copy that was asked for is not there.
    """
    holders = parents_of(start_folder(release), pattern, depth=6)
    if part is not None:
        other = [h for h in holders if _has_part(release, h, parts) and not _has_part(release, h, [part])]
        holders = {h: kids for h, kids in holders.items() if h not in other}
    kids = [kid for holder, below in _by_kind(release, holders).items() for kid in below]
    with_frames = [kid for kid in kids if kid.is_dir()]
    found = [(kid, pattern.fullmatch(stem(kid))) for kid in with_frames or kids]
    return [(kid, match) for kid, match in found if match]


def _has_part(release: Release, folder: Path, parts: Collection[str]) -> bool:
    wanted = {part.casefold() for part in parts}
    names = [release.root.name, *Path(release.relative(folder)).parts]
    return any(wanted & set(re.split(r"[\W_]+", name.casefold())) for name in names)


def _by_kind(release: Release, holders: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    cropped = {h: kids for h, kids in holders.items() if is_cropped(release, h)}
    raw = {h: kids for h, kids in holders.items() if h not in cropped}
    wanted = release.options.frames
    if wanted == "auto":
        return raw or cropped
    chosen = cropped if wanted == "cropped" else raw
    if holders and not chosen:
        there = "raw" if raw else "cropped"
        raise UserError(
            file=release.root, where="option frames", got=wanted, expected=there, hint=f"only {there} frames are there"
        )
    return chosen


def is_cropped(release: Release, folder: Path) -> bool:
    """Whether a folder's path below the root, or the root's own name, says that faces were cut out."""
    return "crop" in release.relative(folder).casefold() or "crop" in release.root.name.casefold()
