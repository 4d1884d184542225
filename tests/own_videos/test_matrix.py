"""Videos of every kind, good ones and bad ones, in one command: each has its line, and none costs another."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from microexp.commands import video as command
from microexp.commands.main import main
from tests.own_videos import films, inprocess


def less_work(options: dict[str, Any]) -> None:
    """Six places of a second are enough to look at."""
    options["faces"]["landmark_frames"] = 6


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run_workflow", partial(inprocess.run, change=less_work))


def lines(out: Path) -> dict[str, dict[str, str]]:
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        return {row["given"]: row for row in csv.DictReader(file)}


@pytest.mark.long
@pytest.mark.usefixtures("in_process")
def test_every_kind_of_video_has_its_line_and_costs_no_other(tmp_path: Path) -> None:
    made = films.all_films()
    assert len(made) >= 30
    root, out = tmp_path / "films", tmp_path / "out"
    for name, make, _ in made:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        make(root / name)
    given = [str(root / name) for name, _, _ in made]
    assert main(["video", "--model", "candidates", *given, "--out", str(out), "--fps", "30", "--cores", "1"]) == 3
    assert not (out / "run" / "failed.txt").read_text(), "no stage may fail: what is wrong is said in the summary"
    found = lines(out)
    assert {name: found[str(root / name)]["status"] for name, _, _ in made} == {name: s for name, _, s in made}
    assert all(row["why"] for row in found.values() if row["status"] != "ok")
    assert len({row["name"].casefold() for row in found.values()}) == len(made)
    for row in found.values():
        if row["status"] != "none":
            _check(out / row["name"], row)
    assert found[str(root / "two people.mp4")]["people"] == "2"
    assert found[str(root / "upright phone.mp4")]["status"] == "ok"
    assert float(found[str(root / "fast.mp4")]["fps"]) == 200


def _check(folder: Path, row: dict[str, str]) -> None:
    """The folder of a video holds all that the command promises, and its tables have the right length."""
    assert {p.name for p in folder.iterdir()} >= {
        "frames.csv", "landmarks.csv", "events.csv", "summary.json", "page.html"
    }, folder.name  # fmt: skip
    frames = list(csv.DictReader((folder / "frames.csv").open(encoding="utf-8")))
    about = json.loads((folder / "summary.json").read_text())
    assert len(frames) == about["frames"] == int(row["frames"])
    times = [float(frame["time_s"]) for frame in frames]
    assert all(a < b for a, b in pairwise(times)), folder.name
    for event in csv.DictReader((folder / "events.csv").open(encoding="utf-8")):
        assert event["kind"] == "candidate", "nothing was trained here"
    assert "://" not in (folder / "page.html").read_text(encoding="utf-8")  # "http" may stand in an image's letters


@pytest.fixture
def film(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        return films.write(tmp_path / name, films.person())

    return make


@pytest.mark.long
@pytest.mark.usefixtures("in_process")
def test_labels_landmarks_and_the_marked_copy(tmp_path: Path, film: Callable[[str], Path]) -> None:
    from microexp.faces.given import read_landmarks
    from microexp.reading.frames import open_video

    path, out = film("My Film.mp4"), tmp_path / "out"
    (tmp_path / "l.csv").write_text("video,onset_s,offset_s,kind\nMy Film.mp4,0.3,0.6,micro\n")
    arguments = ["video", str(path), "--out", str(out), "--labels", str(tmp_path / "l.csv"), "--annotated"]
    assert main(arguments) == 0
    folder = out / "My_Film"
    about = json.loads((folder / "summary.json").read_text())
    assert (about["truths"], about["status"]) == (1, "ok")
    assert (
        "1 known" in (folder / "page.html").read_text()
        and "<title>My Film</title>" in (folder / "page.html").read_text()
    )
    looks = read_landmarks(folder / "landmarks.csv", 1, films.N)
    assert len(looks.frames) == films.N and looks.seen.all()
    copy = open_video(folder / "annotated.mp4")
    assert (copy.n_frames, copy.width, copy.height, copy.fps) == (films.N, 320, 240, 30.0)


@pytest.mark.long
@pytest.mark.usefixtures("in_process")
def test_every_face_has_a_folder_and_a_line(tmp_path: Path, film: Callable[[str], Path]) -> None:
    """Two people in one video, one in another, and nobody in a third."""
    root, out = tmp_path / "films", tmp_path / "out"
    makers = {name: make for name, make, _ in films.all_films()}
    root.mkdir()
    makers["two people.mp4"](root / "two people.mp4")
    makers["plain.mp4"](root / "plain.mp4")
    films.write(root / "nobody.mp4", [films.person()[0] * 0 + 90] * films.N)
    (root / "damaged.mp4").write_text("no video")
    given = [str(root / name) for name in ("two people.mp4", "plain.mp4", "nobody.mp4", "damaged.mp4")]
    assert main(["video", "--model", "candidates", *given, "--face", "all", "--out", str(out), "--cores", "1"]) == 3
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "two_people/face1": "ok", "two_people/face2": "ok", "plain": "ok", "nobody": "none", "damaged": "none"
    }  # fmt: skip
    assert rows["two_people/face2"]["page"] == "two_people/face2/page.html"
    left = []
    for name in ("two_people/face1", "two_people/face2", "plain"):
        _check(out / name, rows[name])
        left.append(float(next(iter(csv.DictReader((out / name / "frames.csv").open())))["box_x0"]))
    assert left[0] < films.WIDTH <= left[1]


def test_without_any_video_that_can_be_read_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    given = [str(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    assert main(["video", "--model", "candidates", *given, "--out", str(tmp_path / "out")]) == 2
    rows = lines(tmp_path / "out")
    assert [row["status"] for row in rows.values()] == ["none", "none"]
    assert rows[str(tmp_path / "b.mp4")]["why"] == "no such file"
    assert not (tmp_path / "out" / "run").exists()
