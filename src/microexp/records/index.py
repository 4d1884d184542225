"""The one schema of all data sets: videos, expressions, and what was corrected on the way.

In memory an expression is an interval of 0-based indices into the decoded video. In `expressions.csv` it has the
release's own frame numbers, with seconds beside them; the column `numbers` of `videos.csv` translates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from microexp.errors import UserError
from microexp.records.numbering import MAX_NUMBER, Numbering, parse_numbering
from microexp.run.names import check_name, check_rows
from microexp.run.storage import read_csv, write_csv

KINDS = ("micro", "macro")


@dataclass(frozen=True, order=True)
class Video:
    """One video: a file, or a folder of frames.

    Attributes:
        path: relative to the data set's root, which only the configuration knows; absolute where it lies elsewhere.
        n_frames: frames in the decoded sequence.
        fps: frames per second as the release says, else from the frames' own times, which `reading.frames.frame_times`
            gives.
        width: of the first frame as it is shown, upright and with square pixels, px; 0 where no video is on disk.
        height: the same, px.
        numbers: the release's numbers of the frames, such as `7-206` or `1-100,105-300`; '' counts from 1.
        fingerprint: hash of its content (see `reading.fingerprint`); '' where nobody has taken one.
        original: `subject/video` as they are named on disk, where those names were not safe to use; else empty.
    """

    dataset: str
    subject: str
    video: str
    path: str
    n_frames: int
    fps: float
    width: int
    height: int
    numbers: str = ""
    fingerprint: str = ""
    original: str = ""

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", str(Numbering.counting(self.n_frames)))

    @property
    def numbering(self) -> Numbering:
        """What translates between indices and the release's numbers.

        Raises:
            UserError: when `numbers` has another form.
        """
        return parse_numbering(self.numbers)

    @property
    def key(self) -> tuple[str, str, str]:
        """Data set, subject, video."""
        return self.dataset, self.subject, self.video


@dataclass(frozen=True, order=True)
class Expression:
    """One annotated expression: the closed interval `[onset, offset]` of 0-based indices into the decoded video.

    An annotation that reaches over an end of its video is clipped to it. One that lies outside as a whole stays a
    ground truth, which nobody can hit: its indices lie outside too (below 0, or from the number of frames on).

    Attributes:
        expression: 1-based number within the video.
        kind: `micro` or `macro`.
        emotion: the release's own term, lower case; may be empty.
        aus: action units such as `4+7+L10`; may be empty.
        numbers: onset, apex and offset in the release's numbers where they are not those of the three indices, since no
            frame has one of them; else empty.
    """

    dataset: str
    subject: str
    video: str
    expression: int
    onset: int
    apex: int
    offset: int
    kind: str
    emotion: str
    aus: str
    numbers: tuple[int, ...] = ()

    @property
    def video_key(self) -> tuple[str, str, str]:
        """Data set, subject, video."""
        return self.dataset, self.subject, self.video

    def released(self, numbering: Numbering) -> tuple[int, int, int]:
        """Onset, apex and offset in the release's numbers, as the sheet has them, frames or not."""
        if self.numbers:
            onset, apex, offset = self.numbers
            return onset, apex, offset
        return numbering.to_number(self.onset), numbering.to_number(self.apex), numbering.to_number(self.offset)

    def is_inside(self, n_frames: int) -> bool:
        """Whether a video of so many frames shows any of it."""
        return self.offset >= 0 and self.onset < n_frames


@dataclass(frozen=True, order=True)
class Issue:
    """What was wrong in a release, and what was done about it.

    Attributes:
        file: sheet or folder, relative to the release's root.
        row: row of the sheet as a spreadsheet program numbers it; 0 when it is about a file as a whole.
        field: column or property.
        problem: what was found.
        action: what was done: corrected, clipped, excluded, kept.
    """

    file: str
    row: int
    field: str
    problem: str
    action: str


def by_kind(issues: Iterable[Issue]) -> dict[tuple[str, str], list[Issue]]:
    """(field, action without the numbers at its end) -> issues of this kind, sorted by kind."""
    kinds: dict[tuple[str, str], list[Issue]] = {}
    for issue in issues:
        kinds.setdefault((issue.field, issue.action.rstrip("0123456789 =")), []).append(issue)
    return dict(sorted(kinds.items()))


VIDEO_COLUMNS = tuple(f.name for f in fields(Video))
EXPRESSION_COLUMNS = (
    "dataset", "subject", "video", "expression", "onset", "apex", "offset", "onset_s", "apex_s", "offset_s", "kind",
    "emotion", "aus",
)  # fmt: skip
ISSUE_COLUMNS = tuple(f.name for f in fields(Issue))

SECONDS_DECIMALS = 6

R = TypeVar("R", Video, Issue)


def write_videos(path: str | Path, videos: Iterable[Video]) -> None:
    """Write `videos.csv`."""
    write_csv(path, VIDEO_COLUMNS, map(astuple, videos))


def write_expressions(path: str | Path, expressions: Iterable[Expression], videos: Iterable[Video]) -> None:
    """Write `expressions.csv`: frames in the release's numbers, and when they begin, in s from the video's start.

    Raises:
        UserError: when an expression's video is not among `videos`.
    """
    known = {v.key: v for v in videos}
    write_csv(path, EXPRESSION_COLUMNS, (_expression_row(e, video_of(e, known, path)) for e in expressions))


def _expression_row(item: Expression, video: Video) -> tuple[object, ...]:
    seconds = (round(index / video.fps, SECONDS_DECIMALS) for index in (item.onset, item.apex, item.offset))
    numbers = item.released(video.numbering)
    return *item.video_key, item.expression, *numbers, *seconds, item.kind, item.emotion, item.aus


def video_of(item: Expression, videos: Mapping[tuple[str, str, str], Video], file: object) -> Video:
    """The video that an expression belongs to.

    Raises:
        UserError: naming `file`, when it is not among `videos`.
    """
    if item.video_key not in videos:
        raise UserError(
            file=file,
            where="/".join(item.video_key),
            problem="a video that the index does not list",
            expected="a row in videos.csv",
        )
    return videos[item.video_key]


def place_expression(item: Expression, video: Video, numbers: tuple[int, int, int]) -> Expression:
    """`item` at onset, apex and offset of the release's numbers, as indices of its video (see `Expression`)."""
    numbering = video.numbering
    onset, offset = numbering.interval_to_indices(numbers[0], numbers[2])
    apex = min(max(numbering.to_index(numbers[1], "nearest"), onset), offset)
    placed = replace(item, onset=onset, apex=apex, offset=offset, numbers=())
    return placed if placed.released(numbering) == numbers else replace(placed, numbers=numbers)


def write_issues(path: str | Path, issues: Iterable[Issue]) -> None:
    """Write `issues.csv`."""
    write_csv(path, ISSUE_COLUMNS, map(astuple, issues))


def read_videos(path: str | Path) -> list[Video]:
    """Read `videos.csv`.

    Raises:
        UserError: naming file, row and column of the first value that does not fit.
    """
    videos = _read(path, Video, _check_video)
    _check_unique(path, [(v.subject, v.video) for v in videos])
    return videos


def read_expressions(path: str | Path, videos: Iterable[Video]) -> list[Expression]:
    """Read `expressions.csv`; its frame numbers become indices, seconds are not read.

    Raises:
        UserError: naming file, row and column of the first value that does not fit, or a video not among `videos`.
    """
    known = {v.key: v for v in videos}
    types: dict[str, Callable[[str], object]] = {
        c: int if c in ("expression", "onset", "apex", "offset") else str
        for c in EXPRESSION_COLUMNS
        if not c.endswith("_s")
    }
    expressions = []
    table = read_csv(path, list(types))
    check_rows(path, table)
    for number, row in enumerate(table, 2):
        where = f"{path}: row {number}"
        item = Expression(**_typed(row, types, where))
        _check_expression(item, where)
        expressions.append(place_expression(item, video_of(item, known, where), (item.onset, item.apex, item.offset)))
    _check_unique(path, [(*e.video_key, e.expression) for e in expressions])
    return expressions


def read_issues(path: str | Path) -> list[Issue]:
    """Read `issues.csv`.

    Raises:
        UserError: naming file, row and column of the first value that does not fit.
    """
    return _read(path, Issue, lambda row, file: None)


def _read(path: str | Path, record: type[R], check: Callable[[R, str], None]) -> list[R]:
    types = {f.name: {"int": int, "float": float, "str": str}[str(f.type)] for f in fields(record)}
    table = read_csv(path, list(types))
    check_rows(path, table)
    rows = []
    for number, row in enumerate(table, 2):
        item = record(**_typed(row, types, f"{path}: row {number}"))
        check(item, f"{path}: row {number}")
        rows.append(item)
    return rows


def _typed(row: Mapping[str, str], types: Mapping[str, Callable[[str], object]], file: str) -> dict[str, Any]:
    values = {}
    for name, convert in types.items():
        try:
            values[name] = convert(row[name])
        except ValueError as error:
            expected = "a whole number" if convert is int else "a number"
            raise UserError(file=file, where=name, got=repr(row[name]), expected=expected) from error
    return values


def _check_video(video: Video, file: str) -> None:
    for name in ("dataset", "subject", "video"):
        check_name(getattr(video, name), name, file)
    size = video.width, video.height
    if video.n_frames < 1 or (min(size) < 1 and size != (0, 0)) or not 0 < video.fps < 100_000:
        raise UserError(
            file=file, where="n_frames, fps, width, height", got=astuple(video)[4:8], expected="positive numbers"
        )
    try:
        count = len(video.numbering)
    except UserError as error:
        raise UserError(file=file, where="numbers", got=error.got, expected=error.expected) from error
    if count != video.n_frames:
        raise UserError(
            file=file, where="numbers", problem=f"{count} numbers", expected=f"{video.n_frames}, one a frame"
        )


def _check_expression(item: Expression, file: str) -> None:
    for name in ("dataset", "subject", "video"):
        check_name(getattr(item, name), name, file)
    if item.kind not in KINDS:
        raise UserError(file=file, where="kind", got=repr(item.kind), expected="micro or macro")
    if not 0 <= item.onset <= item.apex <= item.offset < MAX_NUMBER:
        raise UserError(
            file=file,
            where="onset, apex, offset",
            got=(item.onset, item.apex, item.offset),
            expected="0 <= onset <= apex <= offset",
        )


def _check_unique(path: str | Path, keys: list[tuple[object, ...]]) -> None:
    seen: dict[tuple[object, ...], int] = {}
    for number, key in enumerate(keys, 2):
        if key in seen:
            raise UserError(
                file=path,
                where=f"row {number}",
                problem=" ".join(map(str, key)),
                expected=f"no second row like row {seen[key]}",
            )
        seen[key] = number
