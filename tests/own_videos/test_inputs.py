"""Which videos somebody means, and under which names they go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from microexp.own_videos.inputs import find_inputs, link_videos
from tests.reading.made import write


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("clip") / "clip.mp4", 6)


@pytest.fixture
def place(tmp_path: Path, clip: Path) -> Path:
    """A folder with videos of many names."""
    for name in ("a b.mp4", "a-b.mp4", "deep/er/x.mp4", "run.mp4", "S.mp4", "s.mkv", "videos/v.mp4", ".dot.mp4"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("hello")
    return tmp_path / "in"


def test_a_folder_gives_all_of_its_videos_under_names_that_are_safe(place: Path, tmp_path: Path) -> None:
    found = find_inputs([place], tmp_path / "out", None)
    names = sorted(v.name.casefold() for v in found)
    assert names == ["a_b", "a_b_2", "deep_er_x", "run_2", "s", "s_2", "videos_v"]
    assert not any(v.problem for v in found)
    assert {Path(v.given).relative_to(place).as_posix() for v in found if v.name.startswith("a_b")} == {
        "a b.mp4", "a-b.mp4"
    }  # fmt: skip


def test_files_that_are_passed_over_are_named(place: Path, tmp_path: Path) -> None:
    (place / "list.m3u8").write_text("#EXTM3U\n")
    (place / "S" / "deep").mkdir(parents=True)
    for number in (1, 2):
        (place / f"img{number}.png").write_bytes(b"")
    said: list[str] = []
    find_inputs([place], tmp_path / "out", None, note=said.append)
    assert said == [
        f"{place / 'list.m3u8'}: passed over: not a video by its name, nor by its content",
        f"{place}: passed over: 2 images beside videos or folders",
    ], "and not notes.txt"


def test_results_are_no_input_and_nothing_counts_twice(place: Path) -> None:
    out = place / "out"
    (out / "S").mkdir(parents=True)
    shutil.copy(place / "S.mp4", out / "S" / "annotated.mp4")
    once = find_inputs([place], out, None)
    assert len(find_inputs([place, place / "S.mp4", place / "deep" / ".." / "S.mp4"], out, None)) == len(once) == 7


@pytest.mark.long
def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    from tests.own_videos.films import images, person

    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("a")
    images(tmp_path / "frames", person()[:2])
    given = [tmp_path / name for name in ("gone.mp4", "empty", "a.txt", "frames")]
    found = {v.path.name: v.problem for v in find_inputs(given, tmp_path / "out", None)}
    assert found["gone.mp4"] == "no such file" and found["empty"] == "a folder without a video"
    assert found["a.txt"] and found["frames"] == "frames without a rate: give it with --fps"
    assert find_inputs([tmp_path / "frames"], tmp_path / "out", 25)[0].problem == ""


def test_links_are_those_of_the_last_command(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    videos = find_inputs([place], tmp_path / "out", None)
    link_videos(videos, folder)
    assert (folder / "a_b" / "a b.mp4").resolve() == place / "a b.mp4"
    (folder / "annotations.csv").write_text("x")
    link_videos(videos[:1], folder)
    left = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or p.is_file())
    assert left == sorted(["annotations.csv", videos[0].link.as_posix()])
    assert len(list(folder.iterdir())) == 2


def test_a_hidden_file_that_is_named_is_taken(place: Path, tmp_path: Path) -> None:
    from microexp.datasets.folder import find_videos
    from microexp.reading.params import IndexParams
    from microexp.reading.release import Release

    (tmp_path / "no suffix").write_bytes((place / "S.mp4").read_bytes())
    videos = find_inputs([place / ".dot.mp4", tmp_path / "no suffix"], tmp_path / "out", None)
    link_videos(videos, tmp_path / "links")
    found = find_videos(Release("video", tmp_path / "links", IndexParams(videos=".")))
    assert {(f.subject, f.path.resolve().name) for f in found} == {("dot", ".dot.mp4"), ("no_suffix", "no suffix")}
