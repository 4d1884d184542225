"""`benchmarks/spotting_ablation.py`: what is run again, and its rows."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest

from microexp.methods.spotting import detect
from microexp.methods.spotting.aemnet import aemnet
from microexp.methods.spotting.params import AemnetParams, DetectParams
from microexp.report.tables import read_truths
from microexp.run.storage import write_csv
from tests.methods.spotting.made_up import write_data
from tests.methods.spotting.test_aemnet import QUICK

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "spotting_ablation.py"


@pytest.fixture(scope="module")
def ablation():
    spec = importlib.util.spec_from_file_location("spotting_ablation", SCRIPT)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def tasks(ablation, tmp_path, monkeypatch):
    """One fold of two variants, run once."""
    data = write_data(tmp_path / "data", subjects=3, n_frames=200, channels=8)
    monkeypatch.setattr(ablation, "VARIANTS", {"no pyramid": {"top_down": False}, "flow only": {"streams": "flow"}})
    options = AemnetParams.model_validate({**QUICK, "epochs": 1, "seeds": [0, 1]})
    inputs = (data.features, data.motion, [data.expressions], [data.videos])
    made = [
        ablation.Task(name, "fake-s00", *inputs, options, DetectParams(), tmp_path / name) for name in ablation.VARIANTS
    ]
    for task in made:
        ablation.run_task(task)
    return made


def test_a_fold_is_run_again_only_when_options_inputs_or_code_changed(ablation, tasks, monkeypatch):
    runs = []
    monkeypatch.setattr(ablation.aemnet, "run", lambda job: runs.append("aemnet") or aemnet.STAGE.run(job))
    ablation.run_task(tasks[0])
    assert runs == []
    ablation.run_task(dataclasses.replace(tasks[0], detect=DetectParams(nms_iou=0.3)))
    ablation.run_task(tasks[0])
    assert len(runs) == 2
    monkeypatch.setattr(ablation, "code_hash", lambda stage: "another")
    ablation.run_task(tasks[0])
    assert len(runs) == 3
    path = tasks[0].expressions[0]
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    ablation.run_task(tasks[0])
    assert len(runs) == 4
    ablation.run_task(tasks[0])
    assert len(runs) == 4


def test_rows_are_compared_with_the_full_network(ablation, tasks):
    """The first task's fold stands for the workflow's; the other variant found nothing."""
    full, other = tasks
    write_csv(other.out / "detections.csv", detect.COLUMNS, [])
    truths = read_truths(other.expressions, other.videos)
    found = [dataclasses.asdict(t) for t in truths if t.subject == "fake/s00"]
    perfect = [
        [detect.Detection("aemnet", seed, "fake", "s00", t["video"], t["onset"], t["offset"], t["kind"], 1.0)]
        for t in found for seed in (0, 1)
    ]  # fmt: skip
    write_csv(full.out / "detections.csv", detect.COLUMNS, [dataclasses.astuple(d) for [d] in perfect])
    rows = {row["variant"]: row for row in ablation.make_rows([full.out], [other], truths)}
    assert set(rows) == {"AEM-Net", "flow_magnitude", "flow only"}
    share = len(found) / len(truths)
    assert rows["AEM-Net"]["overall"] == pytest.approx(2 * share / (1 + share))
    assert "difference" not in rows["AEM-Net"]
    none = rows["flow only"]
    assert (none["overall"], none["predictions"]) == (0, 0)
    assert none["difference"] == pytest.approx(-rows["AEM-Net"]["overall"])
    assert none["difference_low"] < none["difference"] < none["difference_high"] <= 0


def test_folds_that_are_missing_are_named(ablation, tasks, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "make_tasks", lambda *_: tasks)
    monkeypatch.setattr(ablation, "load", lambda path: None)
    monkeypatch.setattr(sys, "argv", ["spotting_ablation.py", "--results", str(tmp_path)])
    with pytest.raises(SystemExit):
        ablation.main()
    assert "fake-s00: run snakemake first" in capsys.readouterr().err
