"""What a video's folder of results holds after several commands: what the last one made, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microexp.own_videos.inputs import OwnVideo
from microexp.own_videos.labels import Label
from microexp.own_videos.workflow import FAILED, FILES, collect, forget_unlisted, targets

VIDEO = OwnVideo("talk", "talk.mp4", Path("talk.mp4"))


def made(run: Path, people: int = 1, *, annotated: bool = False) -> None:
    """Files of a finished run."""
    for name in targets([VIDEO], annotated):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
        if name.endswith("summary.json"):
            about = {"status": "ok", "why": "", "usable": 1.0, "events": 2, "people": people, "frames": 150}
            about["seconds"] = 5.0
            (run / name).write_text(json.dumps(about))


def label(onset: float, in_seconds: bool = True) -> Label:
    return Label(2, "", onset, None, onset + 0.5, in_seconds, "", "")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_marked_copy_of_an_earlier_command_does_not_stay_beside_newer_events(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    made(run, annotated=True)
    collect([VIDEO], run, out, annotated=True)
    assert names(out / "talk") == set(FILES)
    collect([VIDEO], run, out, annotated=False)
    assert names(out / "talk") == set(FILES) - {"annotated.mp4"}


def test_a_video_that_fails_now_has_no_old_results(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    made(run)
    collect([VIDEO], run, out, annotated=False)
    (out / "talk" / "my notes.txt").write_text("mine")
    for name in targets([VIDEO], annotated=False):
        (run / name).unlink()
    (row,) = collect([VIDEO], run, out, annotated=False, known={VIDEO.name: [label(1)] * 3, "another": [label(1)]})
    assert (row["status"], row["why"], row["events"], row["truths"], row["hits"]) == ("none", FAILED, 0, 3, 0)
    assert names(out / "talk") == {"my notes.txt"}


def test_a_video_that_cannot_be_read_any_more_has_no_old_results(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    made(run)
    collect([VIDEO], run, out, annotated=False)
    gone = OwnVideo(VIDEO.name, VIDEO.given, VIDEO.path, "the file is empty")
    (row,) = collect([gone], run, out, annotated=False)
    assert row["why"] == "the file is empty" and not (out / "talk").exists()
    assert "truths" not in row, "nobody gave any"


@pytest.mark.parametrize("first", [None, 1])
def test_faces_of_an_earlier_command_go(tmp_path: Path, first: int | None) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    made(run, people=2)
    rows = collect([VIDEO], run, out, annotated=False, face=first)
    assert rows[0]["name"] == ("talk" if first is None else "talk/face1")
    rows = collect([VIDEO], run, out, annotated=False, face=None if first else 1)
    forget_unlisted([VIDEO], rows, out)
    pages = [path.relative_to(out).as_posix() for path in out.rglob("page.html")]
    assert pages == ["talk/page.html" if first else "talk/face1/page.html"]


def test_files_that_are_no_results_stay(tmp_path: Path) -> None:
    """A folder of frames may have the name of a folder of results, and landmarks of one's own in it."""
    run, out = tmp_path / "run", tmp_path / "out"
    (out / "talk").mkdir(parents=True)
    (out / "talk" / "landmarks.csv").write_text("mine")
    collect([VIDEO], run, out, annotated=False)
    forget_unlisted([VIDEO], [], out)
    assert names(out / "talk") == {"landmarks.csv"}


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([label(4.9), label(149, in_seconds=False)], None),
        ([label(4.9), label(46.5), label(111)], "2 of 3 known expressions lie beyond its end: frames or seconds?"),
        ([label(200, in_seconds=False)], "1 of 1 known expressions lie beyond its end: frames or seconds?"),
    ],
)
def test_expressions_beyond_the_end_are_named(tmp_path: Path, labels: list[Label], why: str | None) -> None:
    made(tmp_path / "run")
    (row,) = collect([VIDEO], tmp_path / "run", tmp_path / "out", annotated=False, known={VIDEO.name: labels})
    assert (row["status"], row["why"]) == ("ok", why)
