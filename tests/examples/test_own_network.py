"""The example with networks of somebody else: as honest as the shipped ones, and part of tables and report."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.config import load
from microexp.records.features import Layout, create_features
from microexp.records.index import Expression, Video, write_expressions, write_videos
from microexp.records.shard import Subject
from tests.methods.recognition.synthetic import CLASSES, clips_of
from tests.methods.recognition.synthetic import write_shards as write_clips
from tests.shards import recorded
from tests.workflow import runs
from tests.workflow.conftest import finished  # noqa: F401  the fixture of a finished miniature

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_network"
FRAMES, STEP = 240, 4


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))


def test_it_is_short_and_its_configuration_is_one():
    lines = (EXAMPLE / "own_network.py").read_text().splitlines()
    assert sum(1 for line in lines if line.strip()) < 100
    config = load(EXAMPLE / "config.yaml")
    assert {type(config.method(k, "demo", "own")[0]).__name__ for k in ("spotting", "recognition")} == {
        "SpottingNet",
        "RecognitionNet",
    }


# --- the leak canary --------------------------------------------------------------------------------------------------


@pytest.fixture
def motion(tmp_path):
    """Motion of four subjects, with two expressions each; returns arguments of the stage, and the shards."""
    rng = np.random.default_rng(0)
    videos, expressions, shards = [], [], []
    for name in ("a", "b", "c", "d"):
        values = rng.normal(0, 0.1, (FRAMES // STEP, 5)).astype(np.float32)
        for number, (kind, onset, offset) in enumerate((("micro", 40, 52), ("macro", 120, 160)), 1):
            values[onset // STEP : offset // STEP + 1, 0 if kind == "micro" else 1] += 1
            expressions.append(Expression("demo", name, f"{name}1", number, onset, onset + 6, offset, kind, "x", ""))
        videos.append(Video("demo", name, f"{name}1", "-", FRAMES, 30.0, 64, 64))
        path = tmp_path / "motion" / "demo" / f"{name}.h5"
        with create_features(path, "motion", Subject("demo", name)) as file:
            file.add(f"{name}1", values, Layout(STEP, STEP, 30.0, tuple("vwxyz")), frame_index=np.arange(FRAMES))
        shards.append(recorded(path, "motion"))
    write_expressions(tmp_path / "expressions.csv", expressions, videos)
    write_videos(tmp_path / "videos.csv", videos)
    index = ["--expressions", str(tmp_path / "expressions.csv"), "--videos", str(tmp_path / "videos.csv")]
    return ["--features", *map(str, shards), *index], shards


@pytest.fixture
def clips(tmp_path):
    shards = write_clips(clips_of({"demo": ["a", "b", "c", "d"]}), tmp_path / "apexdiff")
    return ["--apexdiff", *map(str, shards)], shards


COMMON = {"experiment": "demo", "name": "own", "method_version": 1, "options": {"epochs": 4, "width": 8}, "seeds": 1}
STAGES = {
    "spotting-fold": (
        COMMON | {"method": "own_network:SpottingNet", "calibrate": "held_out", "permuted_control": False},
        {"trained": "safetensors", "training": "csv", "proposals": "csv"},
    ),
    "recognition-fold": (
        COMMON | {"method": "own_network:RecognitionNet", "datasets": ["demo"], "classes": CLASSES},
        {"trained": "safetensors", "training": "csv", "predictions": "csv"},
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_poison_in_the_held_out_subject_leaves_what_is_trained_byte_identical(stage, request, tmp_path):
    inputs, shards = request.getfixturevalue("motion" if stage == "spotting-fold" else "clips")
    params, outputs = STAGES[stage]

    def run(name, fold="demo-b"):
        files = {o: tmp_path / name / f"{o}.{suffix}" for o, suffix in outputs.items()}
        out = [x for o, path in files.items() for x in (f"--out-{o}", str(path))]
        arguments = [*inputs, "--fold", fold, "--params", json.dumps(params), "--device", "cpu", *out]
        assert main([stage, *arguments]) == 0
        return {o: path.read_bytes() for o, path in files.items()}

    def poison():
        with h5py.File(shards[1], "r+") as file:
            for array in (file["b1"]["features"],) if stage == "spotting-fold" else (file["flow"], file["strain"]):
                array[...] = 1e3 * np.random.default_rng(1).normal(size=array.shape)
        recorded(shards[1], "motion" if stage == "spotting-fold" else "apexdiff")

    clean, again, other = run("clean"), run("again"), run("other", "demo-a")
    assert clean == again
    with (tmp_path / "clean" / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["epoch"]) for r in rows] == [1, 2, 3, 4] and float(rows[3]["loss"]) < float(rows[0]["loss"])
    poison()
    poisoned, sung = run("poisoned"), run("sung", "demo-a")
    for output in ("trained", "training"):
        assert poisoned[output] == clean[output]
    assert poisoned != clean
    assert sung["trained"] != other["trained"]  # for another fold the poison is training data


# --- the whole workflow -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_its_rows_stand_in_the_tables_and_its_curves_in_the_report(finished, tmp_path, monkeypatch):  # noqa: F811
    """The example's folder is the user's PYTHONPATH; jobs find it too. Nothing reads I3D, so there are no weights.

    Its people are the miniature's, whose videos, flow and maps are there already.
    """
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLE))
    folder = runs.copy_run(finished, tmp_path / "run")
    (folder / "weights").unlink()
    runs.forget(
        folder, "features/i3d_rgb", "features/i3d_flow", "spotting", "recognition", "tables", "report", "report.html"
    )
    outcome = runs.run(folder, config=EXAMPLE / "config.yaml")
    assert outcome.status == 0, outcome.text[-4000:]
    assert not {"weights", "demo", "faces", "flow", "i3d_rgb", "i3d_flow"} & set(outcome.rules())
    assert not (folder / "weights").exists() and not list((folder / "results" / "features").glob("i3d*"))
    spotting = (folder / "results/tables/spotting_demo.md").read_text()
    recognition = (folder / "results/tables/recognition_demo.md").read_text()
    assert "| own |" in spotting and "| flow_magnitude |" in spotting
    assert "| own |" in recognition and "| logistic_regression |" in recognition
    report = (folder / "results/report.html").read_text()
    for anchor in ("spotting-demo", "recognition-demo"):
        section = report[report.index(f'id="{anchor}"') :]
        curves = section[section.index("<h3>Training, demo</h3>") :].split("<h3")[1]
        assert '<p class="note">own</p>' in curves and "training: loss" in curves
