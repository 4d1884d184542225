import pytest

from microexp.config import parse
from microexp.errors import UserError
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.methods.recognition.params import RecognitionFoldParams
from microexp.stage_options import stage_options

DATASETS = {
    "samm": {"adapter": "samm", "root": "x"},
    "lv": {"adapter": "samm_lv", "root": "x"},
    "demo": {"adapter": "demo"},
    "mine": {"adapter": "folder", "root": "y"},
}
CLASSES = {"a": ["happiness"], "b": ["surprise"]}


def options(method="mdml", **experiment):
    base = {"datasets": ["samm"], "classes": CLASSES}
    config = {"seed": 4, "datasets": DATASETS, "recognition": {"x": {**base, **experiment}}}
    return stage_options(parse(config, "c"), "recognition-fold", "x", method=method)


def test_the_stage_gets_everything_that_it_reads():
    found = options(sources=["lv:macro"], kinds=["macro"])
    assert found["sources"] == ["lv:macro"] and found["kinds"] == ["macro"] and found["seed"] == 4
    assert found["people"] == [["samm", "lv"]]  # SAMM Long Videos show SAMM's people
    assert RecognitionFoldParams.model_validate(found).classes == CLASSES
    assert MdmlParams.model_validate(found["options"]) == MdmlParams()
    assert options(sources=["demo"])["people"] == []
    assert options(sources=["lv"], same_people=[["demo", "lv"]])["people"] == [["demo", "lv", "samm"]]
    known = options(sources=["lv"], same_people=[["demo", "mine"]])
    assert known["people"] == [["demo", "mine"], ["samm", "lv"]]
    assert options(seed=9, seeds=2) == {**options(), "seed": 9, "seeds": 2}


def test_a_method_s_options_are_its_own_job_s_alone():
    changed = {"mdml": {"epochs": 3}, "mine": {"method": "logistic_regression", "size": 8}, "majority": {}}
    assert options("mdml", methods=changed)["options"] == {**options()["options"], "epochs": 3}
    mine = options("mine", methods=changed)
    assert (mine["name"], mine["method"], mine["options"]["size"]) == ("mine", "logistic_regression", 8)
    assert options("majority", methods=changed) == options("majority")


def test_adapters_matter_to_protocols_alone():
    assert options(classes=None, protocol="megc2019", sources=["lv"])["adapters"] == {"samm": "samm", "lv": "samm_lv"}
    assert options(sources=["lv"])["adapters"] == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": None}, "either classes or a protocol"),
        ({"protocol": "megc2019"}, "either classes or a protocol"),
        ({"classes": {"a": ["x"], "b": ["x"]}}, "each emotion once, and 'x' is there twice"),
        ({"sources": ["samm:mikro"]}, "micro or macro"),
        ({"sources": ["nobody:micro"]}, "'nobody'"),
        ({"methods": {"mdml": {"stage_weights": [1.0]}}}, r"now nothing: all stages weigh alike"),
        ({"methods": {"mdml": {"domain": {"model": "mmd"}}}}, r"now nothing: distributions are mean and deviation"),
        ({"methods": {"mdml": {"streams": {"a": ["u", "u"]}}}}, "none twice"),
        ({"methods": {"mdml": {"mutal": {}}}}, r"recognition\.x\.methods\.mdml\.mutal.*did you mean 'mutual'"),
        ({"methods": {"mdml": {"seeds": 3}}}, r"now recognition\.x\.seeds"),
        ({"methods": {"mdmll": {}}}, "did you mean 'mdml'"),
        ({"methods": {"mdml": 3}}, "a valid dictionary"),
        ({"methods": {}}, "at least 1"),
        ({"mdml": {}}, r"now recognition\.x\.methods\.mdml"),
    ],
)
def test_a_wrong_option_is_one_line(change, message):
    with pytest.raises(UserError, match=message) as caught:
        options(**change)
    assert str(caught.value).startswith("c: ") and "\n" not in str(caught.value)


def test_the_defaults_are_the_two_streams_of_the_abstract():
    default = MdmlParams()
    assert default.streams == {"difference": ["difference"], "flow": ["u", "v"]}
    assert len(default.channels) == 3 and default.mutual.weight > 0 and default.domain.weight > 0
