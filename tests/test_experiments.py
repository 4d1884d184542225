"""Emotions of an experiment's classes, and data sets that are given twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microexp.config import parse
from microexp.datasets.classes import check_emotions, log_absent_emotions
from microexp.errors import UserError
from microexp.methods.recognition.params import RecognitionTask
from microexp.plan import read_plan
from microexp.records.clips import Clips


def clips(*emotions: str) -> Clips:
    n = len(emotions)
    text = np.full(n, "x")
    return Clips(
        maps=np.zeros((n, 5, 8, 8), np.float32), dataset=text, subject=text, video=text, kind=text,
        expression=np.arange(n), emotion=np.array(emotions),
    )  # fmt: skip


def task(**classes: list[str]) -> RecognitionTask:
    return RecognitionTask(datasets=["demo"], classes=classes)


def test_emotions_are_spelt_as_in_sheets() -> None:
    chosen = task(positive=["Happiness", "amusement "], negative=["Sad", "DISGUSTED"])
    assert chosen.classes == {"positive": ["happiness", "amusement"], "negative": ["sadness", "disgust"]}
    with pytest.raises(ValueError, match="each emotion once, and 'happiness' is there twice"):
        task(positive=["happy"], other=["Happiness"])


def test_an_emotion_that_occurs_nowhere_is_an_error() -> None:
    chosen = task(positive=["Happy"], negative=["fear", "anger"])
    check_emotions(["happiness", "fear", "anger", "others", ""], chosen)
    with pytest.raises(
        UserError, match=r"classes\.negative: got 'anger', expected an emotion of some clip: fear, happ"
    ):
        check_emotions(["happiness", "fear"], chosen)
    with pytest.raises(UserError, match=r"config\.yaml: recognition\.mine\.classes\.positive: .*none has one"):
        check_emotions([""], chosen, "config.yaml", where="recognition.mine")


def test_an_emotion_of_people_who_are_not_used_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = task(positive=["Happy"], negative=["fear", "anger"])
    log_absent_emotions(clips("happiness", "fear"), chosen)
    assert capsys.readouterr().err == "no clip shows 'anger' of the class negative\n"
    log_absent_emotions(clips("happiness", "fear", "anger"), chosen)
    assert capsys.readouterr().err == ""


def test_sheets_know_the_emotions_of_people_who_are_not_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of two people runs with the classes of the whole release; a word that no row has does not."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "mine"
    for subject in ("a", "b"):
        (root / subject).mkdir(parents=True)
        (root / subject / "v.mp4").write_bytes(b"x")
    rows = ["subject,video,onset,offset,kind,emotion", "a,v,3,9,micro,Happy", "b,v,3,9,micro,fear", "c,v,3,9,micro,sad"]
    (root / "annotations.csv").write_text("\n".join(rows))
    classes = {"positive": ["happiness"], "negative": ["fear", "sadness"]}
    config: dict[str, Any] = {
        "datasets": {"mine": {"adapter": "folder", "root": str(root)}},
        "recognition": {"mine": {"datasets": ["mine"], "classes": classes, "methods": {"majority": {}}}},
    }
    assert read_plan(config, "c.yaml").subjects == {"mine": ("a", "b")}
    classes["negative"].append("contempt")
    for _ in range(2):  # what the sheets hold is remembered
        with pytest.raises(UserError, match=r"c\.yaml: recognition\.mine\.classes\.negative: got 'contempt'"):
            read_plan(config, "c.yaml")


def test_the_demo_knows_its_emotions_before_it_is_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    classes = {"positive": ["happiness"], "negative": ["melancholy"]}
    config: dict[str, Any] = {
        "datasets": {"demo": {"adapter": "demo"}},
        "recognition": {"demo": {"datasets": ["demo"], "classes": classes, "methods": {"majority": {}}}},
    }
    with pytest.raises(UserError, match=r"got .melancholy., expected an emotion of some clip: .*happiness"):
        read_plan(config, "c.yaml")


@pytest.mark.parametrize("section", ["spotting", "recognition"])
def test_a_data_set_is_given_once(section: str) -> None:
    task = {"datasets": ["demo", "demo"]} | ({"protocol": "megc2019"} if section == "recognition" else {})
    with pytest.raises(UserError, match=rf"{section}\.x.* twice"):
        parse({"datasets": {"demo": {}}, section: {"x": task}}, "c")


@pytest.mark.parametrize("key", ["sources", "apply"])
def test_sources_and_what_models_are_applied_to_are_given_once(key: str) -> None:
    classes = {"a": ["fear"], "b": ["anger"]}
    data = {
        "sources": {"recognition": {"x": {"datasets": ["demo"], "sources": ["ck", "ck"], "classes": classes}}},
        "apply": {"apply": {"x": {"datasets": ["demo", "demo"], "spotting": "m.safetensors"}}},
    }
    expected = r"\.x\.(sources|datasets): got .*, expected each once, and '\w+' is there twice"
    with pytest.raises(UserError, match=expected):
        parse({"datasets": {"demo": {}, "ck": {"adapter": "ck_plus", "root": "r"}}, **data[key]}, "c")


SPOTTING = {"spotting": {"x": {"datasets": ["one", "other"]}}}
TASK = {"datasets": ["one"], "sources": ["other:macro"], "classes": {"a": ["fear"], "b": ["anger"]}}
RECOGNITION = {"recognition": {"x": TASK}}


@pytest.mark.parametrize("experiment", [SPOTTING, RECOGNITION], ids=["spotting", "recognition"])
@pytest.mark.parametrize(
    "other", [{"root": "r/"}, {"root": "r", "fps": 30}, {"root": "s/../r"}, {"root": "link"}], ids=str
)
def test_one_release_under_two_names_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment: dict[str, object], other: dict[str, object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("r")
    datasets = {"one": {"adapter": "cas_me2", "root": "r"}, "other": {"adapter": "cas_me2", **other}}
    with pytest.raises(UserError, match="'one' and 'other' are the same data; expected each once"):
        parse({"datasets": datasets, **experiment}, "c")


@pytest.mark.parametrize("other", [{"root": "q"}, {"root": "r", "release": "C"}, {"root": "r", "videos": "b"}], ids=str)
def test_two_parts_of_one_release_are_two_data_sets(other: dict[str, object]) -> None:
    datasets = {"one": {"adapter": "cas_me3", "root": "r"}, "other": {"adapter": "cas_me3", **other}}
    parse({"datasets": datasets, **SPOTTING}, "c")


@pytest.mark.parametrize("experiment", [SPOTTING, RECOGNITION], ids=["spotting", "recognition"])
def test_people_of_a_data_set_that_is_not_there_are_refused(
    experiment: dict[str, dict[str, dict[str, object]]],
) -> None:
    """A slip of the pen would train on the person who is held out."""
    ((kind, options),) = experiment.items()
    data = {"datasets": {name: {"adapter": "folder", "root": name} for name in ("one", "other")}}
    parse(data | {kind: {"x": {**options["x"], "same_people": [["one", "other"]]}}}, "c")
    with pytest.raises(UserError, match=rf"{kind}\.x\.same_people: got 'third', expected one of datasets: one, other"):
        parse(data | {kind: {"x": {**options["x"], "same_people": [["one", "third"]]}}}, "c")


def test_people_of_a_model_s_data_sets_may_be_named() -> None:
    """Those that a model to start from was trained on, in another run."""
    methods = {"aemnet": {"start_from": "m.safetensors"}}
    options = {"datasets": ["one"], "methods": methods, "same_people": [["one", "elsewhere"]]}
    parse({"datasets": {"one": {"adapter": "folder", "root": "r"}}, "spotting": {"x": options}}, "c")


@pytest.mark.parametrize("landmarks", [None, "lm.csv"])
def test_given_landmarks_need_a_file_of_each_video(landmarks: str | None) -> None:
    config: dict[str, Any] = {"datasets": {"demo": {"adapter": "demo"}}}
    config["faces"] = {"backend": "given", "landmarks": landmarks}
    with pytest.raises(
        UserError, match=r"c\.yaml: faces\.landmarks: got .*, expected the path of a landmark file with"
    ):
        read_plan(config, "c.yaml")


@pytest.mark.parametrize("there", [False, True])
def test_given_features_must_be_somewhere(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "series/another").mkdir(parents=True)
    config: dict[str, Any] = {
        "datasets": {"demo": {"adapter": "demo"}},
        "given": {"root": str(tmp_path / "series")},
        "spotting": {"e": {"datasets": ["demo"], "methods": {"aemnet": {"network": {"streams": ["given"]}}}}},
    }
    with pytest.raises(UserError, match=r"given\.root: " + ("no series of any subject" if there else "got ")):
        read_plan(config, "c.yaml")
