"""The annotation sheets of the micro-expression grand challenges, read as their official script reads them."""

from __future__ import annotations

from pathlib import Path

from microexp.errors import UserError
from microexp.metrics.spotting import Interval
from microexp.reading.intervals import as_frame


def read_sheet(path: Path, dataset: str) -> list[Interval]:
    """Ground truths of a release's annotation sheet in the release's own numbering, every row counted.

    Fractional frames are rounded half up, and an offset of 0 means the apex, as in the official script; nothing is
    clipped to the video. A row that occurs again counts once.

    Args:
        path: of the sheet; `file.xlsx#sheet` names one of a workbook's sheets.
        dataset: the adapter that knows the release.

    Raises:
        UserError: when a row has no frame numbers, or an offset before its onset.
    """
    from microexp.datasets.adapters import load_adapter
    from microexp.reading.intervals import ROW_EXCLUDED
    from microexp.reading.params import IndexParams
    from microexp.reading.read import read_rows
    from microexp.reading.release import Release

    release = Release(dataset, path.parent, IndexParams(sheet=path.name))
    found = []
    for row in read_rows(load_adapter(dataset, dataset), release):
        (onset, _), (apex, _), (offset, _) = as_frame(row.onset), as_frame(row.apex), as_frame(row.offset)
        if offset == 0 and apex is not None:
            offset = apex
        if onset is None or offset is None:
            raise UserError(
                file=path, where=f"row {row.row}", problem=f"{row.onset!r} to {row.offset!r}", expected="frame numbers"
            )
        if offset < onset:
            raise UserError(
                file=path,
                where=f"row {row.row}",
                got=f"{onset} to {offset}",
                expected="an offset that is not before the onset",
            )
        found.append(Interval(row.subject, row.video, onset, offset, row.kind, row.emotion))
    for issue in release.issues:
        if issue.action == ROW_EXCLUDED:
            raise UserError(
                file=path, where=f"row {issue.row}: {issue.field}", got=issue.problem, expected="a row of the release"
            )
    return found
