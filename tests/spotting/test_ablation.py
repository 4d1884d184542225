"""`benchmarks/spotting_ablation.py`: what is run again, and the rows of what found nothing."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest

from microexp.spotting import aemnet, detect
from microexp.spotting.params import AemnetParams, DetectParams
from microexp.storage import write_csv
from tests.spotting.made_up import write_data
from tests.spotting.test_aemnet import QUICK

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "spotting_ablation.py"


@pytest.fixture(scope="module")
def ablation():
    spec = importlib.util.spec_from_file_location("spotting_ablation", SCRIPT)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def tasks(ablation, tmp_path, monkeypatch):
    """One fold of the full network and of one variant, run once."""
    data = write_data(tmp_path / "data", subjects=3, n_frames=200, channels=8)
    monkeypatch.setattr(ablation, "VARIANTS", {"AEM-Net": {}, "flow only": {"streams": "flow"}})
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


def test_what_found_nothing_has_a_row(ablation, tasks):
    for task in tasks:
        write_csv(task.out / "detections.csv", detect.COLUMNS, [])
    rows = {row["variant"]: (row["overall"], row["predictions"]) for row in ablation.make_rows(tasks)}
    assert rows == dict.fromkeys(("AEM-Net", "flow_magnitude", "flow only"), (0.0, 0.0))
