"""Model files: what they hold, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.methods.model import check_preprocessing, read_model, streams_of
from microexp.run import bundle
from tests.methods.applied import PREPROCESSING, model_of, recognition_model, spotting_model
from tests.methods.spotting import methods
from tests.methods.spotting.made_up import run_fold, write_data

SLOW = "tests.methods.spotting.methods:Slow"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), subjects=4, n_frames=300, channels=8)


@pytest.fixture(scope="module")
def spotting(data, tmp_path_factory):
    return spotting_model(data, tmp_path_factory.mktemp("spotting"), method=SLOW, seeds=2, permuted_control=True)


@pytest.fixture(scope="module")
def recognition(tmp_path_factory):
    return recognition_model(tmp_path_factory.mktemp("recognition"))


@pytest.mark.long
def test_a_spotting_model_holds_all_that_its_application_takes(spotting):
    found = read_model(spotting, "spotting")
    assert (found.kind, found.name, found.label) == ("spotting", "made/made_up", "made/made_up")
    chosen = json.loads(spotting.with_name("selection.json").read_text())
    for kind in ("micro", "macro"):
        assert found.limits_s[kind] == tuple(chosen["duration_s"][kind])
        assert vars(found.choices[kind]) == chosen["methods"]["made_up"]["0"][kind]
    assert found.choice.model_dump(mode="json") == chosen["options"]
    assert found.preprocessing == PREPROCESSING and streams_of(spotting) == ["i3d_rgb"] and found.classes == ()
    trained = bundle.read(spotting.with_name("trained.safetensors"))
    assert found.method.to_bytes(found.fitted) == trained.parts["method.0"]
    assert set(bundle.read(spotting).parts) == {"method.0"}  # neither further seeds nor the control


def test_a_recognition_model_knows_its_classes(recognition):
    found = read_model(recognition, "recognition")
    assert (found.name, found.classes) == ("made/mine", ("positive", "negative", "surprise"))
    assert found.streams == {} and found.choices == {} and found.limits_s == {}


@pytest.mark.parametrize("kind", ["spotting", "recognition"])
def test_another_kind_is_refused(spotting, recognition, kind):
    other = {"spotting": recognition, "recognition": spotting}[kind]
    for path in (other, spotting.with_name("trained.safetensors")):
        with pytest.raises(UserError, match=f"another kind of file; expected a {kind} model of the stage model"):
            read_model(path, kind)


def test_another_version_is_refused(spotting, monkeypatch):
    monkeypatch.setattr(methods.Slow, "version", 2)
    with pytest.raises(UserError, match=r"model\.safetensors: version: got 1, expected 2, as the method is now"):
        read_model(spotting, "spotting")


def test_a_method_that_is_not_there_is_named(spotting, tmp_path):
    found = bundle.read(spotting)
    bundle.write(tmp_path / "m.safetensors", bundle.Bundle({**found.about, "reference": "mine_gone:Mine"}, found.parts))
    with pytest.raises(UserError, match="No module named 'mine_gone'"):
        read_model(tmp_path / "m.safetensors", "spotting")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"selection": {}}, {"selection": {"micro": {}, "macro": {}}}, {"duration_s": {"micro": [1]}},
        {"options": {"epoch": 1}}, {"options": None}, {"choice": {"top_k": "many"}}, {"preprocessing": None},
        {"experiment": None, "version": None},
        # of another form than the stage writes, which would only show where it is used
        {"preprocessing": 3}, {"preprocessing": {"crops": 3}}, {"streams": "i3d_rgb"}, {"streams": {"i3d_rgb": 1}},
        {"size_px": float("inf")}, {"size_px": 10**400}, {"size_px": -1}, {"classes": [{}]}, {"classes": 5},
        {"selection": {k: {"threshold": "x", "top_k": [], "f1": 0} for k in ("micro", "macro")}},
        {"duration_s": {k: [10**400, 1] for k in ("micro", "macro")}}, {"duration_s": {"micro": {}, "macro": {}}},
        {"version": []}, {"choice": [[]]}, {"experiment": ["\n"]},
    ],
    ids=lambda change: str(change)[:60],
)  # fmt: skip
def test_a_model_that_lacks_something_is_one_clear_line(spotting, tmp_path, change):
    found = bundle.read(spotting)
    about = {k: v for k, v in {**found.about, **change}.items() if v is not None}
    bundle.write(tmp_path / "m.safetensors", bundle.Bundle(about, found.parts))
    with pytest.raises(UserError, match=r"^[^\n]*m\.safetensors: [^\n]*$"):
        read_model(tmp_path / "m.safetensors", "spotting")


def test_a_damaged_model_is_refused(spotting, tmp_path):
    data, rng = spotting.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(data), 40):
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "m.safetensors").write_bytes(bytes(changed))
        with pytest.raises(UserError, match=r"m\.safetensors"):
            read_model(tmp_path / "m.safetensors", "spotting")
    with pytest.raises(UserError, match=r"n\.safetensors"):
        read_model(tmp_path / "n.safetensors", "spotting")


def test_other_preprocessing_is_refused(spotting):
    found = read_model(spotting, "spotting")
    check_preprocessing(found, PREPROCESSING)
    check_preprocessing(found, {**PREPROCESSING, "motion": {"margin": 1}})  # which the model does not read
    with pytest.raises(UserError, match=r"model\.safetensors: crops\.size: got 96, expected 224, as in training"):
        check_preprocessing(found, {**PREPROCESSING, "crops": {"size": 96}})


def test_a_spotting_model_needs_what_its_own_fold_chose(data, spotting, tmp_path):
    trained, selection = spotting.with_name("trained.safetensors"), spotting.with_name("selection.json")
    out = run_fold(data, tmp_path / "other", "fake-s00", method=SLOW)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(trained.read_bytes())
    with pytest.raises(UserError, match="--selection: missing"):
        model_of(copy, None)
    with pytest.raises(UserError, match=r"selection\.json: fold: got 'fake-s00', expected 'all'"):
        model_of(copy, out / "selection.json")
    for text in ("", "[]", "{}", selection.read_text().replace('"threshold"', '"x"').replace('"micro"', '"y"')):
        (tmp_path / "selection.json").write_text(text)
        with pytest.raises(UserError, match=r"selection\.json"):
            model_of(copy, tmp_path / "selection.json")


def test_nothing_trained_makes_no_model(tmp_path):
    bundle.write(tmp_path / "t.safetensors", bundle.Bundle({"kind": "recognition"}, {}))
    with pytest.raises(UserError, match="nothing was trained"):
        model_of(tmp_path / "t.safetensors", None)


def test_the_same_fold_gives_the_same_model(data, spotting, tmp_path):
    again = spotting_model(data, tmp_path, method=SLOW, seeds=2, permuted_control=True)
    assert again.read_bytes() == spotting.read_bytes()
