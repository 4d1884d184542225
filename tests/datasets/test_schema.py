from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microexp.errors import UserError
from microexp.records import index as schema
from microexp.records.index import Expression, Issue, Video

VIDEO = Video("d", "s1", "v1", "a/v 1.mp4", 100, 29.97, 320, 240)
EXPRESSION = Expression("d", "s1", "v1", 1, 3, 5, 9, "micro", "happiness", "6+12")


def test_columns_are_the_contract() -> None:
    assert (
        ",".join(schema.VIDEO_COLUMNS)
        == "dataset,subject,video,path,n_frames,fps,width,height,numbers,fingerprint,original"
    )
    assert ",".join(schema.EXPRESSION_COLUMNS) == (
        "dataset,subject,video,expression,onset,apex,offset,onset_s,apex_s,offset_s,kind,emotion,aus"
    )
    assert ",".join(schema.ISSUE_COLUMNS) == "file,row,field,problem,action"


def test_round_trip(tmp_path: Path) -> None:
    videos = [VIDEO, replace(VIDEO, video="v2", path='odd, "path"\n', fps=200.0)]
    schema.write_videos(tmp_path / "v.csv", videos)
    assert schema.read_videos(tmp_path / "v.csv") == videos
    expressions = [EXPRESSION, replace(EXPRESSION, expression=2, emotion="", aus="")]
    schema.write_expressions(tmp_path / "e.csv", expressions, videos)
    assert schema.read_expressions(tmp_path / "e.csv", videos) == expressions


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=30))
def test_issues_hold_any_text(tmp_path: Path, text: str) -> None:
    issues = [Issue(text, 7, text, text, "excluded")]
    schema.write_issues(tmp_path / "i.csv", issues)
    assert schema.read_issues(tmp_path / "i.csv") == issues


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("n_frames", "ten", r"row 2: n_frames: got 'ten', expected a whole number"),
        ("n_frames", "0", r"row 2: n_frames, fps, width, height"),
        ("fps", "nan", r"row 2: n_frames, fps, width, height"),
        ("subject", "../x", r"row 2: subject: got '../x'"),
        ("video", "a b", r"row 2: video: got 'a b'"),
        ("numbers", "7-x", r"row 2: numbers: got '7-x', expected ranges of frame numbers such as 7-206"),
        ("numbers", "7-99", r"row 2: numbers: 93 numbers; expected 100, one a frame"),
    ],
)
def test_bad_video_rows(tmp_path: Path, column: str, value: str, message: str) -> None:
    _write(tmp_path / "v.csv", schema.VIDEO_COLUMNS, vars(VIDEO) | {column: value})
    with pytest.raises(UserError, match=message):
        schema.read_videos(tmp_path / "v.csv")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("onset", "3.0", r"row 2: onset: got '3.0', expected a whole number"),
        ("onset", "6", r"row 2: onset, apex, offset: got \(6, 5, 9\)"),
        ("onset", "-1", "0 <= onset"),
        ("offset", "9" * 30, "0 <= onset"),
        ("kind", "Micro", r"row 2: kind: got 'Micro', expected micro or macro"),
        ("dataset", "$(x)", r"row 2: dataset"),
    ],
)
def test_bad_expression_rows(tmp_path: Path, column: str, value: str, message: str) -> None:
    seconds = dict.fromkeys(("onset_s", "apex_s", "offset_s"), 0.0)
    _write(tmp_path / "e.csv", schema.EXPRESSION_COLUMNS, vars(EXPRESSION) | seconds | {column: value})
    with pytest.raises(UserError, match=message):
        schema.read_expressions(tmp_path / "e.csv", [VIDEO])


def test_a_video_twice(tmp_path: Path) -> None:
    schema.write_videos(tmp_path / "v.csv", [VIDEO, VIDEO])
    with pytest.raises(UserError, match="row 3: s1 v1; expected no second row like row 2"):
        schema.read_videos(tmp_path / "v.csv")


def _write(path: Path, columns: tuple[str, ...], values: dict[str, object]) -> None:
    path.write_text(",".join(columns) + "\n" + ",".join(str(values[c]) for c in columns) + "\n")
