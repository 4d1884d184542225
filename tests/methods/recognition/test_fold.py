"""The stage `recognition-fold`, with every method that is shipped and a made-up one."""

import csv
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.methods import context
from microexp.methods.find import SHIPPED, find_method
from microexp.run import bundle
from tests.methods.recognition.conftest import QUICK
from tests.methods.recognition.made_up import Centroids
from tests.methods.recognition.synthetic import CLASSES, clips_of, write_shards
from tests.shards import recorded

PAGE = Path(__file__).parents[3] / "docs" / "recognition.md"
MADE_UP = "tests.methods.recognition.made_up:Centroids"
METHODS = {name: {} for name in SHIPPED["recognition"]} | {MADE_UP: {}, "mdml": {**QUICK, "epochs": 3}}
OUTPUTS = {"trained": "safetensors", "training": "csv", "predictions": "csv"}


def params(method="mdml", **changes):
    return {
        "experiment": "x",
        "name": "row",
        "method": method,
        "method_version": find_method("recognition", method).version,
        "options": METHODS[method],
        "datasets": ["demo"],
        "classes": CLASSES,
        "sources": ["demo:macro"],
        "seeds": 2,
        **changes,
    }


@pytest.fixture
def shards(tmp_path):
    clips = clips_of({"demo": ["a", "b", "c", "d"]}, per_kind=4, kinds=("micro", "macro"))
    clips.emotion[3] = "fear"  # in no class: neither trained on nor predicted
    return write_shards(clips, tmp_path / "apexdiff")


def run(shards, out, options, fold="demo-b", *more):
    args = ["recognition-fold", "--apexdiff", *map(str, shards), "--fold", fold, "--params", json.dumps(options)]
    for name, suffix in OUTPUTS.items():
        args += [f"--out-{name}", str(out / f"{name}.{suffix}")]
    assert main([*args, "--device", "cpu", *more]) == 0
    with (out / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def contents(folder, *names):
    """The bytes of the outputs of a fold; the checkpoint is gone."""
    assert not list(folder.glob("*.checkpoint*"))
    return {name: (folder / f"{name}.{OUTPUTS[name]}").read_bytes() for name in names or OUTPUTS}


def poison(path):
    """Replace a subject's maps by garbage, and turn the order of its labels."""
    with h5py.File(path, "r+") as file:
        for name in ("difference", "flow", "strain", "onset_grey"):
            file[name][:] = 1e6 * np.random.default_rng(0).normal(size=file[name].shape)
        shuffled = file["emotion"].asstr()[()][::-1]
        del file["emotion"]
        file["emotion"] = shuffled.astype(object)
    recorded(path, "apexdiff")


def happy(path):
    """Other maps, and one emotion alone: what changes every method that trains on it."""
    with h5py.File(path, "r+") as file:
        file["flow"][:] *= 2
        file["emotion"][:] = "happiness"
    recorded(path, "apexdiff")


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_a_fold_from_shards_to_predictions(shards, tmp_path, method):
    rows = run(shards, tmp_path / "out", params(method))
    seeds = ["0", "1"] if find_method("recognition", method).seeded else ["0"]
    assert [(r["method"], r["seed"]) for r in rows] == [("row", s) for s in seeds for _ in range(4)]
    assert {r["subject"] for r in rows} == {"b"}
    for row in rows:
        p = {c: float(row[f"p_{c}"]) for c in CLASSES}
        assert sum(p.values()) == pytest.approx(1) and row["prediction"] == max(p, key=p.get)
    record = json.loads((tmp_path / "out" / "trained.safetensors.prov.json").read_text())
    assert record["source_clips"] == 12 and record["train_clips"] == 11 and record["test_clips"] == 4
    assert record["device"] == "cpu" and record["stage"] == "recognition-fold"
    with (tmp_path / "out" / "training.csv").open() as file:
        log = list(csv.DictReader(file))
    if method in ("mdml", MADE_UP):
        for seed in seeds:
            epochs = [int(r["epoch"]) for r in log if r["seed"] == seed]
            assert len(epochs) > 1 and epochs == list(range(1, len(epochs) + 1))
    about = bundle.read(tmp_path / "out" / "trained.safetensors").about
    assert (about["reference"], about["classes"], about["size_px"]) == (method, list(CLASSES), 14)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_any_order_of_files_and_any_number_of_threads_give_the_same_bytes(shards, tmp_path, method):
    import torch

    run(shards, tmp_path / "1", params(method))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        run([shards[i] for i in (2, 0, 3, 1)], tmp_path / "2", params(method), "demo-b", "--threads", "3")
        assert torch.get_num_threads() == 3  # nobody else's setting is changed
    finally:
        torch.set_num_threads(before)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.long
@pytest.mark.parametrize("method", ["mdml", MADE_UP])
def test_the_first_seed_counts_the_repetitions_from_itself(shards, tmp_path, method):
    first, other = run(shards, tmp_path / "1", params(method)), run(shards, tmp_path / "2", params(method, seed=1))
    assert [r["seed"] for r in other] == [r["seed"] for r in first]
    assert float(other[0]["p_positive"]) == pytest.approx(float(first[4]["p_positive"]), abs=1e-4)
    assert abs(float(other[4]["p_positive"]) - float(first[4]["p_positive"])) > 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_poison_in_the_held_out_subject_leaves_what_is_trained_byte_identical(shards, tmp_path, method):
    clean = run(shards, tmp_path / "clean", params(method))
    assert shards[1].name == "b.h5"
    poison(shards[1])
    poisoned = run(shards, tmp_path / "poisoned", params(method))
    assert contents(tmp_path / "clean", "trained", "training") == contents(tmp_path / "poisoned", "trained", "training")
    assert len(poisoned) == len(clean)
    # the canary can sing: for another fold the poison is training data
    run(shards, tmp_path / "other", params(method), "demo-a")
    happy(shards[1])
    run(shards, tmp_path / "other2", params(method), "demo-a")
    assert contents(tmp_path / "other", "trained") != contents(tmp_path / "other2", "trained")


@pytest.mark.long
@pytest.mark.parametrize(("fold", "leave"), [("samm-a", "subject"), ("samm-all", "dataset")])
@pytest.mark.parametrize("method", METHODS)
def test_poison_in_every_data_set_of_the_held_out_people_changes_nothing(tmp_path, fold, leave, method):
    people = {
        "samm": ["a", "b", "c"],
        "other": ["a", "x"],
        "third": ["y", "z"],
        "samm_lv": ["a", "d"],
        "mine": ["a", "e"],
    }
    changes = {
        "datasets": ["samm", "other", "third"],
        "sources": ["samm_lv", "mine"],
        "people": [["mine", "samm", "samm_lv"]],
        "leave": leave,
        "seeds": 1,
    }
    if method == "mdml":
        changes["options"] = {**METHODS["mdml"], "domain": {"weight": 1.0}}
    paths = write_shards(clips_of(people, per_kind=3), tmp_path / "s")
    run(paths, tmp_path / "clean", params(method, **changes), fold)
    poisoned = [tmp_path / "s" / d / "a.h5" for d in ("samm", "samm_lv", "mine")]
    for path in [*poisoned, *((tmp_path / "s" / "samm").glob("[bc].h5") if leave == "dataset" else ())]:
        poison(path)
    run(paths, tmp_path / "poisoned", params(method, **changes), fold)
    assert contents(tmp_path / "clean", "trained", "training") == contents(tmp_path / "poisoned", "trained", "training")
    poison(tmp_path / "s" / "other" / "a.h5")  # a namesake of another data set is another person, and trains
    happy(tmp_path / "s" / "other" / "a.h5")
    run(paths, tmp_path / "namesake", params(method, **changes), fold)
    assert contents(tmp_path / "namesake", "trained") != contents(tmp_path / "clean", "trained")


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def always(monkeypatch):
    """Every state is written at once, as after a long time."""
    monkeypatch.setattr(context, "EVERY_S", 0.0)
    monkeypatch.setattr(Centroids, "started", [])


@pytest.mark.long
@pytest.mark.parametrize("at", [(0, 1), (0, 3), (1, 2), (2, 4)])
def test_an_interrupted_fold_goes_on_and_ends_with_the_same_bytes(shards, tmp_path, monkeypatch, always, at):
    options = params(MADE_UP, seeds=3)
    run(shards, tmp_path / "whole", options)
    monkeypatch.setattr(Centroids, "interrupt", at)
    with pytest.raises(KeyboardInterrupt):
        run(shards, tmp_path / "out", options)
    monkeypatch.setattr(Centroids, "interrupt", None)
    Centroids.started.clear()
    run(shards[::-1], tmp_path / "out", options)
    seed, epoch = at
    # only the interrupted fit goes on from a state, the ones after it start by themselves, those before it are kept
    assert Centroids.started == [(s, s == seed and epoch > 1) for s in range(seed, 3)]
    assert contents(tmp_path / "whole") == contents(tmp_path / "out")


def interrupted(shards, out, monkeypatch, at=(1, 3)):
    monkeypatch.setattr(Centroids, "interrupt", at)
    with pytest.raises(KeyboardInterrupt):
        run(shards, out, params(MADE_UP))
    monkeypatch.setattr(Centroids, "interrupt", None)
    Centroids.started.clear()
    (found,) = out.glob("*.checkpoint")
    return found


def scaled(path):
    with h5py.File(path, "r+") as file:
        file["flow"][:] *= 1.5
    recorded(path, "apexdiff")


CHANGES = {
    "a training subject": lambda shards: scaled(shards[2]),
    "an option": lambda shards: {"options": {"rate": 0.25}},
    "the seed": lambda shards: {"seed": 7},
}


@pytest.mark.long
@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_other_data_or_options_is_not_used(shards, tmp_path, monkeypatch, always, change):
    interrupted(shards, tmp_path / "out", monkeypatch)
    options = params(MADE_UP, **(CHANGES[change](shards) or {}))
    run(shards, tmp_path / "out", options)
    assert [state for _, state in Centroids.started] == [False, False]
    run(shards, tmp_path / "fresh", options)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.long
def test_a_checkpoint_is_used_when_the_held_out_subject_alone_has_changed(shards, tmp_path, monkeypatch, always):
    interrupted(shards, tmp_path / "out", monkeypatch)
    scaled(shards[1])
    run(shards, tmp_path / "out", params(MADE_UP))
    assert Centroids.started == [(1, True)]


@pytest.mark.long
def test_a_checkpoint_of_an_edited_network_is_not_used(shards, tmp_path, monkeypatch, always):
    interrupted(shards, tmp_path / "out", monkeypatch)
    monkeypatch.setattr("microexp.methods.recognition.fold.source_of", lambda method: "edited")
    run(shards, tmp_path / "out", params(MADE_UP))
    assert Centroids.started == [(0, False), (1, False)]


def test_a_damaged_checkpoint_is_said_and_not_used(shards, tmp_path, monkeypatch, always, capsys):
    path = interrupted(shards, tmp_path / "out", monkeypatch)
    path.write_bytes(path.read_bytes()[:-9])
    run(shards, tmp_path / "out", params(MADE_UP))
    assert "a damaged checkpoint" in capsys.readouterr().err
    assert Centroids.started == [(0, False), (1, False)]


# --- unusual folds ----------------------------------------------------------------------------------------------------


def test_leaving_a_data_set_out(tmp_path):
    shards = write_shards(clips_of({"demo": ["a", "b"], "other": ["x", "y"]}), tmp_path / "s")
    options = params(datasets=["demo", "other"], sources=[], leave="dataset", seeds=1)
    rows = run(shards, tmp_path, options, "other-all")
    assert {(r["dataset"], r["subject"]) for r in rows} == {("other", "x"), ("other", "y")}


@pytest.mark.parametrize("method", METHODS)
def test_for_a_subject_without_a_clip_to_recognise_nothing_is_trained(shards, tmp_path, monkeypatch, method):
    extra = write_shards(clips_of({"demo": ["e"]}, kinds=("macro",)), tmp_path / "more")
    found = find_method("recognition", method)
    for name in ("fit", "fit_many"):
        monkeypatch.setattr(type(found), name, lambda *a: pytest.fail("it was trained"))
    assert run([*shards, *extra], tmp_path, params(method), "demo-e") == []
    header, *rows = (tmp_path / "training.csv").read_text().splitlines()
    assert header.startswith("variant,seed,fit,epoch") and rows == []
    assert bundle.read(tmp_path / "trained.safetensors").parts == {}


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_the_fold_all_trains_on_everybody_and_predicts_nobody(shards, tmp_path, method):
    assert run(shards, tmp_path / "all", params(method), "all") == []
    record = json.loads((tmp_path / "all" / "trained.safetensors.prov.json").read_text())
    assert (record["train_clips"], record["source_clips"], record["test_clips"]) == (15, 16, 0)
    parts = bundle.read(tmp_path / "all" / "trained.safetensors").parts
    assert sorted(parts) == [f"method.{s}" for s in range(2 if find_method("recognition", method).seeded else 1)]
    run(shards, tmp_path / "b", params(method), "demo-b")
    assert contents(tmp_path / "all", "trained") != contents(tmp_path / "b", "trained")


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_the_page_s_lines_apply_the_model_of_the_fold_all(shards, tmp_path, monkeypatch, method):
    run(shards, tmp_path, params(method) | {"experiment": "mine", "name": "mdml"}, "all")
    model = tmp_path / "results" / "recognition" / "mine" / "mdml" / "all" / "model.safetensors"
    files = ["--trained", str(tmp_path / "trained.safetensors"), "--out-model", str(model)]
    assert main(["model", "--kind", "recognition", *files]) == 0
    others = clips_of({"mine": ["s01"]}, seed=1)
    write_shards(others, tmp_path / "results" / "apexdiff")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found = {}
    exec(block, found)
    assert found["model"].classes == tuple(CLASSES) and found["p"].shape == (3, 3)
    np.testing.assert_allclose(found["p"].sum(1), 1)
    trained = find_method("recognition", method)
    options = trained.Options.model_validate(METHODS[method])
    data = bundle.read(tmp_path / "trained.safetensors").parts["method.0"]
    expected = trained.predict(trained.from_bytes(data, options), others)
    assert np.array_equal(found["p"], expected)


def test_probabilities_of_another_shape_are_one_line(shards, tmp_path, capsys):
    options = params(MADE_UP) | {"method": "tests.methods.recognition.made_up:Crooked"}
    with pytest.raises(AssertionError):
        run(shards, tmp_path, options)
    said = capsys.readouterr().err.splitlines()[-1]
    assert "row: predictions of shape (3, 3)" in said and "expected (4, 3) probabilities" in said
