"""`microexp video --face all`: which faces are worth a run, and which of them a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from microexp.own_videos.inputs import OwnVideo
from microexp.own_videos.workflow import FAILED, has_face, is_face

VIDEO = OwnVideo("a", "a.mp4", Path("a.mp4"))
NONE: dict[str, Any] = {"status": "none", "why": "the video cannot be read"}


def ok(people: int) -> dict[str, Any]:
    return {"status": "ok", "why": "", "people": people}


@pytest.mark.parametrize(
    ("rows", "number", "expected"),
    [
        ([ok(1)], 2, False),
        ([ok(2)], 2, True),
        ([ok(3), ok(3)], 3, True),
        ([ok(3), NONE], 3, True),  # the second cannot be used, but three were counted
        ([NONE], 2, True),  # nobody was counted
        ([NONE, ok(2)], 3, False),
        ([NONE], 3, False),  # nor with the second face: this ends
        ([NONE | {"why": FAILED}], 2, False),
    ],
)
def test_which_faces_are_worth_a_run(rows: list[dict[str, Any]], number: int, expected: bool) -> None:
    assert has_face(VIDEO, rows, number) == expected
    assert not has_face(OwnVideo("a", "a.mp4", Path("a.mp4"), "no such file"), [NONE], 2)


def test_which_faces_have_a_line() -> None:
    few = NONE | {"why": "3 faces in it, but faces.choose (--face) asks for number 3"}
    assert is_face(NONE, [], 1) and is_face(NONE, [ok(2)], 2) and is_face(ok(2), [NONE], 2)
    assert not is_face(NONE, [NONE], 2) and not is_face(few, [ok(3), ok(3)], 3)
