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
    with pytest.raises(ValueError, match="hold an emotion twice"):
        task(positive=["happy"], other=["Happiness"])


def test_an_emotion_that_occurs_nowhere_is_an_error() -> None:
    chosen = task(positive=["Happy"], negative=["fear", "anger"])
    check_emotions(["happiness", "fear", "anger", "others", ""], chosen)
    with pytest.raises(
        UserError, match=r"classes\.negative: got 'anger', expected an emotion of some clip: fear, happ"
    ):
        check_emotions(["happiness", "fear"], chosen)
    with pytest.raises(UserError, match=r"config\.yaml: recognition\.mine\.classes\.positive: .*none has one"):
        check_emotions([""], chosen, "config.yaml", "recognition.mine")


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
