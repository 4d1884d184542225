"""What `microexp check` says first and last, what it counts, and what it warns of."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from microexp.commands.check import cost, warnings
from microexp.commands.main import main
from microexp.config import Config, parse
from microexp.reading.release import Index
from microexp.records.index import Expression, Video

from . import releases

AEMNET = {"datasets": ["samm_lv"], "methods": {"aemnet": {}}}


def config(**sections: object) -> Config:
    return parse({"datasets": {"samm_lv": {"root": "x"}}, "spotting": {"long": AEMNET}} | sections, "c")


def check(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, object], *args: str) -> list[str]:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(options))
    assert main(["check", str(tmp_path / "c.yaml"), *args]) == 0
    return capsys.readouterr().out.strip().splitlines()


def test_what_is_excluded_stands_first_and_last_and_the_rest_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("006", f"006_1_{n}", 1, n + 0.5, n + 2, n + 4, 5, "Macro", "4", None) for n in range(1, 40)]
    rows.insert(20, ("006", "006_9_1", 1, 10, 20, 30, 21, "Macro", "4", None))  # a video that is not there
    root = releases.samm_lv(tmp_path / "samm", rows=rows)
    options: dict[str, object] = {"datasets": {"samm_lv": {"root": str(root)}}}
    lines = check(tmp_path, capsys, options)
    what = "  excluded: samm_lv/006/006_9: is not on disk, but has rows in SAMM_LongVideos_V1_Release.xlsx"
    assert lines[1].startswith("  1 videos or expressions are excluded: tables will say INCOMPLETE")
    assert lines[2] == lines[-1] == what and lines[-2] == lines[1]
    assert "  39 x onset: read as" in lines and len(lines) < 40
    assert sum(".5 is not whole" in line for line in check(tmp_path, capsys, options, "--issues")) == 39


def samm_lv(fps: float = 200.0, n_frames: int = 482_797) -> Index:
    """One long video for all, with a short and a long expression."""
    videos = [Video("samm_lv", s, f"{s}_1", "-", n_frames // 2, fps, 9, 9) for s in ("006", "007")]
    spans = ((0, 90), (0, 5173))
    found = [Expression("samm_lv", "006", "006_1", n, a, a, b, "macro", "", "") for n, (a, b) in enumerate(spans)]
    return Index(videos, found, [], [], [], False)


def test_a_rate_that_nothing_resamples_is_told_with_its_price() -> None:
    (rate, window) = warnings(config(), "samm_lv", samm_lv())
    assert "200 frames/s are kept: " in rate and "datasets.samm_lv.fps: 30" in rate
    assert (
        "spotting.long.methods.aemnet: 1 of 2 expressions are longer than its window of 128 frames (0.64 s)" in window
    )
    assert "the longest has 25.87 s" in window
    resampled = config(datasets={"samm_lv": {"root": "x", "fps": 30}})
    (window,) = warnings(resampled, "samm_lv", samm_lv())
    assert "(4.27 s)" in window


def test_the_estimate_is_near_what_was_measured() -> None:
    """CPU-hours of the whole preprocessing, measured on one core: 18.2 and 5.3, and 35 without resampling."""
    videos = samm_lv(30.0, 254_094).videos
    assert cost(config(), "samm_lv", videos).hours == pytest.approx(18.2, rel=0.1)
    assert cost(config(), "samm_lv", videos).gigabytes == pytest.approx(65, rel=0.1)
    assert cost(config(), "samm_lv", samm_lv().videos).hours == pytest.approx(35, rel=0.1)
    assert cost(config(), "samm_lv", samm_lv().videos, fps=30).hours == pytest.approx(5.3, rel=0.1)
    motion = {"datasets": ["samm_lv"], "methods": {"flow_magnitude": {}}}
    assert cost(config(spotting={"long": motion}), "samm_lv", videos).hours == pytest.approx(0.95, rel=0.1)


def test_short_videos_and_more_people_cost_their_start() -> None:
    """The same frames in 98 videos of 22 people: a face is looked for in each, and each person has processes."""
    whole = samm_lv(30.0, 254_016).videos
    parts = [Video("samm_lv", f"{n % 22:03}", f"v{n}", "-", 254_016 // 98, 30.0, 9, 9) for n in range(98)]
    more = cost(config(), "samm_lv", parts).hours - cost(config(), "samm_lv", whole).hours
    assert more == pytest.approx((96 * 24 * 0.06 + 20 * 8) / 3600, rel=0.02)


def test_clips_are_looked_at_in_fewer_places() -> None:
    """Of 60 frames each: three places; the rest of the cost is that of their frames."""
    long, clips = (
        [Video("samm_lv", "006", f"v{n}", "-", 60_000 // count, 30.0, 9, 9) for n in range(count)]
        for count in (10, 1000)
    )
    more = cost(config(), "samm_lv", clips).hours - cost(config(), "samm_lv", long).hours
    assert more == pytest.approx((1000 * 3 - 10 * 24) * 0.06 / 3600, rel=0.01)


def test_clips_and_short_windows_bring_no_warning() -> None:
    index = samm_lv()
    clips = Index(index.videos, index.expressions[:1], [], [], [], True)
    assert warnings(config(), "samm_lv", clips) == []


def test_what_is_too_little_to_train_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "own"
    releases.folder(root)
    rows = "anna,v1,3,9,micro,Happy\ncarl,v7,3,9,micro,fear\n"  # carl's video is not there
    (root / "annotations.csv").write_text(f"subject,video,onset,offset,kind,emotion\n{rows}")
    classes = {"good": ["happiness"], "bad": ["fear"]}
    options: dict[str, object] = {
        "datasets": {"mine": {"adapter": "folder", "root": str(root), "source_fps": 30}},
        "recognition": {"x": {"datasets": ["mine"], "classes": classes}},
    }
    lines = check(tmp_path, capsys, options)
    assert "  warning: recognition.x: no clip of class bad" in lines and not any("class good" in x for x in lines)
    for video in (root / "videos/ben").iterdir():
        (video.rename(tmp_path / "gone"))
    assert "  warning: recognition.x: one subject: nobody is left to train on when it is held out" in check(
        tmp_path, capsys, options
    )


@pytest.mark.parametrize(("emotion", "status"), [("Scared", 2), ("Fearful", 0)])
def test_an_emotion_that_no_row_has_is_an_error_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], emotion: str, status: int
) -> None:
    """As the run itself would say it; `Fearful` is fear, as in a sheet."""
    rows = {"one": "anna,v1,3,9,micro,Happy", "other": "anna,v1,3,9,micro,fear"}
    for name, row in rows.items():
        releases.folder(tmp_path / name)
        (tmp_path / name / "annotations.csv").write_text(f"subject,video,onset,offset,kind,emotion\n{row}\n")
    classes = {"good": ["happiness"], "bad": [emotion]}
    options = {
        "datasets": {n: {"adapter": "folder", "root": str(tmp_path / n), "source_fps": 30} for n in rows},
        "recognition": {"x": {"datasets": ["one"], "sources": ["other:micro"], "classes": classes}},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(options))
    assert main(["check", str(tmp_path / "c.yaml")]) == status
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    expected = "recognition.x.classes.bad: got 'scared', expected an emotion of some clip: fear, happiness"
    assert errors == ([f"microexp: error: {tmp_path}/c.yaml: {expected}"] if status else [])
    assert main(["check", str(tmp_path / "c.yaml"), "--dataset", "one"]) == 0  # half of it says nothing of the whole
