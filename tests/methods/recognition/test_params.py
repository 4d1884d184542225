import pytest

from microexp.config import parse, stage_options, validate
from microexp.errors import UserError
from microexp.methods.recognition.params import MdmlParams, RecognitionExperiment

DATASETS = {
    "samm": {"adapter": "samm", "root": "x"},
    "lv": {"adapter": "samm_lv", "root": "x"},
    "demo": {"adapter": "demo"},
}
CLASSES = {"a": ["happiness"], "b": ["surprise"]}


def options(**experiment):
    base = {"datasets": ["samm"], "classes": CLASSES}
    config = {"seed": 4, "datasets": DATASETS, "recognition": {"x": {**base, **experiment}}}
    return stage_options(parse(config, "c"), "mdml", "x")


def test_the_stage_gets_everything_that_it_reads():
    found = options(sources=["lv:macro"], kinds=["macro"])
    assert found["sources"] == ["lv:macro"] and found["kinds"] == ["macro"] and found["mdml"]["seed"] == 4
    assert found["same_people"] == [["samm", "lv"]]  # SAMM Long Videos show SAMM's people
    assert RecognitionExperiment.model_validate(found).classes == CLASSES
    assert options(sources=["demo"])["same_people"] == []
    assert options(sources=["lv"], same_people=[["demo", "lv"]])["same_people"] == [["demo", "lv", "samm"]]
    known = options(sources=["lv"], same_people=[["demo", "x"]])
    assert known["same_people"] == [["demo", "x"], ["samm", "lv"]]
    again = RecognitionExperiment.model_validate(known)
    assert again.people({}) == known["same_people"]
    assert options(mdml={"seed": 9})["mdml"]["seed"] == 9


def test_adapters_matter_to_protocols_alone():
    assert options(classes=None, protocol="megc2019", sources=["lv"])["adapters"] == {"samm": "samm", "lv": "samm_lv"}
    assert options(sources=["lv"])["adapters"] == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": None}, "either classes or a protocol"),
        ({"protocol": "megc2019"}, "either classes or a protocol"),
        ({"classes": {"a": ["x"], "b": ["x"]}}, "an emotion twice"),
        ({"sources": ["samm:mikro"]}, "micro or macro"),
        ({"sources": ["nobody:micro"]}, "'nobody'"),
        ({"mdml": {"stage_weights": [1.0]}}, "one number per stage"),
        ({"mdml": {"streams": {"a": ["u", "u"]}}}, "none twice"),
        ({"mdml": {"mutal": {}}}, "did you mean 'mutual'"),
    ],
)
def test_a_wrong_option_is_one_line(change, message):
    with pytest.raises(UserError, match=message):
        options(**change)


def test_the_defaults_are_the_two_streams_of_the_abstract():
    default = validate(MdmlParams, {}, "x")
    assert default.streams == {"difference": ["difference"], "flow": ["u", "v"]}
    assert len(default.channels) == 3 and default.mutual.weight > 0 and default.domain.weight > 0
