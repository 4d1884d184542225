from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.errors import UserError
from microexp.reading.trees import children, find_file, folders, natural, parents_of, stem


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_natural_order_is_numeric(numbers: list[int]) -> None:
    names = sorted((f"spNO.{n}" for n in numbers), key=natural)
    assert names == [f"spNO.{n}" for n in sorted(numbers)]


@given(st.text(), st.text())
def test_natural_compares_any_two_names(a: str, b: str) -> None:
    assert (natural(a) < natural(b)) or (natural(b) <= natural(a))


def test_children_are_folders_and_video_files(tmp_path: Path) -> None:
    for name in ("v10", "v9", ".hidden", "__MACOSX"):
        (tmp_path / name).mkdir()
    for name in ("v8.MP4", "notes.txt", "._v8.mp4"):
        (tmp_path / name).touch()
    assert [c.name for c in children(tmp_path)] == ["v8.MP4", "v9", "v10"]
    assert [stem(c) for c in children(tmp_path)] == ["v8", "v9", "v10"]
    with pytest.raises(UserError, match="nowhere: No such file"):
        children(tmp_path / "nowhere")


def test_folders_with_dots_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "take.avi").mkdir()
    assert stem(tmp_path / "take.avi") == "take.avi"


def test_search_is_bounded_and_does_not_enter_videos(tmp_path: Path) -> None:
    (tmp_path / "a/b/c/d/e").mkdir(parents=True)
    (tmp_path / "a/v1/inside").mkdir(parents=True)
    (tmp_path / "a/loop").symlink_to(tmp_path)
    video = re.compile(r"v\d")
    assert [f.name for f, _ in folders(tmp_path, 2, video)][1:] == ["a", "b"]
    assert [f.name for f, _ in folders(tmp_path, 9, video)][1:] == ["a", "b", "c", "d", "e"]
    assert parents_of(tmp_path, video, 3) == {tmp_path / "a": [tmp_path / "a/v1"]}


def test_files_by_preference_then_by_depth(tmp_path: Path) -> None:
    for name in ("x/Sheet_V2.xlsx", "x/y/sheet_v1.CSV", "sheet_v1.csv", "~$sheet_v2.xlsx", "sheet_v2.doc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_file(tmp_path, (r"sheet_v2\..*", r"sheet_v1\..*"))
    assert [str(f.relative_to(tmp_path)) for f in found] == ["x/Sheet_V2.xlsx", "sheet_v1.csv", "x/y/sheet_v1.CSV"]
