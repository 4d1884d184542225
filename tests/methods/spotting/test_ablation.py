"""`benchmarks/spotting_ablation.py`: what is run again, and its rows."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from microexp.config import load
from microexp.methods.spotting import fold
from microexp.methods.spotting.params import DetectParams, SpottingFoldParams
from microexp.records.detections import Detection, write_detections
from microexp.records.index import read_videos
from microexp.report.tables import read_truths
from tests.methods.spotting.made_up import write_data
from tests.methods.spotting.quick import QUICK
from tests.scripts import BENCHMARKS, load_script

CONFIG = BENCHMARKS / "spotting_ablation.yaml"


@pytest.fixture(scope="module")
def ablation():
    with pytest.MonkeyPatch.context() as patch:
        yield load_script("spotting_ablation", patch)


@pytest.fixture
def tasks(ablation, tmp_path, monkeypatch):
    """One fold of two variants, run once."""
    data = write_data(tmp_path / "data", subjects=3, n_frames=200, channels=8)
    monkeypatch.setattr(ablation, "VARIANTS", {"no pyramid": {}, "one level": {"levels": 1}})
    training = {
        name: SpottingFoldParams(
            experiment="demo", name="aemnet", method="aemnet", method_version=1, seeds=2, calibrate="held_out",
            options={**QUICK, "epochs": 1, "network": {**QUICK["network"], **change}},
        )
        for name, change in ablation.VARIANTS.items()
    }  # fmt: skip
    choosing = DetectParams(experiment="demo", name="aemnet")
    made = [
        ablation.Task(
            name, "fake-s00", data.features, [data.expressions], [data.videos], params, choosing, tmp_path / name
        )
        for name, params in training.items()
    ]
    for task in made:
        ablation.run_task(task)
    return made


@pytest.mark.long
def test_a_fold_is_run_again_only_when_options_inputs_or_code_changed(ablation, tasks, monkeypatch):
    runs, real = [], fold.run
    monkeypatch.setattr(ablation.fold, "run", lambda job: runs.append("fold") or real(job))
    ablation.run_task(tasks[0])
    assert runs == []
    other = DetectParams(experiment="demo", name="aemnet", overlap_iou=0.3)
    ablation.run_task(dataclasses.replace(tasks[0], choosing=other))
    ablation.run_task(tasks[0])
    assert len(runs) == 2
    monkeypatch.setattr(ablation, "source_sha256", lambda: "another")
    ablation.run_task(tasks[0])
    assert len(runs) == 3
    path = tasks[0].expressions[0]
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    ablation.run_task(tasks[0])
    assert len(runs) == 4
    ablation.run_task(tasks[0])
    assert len(runs) == 4


@pytest.mark.long
def test_rows_are_compared_with_the_full_network(ablation, tasks):
    """The first task's fold stands for the workflow's; the other variant found nothing."""
    full, other = tasks
    videos = read_videos(other.videos[0])
    truths = read_truths(other.expressions, other.videos)
    write_detections(other.out / "detections.csv", [], videos)
    number = {v.key: v.numbering for v in videos}
    found = [t for t in truths if t.subject == "fake/s00"]
    perfect = [
        Detection(
            "aemnet", seed, *key, number[key].to_index(t.onset), number[key].to_index(t.offset), t.kind, 1.0
        )
        for t in found for key in [("fake", "s00", t.video)] for seed in (0, 1)
    ]  # fmt: skip
    write_detections(full.out / "detections.csv", perfect, videos)
    rows = {row["variant"]: row for row in ablation.make_rows([full.out], [other], truths, videos)}
    assert set(rows) == {"AEM-Net", "aemnet_oracle", "one level"}
    share = len(found) / len(truths)
    assert rows["AEM-Net"]["overall"] == pytest.approx(2 * share / (1 + share))
    assert "difference" not in rows["AEM-Net"]
    none = rows["one level"]
    assert (none["overall"], none["predictions"]) == (0, 0)
    assert none["difference"] == pytest.approx(-rows["AEM-Net"]["overall"])
    assert none["difference_low"] < none["difference"] < none["difference_high"] <= 0


def test_variants_differ_in_what_their_name_says_and_in_nothing_else(ablation, tmp_path):
    config = load(CONFIG)
    for path in (
        *(f"index/demo/subjects/s{n:02d}/videos.csv" for n in (1, 2)),
        *(f"features/{s}/demo/s{n:02d}.h5" for s in ("i3d_rgb", "i3d_flow", "motion") for n in (1, 2)),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    made = ablation.make_tasks(config, "demo", tmp_path, tmp_path / "out")
    assert [t.fold for t in made[:2]] == ["demo-s01", "demo-s02"] and len(made) == 2 * len(ablation.VARIANTS)
    assert len({t.out for t in made}) == len(made)
    full = config.spotting["demo"].methods["aemnet"]
    for task in made:
        assert not task.training.permuted_control and task.training.seeds == 3
        options, change = dict(task.training.options), ablation.VARIANTS[task.variant]
        assert {k: v for k, v in options.items() if k != "network" and k in full} == {
            k: v for k, v in full.items() if k != "network"
        }
        network = {**full["network"], **change}
        assert {k: options["network"][k] for k in network} == {
            k: list(v) if isinstance(v, tuple) else v for k, v in network.items()
        }
        assert {p.parents[1].name for p in task.features} == set(options["network"]["streams"])


@pytest.mark.long
def test_folds_that_are_missing_are_named(ablation, tasks, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "make_tasks", lambda *_: tasks)
    config = str(CONFIG)
    monkeypatch.setattr(sys, "argv", ["spotting_ablation.py", "--config", config, "--results", str(tmp_path)])
    with pytest.raises(SystemExit):
        ablation.main()
    assert "aemnet/fake-s00: run snakemake first" in capsys.readouterr().err
