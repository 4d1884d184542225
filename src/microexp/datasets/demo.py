"""The rendered demo as a data set: a folder of videos with a sheet that counts frames from 1.

A row without frames names a video in which nobody shows an expression.
"""

from __future__ import annotations

from dataclasses import replace

from microexp.datasets import folder
from microexp.reading.release import Found, Release, Row
from microexp.rendered.demo import demo_subjects


def find_videos(release: Release) -> list[Found]:
    """Videos that the sheet names; those that an earlier run with more subjects left behind are noted."""
    named = {(row.subject, row.video) for row in folder.read_rows(release)}
    found = []
    for item in folder.find_videos(release):
        if (item.subject, item.video) in named:
            found.append(item)
        else:
            release.note(release.relative(item.path), 0, "video", problem="not in the sheet", action="excluded")
    return found


def read_rows(release: Release) -> list[Row]:
    """Rows of expressions: those with frames."""
    return [row for row in folder.read_rows(release) if any((row.onset, row.apex, row.offset))]


ADAPTER = replace(
    folder.ADAPTER, find_videos=find_videos, read_rows=read_rows, default_root="results/demo", planned=demo_subjects
)
