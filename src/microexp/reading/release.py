"""What all adapters share: how a release is described.

An adapter knows where a release keeps its sheet and its videos and what its columns mean. Everything that is the same
for all of them is in `reading`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microexp.errors import one_line
from microexp.reading.params import DemoParams, IndexParams
from microexp.records.exclusions import Exclusion
from microexp.records.index import Expression, Issue, Video


@dataclass(frozen=True)
class Length:
    """All that is known of a video that is not on disk; `fps` in frames/s, None where the list does not say it."""

    n_frames: int
    fps: float | None


@dataclass(frozen=True)
class Found:
    """A video as it lies on disk: a file or a folder of frames.

    Attributes:
        subject: person; the name on disk, and later one that is safe to use.
        video: the same of the video.
        path: file or folder; the list that names it where there is no video.
        original: (subject, video) on disk where they were changed; else empty.
        length: of a video that is not on disk; None for all others.
    """

    subject: str
    video: str
    path: Path
    original: tuple[str, str] | tuple[()] = ()
    length: Length | None = None


@dataclass(frozen=True)
class Row:
    """One annotated expression in the release's own terms.

    Attributes:
        file: sheet or folder, relative to the root.
        row: row of the sheet; 0 where the release has none.
        onset: cell as it is in the sheet, in the release's numbering; None for the video's first frame.
        apex: the same; None where the release has no apex.
        offset: the same; None for the video's last frame.
        kind: `micro`, `macro`, or '' where the length decides.
        emotion: lower case, '' where there is none.
        aus: action units as in the sheet.
        in_seconds: whether onset, apex and offset are seconds since the first frame.
    """

    file: str
    row: int
    subject: str
    video: str
    onset: object
    apex: object
    offset: object
    kind: str
    emotion: str
    aus: str
    in_seconds: bool = False


@dataclass
class Release:
    """A data set on disk while it is read, with what was found wrong in it so far, and what of it is excluded."""

    name: str
    root: Path
    options: IndexParams
    issues: list[Issue] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)

    def relative(self, path: Path) -> str:
        """`path` as the user knows it: relative to the root where it lies inside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def note(self, file: str, row: int, field: str, *, problem: str, action: str) -> None:
        """Remember something that was corrected, clipped or excluded."""
        self.issues.append(Issue(file, row, field, problem, action))

    def lose(self, subject: str, video: str, reason: str) -> None:
        """Remember a video or an annotated expression that no result can cover."""
        self.exclusions.append(Exclusion(self.name, subject, video, one_line(reason)))


Counts = Mapping[tuple[str, str], int]
"""(what, group) -> number, such as ('expressions', 'micro') -> 57."""

OtherTotals = Mapping[tuple[str, str], tuple[int, ...]]
"""(what, group) -> numbers that copies in circulation have, beside the published one."""


@dataclass(frozen=True)
class Adapter:
    """How one data set is read.

    Attributes:
        find_sheets: files that the annotations come from (a change in one makes `index` run again).
        find_videos: all videos on disk, from names alone: no frame is listed or decoded.
        read_rows: all annotated expressions.
        published: counts as the release's authors give them.
        fps: frame rate, frames/s; None where the videos must say it.
        clips: whether each video is cut around one expression (a clip without a row is then worth a note).
        default_root: root when the configuration names none.
        planned: subjects of a data set that the run itself makes, known before it exists.
        other_totals: counts of copies that are as good as the published one.
    """

    find_sheets: Callable[[Release], list[Path]]
    find_videos: Callable[[Release], list[Found]]
    read_rows: Callable[[Release], list[Row]]
    published: Callable[[Release], Counts]
    fps: Callable[[Release], float | None]
    clips: bool = False
    default_root: str | None = None
    planned: Callable[[DemoParams], list[str]] | None = None
    other_totals: Callable[[Release], OtherTotals] = lambda release: {}


@dataclass(frozen=True)
class Index:
    """What a release holds, in the project's schema.

    Attributes:
        rows: all rows of the sheets, also those without a video on disk.
        exclusions: videos and annotated expressions that are excluded: tables without them are incomplete.
        clips: whether each video is cut around one expression.
    """

    videos: list[Video]
    expressions: list[Expression]
    issues: list[Issue]
    rows: list[Row]
    exclusions: list[Exclusion]
    clips: bool
