"""Emotions of an experiment's classes, and data sets that are given twice."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.config import parse
from microexp.datasets.classes import check_emotions
from microexp.errors import UserError
from microexp.methods.recognition.params import RecognitionTask
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
    check_emotions(clips("happiness", "fear", "anger", "others"), chosen)
    with pytest.raises(
        UserError, match=r"classes\.negative: got 'anger', expected an emotion of some clip: fear, happ"
    ):
        check_emotions(clips("happiness", "fear"), chosen)


@pytest.mark.parametrize("section", ["spotting", "recognition"])
def test_a_data_set_is_given_once(section: str) -> None:
    task = {"datasets": ["demo", "demo"]} | ({"protocol": "megc2019"} if section == "recognition" else {})
    with pytest.raises(UserError, match=rf"{section}\.x.* twice"):
        parse({"datasets": {"demo": {}}, section: {"x": task}}, "c")
