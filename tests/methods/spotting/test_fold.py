"""The honest protocol, for shipped and made-up methods: the leak canary, exact resume, seeds, people, nonsense."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.methods import context
from microexp.methods.find import SHIPPED
from microexp.methods.spotting.base import SpottingVideo
from microexp.methods.spotting.fits import ALL, calibration_parts, held_out_subject, plan_fits
from microexp.methods.spotting.fold import permuted
from microexp.methods.spotting.params import SpottingFoldParams
from microexp.records.detections import read_detections
from microexp.records.index import Expression, read_expressions, read_videos, write_expressions
from microexp.records.proposals import CALIBRATION, METHOD, PERMUTED, TEST, read_proposals
from microexp.run import bundle
from tests.methods.spotting.made_up import MadeUp, create, edit, found_in, garble, run_fold, write_data
from tests.methods.spotting.methods import Fixed
from tests.methods.spotting.quick import QUICK

MODULE = "tests.methods.spotting.methods"
SLOW, STACKED, FIXED = (f"{MODULE}:{name}" for name in ("Slow", "Stacked", "Fixed"))
OPTIONS = {name: {} for name in SHIPPED["spotting"]} | {"aemnet": {**QUICK, "epochs": 1}, SLOW: {}, STACKED: {}}
TRAINS_NOTHING = "candidates"
"""Its threshold alone is chosen on training subjects."""
HONEST = ("trained.safetensors", "training.csv", "selection.json")
"""Files of a fold that may not depend on the held-out subject."""
SUBJECTS = [("d", f"s{i}") for i in range(8)]
every_method = pytest.mark.parametrize("method", OPTIONS)


def params(**changes):
    return SpottingFoldParams(experiment="e", name="n", method="m", method_version=1, **changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), subjects=5, n_frames=300, channels=8)


@pytest.fixture(scope="module")
def garbled(data, tmp_path_factory):
    return garble(data, tmp_path_factory.mktemp("garbled") / "copy")


def same(one, other, names=HONEST):
    return [(one / name).read_bytes() == (other / name).read_bytes() for name in names]


def by_role(path):
    found = {(p.role, p.variant, p.seed, p.key, p.kind): (p.intervals, p.scores) for p in read_proposals(path)}
    return [{key: value for key, value in found.items() if key[0] == role} for role in (CALIBRATION, TEST)]


def equal(one, other):
    return set(one) == set(other) and all(
        np.array_equal(a, b) for key in one for a, b in zip(one[key], other[key], strict=True)
    )


# --- the held-out subject ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocol",
    [
        pytest.param(
            {"inner_folds": 2, "permuted_control": True, "seeds": 2}, marks=pytest.mark.long, id="inner_folds"
        ),
        pytest.param({"calibrate": "held_out"}, id="held_out"),
    ],
)
@every_method
def test_the_held_out_subject_cannot_leak(data, garbled, tmp_path, method, protocol):
    """The canary: garbage in its place leaves what was trained, chosen and logged byte-identical."""
    clean, other = (
        run_fold(d, tmp_path / name, method=method, options=OPTIONS[method], **protocol)
        for d, name in ((data, "clean"), (garbled, "garbled"))
    )
    assert all(same(clean, other))
    (calibration, test), (other_calibration, other_test) = (by_role(f / "proposals.h5") for f in (clean, other))
    assert calibration and equal(calibration, other_calibration)
    assert {key[3] for key in test} == {("fake", "s00", "s00_0")}  # the canary is alive: the garbage was really read
    assert {key[3] for key in other_test} == {("fake", "s00", "other")}


@pytest.mark.long
@every_method
def test_the_canary_would_sing(data, garbled, tmp_path, method):
    """Garbage in a training subject's place does change what is trained and chosen."""
    clean, other = (
        run_fold(d, tmp_path / name, "fake-s01", method=method, options=OPTIONS[method])
        for d, name in ((data, "clean"), (garbled, "garbled"))
    )
    trained, _, chosen = same(clean, other)
    assert trained == (method == TRAINS_NOTHING) and not chosen


@pytest.mark.long
@pytest.mark.parametrize("method", [SLOW, "aemnet"])
def test_broken_features_of_the_held_out_subject_show_only_after_training(data, tmp_path, method):
    copy = garble(data, tmp_path / "copy", noise=np.nan)
    with pytest.raises(UserError, match="not finite"):
        run_fold(copy, tmp_path / "out", method=method, options=OPTIONS[method])
    clean = run_fold(data, tmp_path / "clean", method=method, options=OPTIONS[method])
    assert all(same(tmp_path / "out", clean, ("trained.safetensors", "training.csv")))


def test_the_held_out_subjects_layout_must_be_that_of_training(data, tmp_path):
    copy = garble(data, tmp_path / "copy")
    with edit(copy.folder / "features/i3d_rgb/fake/s00.h5") as file:
        file["other"].attrs["clip_frames"] = 12
    with pytest.raises(UserError, match=r"s00\.h5: step, clip, channels"):
        run_fold(copy, tmp_path / "out", method=SLOW)


@pytest.mark.long
@every_method
def test_the_fold_all_trains_on_everybody_and_tests_nobody(data, tmp_path, method):
    assert held_out_subject(ALL) is None
    out = run_fold(data, tmp_path, ALL, method=method, options=OPTIONS[method])
    calibration, test = by_role(out / "proposals.h5")
    assert {key[3][1] for key in calibration} == {f"s{s:02d}" for s in range(5)} and not test
    assert read_detections(out / "detections.csv", read_videos(data.videos)) == []
    chosen = json.loads((out / "selection.json").read_text())
    assert chosen["methods"]["made_up"]["0"]["chosen_on"] == [f"fake/s{s:02d}" for s in range(5)]


# --- people in several data sets --------------------------------------------------------------------------------------

PEOPLE = [["fake", "twin"]]


@pytest.fixture(scope="module")
def twins(data, tmp_path_factory):
    """The same people as in `data`, filmed again."""
    return write_data(tmp_path_factory.mktemp("twin"), subjects=5, n_frames=300, channels=8, seed=7, dataset="twin")


@pytest.mark.long
@pytest.mark.parametrize("method", [SLOW, "flow_magnitude", "random_intervals"])
def test_a_person_in_two_data_sets_is_held_out_of_both(data, twins, tmp_path, method):
    odd = garble(twins, tmp_path / "copy", "twin")
    clean, other = (
        run_fold([data, d], tmp_path / name, method=method, people=PEOPLE)
        for d, name in ((twins, "clean"), (odd, "garbled"))
    )
    assert all(same(clean, other))
    calibration, test = by_role(clean / "proposals.h5")
    assert {key[3][:2] for key in test} == {("fake", "s00")}
    assert {key[3][:2] for key in calibration} == {(d, f"s{s:02d}") for d in ("fake", "twin") for s in range(1, 5)}
    strangers, changed = (
        run_fold([data, d], tmp_path / name, method=method) for d, name in ((twins, "apart"), (odd, "apart2"))
    )
    assert not all(same(strangers, changed, ("selection.json",)))  # as strangers they are learned from


def test_nobody_calibrates_a_fit_that_saw_them_in_another_data_set():
    subjects = [(d, f"s{i}") for d in ("a", "b", "c") for i in range(6)]
    people = [["a", "b"]]
    for options in (params(people=people), params(people=people, calibrate="held_out")):
        for plan in plan_fits(subjects, options, learns=True, seeded=True):
            seen, new = ({("ab" if d in "ab" else d, s) for d, s in part} for part in (plan.subjects, plan.calibration))
            assert not seen & new
    parts = calibration_parts(subjects, params(people=people), 0)
    assert sorted(s for part in parts for s in part) == sorted(subjects)
    with pytest.raises(UserError, match=r"1 training subject\(s\)"):
        plan_fits([("a", "s1"), ("b", "s1")], params(people=people), learns=False, seeded=False)


# --- plans ------------------------------------------------------------------------------------------------------------


def test_calibration_proposals_never_come_from_a_fit_that_saw_the_subject():
    for options in (params(), params(calibrate="held_out"), params(permuted_control=True, seeds=2)):
        plans = plan_fits(SUBJECTS, options, learns=True, seeded=True)
        for plan in plans:
            assert not set(plan.subjects) & set(plan.calibration)
            assert set(plan.subjects) | set(plan.calibration) <= set(SUBJECTS)
        assert len({p.name for p in plans}) == len(plans)
        for variant, seed in {(p.variant, p.seed) for p in plans}:
            own = [p for p in plans if (p.variant, p.seed) == (variant, seed)]
            assert sum(p.final for p in own) == 1
            calibrated = [s for p in own for s in p.calibration]
            assert len(set(calibrated)) == len(calibrated)
            if options.calibrate == "inner_folds":
                assert sorted(calibrated) == SUBJECTS
                assert next(p for p in own if p.final).subjects == tuple(SUBJECTS)
            else:
                assert len(calibrated) == 2


def test_what_a_method_says_of_itself_saves_trainings():
    options = params(permuted_control=True, seeds=3)
    counts = {
        (learns, seeded): len(plan_fits(SUBJECTS, options, learns=learns, seeded=seeded))
        for learns, seeded in itertools.product((True, False), repeat=2)
    }
    assert counts == {(True, True): 24, (True, False): 8, (False, True): 12, (False, False): 4}


def test_seeds_draw_other_calibration_subjects():
    options = [params(calibrate="held_out", seed=seed) for seed in range(8)]
    drawn = {plan_fits(SUBJECTS, o, learns=True, seeded=True)[0].calibration for o in options}
    assert len(drawn) > 3
    two = plan_fits(SUBJECTS, params(calibrate="held_out", seeds=2), learns=True, seeded=True)
    assert [p.calibration for p in two] == [calibration_parts(SUBJECTS, o, o.seed)[0] for o in options[:2]]


@pytest.mark.long
def test_the_first_seed_and_the_number_of_seeds_are_the_same_repetitions(data, tmp_path):
    """Repetition 1 from seed 4 is repetition 0 from seed 5."""
    two = run_fold(data, tmp_path / "two", method=SLOW, seed=4, seeds=2)
    one = run_fold(data, tmp_path / "one", method=SLOW, seed=5)
    parts, single = (bundle.read(f / "trained.safetensors").parts for f in (two, one))
    assert set(parts) == {"method.0", "method.1"} and parts["method.0"] != parts["method.1"]
    assert parts["method.1"] == single["method.0"]


# --- the permuted control ---------------------------------------------------------------------------------------------


def test_permuted_expressions_keep_length_kind_and_video():
    video = SpottingVideo("d", "s", "v", 500, 30.0, {})
    items = [
        Expression("d", "s", "v", n, on, (on + off) // 2, off, kind, "", "")
        for n, (on, off, kind) in enumerate([(10, 19, "micro"), (100, 140, "macro"), (0, 499, "macro")], 1)
    ]
    moved = permuted([video], {video.key: items}, seed=0)[video.key]
    assert [(m.offset - m.onset, m.kind) for m in moved] == [(i.offset - i.onset, i.kind) for i in items]
    assert all(0 <= m.onset <= m.apex <= m.offset <= 499 for m in moved)
    assert moved[0].onset != 10 and [m.apex - m.onset for m in moved] == [i.apex - i.onset for i in items]
    assert permuted([video], {video.key: items}, seed=0)[video.key] == moved
    assert permuted([video], {video.key: items}, seed=1)[video.key] != moved


@pytest.mark.long
def test_the_control_is_trained_on_other_labels_and_calibrated_on_true_ones(data, tmp_path):
    out = run_fold(data, tmp_path, method=SLOW, permuted_control=True)
    parts = bundle.read(out / "trained.safetensors").parts
    assert set(parts) == {"method.0", "permuted.0"} and parts["method.0"] != parts["permuted.0"]
    chosen = json.loads((out / "selection.json").read_text())["methods"]
    assert set(chosen) == {"made_up", "made_up_permuted"}
    assert chosen["made_up"]["0"]["micro"]["f1"] > chosen["made_up_permuted"]["0"]["micro"]["f1"]
    plain = run_fold(data, tmp_path / "plain", method=SLOW)
    assert bundle.read(plain / "trained.safetensors").parts["method.0"] == parts["method.0"]
    silent = run_fold(data, tmp_path / "none", method="flow_magnitude", permuted_control=True)
    assert {p.variant for p in read_proposals(silent / "proposals.h5")} == {METHOD}
    assert {p.variant for p in read_proposals(out / "proposals.h5")} == {METHOD, PERMUTED}


# --- resuming ---------------------------------------------------------------------------------------------------------


class Stop(Exception):
    """A kill."""


def saves(monkeypatch, stop_after=None):
    """Let every chance to save be taken; raise `Stop` after so many. Returns the list of saves."""
    real, made = context.Checkpoint._save, []

    def save(self):
        real(self)
        made.append(1)
        if len(made) == stop_after:
            raise Stop

    monkeypatch.setattr(context, "EVERY_S", 0.0)
    monkeypatch.setattr(context.Checkpoint, "_save", save)
    return made


RESULTS = ("trained.safetensors", "training.csv", "proposals.h5", "detections.csv", "selection.json")


@pytest.mark.parametrize("method", [SLOW, STACKED, pytest.param("aemnet", marks=pytest.mark.long)])
def test_training_goes_on_where_it_was_stopped(data, tmp_path, monkeypatch, method):
    """Stopped in any fit after any epoch, or between fits, the next run ends with the same bytes."""
    options = {SLOW: {"epochs": 2}, STACKED: {"epochs": 3}, "aemnet": QUICK}[method]
    run = {"method": method, "options": options, "inner_folds": 2, "seeds": 1 if method == SLOW else 2}
    with monkeypatch.context() as patch:
        counted = saves(patch)
        run_fold(data, tmp_path / "counted", **run)
    total = len(counted)
    assert total == {SLOW: 3 * 3, STACKED: 3 + 1, "aemnet": 2 + 1}[method]
    for stop_after in range(1, total + 1):
        out = tmp_path / f"parts{stop_after}"
        with monkeypatch.context() as patch:
            saves(patch, stop_after)
            with pytest.raises(Stop):
                run_fold(data, out, **run)
        assert (out / "trained.safetensors.checkpoint").exists() and not (out / "trained.safetensors").exists()
        with monkeypatch.context() as patch:
            more = saves(patch)
            run_fold(data, out, **run)
        assert len(more) == total - stop_after  # nothing was trained twice
        assert all(same(tmp_path / "counted", out, RESULTS))
        assert not (out / "trained.safetensors.checkpoint").exists()


@pytest.mark.long
def test_a_checkpoint_of_other_data_or_options_or_code_is_not_used(data, garbled, tmp_path, monkeypatch):
    fresh = run_fold(data, tmp_path / "fresh", method=SLOW)
    stopped = {
        "options": (data, {"options": {"epochs": 5}}, None),
        "seed": (data, {"seed": 3}, None),
        "method": (data, {"method": STACKED}, None),
        "labels": (moved(data, tmp_path / "moved"), {}, None),
        "code": (data, {}, "source_sha256"),
        "the method's own code": (data, {}, "source_of"),
    }
    for name, (given, changes, patched) in stopped.items():
        out = tmp_path / name
        with monkeypatch.context() as patch:
            saves(patch, 2)
            if patched:
                patch.setattr(f"microexp.methods.spotting.fold.{patched}", lambda *method: "other")
            with pytest.raises(Stop):
                run_fold(given, out, **{"method": SLOW, **changes})
        run_fold(data, out, method=SLOW)
        assert all(same(fresh, out, RESULTS)), name


def moved(data, folder):
    """A copy of the data with one training expression elsewhere."""
    import shutil

    shutil.copytree(data.folder, folder)
    copy = found_in(folder)
    videos = read_videos(copy.videos)
    items = read_expressions(copy.expressions, videos)
    index = next(i for i, e in enumerate(items) if e.subject == "s02")
    items[index] = Expression(*items[index].video_key, items[index].expression, 0, 1, 2, "micro", "x", "")
    write_expressions(copy.expressions, items, videos)
    return copy


@pytest.mark.long
def test_a_damaged_checkpoint_is_told_and_not_used(data, tmp_path, monkeypatch, capsys):
    fresh = run_fold(data, tmp_path / "fresh", method=SLOW)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        saves(patch, 4)
        with pytest.raises(Stop):
            run_fold(data, out, method=SLOW)
    path = out / "trained.safetensors.checkpoint"
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(bytes(content))
    run_fold(data, out, method=SLOW)
    assert "starting again" in capsys.readouterr().err
    assert all(same(fresh, out, RESULTS))


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_outputs_hold_what_they_promise(data, tmp_path):
    out = run_fold(data, tmp_path, method=SLOW, seeds=2, permuted_control=True)
    lines = (out / "training.csv").read_text().splitlines()
    assert lines[0] == "variant,seed,fit,epoch,videos,norm" and len(lines) == 1 + 2 * 2 * 4 * 3
    assert lines[1].startswith("method,0,inner1,1,")
    about = bundle.read(out / "trained.safetensors").about
    assert about["streams"]["i3d_rgb"] == {"step_frames": 4, "clip_frames": 8, "channels": [""] * 8, "fps": [30.0]}
    expected = {
        "stage": "spotting-fold", "experiment": "made", "method": "made_up", "fold": "fake-s00", "kind": "spotting",
        "reference": SLOW, "version": 1, "options": {"epochs": 3},
    }  # fmt: skip
    assert {name: about[name] for name in expected} == expected
    found = read_detections(out / "detections.csv", read_videos(data.videos))
    assert {d.method for d in found} >= {"made_up", "made_up_oracle"}
    assert {(d.dataset, d.subject) for d in found} == {("fake", "s00")}


def test_a_log_keeps_the_frameworks_columns(data, tmp_path):
    """A method's own `seed` and `fit` do not overwrite those of the framework."""
    out = run_fold(data, tmp_path, method=FIXED)
    rows = [line.split(",") for line in (out / "training.csv").read_text().splitlines()]
    assert rows[0] == ["variant", "seed", "fit", "epoch"] and rows[1] == ["method", "0", "inner1", "1"]


@pytest.mark.long
def test_a_subject_without_a_usable_video_has_a_fold_and_costs_the_others_nothing(data, tmp_path):
    paths = [tmp_path / "features" / stream / "fake" / "s99.h5" for stream in ("i3d_rgb", "motion")]
    for path in paths:
        with create(path):
            pass
    more = MadeUp(data.folder, [*data.features, *paths], data.expressions, data.videos)
    empty = run_fold(more, tmp_path / "empty", "fake-s99", method=SLOW)
    assert read_detections(empty / "detections.csv", read_videos(data.videos)) == []
    assert json.loads((empty / "selection.json").read_text())["methods"]["made_up"]
    for folder, given in ((tmp_path / "with", more), (tmp_path / "without", data)):
        run_fold(given, folder, "fake-s01", method=SLOW)
    assert (tmp_path / "with/detections.csv").read_bytes() == (tmp_path / "without/detections.csv").read_bytes()


# --- what is refused --------------------------------------------------------------------------------------------------


def test_one_training_subject_is_not_enough(data, tmp_path):
    few = [p for p in data.features if p.stem in ("s00", "s01")]
    with pytest.raises(UserError, match="at least 2"):
        run_fold(MadeUp(data.folder, few, data.expressions, data.videos), tmp_path, method=SLOW)


@pytest.mark.parametrize(("method", "named"), [(SLOW, "no shard of fake/s77"), ("random_intervals", "fake/s77")])
def test_a_held_out_subject_that_nobody_knows_is_named(data, tmp_path, method, named):
    with pytest.raises(UserError, match=named):
        run_fold(data, tmp_path / "a", "fake-s77", method=method)
    nothing = MadeUp(data.folder, [], data.expressions, data.videos)
    with pytest.raises(UserError, match="no video of fake/s77"):
        run_fold(nothing, tmp_path / "b", "fake-s77", method="random_intervals")
    assert run_fold(nothing, tmp_path / "c", method="random_intervals")


def test_a_stream_that_nobody_made_is_named(data, tmp_path):
    with pytest.raises(UserError, match="no shard of the stream given"):
        run_fold(data, tmp_path, method=f"{MODULE}:Stranger")


@pytest.mark.parametrize(
    ("attribute", "value", "named"),
    [("step_frames", 2, "step, clip, channels"), ("channels", "a,b,c,d,e,f,g,h", "channels: got 'a'")],
)
def test_streams_laid_out_in_two_ways_are_refused(data, tmp_path, attribute, value, named):
    copy = garble(data, tmp_path / "copy", subject="s02")
    with edit(copy.folder / "features/i3d_rgb/fake/s02.h5") as file:
        file["other"].attrs[attribute] = value
    with pytest.raises(UserError, match=rf"s02\.h5: {named}"):
        run_fold(copy, tmp_path / "out", method=SLOW)


NONSENSE = [
    None,
    [1, 2],
    {"mikro": ([], [])},
    {"micro": None},
    {"micro": ([[0, 1]],)},
    {"micro": ([[0, 1]], [0.5], "more")},
    {"micro": ([[0, 1], [2, 3]], [0.5])},
    {"micro": ([[0, 1, 2]], [0.5])},
    {"micro": ([0, 1], [0.5])},
    {"micro": ([[0, 1]], [[0.5]])},
    {"micro": ([["a", "b"]], [0.5])},
    {"micro": ([[0, np.nan]], [0.5])},
    {"micro": ([[0, 5]], [np.inf])},
    {"micro": ([[5, 4]], [0.5])},
    {"micro": ([[-1, 4]], [0.5])},
    {"macro": ([[0, 300]], [0.5])},
    {"macro": (np.zeros((2, 5)), np.zeros(5))},
]


@pytest.mark.parametrize("found", NONSENSE, ids=str)
def test_a_method_that_proposes_nonsense_is_one_clear_line(data, tmp_path, monkeypatch, found):
    monkeypatch.setattr(Fixed, "FOUND", found)
    with pytest.raises(UserError, match=r"^made_up: fake/s0\d/s0\d_0: proposed ") as error:
        run_fold(data, tmp_path, method=FIXED)
    assert "\n" not in str(error.value) and "frames 0 to 299" in str(error.value)


@pytest.mark.parametrize(
    "found", [{}, {"micro": ([], [])}, {"macro": ([[0, 299]], [1])}, {"micro": (np.empty((0, 2)), [])}]
)
def test_few_or_no_proposals_are_fine(data, tmp_path, monkeypatch, found):
    monkeypatch.setattr(Fixed, "FOUND", found)
    out = run_fold(data, tmp_path, method=FIXED)
    assert {p.kind for p in read_proposals(out / "proposals.h5")} == {"micro", "macro"}


def test_models_that_are_none_are_one_clear_line(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Fixed, "BYTES", "text")
    with pytest.raises(UserError, match=r"made_up fake-s00: to_bytes gave str"):
        run_fold(data, tmp_path, method=FIXED)
    with pytest.raises(UserError, match=r"made_up fake-s00: fit_many gave 3 models; expected 4"):
        run_fold(data, tmp_path, method=f"{MODULE}:TooFew")


def test_options_that_a_method_does_not_know_are_named(data, tmp_path):
    with pytest.raises(UserError, match=r"made\.methods\.made_up\.epoch: an unknown option"):
        run_fold(data, tmp_path, method=SLOW, options={"epoch": 3})
