"""Which copy of a release is read: raw before cropped, frames before video files, or what the options say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from microexp.errors import UserError
from microexp.reading.params import IndexParams
from microexp.reading.release import Release
from microexp.reading.trees import find_copy, is_cropped, start_folder

EP = re.compile(r"EP\d+", re.IGNORECASE)


def release(root: Path, *paths: str, **options: Any) -> Release:
    """A release with these videos: files with a suffix, else folders of frames."""
    root.mkdir(exist_ok=True)
    for name in paths:
        place = root / name
        if place.suffix:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"x")
        else:
            place.mkdir(parents=True)
            (place / "img1.jpg").write_bytes(b"x")
    return Release("set", root, IndexParams(**options))


def names(release: Release, **how: Any) -> list[str]:
    return [release.relative(path) for path, _ in find_copy(release, EP, **how)]


def test_videos_come_with_what_their_name_matched(tmp_path: Path) -> None:
    found = find_copy(release(tmp_path / "set", "raw/sub01/EP02", "raw/sub01/ep10.avi", "raw/sub01/notes"), EP)
    assert [(path.name, match[0]) for path, match in found] == [("EP02", "EP02")]
    only_files = find_copy(release(tmp_path / "files", "a/EP1.avi", "a/EP2.MP4", "a/EP3.txt"), EP)
    assert [(path.name, match[0]) for path, match in only_files] == [("EP1.avi", "EP1"), ("EP2.MP4", "EP2")]


def test_raw_frames_are_preferred_to_cropped_ones(tmp_path: Path) -> None:
    both = release(tmp_path / "set", "raw/s1/EP1", "Cropped/s1/EP1")
    assert names(both) == ["raw/s1/EP1"]


def test_what_there_is_is_taken_where_there_is_no_choice(tmp_path: Path) -> None:
    assert names(release(tmp_path / "set", "Cropped/s1/EP1")) == ["Cropped/s1/EP1"]
    assert names(release(tmp_path / "empty")) == []


@pytest.mark.parametrize(("frames", "folder"), [("cropped", "Cropped"), ("raw", "raw")])
def test_the_option_chooses(tmp_path: Path, frames: str, folder: str) -> None:
    assert names(release(tmp_path / "set", "raw/s1/EP1", "Cropped/s1/EP1", frames=frames)) == [f"{folder}/s1/EP1"]


@pytest.mark.parametrize(("there", "frames", "other"), [("raw", "cropped", "raw"), ("Cropped", "raw", "cropped")])
def test_a_copy_that_is_not_there_is_refused_with_the_one_that_is(
    tmp_path: Path, there: str, frames: str, other: str
) -> None:
    with pytest.raises(UserError, match=rf"option frames: got {frames}, expected {other} \(only {other} frames"):
        names(release(tmp_path / "set", f"{there}/s1/EP1", frames=frames))


def test_no_video_at_all_is_for_the_caller_to_say(tmp_path: Path) -> None:
    assert names(release(tmp_path / "set", "raw/s1/other", frames="cropped")) == []


def test_frames_are_preferred_to_files_also_across_folders(tmp_path: Path) -> None:
    assert names(release(tmp_path / "set", "a/EP1.avi", "b/EP1")) == ["b/EP1"]


@pytest.mark.parametrize(
    ("root", "folder", "cropped"),
    [
        ("casme2", "raw/s1", False), ("casme2", "CROPPED/s1", True), ("casme2_cropped", "s1", True),
        ("casme2", "face_crops", True), ("casme2", "corp", False),
    ],
)  # fmt: skip
def test_a_name_on_the_way_says_that_faces_were_cut_out(tmp_path: Path, root: str, folder: str, cropped: bool) -> None:
    there = release(tmp_path / root, f"{folder}/EP1")
    assert is_cropped(there, there.root / folder) == cropped


def test_folders_above_the_root_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "cropped").mkdir()
    there = release(tmp_path / "cropped" / "casme2", "raw/EP1")
    assert not is_cropped(there, there.root / "raw")


PARTS = ("HS", "VIS", "NIR")


@pytest.mark.parametrize("hs", ["SMIC_HS/s1/EP1", "hs/s1/EP1", "SMIC/HS-raw/s1/EP1"])
def test_a_part_is_known_by_a_word_on_the_way_in_any_case(tmp_path: Path, hs: str) -> None:
    there = release(tmp_path / "set", hs, "SMIC_VIS/s1/EP1", "nir/s1/EP1")
    assert names(there, part="HS", parts=PARTS) == [hs]


def test_a_word_that_holds_the_letters_is_not_the_part(tmp_path: Path) -> None:
    there = release(tmp_path / "set", "maths/s1/EP1", "VIS/s1/EP2")
    assert names(there, part="HS", parts=PARTS) == ["maths/s1/EP1"], "a copy that names no part is the wanted one"


def test_the_root_itself_may_be_the_part(tmp_path: Path) -> None:
    assert names(release(tmp_path / "SMIC-HS", "s1/EP1"), part="HS", parts=PARTS) == ["s1/EP1"]
    assert names(release(tmp_path / "SMIC-VIS", "s1/EP1"), part="HS", parts=PARTS) == []


def test_videos_are_looked_for_where_the_option_says(tmp_path: Path) -> None:
    there = release(tmp_path / "set", "one/EP1", "two/EP1", videos="two")
    assert start_folder(there) == tmp_path / "set" / "two" and names(there) == ["two/EP1"]
    assert start_folder(release(tmp_path / "plain")) == tmp_path / "plain"


@pytest.mark.parametrize("videos", ["three", "one/EP1/img1.jpg"])
def test_an_option_that_names_no_folder_is_refused(tmp_path: Path, videos: str) -> None:
    with pytest.raises(UserError, match=r"option videos: no such folder; expected a folder with videos"):
        names(release(tmp_path / "set", "one/EP1", videos=videos))
