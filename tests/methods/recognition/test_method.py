"""MDML as a method: to and from bytes, networks that are averaged, what does not fit; and which class a clip has."""

from dataclasses import replace

import numpy as np
import pytest

from microexp.datasets.classes import class_names, labels_of
from microexp.datasets.protocols import MEGC2019, PROTOCOLS, clip_hash
from microexp.errors import UserError
from microexp.methods.context import Context
from microexp.methods.find import SHIPPED, find_method
from microexp.methods.recognition import fold
from microexp.methods.recognition.mdml.method import MdmlMethod
from tests.methods.recognition.synthetic import CLASSES, clips_of

MADE_UP = "tests.methods.recognition.made_up:Centroids"


@pytest.fixture
def training(experiment):
    """Training clips of a fold with a source domain, and the held-out clips."""
    clips = clips_of({"demo": ["a", "b", "c"]}, kinds=("micro", "macro"))
    e = experiment(sources=["demo:macro"])
    role = fold.roles(clips, labels_of(clips, e), e)
    return fold.training_clips(clips, role, e, fold="demo-b", classes=tuple(CLASSES)), clips.take(clips.subject == "b")


def options_of(name, quick):
    return quick(epochs=2, members=2) if name == "mdml" else find_method("recognition", name).Options()


@pytest.mark.parametrize("name", [*SHIPPED["recognition"], MADE_UP])
def test_bytes_hold_all_that_predicting_takes(training, quick, name):
    method, options = find_method("recognition", name), options_of(name, quick)
    model = method.fit(training[0], options, Context(3))
    data = method.to_bytes(model)
    again = method.from_bytes(data, options)
    assert np.array_equal(method.predict(model, training[1]), method.predict(again, training[1]))
    assert method.to_bytes(again) == data == method.to_bytes(method.fit(training[0], options, Context(3)))


@pytest.mark.parametrize("name", [*SHIPPED["recognition"], MADE_UP])
def test_a_clip_is_answered_alike_alone_and_in_company(training, quick, name):
    method, options = find_method("recognition", name), options_of(name, quick)
    model = method.fit(training[0], options, Context(3))
    together = method.predict(model, training[1])
    for row in (0, 4):
        np.testing.assert_allclose(
            method.predict(model, training[1].take(np.array([row])))[0], together[row], atol=1e-6
        )


@pytest.mark.parametrize("linear_path", [True, False])
def test_networks_are_averaged_within_a_run(training, quick, linear_path):
    method = MdmlMethod()
    options = quick(epochs=2, members=2, linear_path=linear_path, domain={"weight": 0.0})
    both = method.predict(method.fit(training[0], options, Context(5)), training[1])
    single = options.model_copy(update={"members": 1})
    alone = [method.predict(method.fit(training[0], single, Context(s)), training[1]) for s in (5, 10_005)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(both, np.mean(alone, 0), atol=2e-3)


def test_repetitions_in_a_stack_are_those_that_stand_alone(training, quick):
    method, options = MdmlMethod(), quick(epochs=2, members=2)
    contexts = [Context(0), Context(1)]
    stacked = method.fit_many(training[0], options, contexts)
    alone = method.fit(training[0], options, Context(1))
    np.testing.assert_allclose(method.predict(stacked[1], training[1]), method.predict(alone, training[1]), atol=2e-3)
    for context in contexts:
        assert {row["member"] for row in context.rows} == {0, 1}
        assert context.rows[0]["epoch"] == 1 and "weight_source_1" in context.rows[0]


def test_clips_that_do_not_fit_the_model_are_named(training, quick):
    method = MdmlMethod()
    model = method.fit(training[0], quick(epochs=1), Context(0))
    held = training[1]
    with pytest.raises(UserError, match="maps of 8 px; expected 14 px"):
        method.predict(model, replace(held, maps=held.maps[..., :8, :8]))
    with pytest.raises(UserError, match="no difference in the clips"):
        method.predict(model, replace(held, maps=held.maps[:, 1:], channels=held.channels[1:]))


def test_protocols_by_adapter(experiment, monkeypatch):
    clips = clips_of({"casme2": ["sub04"], "mine": ["x"]})
    clips.emotion[:] = ["disgust", "sadness", "happiness"] * 2
    e = experiment(["casme2", "mine"], protocol="megc2019", adapters={"mine": "samm"})
    assert class_names(e) == ("negative", "positive", "surprise")
    assert labels_of(clips, e).tolist() == [-1, -1, -1, 0, 0, 1]  # CASME II's clips are those of the official list
    listed = frozenset(clip_hash("casme2", "sub04", str(clips.video[i]), name=name) for i, name in ((0, "surprise"),))
    monkeypatch.setitem(PROTOCOLS, "megc2019", replace(MEGC2019, lists={"casme2": listed}))
    assert labels_of(clips, e).tolist()[0] == 2
