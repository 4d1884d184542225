"""Training that starts from a model: what it gains, what it records, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from microexp import models
from microexp.config import parse
from microexp.errors import UserError
from microexp.methods.find import find_method
from microexp.methods.spotting.fits import check_start, start_path
from microexp.plan import Plan
from microexp.run import bundle, provenance
from tests.methods.applied import spotting_model
from tests.methods.spotting.made_up import run_fold, write_data
from tests.methods.spotting.quick import NETWORK, QUICK

OPTIONS = {**QUICK, "epochs": 1, "learning_rate": 1e-6}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), subjects=3, n_frames=300, channels=8)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A model of other people."""
    other = write_data(tmp_path_factory.mktemp("other"), subjects=3, n_frames=300, channels=8, seed=5, dataset="others")
    return spotting_model(other, tmp_path_factory.mktemp("known"), options={**QUICK, "epochs": 2})


def weights(path):
    from safetensors.torch import load

    found = load(bundle.read(path).parts["method.0"])
    return np.concatenate([v.double().numpy().ravel() for k, v in sorted(found.items()) if k.endswith("weight")])


@pytest.mark.long
def test_training_starts_from_the_weights_of_the_model(data, known, tmp_path):
    fresh = run_fold(data, tmp_path / "fresh", options=OPTIONS)
    started = run_fold(data, tmp_path / "started", options={**OPTIONS, "start_from": str(known)})
    first, a, b = weights(known), weights(fresh / "trained.safetensors"), weights(started / "trained.safetensors")
    assert np.abs(b - first).max() < 1e-3 < np.abs(a - first).max()  # so small a rate hardly changes anything
    again = run_fold(data, tmp_path / "again", options={**OPTIONS, "start_from": str(known)})
    assert (started / "trained.safetensors").read_bytes() == (again / "trained.safetensors").read_bytes()


@pytest.mark.long
def test_several_networks_start_from_those_of_the_file_in_turn(data, tmp_path):
    other = write_data(tmp_path / "other", subjects=3, n_frames=300, channels=8, seed=5, dataset="others")
    two = spotting_model(other, tmp_path / "two", options={**QUICK, "epochs": 1, "networks": 2})
    started = run_fold(data, tmp_path / "out", options={**OPTIONS, "networks": 3, "start_from": str(two)})
    from safetensors.torch import load

    known, found = (load(bundle.read(p).parts["method.0"]) for p in (two, started / "trained.safetensors"))
    name = next(n.removeprefix("0/") for n in known if n.startswith("0/") and n.endswith("weight"))
    first, second = known[f"0/{name}"], known[f"1/{name}"]
    assert (first - second).abs().max() > 1e-2
    for network, start in enumerate((first, second, first)):
        assert (found[f"{network}/{name}"] - start).abs().max() < 1e-3


@pytest.mark.long
def test_who_is_in_a_model_is_recorded_with_those_of_the_model_that_it_started_from(data, known, tmp_path):
    started = run_fold(data, tmp_path, options={**OPTIONS, "start_from": str(known)})
    about = bundle.read(started / "trained.safetensors").about
    others = [f"others/s{s:02d}" for s in range(3)]
    assert bundle.read(known).about["trained_on"] == others
    assert about["trained_on"] == ["fake/s01", "fake/s02", *others]
    assert about["start_from"] == provenance.input_hash(known)["sha256"]
    plain = bundle.read(known).about
    assert "start_from" not in plain and plain["options"]["start_from"] is None


@pytest.mark.parametrize("person", ["s00", "s02"], ids=["held out", "training"])
def test_a_model_of_somebody_in_the_experiment_is_refused(data, known, tmp_path, person):
    found = bundle.read(known)
    path = tmp_path / "m.safetensors"
    bundle.write(path, bundle.Bundle({**found.about, "trained_on": ["others/s01", f"fake/{person}"]}, found.parts))
    with pytest.raises(UserError, match=f"start_from: was trained on fake/{person}, who is in the experiment"):
        run_fold(data, tmp_path / "out", options={**OPTIONS, "start_from": str(path)})
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_the_same_person_under_another_name_is_refused(known):
    assert check_start(known, [("fake", "s00")], []).people == tuple(("others", f"s{s:02d}") for s in range(3))
    with pytest.raises(UserError, match="was trained on fake/s00"):
        check_start(known, [("fake", "s00")], [["fake", "others"]])
    check_start(known, [("fake", "s07")], [["fake", "others"]])


def test_a_model_that_does_not_say_whom_it_knows_is_refused(data, known, tmp_path):
    found = bundle.read(known)
    about = {name: value for name, value in found.about.items() if name != "trained_on"}
    bundle.write(tmp_path / "m.safetensors", bundle.Bundle(about, found.parts))
    with pytest.raises(UserError, match="expected a spotting model that says whom it was trained on"):
        run_fold(data, tmp_path / "out", options={**OPTIONS, "start_from": str(tmp_path / "m.safetensors")})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"network": {**NETWORK, "channels": 24}}, r"network\.channels: got 24, expected 16, as in the model"),
        ({"window_frames": 64}, "window_frames: got 64, expected 128, as in the model"),
    ],
)
def test_another_network_is_refused(data, known, tmp_path, change, says):
    with pytest.raises(UserError, match=says):
        run_fold(data, tmp_path / "out", options={**OPTIONS, **change, "start_from": str(known)})


@pytest.mark.long
def test_other_features_are_refused(known, tmp_path):
    finer = write_data(tmp_path / "finer", subjects=3, n_frames=300, channels=8, step=2)
    with pytest.raises(UserError, match="i3d_rgb: step_frames: got 2, expected 4, as in the model"):
        run_fold(finer, tmp_path / "out", options={**OPTIONS, "start_from": str(known)})
    wider = write_data(tmp_path / "wider", subjects=3, n_frames=300, channels=12)
    with pytest.raises(UserError, match="i3d_rgb: channels"):
        run_fold(wider, tmp_path / "out", options={**OPTIONS, "start_from": str(known)})


@pytest.mark.long
def test_another_method_is_refused(data, tmp_path):
    other = write_data(tmp_path / "data", subjects=3, n_frames=300, channels=8, dataset="others")
    model = spotting_model(other, tmp_path / "model", method="flow_magnitude")
    with pytest.raises(UserError, match="start_from: another kind of file; expected a model of AEM-Net"):
        run_fold(data, tmp_path / "out", options={**OPTIONS, "start_from": str(model)})


def test_a_file_that_is_not_there_is_named(data, tmp_path):
    with pytest.raises(UserError, match=r"gone\.safetensors: No such file"):
        run_fold(data, tmp_path / "out", options={**OPTIONS, "start_from": str(tmp_path / "gone.safetensors")})


def test_shipped_is_the_model_of_the_package(monkeypatch, tmp_path):
    path = tmp_path / "spotting_motion.safetensors"
    monkeypatch.setattr("microexp.methods.spotting.fits.shipped", lambda name: tmp_path / f"{name}.safetensors")
    assert start_path("shipped") == path and start_path("my.safetensors").name == "my.safetensors"
    method = find_method("spotting", "aemnet")
    assert method.starts_from(method.Options(start_from="shipped")) == path
    assert method.starts_from(method.Options()) is None and models.SPOTTING == "spotting_motion"
    assert json.loads(method.Options().model_dump_json())["start_from"] is None


def test_the_workflow_runs_a_fold_again_when_the_model_that_it_started_from_changes():
    methods = {"aemnet": {"start_from": "models/mine.safetensors"}, "plain": {"method": "aemnet"}, "flow_magnitude": {}}
    config = {"datasets": {"demo": {}}, "spotting": {"e": {"datasets": ["demo"], "methods": methods}}}
    plan = Plan(parse(config, "c"), {"demo": ["s01", "s02"]})
    inputs = plan.input("spotting-fold", "start")
    found = {m: inputs({"experiment": "e", "method": m, "fold": "demo-s01"}) for m in methods}
    assert found == {"aemnet": ["models/mine.safetensors"], "plain": [], "flow_magnitude": []}
