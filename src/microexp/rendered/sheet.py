"""Stage `demo-sheet`: the demo's annotation sheet, with frames counted from 1 as releases do."""

from __future__ import annotations

from microexp.reading.params import DemoSheetParams
from microexp.rendered.layout import demo_videos, parse_video
from microexp.rendered.schedule import draw_expressions
from microexp.run import storage
from microexp.run.stage import Job

COLUMNS = ("subject", "video", "onset", "apex", "offset", "kind", "emotion", "AUs")


def sheet_rows(params: DemoSheetParams) -> list[tuple[object, ...]]:
    """One row per expression, by video and time; frames are 1-based. A video without any has a row without frames."""
    rows: list[tuple[object, ...]] = []
    for subject, video in demo_videos(params):
        shown = draw_expressions(params, *parse_video(params, video))
        rows += [(subject, video, e.onset + 1, e.apex + 1, e.offset + 1, e.kind, e.emotion, e.aus) for e in shown]
        if not shown:
            rows.append((subject, video, *[None] * (len(COLUMNS) - 2)))
    return rows


def run(job: Job[DemoSheetParams]) -> None:
    """Write the sheet."""
    storage.write_csv(job.output("sheet"), COLUMNS, sheet_rows(job.params))
