import numpy as np
import pytest
import torch

from microexp.datasets.classes import labels_of
from microexp.methods.recognition import fold, loso
from microexp.methods.recognition.mdml.members import pool_of
from microexp.methods.recognition.mdml.network import StageOutputs
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.methods.recognition.mdml.training import LOG_COLUMNS, _Trainer, one_cycle, predict, stacks, train
from microexp.metrics.recognition import check_once
from tests.methods.recognition.synthetic import clips_of


def setting(clips, experiment):
    label = labels_of(clips, experiment)
    role = fold.roles(clips, label, experiment)
    return pool_of(clips, label, mdml_of(experiment)), role


def mdml_of(experiment):
    return MdmlParams.model_validate(experiment.options)


def members_of(clips, role, e, seeds=(0,), names=None):
    names = names or fold.fold_names(clips, role, e.leave)
    return [loso.fold_member(clips, role, e, fold=n, seed=s, options=mdml_of(e)) for n in names for s in seeds]


def test_mdml_learns_what_the_clips_show(demo, experiment):
    e = experiment(mdml={"epochs": 25})
    pool, role = setting(demo, e)
    p = loso.mdml(demo, pool, role, experiment=e, options=mdml_of(e), classes=3)[0]
    assert np.isfinite(p).all() and np.allclose(p.sum(1), 1)
    assert (p.argmax(1) == role.label).mean() >= 0.8


@pytest.mark.long
def test_a_fold_alone_gives_what_it_gives_in_a_stack(demo, experiment):
    e = experiment(mdml={"domain": {"weight": 0.0}})
    pool, role = setting(demo, e)
    members = members_of(demo, role, e, seeds=(0, 1))
    together = predict(train(pool, members, mdml_of(e), classes=3), pool, members, options=mdml_of(e))
    alone = predict(train(pool, members[3:4], mdml_of(e), classes=3), pool, members[3:4], options=mdml_of(e))
    np.testing.assert_allclose(together[3], alone[0], atol=2e-3)
    assert np.abs(together[2] - together[3]).max() > 1e-2  # another seed is another network


@pytest.mark.long
def test_training_never_touches_the_held_out_clips(demo, experiment):
    e = experiment(sources=["demo:macro"])
    clips = clips_of({"demo": ["a", "b", "c"]}, kinds=("micro", "macro"))
    pool, role = setting(clips, e)
    members = members_of(clips, role, e, names=["demo-b"])
    before = train(pool, members, mdml_of(e), classes=3)
    pool.maps[torch.from_numpy(clips.subject == "b")] = float("nan")
    pool.labels[torch.from_numpy(clips.subject == "b")] = 2
    after = train(pool, members, mdml_of(e), classes=3)
    for stream in before.streams:
        for name, value in before.streams[stream].member_tensors(0).items():
            assert torch.equal(value, after.streams[stream].member_tensors(0)[name]), name
    assert np.array_equal(before.log, after.log) and np.array_equal(before.source_weights, after.source_weights)


SWITCHES = {
    "mutual": {"mutual": {"weight": 0.0}},
    "domain": {"domain": {"weight": 0.0}},
    "by_class": {"domain": {"by_class": False, "weight": 1.0}},
    "labels of sources": {"domain": {"label_weight": 0.0}},
    "balance": {"balance": "none"},
    "linear_path": {"linear_path": False},
    "mirror": {"mirror": False},
    "shift": {"shift_px": 0},
    "normalise": {"normalise": "pixel"},
    "dropout": {"dropout": 0.0},
    "identity": {"identity": "median"},
    "one stream": {"streams": {"flow": ["u", "v"]}},
}


@pytest.mark.long
@pytest.mark.parametrize("switch", SWITCHES)
def test_every_part_can_be_switched_and_does_something(switch, experiment):
    clips = clips_of({"demo": ["a", "b", "c"], "other": ["x"]}, per_kind=4, kinds=("micro", "macro"))
    clips.maps[clips.kind == "micro", 1:3] += 0.5  # so that centring by the median changes something

    def final(**changes):
        e = experiment(["demo", "other"], sources=["demo:macro", "other:macro"], mdml={"epochs": 4, **changes})
        pool, role = setting(clips, e)
        members = members_of(clips, role, e, names=["demo-a"])
        trained = train(pool, members, mdml_of(e), classes=3)
        log = dict(zip(LOG_COLUMNS, trained.log[0, -1], strict=True))
        return predict(trained, pool, members, options=mdml_of(e))[0], log

    base = {"domain": {"weight": 1.0}}
    with_it, log_with = final(**base)
    without, log_without = final(**{**base, **SWITCHES[switch]})
    assert np.abs(with_it - without).max() > 1e-6
    if switch in ("mutual", "domain"):
        assert log_with[switch] != 0 and log_without[switch] == 0


def test_prediction_options(demo, experiment):
    e = experiment()
    pool, role = setting(demo, e)
    members = members_of(demo, role, e, names=["demo-a"])
    trained = train(pool, members, mdml_of(e), classes=3)
    found = [
        predict(trained, pool, members, options=mdml_of(e).model_copy(update=u))[0]
        for u in ({}, {"mirror_test": False}, {})
    ]
    assert np.array_equal(found[0], found[2]) and np.abs(found[0] - found[1]).max() > 0


def test_source_weights_are_logged_per_epoch(experiment):
    clips = clips_of({"demo": ["a", "b", "c"], "other": ["x", "y"]})
    e = experiment(["demo", "other"], mdml={"domain": {"weight": 1.0}})
    pool, role = setting(clips, e)
    trained = train(pool, members_of(clips, role, e, names=["other-x"]), mdml_of(e), classes=3)
    assert trained.source_weights.shape[::2] == (1, 1)
    assert np.allclose(trained.source_weights[:, 2:], 1)  # the only source guides fully, once both have been seen


def test_stacks_hold_members_with_equally_many_steps(experiment):
    clips = clips_of({"demo": ["a", "b", "c"]}, per_kind=8)
    few = clips.take(np.r_[0:2, 8:24])
    e = experiment()
    _, role = setting(few, e)
    members = members_of(few, role, e, seeds=(0, 1))
    groups = stacks(members, mdml_of(e), limit=3)
    assert sorted(i for g in groups for i in g) == list(range(6))
    assert all(len({members[i].steps(mdml_of(e)) for i in g}) == 1 and len(g) <= 3 for g in groups)
    assert len({members[i].steps(mdml_of(e)) for i in range(6)}) == 2


def test_one_cycle_rises_to_one_and_falls_to_nearly_nothing():
    rates = [one_cycle(s, 100) for s in range(100)]
    assert max(rates) == pytest.approx(1) and np.argmax(rates) == 30
    assert rates[0] == pytest.approx(0.04) and rates[-1] == pytest.approx(1e-4)
    assert one_cycle(0, 1) > 0


@pytest.mark.long
def test_leave_one_data_set_out(experiment):
    clips = clips_of({"demo": ["a", "b", "c"], "other": ["x", "y", "z"]}, per_kind=6)
    e = experiment(["demo", "other"], leave="dataset", mdml={"epochs": 25})
    pool, role = setting(clips, e)
    p = loso.mdml(clips, pool, role, experiment=e, options=mdml_of(e), classes=3)[0]
    assert (p.argmax(1) == role.label).mean() > 0.8


@pytest.mark.long
def test_the_data_sets_that_are_left_are_drawn_toward_each_other(experiment):
    clips = clips_of({"demo": ["a", "b"], "other": ["x", "y"], "third": ["q", "r"]}, per_kind=6)

    def trained(**domain):
        e = experiment(["demo", "other", "third"], leave="dataset", mdml={"domain": domain})
        pool, role = setting(clips, e)
        return train(pool, members_of(clips, role, e, names=["demo-all", "other-all"]), mdml_of(e), classes=3)

    log = {weight: dict(zip(LOG_COLUMNS, trained(weight=weight).log[0, -1], strict=True)) for weight in (0.0, 1.0, 4.0)}
    assert log[0.0]["domain_pull"] == 0 and log[0.0]["domain"] == 0
    assert log[4.0]["domain_pull"] > 2 * log[1.0]["domain_pull"] > 0
    assert np.allclose(trained(weight=1.0).source_weights[:, 2:], 1)  # each of two guides the other, and fully


def test_each_target_of_several_is_drawn(experiment):
    clips = clips_of({"demo": ["a"], "other": ["x"], "third": ["q"]}, per_kind=6)
    e = experiment(["demo", "other", "third"], leave="dataset", mdml={"batch_size": 12, "domain": {"ramp": 0.0}})
    pool, role = setting(clips, e)
    trainer = _Trainer(pool, members_of(clips, role, e, names=["demo-all"]), mdml_of(e), 3, torch.device("cpu"))
    domain, labels = trainer.domain[:, trainer.clips[0, :, 0]], pool.labels[trainer.clips[0, :, 0]][None]
    features = torch.randn(1, 12, 5, requires_grad=True)
    trainer._domain_term({"flow": StageOutputs([], [features])}, labels, domain, 0).sum().backward()
    for d in (0, 1):
        assert features.grad[domain == d].abs().max() > 0


def test_variants_are_compared_on_the_same_clips(demo, experiment):
    plain = {"mutual": {"weight": 0.0}, "epochs": 2}
    rows = [
        row
        for e in (
            experiment(name="mdml", mdml={"epochs": 2}, seeds=2),
            experiment(name="no mutual", mdml=plain, seeds=2),
            experiment(name="lr", method="logistic_regression", options={}, seeds=2),
            experiment(name="majority", method="majority", options={}),
        )
        for row in loso.predict_all(demo, e)
    ]
    check_once(rows)
    counted = {(r.method, r.seed): 0 for r in rows}
    for r in rows:
        counted[r.method, r.seed] += 1
    assert set(counted.values()) == {len(demo)}
    assert list(counted) == [
        ("mdml", 0), ("mdml", 1), ("no mutual", 0), ("no mutual", 1), ("lr", 0), ("majority", 0),
    ]  # fmt: skip
