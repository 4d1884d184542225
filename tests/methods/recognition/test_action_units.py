"""Action units: maps of any form, sides, calibration, training, the shipped model, and experiments on units."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from microexp.config import parse
from microexp.datasets.classes import KNOWN, NAMES, shown
from microexp.errors import UserError
from microexp.methods.context import Context
from microexp.methods.find import find_method
from microexp.methods.recognition import fold, loso
from microexp.methods.recognition.action_units import model as units
from microexp.methods.recognition.action_units.network import UnitNetwork
from microexp.methods.recognition.action_units.training import answers, calibrate, train
from microexp.methods.recognition.params import UNIT_METHODS, RecognitionFoldParams
from microexp.metrics.action_units import auc
from microexp.models import ACTION_UNITS, shipped
from microexp.rendered.unit_maps import UnitMaps, draw_maps, make_face
from microexp.run import bundle
from microexp.stage_options import stage_options
from tests.methods.recognition.synthetic import clips_of, write_shards
from tests.methods.recognition.test_fold import contents, poison, run


@pytest.fixture
def maps():
    return np.random.default_rng(0).normal(size=(6, 2, 28, 28)).astype(np.float32)


@pytest.fixture
def made():
    """A model of random weights."""
    torch.manual_seed(1)
    network = UnitNetwork(len(KNOWN)).eval()
    rng = np.random.default_rng(1)
    scale, shift = rng.uniform(0.5, 2, (2, len(KNOWN), 3))
    return units.UnitModel(KNOWN, network, scale, shift, {})


# --- maps -------------------------------------------------------------------------------------------------------------


def test_the_same_map_in_any_form_is_the_same(maps):
    expected = units.prepare(maps)
    assert expected.shape == (6, 2, 28, 28) and expected.dtype == np.float32
    assert np.sqrt(np.square(expected).mean((1, 2, 3))) == pytest.approx(np.ones(6), abs=1e-5)
    last = np.moveaxis(maps, 1, -1)
    strain = np.concatenate([maps, maps[:, :1] ** 2], 1)
    for form in (last, 7 * maps, strain, np.kron(maps, np.ones((1, 1, 2, 2), np.float32))):
        np.testing.assert_allclose(units.prepare(form), expected, atol=1e-5)
    assert units.prepare(maps[..., ::2, ::2]).shape == expected.shape


def test_published_grey_levels_are_brought_to_rest(maps):
    quiet = np.zeros((1, 2, 28, 28), np.float32)
    quiet[0, 0, 5:9, 5:9], quiet[0, 1, 20:24, 9:12] = 2, -1
    low, high = quiet.min((2, 3), keepdims=True), quiet.max((2, 3), keepdims=True)
    grey = np.round((quiet - low) / (high - low) * 255).astype(np.uint8)
    found = units.prepare(grey)[0]
    assert np.abs(found[:, 0, 0]).max() < 1e-3  # where nothing moves
    assert found[0, 6, 6] > 1 and found[1, 21, 10] < -1


@pytest.mark.parametrize("shape", [(28, 28), (3, 28, 28), (2, 1, 28, 28), (2, 28, 28, 7)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UserError, match="expected \\(N, C, h, w\\)"):
        units.prepare(np.ones(shape))
    with pytest.raises(UserError, match="no numbers"):
        units.prepare(np.full((1, 2, 28, 28), np.nan), px=True)


def test_a_map_of_nothing_has_an_answer(made):
    assert np.isfinite(units.sided(np.zeros((1, 2, 28, 28)), made, px=True)).all()


# --- the model --------------------------------------------------------------------------------------------------------


def test_a_mirror_image_exchanges_left_and_right(made, maps):
    made = replace(made, scale=np.ones_like(made.scale), shift=np.zeros_like(made.shift))
    other = maps[..., ::-1] * np.array([-1, 1], np.float32).reshape(1, 2, 1, 1)
    p, q = units.sided(maps, made, px=True), units.sided(other, made, px=True)
    np.testing.assert_allclose(q, p[..., [0, 2, 1]], atol=1e-6)
    assert np.abs(p[..., 1] - p[..., 2]).max() > 1e-3


def test_a_model_survives_its_file(made, maps, tmp_path):
    path = tmp_path / "m.safetensors"
    bundle.write(path, units.pack(made.network, made.units, made.scale, shift=made.shift, name="mine"))
    again = units.load(path)
    assert again.units == KNOWN and again.name == "mine" and units.unit_names(again) == NAMES
    np.testing.assert_allclose(units.probabilities(maps, again), units.probabilities(maps, made), atol=5e-3)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    bundle.write(path, bundle.Bundle({"kind": "spotting"}, {}))
    with pytest.raises(UserError, match="expected a model of action units"):
        units.load(path)
    bundle.write(path, bundle.Bundle({"kind": ACTION_UNITS, "format": 1, "units": [1]}, {}))
    with pytest.raises(UserError, match="KeyError: 'network'"):
        units.load(path)


def test_words_name_sides_and_say_when_it_is_unsure():
    p = np.zeros((4, 3))
    p[0], p[1], p[2], p[3] = (0.9, 0.9, 0.1), (0.5, 0.5, 0.5), (0.95, 0.9, 0.8), (0.1, 0, 0)
    assert units.in_words(p, (12, 25, 1, 4)) == "L12+25?+1"
    assert [units.answer(x) for x in (0.1, 0.5, 0.9)] == [False, None, True]


def test_calibration_finds_scale_and_shift():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, 1, 3))
    p = 1 / (1 + np.exp(-(1.5 * logits - 0.7)))
    scale, shift = calibrate(logits, rng.random(p.shape) < p)
    assert scale == pytest.approx(np.full((1, 3), 1.5), abs=0.1)
    assert shift == pytest.approx(np.full((1, 3), -0.7), abs=0.1)


@pytest.mark.long
def test_training_learns_and_is_repeatable():
    rng = np.random.default_rng(0)
    halves = rng.random((512, 2, 2)) < 0.3
    maps = rng.normal(0, 0.3, (512, 2, 28, 28)).astype(np.float32)
    maps[:, 1, 18:24, 16:24] += 2 * halves[:, 0, 0, None, None]  # the face's own left is on the right of the picture
    maps[:, 1, 18:24, 4:12] += 2 * halves[:, 0, 1, None, None]
    losses: list[float] = []
    labelled = UnitMaps(maps, halves)
    network = train(labelled, 8, 0, tell=lambda epoch, loss: losses.append(loss))
    assert losses[-1] < losses[0]
    plain = units.UnitModel((1, 2), network, np.ones((2, 3)), np.zeros((2, 3)), {})
    found = units.logits(maps, plain)
    assert all(auc(answers(labelled)[:, 0, k], found[:, 0, k]) > 0.95 for k in range(3))
    again = train(labelled, 8, 0)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )


@pytest.mark.long
def test_the_shipped_model_tells_units_of_people_whom_it_has_not_seen():
    model = units.load()
    assert model.units == KNOWN and shipped(ACTION_UNITS).stat().st_size < 1e6
    assert shipped(ACTION_UNITS).with_suffix(".md").is_file()
    found = draw_maps([make_face(90210, 1)], 400, np.random.default_rng(5))
    p = units.sided(found.maps, model, px=True)
    assert np.mean([auc(found.units[:, u], p[:, u, 0]) for u in range(len(KNOWN))]) > 0.9
    left, right = KNOWN.index(12), (1, 2)
    one_sided = found.halves[:, left].sum(1) == 1
    told = p[one_sided, left][:, right].argmax(1) == found.halves[one_sided, left].argmax(1)
    assert told.mean() > 0.8


def test_one_map_gives_a_dictionary(maps):
    found = units.of_map(np.moveaxis(maps[0], 0, -1))
    assert tuple(found) == NAMES and all(0 <= p <= 1 for p in found.values())
    np.testing.assert_allclose(list(found.values()), units.probabilities(maps)[0], atol=1e-6)


# --- experiments ------------------------------------------------------------------------------------------------------


def test_cells_of_a_sheet_become_units():
    assert shown(["4+L12", "1C", "", "99"], (1, 4, 12)).tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert shown([], (1,)).shape == (0, 1)


@pytest.fixture
def coded():
    """Clips in which the emotion moves a corner of the face, coded as one unit each; one has no code."""
    clips = clips_of({"demo": ["a", "b", "c", "d"]}, per_kind=6, side=28)
    aus = {"happiness": "L12", "disgust": "4+9", "surprise": "1"}
    clips.maps[:] = clips.maps + np.random.default_rng(1).normal(0, 0.2, clips.maps.shape)
    return replace(clips, aus=np.array([aus[e] if k else "" for k, e in enumerate(clips.emotion)]))


def options(learn_from, **changes):
    return {
        "experiment": "x", "name": learn_from, "method": "action_units", "method_version": 1, "seeds": 2,
        "options": {"learn_from": learn_from}, "datasets": ["demo"], "target": "action_units", **changes,
    }  # fmt: skip


@pytest.mark.long
def test_what_learns_from_subjects_tells_their_units(coded):
    rows = loso.predict_units(coded, RecognitionFoldParams.model_validate(options("subjects")))
    assert len(rows) == len(coded) - 1  # one is not coded
    truth = shown([r.label for r in rows])
    p = np.array([[r.p[name] for name in NAMES] for r in rows])
    for unit in (1, 4, 9, 12):
        assert auc(truth[:, KNOWN.index(unit)], p[:, KNOWN.index(unit)]) > 0.9
    zero = loso.predict_units(coded, RecognitionFoldParams.model_validate(options("rendered")))
    flow = coded.maps[1:, [1, 2]]
    np.testing.assert_allclose([list(r.p.values()) for r in zero], units.probabilities(flow, px=True), atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("learn_from", ["both", "rendered"])
def test_a_fold_of_units_from_shards_to_predictions(coded, tmp_path, learn_from):
    shards = write_shards(coded, tmp_path / "s")
    rows = run(shards, tmp_path / "clean", options(learn_from))
    assert [r["label"] for r in rows[:3]] == ["L12", "4+9", "1"] and len(rows) == 6
    for row in rows:
        told = {n.removeprefix("AU") for n in NAMES if float(row[f"p_{n}"]) >= 0.5}
        assert set(filter(None, row["prediction"].split("+"))) == told
    poison(shards[1])
    run(shards, tmp_path / "poisoned", options(learn_from))
    assert contents(tmp_path / "clean", "trained", "training") == contents(tmp_path / "poisoned", "trained", "training")


@pytest.mark.long
def test_both_is_the_mean_of_the_two_in_log_odds(coded):
    subjects, rendered, both = (
        np.array(
            [list(r.p.values()) for r in loso.predict_units(coded, RecognitionFoldParams.model_validate(options(how)))]
        )
        for how in ("subjects", "rendered", "both")
    )
    odds = [np.log(p / (1 - p)) for p in (subjects, rendered, both)]
    np.testing.assert_allclose(odds[2], (odds[0] + odds[1]) / 2, atol=1e-6)


def test_a_unit_that_nobody_shows_is_answered_by_the_shipped_model(coded):
    method = find_method("recognition", "action_units")
    e = RecognitionFoldParams.model_validate(options("subjects"))
    role = fold.roles(coded, np.where(coded.aus != "", 0, -1), e)
    training = fold.training_clips(coded, role, e, fold="demo-b", classes=NAMES)
    model = method.fit(training, method.Options(learn_from="subjects"), Context(0))
    p, rest = method.predict(model, coded), units.probabilities(coded.maps[:, [1, 2]], px=True)
    assert np.array_equal(p[:, KNOWN.index(20)], rest[:, KNOWN.index(20)])
    again = method.from_bytes(method.to_bytes(model), method.Options(learn_from="subjects"))
    assert np.array_equal(method.predict(again, coded), p)


CONFIG = {"datasets": {"casme2": {"root": "/data"}}, "recognition": {"units": {"datasets": ["casme2"]}}}


def config_of(**experiment):
    changed = json.loads(json.dumps(CONFIG))
    changed["recognition"]["units"] |= experiment
    return parse(changed, "config.yaml")


def test_an_experiment_on_units_needs_no_more_than_its_target():
    config = config_of(target="action_units")
    assert config.recognition["units"].methods == UNIT_METHODS
    for row, entry in UNIT_METHODS.items():
        told = stage_options(config, "recognition-fold", "units", method=row)
        assert told["target"] == "action_units" and told["method"] == "action_units"
        assert told["options"]["learn_from"] == entry.get("learn_from", "both")
    assert stage_options(config, "tables-recognition", "units")["task"]["target"] == "action_units"
    for text, changes in (
        ("neither classes nor a protocol", {"protocol": "megc2019"}),
        ("got target: action_units; expected target: emotion", {"methods": {"mdml": {}}}),
    ):
        with pytest.raises(UserError) as error:
            config_of(target="action_units", **changes)
        assert text in str(error.value).replace(", expected", "; expected")


def test_emotions_need_something_to_learn_from(coded):
    method = find_method("recognition", "action_units")
    e = RecognitionFoldParams.model_validate(
        {**options("rendered"), "target": "emotion", "classes": {"a": ["happiness"], "b": ["disgust", "surprise"]}}
    )
    role = fold.roles(coded, np.where(coded.emotion == "happiness", 0, 1), e)
    training = fold.training_clips(coded, role, e, fold="demo-b", classes=("a", "b"))
    with pytest.raises(UserError, match="expected both or subjects for emotions"):
        method.fit(training, method.Options(learn_from="rendered"), Context(0, label="x"))
