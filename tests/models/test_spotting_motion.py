"""The shipped spotting model: its file and card, and what it finds in a video of somebody it has not seen."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from microexp import models
from microexp.commands.main import main
from microexp.methods.model import read_model
from microexp.metrics.spotting import Interval, count
from microexp.records.index import read_expressions, read_videos
from microexp.run import bundle

MODEL = Path(models.__file__).with_name("spotting_motion.safetensors")
SCRIPT = {"seed": 77, "seconds": 24, "micro": 6, "macro": 3}
LOOK = {"width": 256, "height": 192}


def stage(name: str, params: object = None, **files: Path | str) -> None:
    """One stage, from the command line."""
    words = [w for key, value in files.items() for w in (f"--{key.replace('_', '-')}", str(value))]
    assert main([name, *words, "--params", json.dumps(params or {}), "--threads", "1"]) == 0


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything from a rendered video to the model's events."""
    out = tmp_path_factory.mktemp("applied")
    needed = bundle.read(MODEL).about["preprocessing"]
    stage("demo", {**SCRIPT, **LOOK}, video="s01_1", out_video=out / "demo/videos/s01/s01_1.mp4")
    stage("demo-sheet", {**SCRIPT, "subjects": 2}, out_sheet=out / "demo/annotations.csv")
    index = {"out_videos": out / "videos.csv", "out_expressions": out / "expressions.csv"}
    stage("index-subject", {"adapter": "demo"}, dataset="fresh", subject="s01", root=out / "demo", **index)
    faces, crops, flow, motion = (out / name / "fresh/s01.h5" for name in ("faces", "crops", "flow", "motion"))
    stage("faces", videos=out / "videos.csv", root=out / "demo", out_faces=faces)
    made = {"videos": out / "videos.csv", "faces": faces, "root": out / "demo"}
    stage("crops", needed["crops"], **made, out_crops=crops)
    stage("flow", needed["flow"], crops=crops, out_flow=flow)
    stage("motion", needed["motion"], flow=flow, faces=faces, crops=crops, out_features=motion)
    spotted = {"videos": out / "videos.csv", "crops": crops, "features": motion, "spotting": MODEL}
    stage("apply", {"preprocessing": needed}, **spotted, out_events=out / "events.csv")
    return out


def test_the_model_and_its_card_travel_with_the_package() -> None:
    assert models.shipped(models.SPOTTING) == MODEL and MODEL.stat().st_size < 3_000_000
    found = read_model(MODEL, "spotting")
    assert list(found.streams) == ["motion"] and found.streams["motion"]["fps"] == [30.0]
    about = bundle.read(MODEL).about
    assert about["trained_on"] and all(name.startswith("rendered_4001/") for name in about["trained_on"])
    text = MODEL.with_suffix(".md").read_text(encoding="utf-8")
    assert f"{len(about['trained_on'])} rendered people" in text
    for words in ("has never seen a real face", "## Data", "## Options", "## Figures", "## Limits", "CC0"):
        assert words in text
    for kind, choice in found.choices.items():
        assert f"| threshold, {kind} | {choice.threshold:.3f} |" in text


@pytest.mark.long
def test_it_finds_most_expressions_of_somebody_it_has_not_seen(applied: Path) -> None:
    truth = [
        Interval(e.subject, e.video, e.onset, e.offset, "macro")
        for e in read_expressions(applied / "expressions.csv", read_videos(applied / "videos.csv"))
    ]
    with (applied / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [Interval(r["subject"], r["video"], int(r["onset"]) - 1, int(r["offset"]) - 1, "macro") for r in rows]
    counts = count(found, truth, "one_to_one")["overall"]
    assert counts.truths == 9 and counts.recall > 0.5 and counts.precision > 0.5
