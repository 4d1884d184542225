import numpy as np
import pytest

from microexp.methods.context import Context
from microexp.methods.recognition.base import TrainingClips
from microexp.methods.recognition.majority import Majority, shares
from microexp.run.stage import NoParams
from tests.methods.recognition.synthetic import clips_of


def test_the_answer_is_the_most_frequent_training_label():
    assert shares(np.array([1, 1, 0]), 3).tolist() == [1 / 3, 2 / 3, 0]


def test_sources_do_not_count_and_a_clip_s_maps_say_nothing():
    clips = clips_of({"demo": ["a"], "other": ["b"]})
    target = clips.dataset == "demo"
    label = np.array([2, 2, 0, 1, 1, -1])
    domain = clips.dataset
    training = TrainingClips(clips, label, ("x", "y", "z"), target, domain, None, ("demo",), ("other",))
    model = Majority().fit(training, NoParams(), Context(0))
    assert model == pytest.approx([1 / 3, 0, 2 / 3])
    assert (Majority().predict(model, clips) == model).all() and Majority().predict(model, clips).shape == (6, 3)
    again = Majority().from_bytes(Majority().to_bytes(model), NoParams())
    assert np.array_equal(again, model)
