"""One name for each video and subject."""

from __future__ import annotations

import pytest

from microexp.errors import UserError
from microexp.metrics.foreign.spotting_names import check_videos, name_subjects, rename, subject_of, video_name
from microexp.metrics.spotting import Interval


def item(subject, video):
    return Interval(subject, video, 0, 9, "micro")


def subjects(items, others):
    return [i.subject for i in name_subjects([item(*i) for i in items], [item(*o) for o in others])]


@pytest.mark.parametrize("name", ["s15_0101", "S15_0101", "15_0101", "15_0101disgustingteeth", "s15_0101_x"])
def test_every_name_of_a_cas_me2_video_becomes_the_project_s(name):
    assert video_name(name, "cas_me2") == "s15_0101"


def test_names_of_another_form_stay():
    assert [video_name(n, "cas_me2") for n in ("15_01015", "disgust1_1")] == ["15_01015", "disgust1_1"]
    assert [video_name(n, "samm_lv") for n in ("006_1", "6_1", "s15_0101")] == ["006_1", "006_1", "s15_0101"]


def test_subjects_follow_the_fields_naming():
    assert [subject_of(v) for v in ("s15_0101", "006_1", "alone")] == ["s15", "006", "alone"]


def test_renamed_videos_take_their_subject_along():
    found = rename([item("15", "15_0101"), item("", "15_0102"), item("mine/s15", "15_0103")], "cas_me2")
    assert [(i.subject, i.video) for i in found] == [
        ("s15", "s15_0101"), ("s15", "s15_0102"), ("mine/s15", "s15_0103"),
    ]  # fmt: skip


def test_a_subject_comes_from_the_same_video_of_the_other_side():
    truths = [("demo/s01", "s01_1"), ("demo/anna", "clip_1")]
    assert subjects([("", "s01_1"), ("", "clip_1")], truths) == ["demo/s01", "demo/anna"]
    assert subjects([("s01", "s01_1")], truths) == ["demo/s01"]
    assert subjects([("", "s01_2"), ("", "s07_1")], truths) == ["demo/s01", "s07"]  # videos without expressions
    assert subjects([("bob", "clip_1")], truths) == ["bob"]  # bob's own clip_1
    assert subjects([("", "s15_0101")], [("", "s15_0101")]) == ["s15"]


def test_a_video_of_two_subjects_is_not_guessed():
    truths = [("demo/anna", "clip_1"), ("demo/bob", "clip_1")]
    with pytest.raises(UserError, match=r"clip_1.*demo/anna, demo/bob"):
        subjects([("", "clip_1")], truths)
    assert subjects([("bob", "clip_1")], truths) == ["demo/bob"]


def test_no_common_video_is_an_error_and_a_few_without_truth_are_told(capsys):
    with pytest.raises(UserError, match=r"15/15_0101.*s15/s15_0101.*--dataset"):
        check_videos([item("15", "15_0101")], [item("s15", "s15_0101")])
    assert capsys.readouterr().err == ""
    check_videos([item("a", "a_1"), item("a", "a_2")], [item("a", "a_1"), item("b", "b_1")])
    assert capsys.readouterr().err == "1 of 2 videos with predictions have no ground truth: a/a_2\n"
    check_videos([], [item("a", "a_1")])
    check_videos([item("a", "a_1")], [])


@pytest.mark.parametrize(
    ("subject", "video", "person", "name"),
    [
        ("5", "anger1", "s21", "s21_0401"), ("22", "Happy5.mp4", "s40", "s40_0508"),
        ("S21", "anger1", "s21", "s21_0401"), ("23", "anger1", "23", "anger1"),
        ("s17", "anger1", "s17", "anger1"), ("5", "anger9", "5", "anger9"),
        ("", "anger1", "anger1", "anger1"), ("x/5", "anger1", "x/5", "anger1"),
    ],
)  # fmt: skip
def test_participant_and_film_name_a_video_of_cas_me2_as_its_sheet_does(subject, video, person, name):
    """A name of no release keeps its subject: several people's videos would become one."""
    (renamed,) = rename([item(subject, video)], "cas_me2")
    assert (renamed.subject, renamed.video) == (person, name)
