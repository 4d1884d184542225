"""What somebody gives to `microexp video`: files and folders of any name, each with a name that is safe for results.

Nothing is copied: a folder of links stands for them, which the adapter `folder` reads. What cannot be opened keeps its
line in the summary, with the reason, and costs no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from microexp.datasets.folder import find_videos
from microexp.errors import UserError, one_line, reason_of
from microexp.reading.frames import open_video
from microexp.reading.params import IndexParams
from microexp.reading.release import Release
from microexp.reading.trees import VIDEO_SUFFIXES, stem
from microexp.run.names import safe_name
from microexp.run.storage import unreadable

RESERVED = ("run", "summary.csv", "config.yaml")
"""Names of `OUT` that are no video's."""


@dataclass(frozen=True)
class OwnVideo:
    """One input.

    Attributes:
        name: of its folder of results: safe, and no other's.
        given: as it was named on the command line, or where it lies below a folder that was.
        path: file or folder of frames.
        problem: why nothing of it can be read; '' where something can.
    """

    name: str
    given: str
    path: Path
    problem: str = ""

    @property
    def link(self) -> Path:
        """Where the link to it lies: `NAME/ORIGINAL`, with a suffix by which the adapter knows a video."""
        name = self.path.name
        plain = name.isprintable() and name[0] not in "._~"
        if self.path.is_dir() or self.path.suffix.lower() in VIDEO_SUFFIXES:
            return Path(self.name, name if plain else safe_name(name))
        return Path(self.name, (name if plain else safe_name(name)) + ".mp4")


def find_inputs(
    paths: Sequence[Path], out: Path, fps: float | None, *, note: Callable[[str], None] = lambda _: None
) -> list[OwnVideo]:
    """Every video that these files and folders are or hold, in the order given, each once.

    Args:
        paths: files, folders of frames, folders of videos.
        out: folder of results: what lies in it is no input.
        fps: rate of what says none.
        note: takes a line for each file of a folder that is passed over and might be thought a video.
    """
    found: dict[Path, tuple[str, str, str]] = {}
    for path in paths:
        for wanted, given, place, problem in _found(path, out.resolve(), note):
            found.setdefault(place, (wanted, given, problem))
    taken: set[str] = {name.casefold() for name in RESERVED}
    videos = []
    for place, (wanted, given, problem) in found.items():
        name = _free(safe_name(wanted), taken)
        taken.add(name.casefold())
        videos.append(OwnVideo(name, given, place, problem or _problem(place, fps)))
    return videos


def _found(path: Path, out: Path, note: Callable[[str], None]) -> Iterable[tuple[str, str, Path, str]]:
    """(wanted name, as given, place, problem) of what `path` is or holds."""
    place = path.resolve()
    if not place.is_dir():
        yield stem(path), str(path), place, "" if place.exists() else "no such file"
        return
    release = Release("video", place, IndexParams(videos="."))
    try:
        inside = find_videos(release)
    except UserError as error:
        yield path.name or place.name, str(path), place, reason_of(error)
        return
    for issue in release.issues:
        if not (place / issue.file).resolve().is_relative_to(out):
            note(f"{path / issue.file}: passed over: {issue.problem}")
    kept = [item for item in inside if not item.path.resolve().is_relative_to(out)]
    if not kept:
        yield place.name, str(path), place, "a folder without a video"
    for item in kept:
        alone = item.subject == item.video
        name = item.video if alone else f"{item.subject}_{item.video}"
        given = path if item.path == place else path / item.path.relative_to(place)
        yield name, str(given), item.path.resolve(), ""


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _problem(path: Path, fps: float | None) -> str:
    """Why a video cannot be read at all; '' where it can."""
    try:
        source = open_video(path)
    except UserError as error:
        return reason_of(error)
    except OSError as error:
        return reason_of(unreadable(path, error))
    if source.fps is None and fps is None:
        return "frames without a rate: give it with --fps"
    return ""


def link_videos(videos: Iterable[OwnVideo], folder: Path) -> None:
    """Make `folder` hold a link `NAME/ORIGINAL` for every video that can be read, and no other links.

    Raises:
        UserError: when the folder cannot be written.
    """
    wanted = {folder / v.link: v.path for v in videos if not v.problem}
    try:
        for old in list(folder.glob("*/*")) if folder.is_dir() else []:
            if old.is_symlink() and (old not in wanted or old.readlink() != wanted[old]):
                old.unlink()
                with suppress(OSError):  # others may lie there
                    old.parent.rmdir()
        for link, path in wanted.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(path)
    except OSError as error:
        problem = one_line(error.strerror or str(error))
        raise UserError(file=folder, problem=problem, expected="a folder that takes links") from error
