import csv
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.datasets.protocols import MEGC2019, PROTOCOLS, clip_hash
from microexp.errors import UserError
from microexp.methods.recognition.classes import class_names, labels_of
from microexp.methods.recognition.mdml import model_file
from microexp.records.clips import read_shards
from tests.methods.recognition.conftest import QUICK
from tests.methods.recognition.synthetic import CLASSES, clips_of, write_shards
from tests.shards import recorded

PARAMS = {
    "datasets": ["demo"],
    "classes": CLASSES,
    "sources": ["demo:macro"],
    "mdml": {**QUICK, "seeds": 2, "epochs": 8},
}


@pytest.fixture
def shards(tmp_path):
    clips = clips_of({"demo": ["a", "b", "c", "d"]}, per_kind=4, kinds=("micro", "macro"))
    clips.emotion[3] = "fear"  # in no class: neither trained on nor predicted
    return write_shards(clips, tmp_path / "apexdiff")


def run(shards, out, params=PARAMS, fold="demo-b", *more):
    args = ["mdml", "--apexdiff", *map(str, shards), "--fold", fold, "--params", json.dumps(params), "--device", "cpu"]
    for name, suffix in (("model", "safetensors"), ("training", "csv"), ("predictions", "csv")):
        args += [f"--out-{name}", str(out / f"{name}.{suffix}")]
    assert main([*args, *more]) == 0
    with (out / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name.startswith(("model", "training"))}


def test_a_fold_from_shards_to_predictions(shards, tmp_path):
    rows = run(shards, tmp_path / "out")
    assert [(r["method"], r["seed"]) for r in rows[::4]] == [
        ("mdml", "0"),
        ("mdml", "1"),
        ("majority", "0"),
        ("logistic_regression", "0"),
    ]
    assert {r["subject"] for r in rows} == {"b"} and len(rows) == 16
    for row in rows:
        p = {c: float(row[f"p_{c}"]) for c in CLASSES}
        assert sum(p.values()) == pytest.approx(1) and row["prediction"] == max(p, key=p.get)
    with (tmp_path / "out" / "training.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [int(r["epoch"]) for r in log if r["seed"] == "1"] == list(range(1, len(log) // 2 + 1))
    assert float(log[0]["classification"]) > float(log[len(log) // 2 - 1]["classification"])
    record = json.loads((tmp_path / "out" / "model.safetensors.prov.json").read_text())
    assert record["source_clips"] == 12 and record["train_clips"] == 11 and record["device"] == "cpu"


def test_two_runs_are_byte_identical_whatever_the_threads(shards, tmp_path):
    first, second = run(shards, tmp_path / "1"), run(shards, tmp_path / "2", PARAMS, "demo-b", "--threads", "2")
    assert first == second and contents(tmp_path / "1") == contents(tmp_path / "2")
    other = {**PARAMS, "mdml": {**PARAMS["mdml"], "seed": 1}}
    again = run(shards, tmp_path / "3", other)
    assert [r["seed"] for r in again[::4]] == ["1", "2", "1", "1"]
    assert float(again[0]["p_positive"]) == pytest.approx(float(first[4]["p_positive"]), abs=1e-4)


def poison(path):
    """Replace a subject's maps by garbage, and turn the order of its labels."""
    with h5py.File(path, "r+") as file:
        for name in ("difference", "flow", "strain", "onset_grey"):
            file[name][:] = 1e6 * np.random.default_rng(0).normal(size=file[name].shape)
        shuffled = file["emotion"].asstr()[()][::-1]
        del file["emotion"]
        file["emotion"] = shuffled.astype(object)
    recorded(path, "apexdiff")


def test_poison_in_the_held_out_subject_leaves_the_training_byte_identical(shards, tmp_path):
    run(shards, tmp_path / "clean")
    assert shards[1].parts[-2:] == ("demo", "b.h5")
    poison(shards[1])
    poisoned = run(shards, tmp_path / "poisoned")
    assert contents(tmp_path / "clean").keys() >= {"model.safetensors", "training.csv"}
    for name in ("model.safetensors", "training.csv"):
        assert (tmp_path / "clean" / name).read_bytes() == (tmp_path / "poisoned" / name).read_bytes(), name
    assert len(poisoned) == 16
    run(
        shards, tmp_path / "other", PARAMS, "demo-a"
    )  # the canary can sing: for another fold the poison is training data
    with h5py.File(shards[1], "r+") as file:
        file["flow"][:] *= 2
    recorded(shards[1], "apexdiff")
    run(shards, tmp_path / "other2", PARAMS, "demo-a")
    assert (tmp_path / "other" / "training.csv").read_bytes() != (tmp_path / "other2" / "training.csv").read_bytes()


@pytest.mark.parametrize(("fold", "leave"), [("samm-a", "subject"), ("samm-all", "dataset")])
def test_poison_in_every_data_set_of_the_held_out_people_changes_nothing(tmp_path, fold, leave):
    """Other data sets guide, SAMM Long Videos show SAMM's people without anybody saying so, and `mine` by saying so."""
    people = {
        "samm": ["a", "b", "c"],
        "other": ["a", "x"],
        "third": ["y", "z"],
        "samm_lv": ["a", "d"],
        "mine": ["a", "e"],
    }
    clips = clips_of(people, per_kind=3)
    params = {
        **PARAMS,
        "datasets": ["samm", "other", "third"],
        "sources": ["samm_lv", "mine"],
        "same_people": [["mine", "samm"]],
        "leave": leave,
        "mdml": {**QUICK, "epochs": 3, "logistic_share": 0.3, "domain": {"weight": 1.0}},
    }
    paths = write_shards(clips, tmp_path / "s")
    run(paths, tmp_path / "clean", params, fold)
    poisoned = [p for p in paths if p.stem == "a" and p.parent.name in ("samm", "samm_lv", "mine")]
    assert len(poisoned) == 3
    for path in [*poisoned, *((tmp_path / "s").glob("samm/[bc].h5") if leave == "dataset" else ())]:
        poison(path)
    run(paths, tmp_path / "poisoned", params, fold)
    assert contents(tmp_path / "clean").keys() >= {"model.safetensors", "training.csv"}
    for name in ("model.safetensors", "training.csv"):
        assert (tmp_path / "clean" / name).read_bytes() == (tmp_path / "poisoned" / name).read_bytes(), name
    poison(tmp_path / "s" / "other" / "a.h5")  # a namesake of another data set is another person, and trains
    run(paths, tmp_path / "namesake", params, fold)
    assert (tmp_path / "namesake" / "training.csv").read_bytes() != (tmp_path / "clean" / "training.csv").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_the_model_file_gives_the_same_predictions_again(shards, tmp_path, share):
    params = {**PARAMS, "mdml": {**PARAMS["mdml"], "linear_path": True, "logistic_share": share}}
    rows = run(shards, tmp_path, params)
    model = model_file.load(tmp_path / "model.safetensors")
    assert (model.linear is not None) == (share > 0)
    assert model.classes == tuple(CLASSES) and model.runs == ((0, 0), (1, 0))
    clips = read_shards(shards)
    held = clips.take((clips.subject == "b") & (clips.kind == "micro"))
    found = model_file.predict(model, held)
    assert list(found) == [0, 1]
    for seed, p in found.items():
        mine = [r for r in rows if r["method"] == "mdml" and r["seed"] == str(seed)]
        np.testing.assert_allclose(p, [[float(r[f"p_{c}"]) for c in CLASSES] for r in mine], atol=1e-6)
    with pytest.raises(UserError, match="maps of 8 px, expected 14 px"):
        model_file.predict(model, replace(held, maps=held.maps[..., :8, :8]))
    with pytest.raises(UserError, match="no difference in the clips"):
        model_file.predict(model, replace(held, maps=held.maps[:, 1:], channels=held.channels[1:]))


def test_a_foreign_or_damaged_model_is_refused(shards, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"x\.safetensors: no usable model"):
        model_file.load(tmp_path / "x.safetensors")
    run(shards, tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "y.safetensors").write_bytes(whole.replace(b"microexp mdml 1", b"microexp mdml 9"))
    with pytest.raises(UserError, match="format"):
        model_file.load(tmp_path / "y.safetensors")
    (tmp_path / "z.safetensors").write_bytes(whole[:-40])
    with pytest.raises(UserError, match="no usable model"):
        model_file.load(tmp_path / "z.safetensors")


def test_networks_are_averaged_within_a_run_and_the_logistic_regression_votes(shards, tmp_path):
    two = {**PARAMS, "mdml": {**PARAMS["mdml"], "seeds": 1, "members": 2, "logistic_share": 0.5}}
    rows = run(shards, tmp_path, two)
    assert len(rows) == 12 and {r["seed"] for r in rows} == {"0"}
    all_linear = {**PARAMS, "mdml": {**PARAMS["mdml"], "logistic_share": 1.0, "mirror_test": False}}
    rows = run(shards, tmp_path / "l", all_linear)
    mdml, linear = ([float(r["p_surprise"]) for r in rows if r["method"] == m] for m in ("mdml", "logistic_regression"))
    np.testing.assert_allclose(mdml[:4], linear, atol=1e-6)


def test_leaving_a_data_set_out(tmp_path):
    clips = clips_of({"demo": ["a", "b"], "other": ["x", "y"]})
    shards = write_shards(clips, tmp_path / "s")
    rows = run(
        shards, tmp_path, {**PARAMS, "datasets": ["demo", "other"], "sources": [], "leave": "dataset"}, "other-all"
    )
    assert {(r["dataset"], r["subject"]) for r in rows} == {("other", "x"), ("other", "y")}


def test_for_a_subject_without_a_clip_to_recognise_nothing_is_trained(shards, tmp_path, monkeypatch):
    clips = clips_of({"demo": ["e"]}, kinds=("macro",))
    extra = write_shards(clips, tmp_path / "more")
    monkeypatch.setattr("microexp.methods.recognition.mdml.training.train", lambda *a: pytest.fail("it was trained"))
    assert run([*shards, *extra], tmp_path, PARAMS, "demo-e") == []
    header, *rows = (tmp_path / "training.csv").read_text().splitlines()
    assert header.startswith("seed,member,epoch,loss") and rows == []
    with pytest.raises(UserError, match="no network"):
        model_file.load(tmp_path / "model.safetensors")


def test_protocols_by_adapter(experiment, monkeypatch):
    clips = clips_of({"casme2": ["sub04"], "mine": ["x"]})
    clips.emotion[:] = ["disgust", "sadness", "happiness"] * 2
    e = experiment(["casme2", "mine"], classes=None, protocol="megc2019", adapters={"mine": "samm"})
    assert class_names(e) == ("negative", "positive", "surprise")
    assert labels_of(clips, e).tolist() == [-1, -1, -1, 0, 0, 1]  # CASME II's clips are those of the official list
    listed = frozenset(clip_hash("casme2", "sub04", str(clips.video[i]), name) for i, name in ((0, "surprise"),))
    monkeypatch.setitem(PROTOCOLS, "megc2019", replace(MEGC2019, lists={"casme2": listed}))
    assert labels_of(clips, e).tolist()[0] == 2
