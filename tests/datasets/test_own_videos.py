"""One's own videos: any names, any layout, with annotations or without."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microexp.commands.main import main
from microexp.datasets.index import listing, read_index
from microexp.errors import UserError
from microexp.reading.params import DatasetParams, DemoParams, IndexParams
from microexp.reading.release import Index
from microexp.records.index import read_videos
from microexp.run.names import NAME, check_name, safe_name, safe_names
from tests.reading.made import write


def read(root: Path, **options: Any) -> Index:
    return read_index("mine", IndexParams(adapter="folder", root=str(root), **options))[2]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames at 30 frames/s."""
    return write(tmp_path_factory.mktemp("clip") / "clip.mp4", 24)


def lay(root: Path, clip: Path, *names: str) -> Path:
    """Copies of the clip in these places."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, root / name)
    return root


def names(index: Index) -> list[tuple[str, str, str]]:
    return [(v.subject, v.video, v.original) for v in index.videos]


def sheet(root: Path, *rows: str, header: str = "subject,video,onset,offset") -> None:
    (root / "annotations.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def spans(index: Index) -> list[tuple[str, str, int, int]]:
    return [(e.subject, e.video, e.onset, e.offset) for e in index.expressions]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("My Video (take 1)", "My_Video_take_1"), ("P01-session2", "P01_session2"), ("Zoë", "Zoe"), ("S01", "S01"),
        ("a..b", "a.b"), (".hidden", "hidden"), ("v_", "v_"), ("$(touch x)", "touch_x"), ("a/../b", "a_._b"),
    ],
)  # fmt: skip
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe == check_name(safe, "name")


@pytest.mark.parametrize("name", ["中文", "…", "v" * 300, "\n", "é" * 120, "-"])
def test_every_name_has_a_safe_one(name: str) -> None:
    check_name(safe_name(name), "name")
    assert safe_name(name) != safe_name(name + name)


def test_safe_names_differ_and_safe_ones_stay() -> None:
    given = safe_names(["a b", "a-b", "a_b", "A_b"])
    assert given["a_b"] == "a_b" and given["A_b"] == "A_b"
    assert len(set(given.values())) == 4 and all(n.startswith(("a_b", "A_b")) for n in given.values())


def test_videos_of_any_name_are_read_and_their_names_kept(tmp_path: Path, clip: Path) -> None:
    lay(tmp_path, clip, "videos/Zoë/My Video (take 1).mp4", "videos/P01-a/s2.mp4", "videos/ann/plain.mp4")
    sheet(tmp_path, "Zoë,My Video (take 1).mp4,3,9", "P01-a,s2,1,4", "ann,plain,2,5", "Zoe,My_Video_take_1,11,15")
    index = read(tmp_path)
    assert sorted(names(index)) == [
        ("P01_a", "s2", "P01-a/s2"),
        ("Zoe", "My_Video_take_1", "Zoë/My Video (take 1)"),
        ("ann", "plain", ""),
    ]
    assert sorted(spans(index)) == [
        ("P01_a", "s2", 0, 3),
        ("Zoe", "My_Video_take_1", 2, 8),
        ("Zoe", "My_Video_take_1", 10, 14),
        ("ann", "plain", 1, 4),
    ]
    assert not index.exclusions
    assert any(i.field == "name" and i.problem == "Zoë/My Video (take 1)" for i in index.issues)
    planned = listing("mine", DatasetParams(adapter="folder", root=str(tmp_path)), DemoParams())
    assert set(planned.subjects) == {v.subject for v in index.videos}


def test_the_original_name_stands_in_videos_csv(tmp_path: Path, clip: Path) -> None:
    lay(tmp_path / "d", clip, "take 1.mp4")
    arguments = ["index", "--dataset", "mine", "--set", "adapter=folder", "--set", f"root={tmp_path / 'd'}"]
    for name in ("videos", "expressions", "issues", "counts", "excluded"):
        arguments += [f"--out-{name}", str(tmp_path / f"{name}.csv")]
    assert main(arguments) == 0
    (video,) = read_videos(tmp_path / "videos.csv")
    assert (video.subject, video.video, video.original) == ("take_1", "take_1", "take 1/take 1")


def test_a_name_in_another_form_of_unicode_is_the_same(tmp_path: Path, clip: Path) -> None:
    lay(tmp_path, clip, "Zoe\u0308/v.mp4")
    sheet(tmp_path, "Zo\u00eb,v,3,9")
    assert spans(read(tmp_path)) == [("Zoe", "v", 2, 8)]


def test_exact_names_go_before_names_in_another_case(tmp_path: Path, clip: Path) -> None:
    lay(tmp_path, clip, "S01/V1.mp4", "S01/v1.mp4", "s01/v1.mp4", "Ben/Take.mp4")
    sheet(tmp_path, "s01,v1,1,2", "S01,v1,3,4", "S01,V1,5,6", "BEN,TAKE,7,8", "s01,V1,9,10")
    index = read(tmp_path)
    assert spans(index) == [("Ben", "Take", 6, 7), ("S01", "V1", 4, 5), ("S01", "v1", 2, 3), ("s01", "v1", 0, 1)]
    (lost,) = index.exclusions
    assert lost.reason == "annotations.csv, row 6: may be S01/V1 and S01/v1 and s01/v1"


def test_names_that_differ_in_the_suffix_alone_are_two_videos(tmp_path: Path, clip: Path) -> None:
    lay(tmp_path, clip, "ann/take.mp4")
    write(tmp_path / "ann" / "take.mkv", 24)
    sheet(tmp_path, "ann,take.mkv,3,9", "ann,take,1,2")
    index = read(tmp_path)
    assert [v.video for v in index.videos] == ["take.mkv", "take.mp4"]
    assert spans(index) == [("ann", "take.mkv", 2, 8)]
    assert [lost.reason for lost in index.exclusions] == [
        "annotations.csv, row 3: may be ann/take.mkv and ann/take.mp4"
    ]


# --- layouts ----------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "in the root": (["a.mp4", "b.mp4"], [("a", "a"), ("b", "b")]),
    "in videos": (["videos/a.mp4"], [("a", "a")]),
    "by subject": (["videos/ann/a.mp4", "videos/ann/b.mp4"], [("ann", "a"), ("ann", "b")]),
    "by session": (["ann/day1/a.mp4", "ann/day2/a.mp4"], [("ann", "day1_a"), ("ann", "day2_a")]),
    "mixed": (["a.mp4", "ben/b.mp4"], [("a", "a"), ("ben", "b")]),
    "upper case": (["ann/A.MP4", "ann/B.Mp4"], [("ann", "A"), ("ann", "B")]),
    "no suffix": (["ann/recording"], [("ann", "recording")]),
    "odd suffix": (["ann/recording.video"], [("ann", "recording.video")]),
    "of a camera": (["DCIM/100/00001.m4v", "DCIM/101/00001.m4v"], [("DCIM", "100_00001"), ("DCIM", "101_00001")]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, clip: Path, layout: str) -> None:
    places, found = LAYOUTS[layout]
    index = read(lay(tmp_path, clip, *places))
    assert [(v.subject, v.video) for v in index.videos] == found and not index.exclusions


@pytest.mark.parametrize("layout", ["clips/one", "clips/ann/one", "clips/ann/day1/one"])
def test_folders_of_frames_at_any_depth(tmp_path: Path, make_frames: Any, layout: str) -> None:
    make_frames(tmp_path / layout, range(1, 9))
    (video,) = read(tmp_path / "clips", source_fps=25).videos
    subject = {"clips/one": "one"}.get(layout, "ann")
    assert (video.subject, video.n_frames, video.fps) == (subject, 8, 25)


def test_frames_right_in_the_root(tmp_path: Path, make_frames: Any) -> None:
    make_frames(tmp_path / "ann", range(1, 9))
    (video,) = read(tmp_path / "ann", source_fps=25).videos
    assert (video.subject, video.video, video.n_frames) == ("ann", "ann", 8)


def test_what_is_no_video_is_named_and_what_lies_beside_is_not(tmp_path: Path, clip: Path) -> None:
    lay(tmp_path, clip, "ann/a.mp4")
    (tmp_path / "ann/b.xyz").write_bytes(b"\x00\x01\x02")
    (tmp_path / "ann/notes.txt").write_text("?")
    (tmp_path / "ann/cover.jpg").write_bytes(b"?")
    index = read(tmp_path)
    odd = [i.file for i in index.issues if i.field == "video"]
    assert odd == ["ann/b.xyz"]


def test_one_without_a_rate_costs_itself_only(tmp_path: Path, clip: Path, make_frames: Any) -> None:
    lay(tmp_path, clip, *(f"ann/v{i}.mp4" for i in range(5)))
    make_frames(tmp_path / "ben/frames", range(1, 9))
    index = read(tmp_path)
    assert len(index.videos) == 5
    (lost,) = index.exclusions
    assert (lost.subject, lost.video) == ("ben", "frames") and "option source_fps" in lost.reason
    assert [v.fps for v in read(tmp_path, source_fps=200).videos] == [30] * 5 + [200]


# --- annotations ------------------------------------------------------------------------------------------------------


def test_no_annotation_is_a_normal_case(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = lay(tmp_path / "d", clip, "a.mp4")
    index = read(root)
    assert len(index.videos) == 1 and not index.expressions and not index.exclusions
    (tmp_path / "c.yaml").write_text(f"datasets: {{mine: {{adapter: folder, root: {root}}}}}\n")
    assert main(["check", str(tmp_path / "c.yaml")]) == 0
    out = capsys.readouterr().out
    assert "note: no annotation: nothing to train on" in out and "note: one subject" in out
    sheet(root)
    assert not read(root).expressions


def test_check_says_what_is_too_little_to_train_on(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lay(tmp_path / "d", clip, "ann/a.mp4", "ben/a.mp4")
    sheet(root, "ann,a,3,9,micro", header="subject,video,onset,offset,kind")
    (tmp_path / "c.yaml").write_text(f"datasets: {{mine: {{adapter: folder, root: {root}}}}}\n")
    assert main(["check", str(tmp_path / "c.yaml")]) == 0
    out = capsys.readouterr().out
    assert "micro expressions of one subject only" in out and "no macro expression" in out


def test_a_sheet_without_subjects_names_videos_alone(tmp_path: Path, clip: Path) -> None:
    lay(tmp_path, clip, "plain.mp4", "ben/other.mp4")
    sheet(tmp_path, "plain.mp4,3,9", "other,4,8", header="video,onset,offset")
    assert spans(read(tmp_path)) == [("ben", "other", 3, 7), ("plain", "plain", 2, 8)]


@pytest.mark.parametrize(
    ("onset", "offset", "frames"),
    [("0.1", "0.5", (3, 15)), ('"0,1"', '"0,5 s"', (3, 15)), ("0:00.1", "00:00:00.5", (3, 15))],
)
def test_intervals_in_seconds(tmp_path: Path, clip: Path, onset: str, offset: str, frames: tuple[int, int]) -> None:
    lay(tmp_path, clip, "ann/a.mp4")
    sheet(tmp_path, f"ann,a,{onset},{offset}", header="subject,video,onset_s,offset_s")
    assert spans(read(tmp_path)) == [("ann", "a", *frames)]


def test_seconds_follow_the_frames_own_times(tmp_path: Path) -> None:
    times = [40 * i + (600 if i >= 10 else 0) for i in range(24)]
    (tmp_path / "ann").mkdir()
    write(tmp_path / "ann/a.mkv", 24, fps=25, times_ms=times)
    sheet(tmp_path, "ann,a,0.2,1.04", header="subject,video,onset_s,offset_s")
    index = read(tmp_path)
    assert spans(index) == [("ann", "a", 5, 11)]  # at 25 frames/s the second one would be frame 26
    assert index.videos[0].fps == pytest.approx(25)


def test_seconds_in_a_column_of_frames_are_refused(tmp_path: Path, clip: Path) -> None:
    lay(tmp_path, clip, "ann/a.mp4")
    sheet(tmp_path, "ann,a,0.33,0.75")
    with pytest.raises(UserError, match=r"row 2, onset: got 0\.33, expected a frame number.*onset_s"):
        read(tmp_path)


def test_no_input_costs_another(tmp_path: Path, clip: Path, make_frames: Any) -> None:
    """Everything at once: what is whole comes out as if it were alone."""
    root = lay(tmp_path / "d", clip, "ann/a.mp4", "ben/My Video.mp4")
    alone = read(root).videos
    (root / "ben/list.mp4").write_bytes(b"ffconcat version 1.0\nfile 'My Video.mp4'\n")
    (root / "ben/empty.avi").touch()
    (root / "ben/text.mov").write_text("words")
    make_frames(root / "carl/frames", range(1, 5))
    make_frames(root / "carl/twice", [1])
    make_frames(root / "carl/twice", [1], "img{:03d}.jpg")
    data = clip.read_bytes()
    (root / "carl/cut.mp4").write_bytes(data[: len(data) // 3])
    index = read(root)
    whole = [v for v in index.videos if (v.subject, v.video) in {(v.subject, v.video) for v in alone}]
    assert whole == alone
    assert {(e.subject, e.video) for e in index.exclusions} >= {
        ("ben", "list"), ("ben", "empty"), ("ben", "text"), ("carl", "frames"), ("carl", "twice"),
    }  # fmt: skip
    assert all(np.isfinite(v.fps) and v.n_frames for v in index.videos)
    assert all(re.fullmatch(NAME, v.video) for v in index.videos)
