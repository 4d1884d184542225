import numpy as np
import pytest

from microexp.datasets.classes import labels_of
from microexp.errors import UserError
from microexp.methods.people import groups_of
from microexp.methods.recognition import fold as folds
from microexp.methods.recognition import loso
from microexp.methods.recognition.mdml.members import balance, member_of, network_seeds
from microexp.methods.recognition.mdml.params import MdmlParams
from tests.methods.recognition.synthetic import clips_of

PEOPLE = {"samm": ["006", "007", "009"], "casme2": ["sub01", "sub02"], "samm_lv": ["006", "008"]}


@pytest.fixture
def clips():
    return clips_of(PEOPLE, per_kind=4, kinds=("micro", "macro"))


def built(clips, experiment, fold, **domain):
    label = labels_of(clips, experiment)
    role = folds.roles(clips, label, experiment)
    options = MdmlParams.model_validate({**experiment.options, "domain": domain})
    return role, loso.fold_member(clips, role, experiment, fold=fold, seed=0, options=options)


def test_the_held_out_person_is_nowhere_in_training(clips, experiment):
    e = experiment(["samm", "casme2"], sources=["samm_lv", "samm:macro"], people=[["samm", "samm_lv"]])
    _, member = built(clips, e, "samm-006")
    trained = member.domain >= 0
    assert trained.any() and not (trained & (clips.subject == "006")).any()
    assert (trained & (clips.dataset == "samm_lv")).any()  # their other people still guide
    assert (trained & member.extra & (clips.kind == "macro") & (clips.dataset == "samm")).any()
    tested = np.zeros(len(clips), bool)
    tested[member.test] = True
    assert (tested == ((clips.dataset == "samm") & (clips.subject == "006") & (clips.kind == "micro"))).all()


def test_the_same_name_is_the_same_person_only_where_it_is_known_or_said(experiment):
    clips = clips_of({"casme2": ["a", "b"], "mine": ["a", "c"], "samm": ["a"], "samm_lv": ["a", "d"]})

    def trained(fold="casme2-a", same_people=()):
        people = groups_of(["casme2", "samm", "mine", "samm_lv"], {}, same_people)
        e = experiment(["casme2", "samm"], sources=["mine", "samm_lv"], people=people)
        domain = built(clips, e, fold)[1].domain
        return {str(d) for d in clips.dataset[(domain >= 0) & (clips.subject == "a")]}

    assert trained() == {"mine", "samm", "samm_lv"}
    assert trained(fold="samm-a") == {"casme2", "mine"}  # SAMM Long Videos show SAMM's people, said or not
    assert trained(same_people=[["mine", "casme2"]]) == {"samm", "samm_lv"}
    assert trained(fold="samm-a", same_people=[["mine", "casme2"]]) == {"casme2", "mine"}
    assert trained(fold="samm-a", same_people=[["mine", "samm_lv"]]) == {"casme2"}  # groups that overlap are one


def test_domains_are_target_then_other_data_sets_then_sources(clips, experiment):
    e = experiment(["samm", "casme2"], sources=["samm_lv:macro", "samm_lv:micro"])
    _, member = built(clips, e, "casme2-sub01")
    assert set(member.domain[(clips.dataset == "casme2") & (clips.kind == "micro")]) == {-1, 0}
    assert set(member.domain[(clips.dataset == "samm") & (clips.kind == "micro")]) == {1}
    assert set(member.domain[(clips.dataset == "samm_lv") & (clips.kind == "macro")]) == {2}
    assert set(member.domain[(clips.dataset == "samm_lv") & (clips.kind == "micro")]) == {3}
    _, member = built(clips, e, "casme2-sub01", others=False)
    assert set(member.domain[(clips.dataset == "samm") & (clips.kind == "micro")]) == {0}


def test_leaving_a_data_set_out(clips, experiment):
    e = experiment(
        ["samm", "casme2"], leave="dataset", sources=["samm_lv", "casme2:macro"], people=[["samm", "samm_lv"]]
    )
    role, member = built(clips, e, "samm-all")
    assert folds.fold_names(clips, role, "dataset") == ["samm-all", "casme2-all"]
    trained = member.domain >= 0
    assert set(clips.dataset[trained]) == {"casme2", "samm_lv"}
    assert set(clips.subject[trained & (clips.dataset == "samm_lv")]) == {"008"}
    assert member.peers == 1  # a single data set is left, which has no peer
    with pytest.raises(UserError, match="samm-all"):
        built(clips, e, "samm-006")


def test_where_a_data_set_is_left_out_those_that_are_left_guide_each_other(clips, experiment):
    e = experiment(["samm", "casme2", "samm_lv"], leave="dataset", sources=["casme2:macro"])
    _, member = built(clips, e, "casme2-all")
    micro = clips.kind == "micro"
    assert [set(member.domain[micro & (clips.dataset == d)]) for d in e.datasets] == [{0}, {-1}, {1}]
    assert member.peers == 2 and not (member.domain[~micro & (clips.dataset == "casme2")] >= 0).any()
    _, merged = built(clips, e, "casme2-all", others=False)
    assert merged.peers == 1 and set(merged.domain[micro & (clips.dataset == "samm_lv")]) == {0}


def test_balance_gives_every_class_the_same_weight():
    label = np.array([0, 0, 0, 1, 1, 0, 1])
    dataset = np.array(["a", "a", "a", "a", "b", "b", "b"])
    rows = np.array([True] * 6 + [False])
    weight = balance(label, dataset, rows, how="class")
    assert weight[rows & (label == 0)].sum() == pytest.approx(weight[rows & (label == 1)].sum())
    assert weight[rows].mean() == pytest.approx(1) and weight[6] == 0
    weight = balance(label, dataset, rows, how="class_and_dataset")
    cells = {(d, c): weight[rows & (dataset == d) & (label == c)].sum() for d in "ab" for c in (0, 1)}
    assert np.allclose(list(cells.values()), 1.5)
    assert balance(label, dataset, rows, how="none")[rows].tolist() == [1] * 6


def test_networks_of_a_run_have_seeds_of_their_own(quick):
    seeds = [seed for run in (7, 8) for seed in network_seeds(quick(members=3), run)]
    assert seeds[0] == 7 and seeds[3] == 8 and len(set(seeds)) == 6


def test_what_a_method_is_handed_makes_the_same_member(clips, experiment, quick):
    """The stage sees the training clips alone, the stacked folds see all: both must train the same network."""
    for leave, fold in (("subject", "samm-006"), ("dataset", "casme2-all"), ("subject", "all")):
        e = experiment(["samm", "casme2"], sources=["samm_lv", "samm:macro"], leave=leave, people=[["samm", "samm_lv"]])
        label = labels_of(clips, e)
        role = folds.roles(clips, label, e)
        training = folds.training_clips(clips, role, e, fold=fold, classes=("p", "n", "s"))
        own = member_of(training, 5, quick())
        assert (own.domain >= 0).all() and len(own.test) == 0
        if fold == "all":
            assert len(training.clips) == (role.target | (role.source > 0)).sum()
            assert len(folds.test_rows(clips, role, e, fold=fold)) == 0
            continue
        whole = loso.fold_member(clips, role, e, fold=fold, seed=5, options=quick())
        rows = whole.domain >= 0
        assert rows.sum() == len(training.clips) < len(clips)
        assert np.array_equal(clips.maps[rows], training.clips.maps) and np.array_equal(label[rows], training.label)
        for name in ("domain", "weight", "extra"):
            assert np.array_equal(getattr(whole, name)[rows], getattr(own, name)), (fold, name)
        assert whole.peers == own.peers
        assert np.array_equal(whole.test, folds.test_rows(clips, role, e, fold=fold))


def test_nobody_left_to_train_on_is_an_error(experiment):
    clips, e = clips_of({"demo": ["a"]}), experiment()
    role = folds.roles(clips, labels_of(clips, e), e)
    with pytest.raises(UserError, match="at least one other subject"):
        folds.training_clips(clips, role, e, fold="demo-a", classes=("p", "n", "s"))
