"""From a release to videos and expressions, for all adapters alike.

File names say which numbers the frames have. Every row that was corrected, clipped or excluded is noted, and what no
result can cover is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from microexp.errors import UserError, reason_of
from microexp.reading.fingerprint import combined, fingerprint
from microexp.reading.frames import BadVideo, VideoSource, image_size, open_video
from microexp.reading.intervals import (
    ROW_EXCLUDED,
    FrameInterval,
    as_frame,
    as_interval,
    check_frames,
    from_seconds,
    same_text,
)
from microexp.reading.matching import Ambiguous, Matcher, apex_by_flow, with_safe_names
from microexp.reading.release import Adapter, Found, Index, Release, Row
from microexp.reading.trees import natural
from microexp.records.index import Expression, Video, place_expression
from microexp.records.numbering import Numbering
from microexp.run.log import track
from microexp.run.storage import unreadable

ALL_ROWS = ("expressions", "")
MICRO_SECONDS = 0.5
"""An expression of at most this length is micro where a release does not label the kind."""

KEPT_NUMBERS = "kept; numbers follow the file names"


def list_videos(adapter: Adapter, release: Release) -> list[Found]:
    """All videos in natural order, under names that are safe to use.

    Raises:
        UserError: naming two folders or files of one name.
    """
    found = sorted(adapter.find_videos(release), key=lambda f: (natural(f.subject), natural(f.video)))
    seen: dict[tuple[str, str], Path] = {}
    for item in found:
        if (item.subject, item.video) in seen:
            raise UserError(
                file=release.root,
                where=f"video {item.subject}/{item.video}",
                problem=f"{release.relative(seen[item.subject, item.video])} and {release.relative(item.path)}",
                expected="one folder or file a video",
                hint="name the right copy with the option videos",
            )
        seen[item.subject, item.video] = item.path
    return with_safe_names(found)


def read_release(adapter: Adapter, release: Release, subject: str | None = None) -> Index:
    """Read a release, or one subject of it: list its frames, read its sheets, and bring both together.

    Raises:
        UserError: when a sheet cannot be read or a name is not safe. A single bad row or video becomes an issue.
    """
    found = list_videos(adapter, release)
    rows = read_rows(adapter, release)
    opening = [item for item in found if subject in (None, item.subject)]
    videos, sources = [], {}
    for item in track(opening, f"{release.name}: videos"):
        opened = _open(release, item, adapter)
        if opened is not None:
            videos.append(opened[0])
            sources[item.subject, item.video] = opened
    matcher = Matcher(found)
    if subject is not None:
        rows = [row for row in rows if _concerns(row, matcher, subject)]
    expressions = _expressions(adapter, release, rows, sources, matcher if found else None)
    issues, exclusions = sorted(set(release.issues)), sorted(set(release.exclusions))
    return Index(videos, expressions, issues, rows, exclusions, adapter.clips)


def read_rows(adapter: Adapter, release: Release) -> list[Row]:
    """The rows of a release's sheets, each once.

    A row that is in a sheet again, the same in all that is read of it, is the same expression and noted; unless the
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
        cells = (same_text(cell) for cell in (row.onset, row.apex, row.offset))
        first = seen.setdefault(
            (row.subject.casefold(), row.video.casefold(), *cells, row.kind, row.emotion, row.aus), row.row
        )
        if first != row.row and row.row:
            action = "kept: the published count has it" if counts_all else "counted once"
            release.note(row.file, row.row, "row", problem=f"the same as row {first}", action=action)
        if first == row.row or counts_all or not row.row:
            kept.append(row)
    return kept


def _check_usable(release: Release, rows: Sequence[Row]) -> None:
    """Raise when every row of the sheets is one that cannot be used: it is read wrongly then."""
    if not rows:
        excluded = [issue for issue in release.issues if issue.action == ROW_EXCLUDED]
        if excluded:
            first = excluded[0]
            raise UserError(
                file=release.root / first.file,
                where=f"row {first.row}, {first.field}",
                problem=f"{first.problem}, and so in all {len(excluded)} rows",
                expected="a sheet of the release",
            )
    elif all(row.onset is not None and not row.in_seconds and as_frame(row.onset)[0] is None for row in rows):
        raise UserError(
            file=release.root / rows[0].file,
            where=f"row {rows[0].row}, onset",
            problem=f"{as_frame(rows[0].onset)[1]}, and so in all {len(rows)} rows",
            expected="frame numbers",
        )


def _open(release: Release, item: Found, adapter: Adapter) -> tuple[Video, VideoSource] | None:
    """Video and source; None, with an issue and an exclusion, when it cannot be used."""
    where = release.relative(item.path)
    try:
        source = open_found(item)
        rate = _rate(release, item, source, adapter)
    except BadVideo as error:
        release.note(where, 0, "video", problem=error.what, action="excluded")
        release.lose(item.subject, item.video, reason_of(error))
        return None
    original = "/".join(item.original)
    if original:
        release.note(where, 0, "name", problem=original, action=f"read as {item.subject}/{item.video}")
    if source.numbers[0] > 1 and not adapter.clips:  # clips keep the numbers of the recording they were cut from
        release.note(where, 0, "frames", problem=f"the first has number {source.numbers[0]}", action=KEPT_NUMBERS)
    _note_numbering(release, where, source)
    numbers = source.numbers if source.frames else source.numbers - 1 + release.options.first_number
    return Video(
        release.name, item.subject, item.video, where, source.n_frames, rate, source.width, source.height,
        str(Numbering.of(numbers)), _fingerprint(item), original,
    ), source  # fmt: skip


def open_found(item: Found) -> VideoSource:
    """The video; one that is not on disk has its length alone, and no frame can be read of it.

    Raises:
        BadVideo, UserError: see `open_video`.
    """
    if item.length is None:
        return open_video(item.path)
    numbers = np.arange(1, item.length.n_frames + 1, dtype=np.int64)
    return VideoSource(item.path, len(numbers), item.length.fps, width=0, height=0, grey=False, numbers=numbers)


def _fingerprint(item: Found) -> str:
    """Of a video that is not on disk that of its length."""
    if item.length is not None:
        return combined({"length": item.length})
    try:
        return fingerprint(item.path)
    except OSError as error:
        raise unreadable(item.path, error) from error


def _rate(release: Release, item: Found, source: VideoSource, adapter: Adapter) -> float:
    """Frames per second: as the release's authors published it, else the file's own, else the option `source_fps`.

    Raises:
        BadVideo: when nothing says it.
    """
    where = release.relative(item.path)
    option, published = release.options.source_fps, adapter.fps(release)
    if release.options.source_fps_wins or (option and published):
        published = option or published
    rate = published or source.fps or option
    if rate is None:
        expected = "a rate in the file, or the option source_fps"
        raise BadVideo(file=item.path, where="frame rate", problem="none", expected=expected)
    if source.fps and abs(source.fps - rate) > 0.01 * rate:
        release.note(
            where, 0, "fps", problem=f"the file says {source.fps:g}, the release {rate:g}", action="kept the release's"
        )
    elif option and not published and source.fps and abs(source.fps - option) > 0.01 * option:
        problem = f"the file says {source.fps:g}, the option source_fps {option:g}"
        release.note(where, 0, "fps", problem=problem, action="kept the file's; source_fps_wins overrides it")
    for note in source.notes:
        release.note(where, 0, "video", problem=note, action="read so")
    return float(rate)


def _note_numbering(release: Release, where: str, source: VideoSource) -> None:
    """Note gaps, frames that are none, and frames of another size (seen at five places of the video)."""
    missing = int(source.numbers[-1] - source.numbers[0]) + 1 - source.n_frames
    if missing:
        first = source.numbers[np.flatnonzero(np.diff(source.numbers) > 1)[0]] + 1
        release.note(where, 0, "frames", problem=f"{missing} missing, first {first}", action=KEPT_NUMBERS)
    for name in source.ignored:
        release.note(where, 0, "frames", problem=f"{name!r} has no number", action="excluded")
    if source.frames:
        for index in np.unique(np.linspace(0, source.n_frames - 1, 5).astype(int)):
            try:
                size = image_size(source.frames[index])
            except BadVideo as error:
                release.note(where, 0, "frames", problem=f"{source.frames[index].name}: {error.what}", action="kept")
                continue
            if size != (source.width, source.height):
                problem = (
                    f"{source.frames[index].name} has {size[0]}x{size[1]} px, the first {source.width}x{source.height}"
                )
                release.note(where, 0, "frames", problem=problem, action="scaled to the first frame's size when read")


def _expressions(
    adapter: Adapter,
    release: Release,
    rows: list[Row],
    sources: Mapping[tuple[str, str], tuple[Video, VideoSource]],
    matcher: Matcher | None,
) -> list[Expression]:
    """Expressions of the videos on disk, numbered within their video in the order of the sheet."""
    if matcher is None:
        _note_sheet_alone(release, rows)
        return []
    numbers: Counter[tuple[str, str]] = Counter()
    kept = []
    for row in rows:
        key = _video_of(release, row, matcher, sources.keys())
        if key is None:
            continue
        if adapter.clips and numbers[key]:
            release.note(
                row.file, row.row, "video", problem=f"{row.subject}/{row.video} has an earlier row", action="excluded"
            )
            continue
        item = _expression(release, row, *sources[key])
        if item is not None:
            numbers[key] += 1
            kept.append(replace(item, expression=numbers[key]))
    if adapter.clips:
        for key in sources:
            if not numbers[key]:
                release.note(
                    release.relative(Path(sources[key][0].path)),
                    0,
                    "expression",
                    problem="none in the sheet",
                    action="kept",
                )
    place = {key: index for index, key in enumerate(sources)}
    return sorted(kept, key=lambda e: (place[e.subject, e.video], e.expression))


def _video_of(release: Release, row: Row, matcher: Matcher, readable: Set[tuple[str, str]]) -> tuple[str, str] | None:
    """The video that a row means; None, with an issue, when it cannot be used."""
    named = f"{row.subject}/{row.video}" if row.subject else row.video
    try:
        key = matcher.find(row.subject, row.video)
    except Ambiguous as several:
        release.note(row.file, row.row, "video", problem=f"{named} may be {several}", action=ROW_EXCLUDED)
        release.lose(row.subject, row.video, f"{row.file}, row {row.row}: may be {several}")
        return None
    if key is None:
        release.note(row.file, row.row, "video", problem=f"{named} is not on disk", action=ROW_EXCLUDED)
        release.lose(row.subject, row.video, f"is not on disk, but has rows in {row.file}")
        return None
    if key not in readable:  # which is known already
        release.note(row.file, row.row, "video", problem=f"{named} cannot be read", action=ROW_EXCLUDED)
        return None
    if row.video != key[1]:
        release.note(row.file, row.row, "video", problem=row.video, action=f"read as {key[1]}")
    return key


def _concerns(row: Row, matcher: Matcher, subject: str) -> bool:
    """Whether a row is of this subject, as far as it can be told."""
    try:
        key = matcher.find(row.subject, row.video)
    except Ambiguous:
        key = None
    return key[0] == subject if key else row.subject.casefold() == subject.casefold()


def _note_sheet_alone(release: Release, rows: list[Row]) -> None:
    """Note that there is nothing but the sheet, and what is odd in its rows, as if all videos began with frame 1."""
    videos = {(row.subject.casefold(), row.video.casefold()) for row in rows}
    if not rows:
        return
    release.note(
        rows[0].file, 0, "video", problem=f"none of the {len(videos)} videos is on disk", action="all rows excluded"
    )
    for row in rows:

        def note(field: str, problem: str, action: str, row: Row = row) -> None:
            """Note what is odd in this row."""
            release.note(row.file, row.row, field, problem=problem, action=action)

        as_interval(
            row.onset, row.apex, row.offset, numbers=np.array([1]), offset_zero=release.options.offset_zero, note=note
        )


def _expression(release: Release, row: Row, video: Video, source: VideoSource) -> Expression | None:
    def note(field: str, problem: str, action: str) -> None:
        """Note what is odd in this row; a row that is excluded is missed by its video."""
        release.note(row.file, row.row, field, problem=problem, action=action)
        if action == ROW_EXCLUDED:
            release.lose(video.subject, video.video, f"{row.file}, row {row.row}: {field}: {problem}")

    numbers = video.numbering.values
    onset = numbers[0] if row.onset is None else row.onset
    offset = numbers[-1] if row.offset is None else row.offset
    apex = row.apex
    if row.in_seconds:
        times = source.times(video.fps)
        onset, apex, offset = (from_seconds(cell, times, numbers, fps=video.fps) for cell in (onset, apex, offset))
    interval = as_interval(onset, apex, offset, numbers=numbers, offset_zero=release.options.offset_zero, note=note)
    if interval is None:
        return None
    check_frames(interval, video.numbering, note)
    top = _missing_apex(interval, video, release.options.apex_missing, source)
    item = Expression(
        video.dataset,
        video.subject,
        video.video,
        expression=0,
        onset=0,
        apex=0,
        offset=0,
        kind=row.kind,
        emotion=row.emotion,
        aus=row.aus,
    )
    item = place_expression(item, video, (interval.onset, top, interval.offset))
    short = item.offset - item.onset + 1 <= MICRO_SECONDS * video.fps
    return replace(item, kind=row.kind or ("micro" if short else "macro"))


def _missing_apex(interval: FrameInterval, video: Video, how: str, source: VideoSource) -> int:
    """The apex in the release's numbers: the sheet's, else by the rule for a missing one."""
    if interval.apex is not None:
        return interval.apex
    onset, offset = video.numbering.interval_to_indices(interval.onset, interval.offset)
    if how == "flow" and 0 <= onset < video.n_frames:
        apex = apex_by_flow(source, onset, offset)
    else:
        apex = (onset + offset + 1) // 2
    return min(max(video.numbering.to_number(apex), interval.onset), interval.offset)
