"""From a release to videos and expressions, for all adapters alike.

File names say which numbers the frames have, every row that was mended, clipped or left out is noted, and what is lost
to all results is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from microexp.errors import UserError, reason_of
from microexp.reading.frames import BadVideo, VideoSource, image_size, open_video
from microexp.reading.intervals import ROW_LEFT_OUT, Interval, as_frame, as_interval, check_frames
from microexp.reading.release import Adapter, Found, Index, Release, Row
from microexp.reading.sheets import as_text
from microexp.reading.trees import natural
from microexp.records.index import Expression, Video, place_expression
from microexp.records.numbering import Numbering
from microexp.run.log import track
from microexp.run.names import check_name

ALL_ROWS = ("expressions", "")
MICRO_SECONDS = 0.5
"""An expression of at most this length is micro where a release does not label the kind."""

KEPT_NUMBERS = "kept; numbers follow the file names"


def list_videos(adapter: Adapter, release: Release) -> list[Found]:
    """All videos in natural order, with names that are safe to use.

    Raises:
        UserError: naming the folder whose name cannot be a subject or video, or two folders of one name.
    """
    found = sorted(adapter.find_videos(release), key=lambda f: (natural(f.subject), natural(f.video)))
    seen: dict[tuple[str, str], Path] = {}
    for item in found:
        check_name(item.subject, "subject", item.path)
        check_name(item.video, "video", item.path)
        if (item.subject, item.video) in seen:
            raise UserError(
                file=release.root,
                where=f"video {item.subject}/{item.video}",
                problem=f"{release.relative(seen[item.subject, item.video])} and {release.relative(item.path)}",
                expected="one folder or file a video",
                hint="name the right copy with the option videos",
            )
        seen[item.subject, item.video] = item.path
    return found


def read_release(adapter: Adapter, release: Release) -> Index:
    """Read a release: list its frames, read its sheets, and bring both together.

    Raises:
        UserError: when a sheet cannot be read or a name is not safe. A single bad row or video becomes an issue.
    """
    found = list_videos(adapter, release)
    rows = read_rows(adapter, release)
    fps = release.options.source_fps or adapter.fps(release)
    videos, sources = [], {}
    for item in track(found, f"{release.name}: videos"):
        opened = _open(release, item, fps, adapter.clips)
        if opened is not None:
            videos.append(opened[0])
            sources[_key(item.subject, item.video)] = opened
    unreadable = {_key(item.subject, item.video) for item in found} - sources.keys()
    expressions = _expressions(adapter, release, rows, sources, unreadable)
    issues, exclusions = sorted(set(release.issues)), sorted(set(release.exclusions))
    return Index(videos, expressions, issues, rows, exclusions, adapter.clips)


def read_rows(adapter: Adapter, release: Release) -> list[Row]:
    """The rows of a release's sheets, each once.

    A row that stands in a sheet again, the same in all that is read of it, is the same expression and noted; unless the
    release's published count has it.

    Raises:
        UserError: when no row at all can be used.
    """
    rows = adapter.read_rows(release)
    _check_usable(release, rows)
    if adapter.clips:  # of a clip's rows only the first counts anyway
        return rows
    totals = [adapter.published(release).get(ALL_ROWS), *adapter.other_totals(release).get(ALL_ROWS, ())]
    counts_all = len(rows) in totals
    seen: dict[tuple[object, ...], int] = {}
    kept = []
    for row in rows:
        cells = (as_text(cell) for cell in (row.onset, row.apex, row.offset))
        first = seen.setdefault((*_key(row.subject, row.video), *cells, row.kind, row.emotion, row.aus), row.row)
        if first != row.row and row.row:
            action = "kept: the published count has it" if counts_all else "counted once"
            release.note(row.file, row.row, "row", f"the same as row {first}", action)
        if first == row.row or counts_all or not row.row:
            kept.append(row)
    return kept


def _check_usable(release: Release, rows: Sequence[Row]) -> None:
    """Raise when every row of the sheets is one that cannot be used: it is read wrongly then."""
    if not rows:
        excluded = [issue for issue in release.issues if issue.action == ROW_LEFT_OUT]
        if excluded:
            first = excluded[0]
            raise UserError(
                file=release.root / first.file,
                where=f"row {first.row}, {first.field}",
                problem=f"{first.problem}, and so in all {len(excluded)} rows",
                expected="a sheet of the release",
            )
    elif all(row.onset is not None and as_frame(row.onset)[0] is None for row in rows):
        raise UserError(
            file=release.root / rows[0].file,
            where=f"row {rows[0].row}, onset",
            problem=f"{as_frame(rows[0].onset)[1]}, and so in all {len(rows)} rows",
            expected="frame numbers",
        )


def _open(release: Release, item: Found, fps: float | None, clips: bool) -> tuple[Video, VideoSource] | None:
    """Video and source; None, with an issue and an exclusion, when it cannot be read."""
    where = release.relative(item.path)
    try:
        source = open_video(item.path)
    except BadVideo as error:
        release.note(where, 0, "video", error.what, "left out")
        release.lose(item.subject, item.video, reason_of(error))
        return None
    rate = fps or source.fps
    if rate is None:
        raise UserError(
            file=item.path, where="frame rate", problem="nothing in the file", expected="the option source_fps"
        )
    if source.fps and abs(source.fps - rate) > 0.01 * rate:
        release.note(where, 0, "fps", f"the file says {source.fps:g}, the release {rate:g}", "kept the release's")
    if source.numbers[0] > 1 and not clips:  # clips keep the numbers of the recording that they were cut from
        release.note(where, 0, "frames", f"the first has number {source.numbers[0]}", KEPT_NUMBERS)
    _note_numbering(release, where, source)
    numbers = source.numbers if source.frames else source.numbers - 1 + release.options.first_number
    return Video(
        release.name, item.subject, item.video, str(item.path), source.n_frames, float(rate), source.width,
        source.height, str(Numbering.of(numbers)),
    ), source  # fmt: skip


def _note_numbering(release: Release, where: str, source: VideoSource) -> None:
    """Note gaps, frames that are none, and frames of another size (seen at five places of the video)."""
    missing = int(source.numbers[-1] - source.numbers[0]) + 1 - source.n_frames
    if missing:
        first = source.numbers[np.flatnonzero(np.diff(source.numbers) > 1)[0]] + 1
        release.note(where, 0, "frames", f"{missing} missing, first {first}", KEPT_NUMBERS)
    for name in source.ignored:
        release.note(where, 0, "frames", f"{name!r} has no number", "left out")
    if source.frames:
        for index in np.unique(np.linspace(0, source.n_frames - 1, 5).astype(int)):
            try:
                size = image_size(source.frames[index])
            except BadVideo as error:
                release.note(where, 0, "frames", f"{source.frames[index].name}: {error.what}", "kept")
                continue
            if size != (source.width, source.height):
                problem = (
                    f"{source.frames[index].name} has {size[0]}x{size[1]} px, the first {source.width}x{source.height}"
                )
                release.note(where, 0, "frames", problem, "scaled to the first frame's size when read")


def _expressions(
    adapter: Adapter,
    release: Release,
    rows: list[Row],
    sources: Mapping[tuple[str, str], tuple[Video, VideoSource]],
    unreadable: Set[tuple[str, str]],
) -> list[Expression]:
    """Expressions of the videos on disk, numbered within their video in the order of the sheet."""
    if rows and not sources and not unreadable:
        _note_sheet_alone(release, rows)
        return []
    numbers: Counter[tuple[str, str]] = Counter()
    kept = []
    for row in rows:
        key = _key(row.subject, row.video)
        if key not in sources:
            _without_video(release, row, "cannot be read" if key in unreadable else "is not on disk")
            continue
        if adapter.clips and numbers[key]:
            release.note(row.file, row.row, "video", f"{row.subject}/{row.video} has an earlier row", "left out")
            continue
        video, source = sources[key]
        if row.video != video.video:
            release.note(row.file, row.row, "video", row.video, f"read as {video.video}")
        item = _expression(release, row, video, source)
        if item is not None:
            numbers[key] += 1
            kept.append(replace(item, expression=numbers[key]))
    if adapter.clips:
        for key in sources:
            if not numbers[key]:
                release.note(release.relative(Path(sources[key][0].path)), 0, "expression", "none in the sheet", "kept")
    place = {key: index for index, key in enumerate(sources)}
    return sorted(kept, key=lambda e: (place[_key(e.subject, e.video)], e.expression))


def _note_sheet_alone(release: Release, rows: list[Row]) -> None:
    """Note that there is nothing but the sheet, and what is odd in its rows, as if all videos began with frame 1."""
    videos = {_key(row.subject, row.video) for row in rows}
    release.note(rows[0].file, 0, "video", f"none of the {len(videos)} videos is on disk", "all rows left out")
    for row in rows:

        def note(field: str, problem: str, action: str, row: Row = row) -> None:
            release.note(row.file, row.row, field, problem, action)

        as_interval(row.onset, row.apex, row.offset, np.array([1]), release.options.offset_zero, note)


def _without_video(release: Release, row: Row, why: str) -> None:
    """Note a row whose video is missing; that a video cannot be read is known already."""
    release.note(row.file, row.row, "video", f"{row.subject}/{row.video} {why}", ROW_LEFT_OUT)
    if why == "is not on disk":
        release.lose(row.subject, row.video, f"{why}, but has rows in {row.file}")


def _key(subject: str, video: str) -> tuple[str, str]:
    """What sheet and disk are matched by: copies differ in upper and lower case."""
    return subject.casefold(), video.casefold()


def _expression(release: Release, row: Row, video: Video, source: VideoSource) -> Expression | None:
    def note(field: str, problem: str, action: str) -> None:
        release.note(row.file, row.row, field, problem, action)
        if action == ROW_LEFT_OUT:
            release.lose(video.subject, video.video, f"{row.file}, row {row.row}: {field}: {problem}")

    numbers = video.numbering.values
    onset = numbers[0] if row.onset is None else row.onset
    offset = numbers[-1] if row.offset is None else row.offset
    interval = as_interval(onset, row.apex, offset, numbers, release.options.offset_zero, note)
    if interval is None:
        return None
    check_frames(interval, video.numbering, note)
    apex = _missing_apex(interval, video, release.options.apex_missing, source)
    item = Expression(video.dataset, video.subject, video.video, 0, 0, 0, 0, row.kind, row.emotion, row.aus)
    item = place_expression(item, video, (interval.onset, apex, interval.offset))
    short = item.offset - item.onset + 1 <= MICRO_SECONDS * video.fps
    return replace(item, kind=row.kind or ("micro" if short else "macro"))


def _missing_apex(interval: Interval, video: Video, how: str, source: VideoSource) -> int:
    """The apex in the release's numbers: the sheet's, else by the rule for a missing one."""
    if interval.apex is not None:
        return interval.apex
    onset, offset = video.numbering.interval_to_indices(interval.onset, interval.offset)
    if how == "flow" and 0 <= onset < video.n_frames:
        from microexp.reading.apex import apex_by_flow

        apex = apex_by_flow(source, onset, offset)
    else:
        apex = (onset + offset + 1) // 2
    return min(max(video.numbering.to_number(apex), interval.onset), interval.offset)
