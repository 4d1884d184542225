"""People and what they do: balance, limits, dynamics."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.errors import UserError
from microexp.reading.params import DemoParams
from microexp.reading.rows import parse_aus
from microexp.rendered.demo import COLUMNS, demo_subjects, demo_videos, parse_video, sheet_rows, video_path
from microexp.rendered.head import EMOTIONS, UnitMotion, draw_motions
from microexp.rendered.schedule import ActedExpression, check_length, draw_expressions, make_script, n_frames
from microexp.rendered.subjects import make_subject

DEFAULT = DemoParams(seed=0)


def test_names_are_known_without_rendering() -> None:
    params = DemoParams(subjects=2, videos=2)
    assert demo_subjects(params) == ["s01", "s02"]
    assert demo_videos(params) == [("s01", "s01_1"), ("s01", "s01_2"), ("s02", "s02_1"), ("s02", "s02_2")]
    assert video_path("s01", "s01_2") == "videos/s01/s01_2.mp4"
    assert parse_video(params, "s02_1") == (2, 1)


@pytest.mark.parametrize("video", ["s01_3", "s01_0", "s01_01", "s1_1", "s001_1", "s01", "", "../s01_1", "s00_1"])
def test_a_video_that_the_demo_does_not_have_is_named(video: str) -> None:
    with pytest.raises(UserError, match=r"demo: video: got .*, expected .* s01_1, with a last number up to 2"):
        parse_video(DemoParams(subjects=2, videos=2), video)


def test_a_small_group_is_already_mixed() -> None:
    people = [make_subject(7, n) for n in range(1, 9)]
    assert Counter(p.sex > 0.5 for p in people) == {True: 4, False: 4}
    assert len({(p.sex > 0.5, int(np.argmax(p.origin)), p.skin) for p in people}) == 8
    assert len({int(np.argmax(p.origin)) for p in people}) == 3
    ages = [p.age for p in people]
    assert min(ages) < 0.2 and max(ages) > 0.6
    assert len({p.light for p in people}) == 8
    assert min(sum(p.skin) for p in people) < 1.1 < 1.7 < max(sum(p.skin) for p in people)


@given(st.integers(0, 2**32), st.integers(1, 500))
def test_any_person_can_be_drawn(seed: int, number: int) -> None:
    person = make_subject(seed, number)
    assert person == make_subject(seed, number)
    assert sum(person.origin) == pytest.approx(1)
    assert 0 <= person.sex <= 1 and 0 <= person.age <= 1 and 0 <= person.weight <= 1
    assert all(
        0 < c < 1 for colour in (person.skin, person.hair, person.iris, person.shirt, person.wall) for c in colour
    )
    assert person != make_subject(seed, number + 1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    number=st.integers(1, 6),
    take=st.integers(1, 2),
    micro=st.integers(0, 8),
    macro=st.integers(0, 4),
    fps=st.sampled_from([10, 25, 30, 100, 200]),
)
def test_expressions_fit_and_never_overlap(seed: int, number: int, take: int, micro: int, macro: int, fps: int) -> None:
    params = DemoParams(subjects=6, videos=2, seconds=30, micro=micro, macro=macro, fps=fps, seed=seed)
    expressions = draw_expressions(params, number, take)
    assert Counter(e.kind for e in expressions) == Counter({"micro": micro, "macro": macro})
    rest = 0.5 * fps - 1
    ends = [-1] + [e.offset for e in expressions]
    starts = [e.onset for e in expressions] + [n_frames(params)]
    assert all(start - end - 1 >= rest for end, start in zip(ends, starts, strict=True))
    for e in expressions:
        assert e.onset < e.apex <= e.hold_frame < e.offset
        seconds = (e.offset - e.onset + 1) / fps
        assert (0.2 <= seconds <= 0.5) if e.kind == "micro" else (0.6 <= seconds <= 2.5)
        assert e.emotion in EMOTIONS and parse_aus(e.aus)[1] == []


def test_emotions_are_balanced_within_each_subject_and_over_all() -> None:
    params = DemoParams(videos=2, seed=5)
    overall: Counter[tuple[str, str]] = Counter()
    for number in range(1, params.subjects + 1):
        found = [e for take in (1, 2) for e in draw_expressions(params, number, take)]
        for kind in ("micro", "macro"):
            counts = Counter(e.emotion for e in found if e.kind == kind)
            assert len(counts) == len(EMOTIONS) and max(counts.values()) - min(counts.values()) <= 1
            overall.update((kind, e.emotion) for e in found if e.kind == kind)
    micro = [n for (kind, _), n in overall.items() if kind == "micro"]
    assert max(micro) - min(micro) <= 2


def test_people_show_the_same_emotion_differently() -> None:
    shown = {e.motions for n in (1, 2, 3) for e in draw_expressions(DEFAULT, n, 1)}
    assert len(shown) == 30
    micro = [m for n in range(1, 11) for e in draw_expressions(DEFAULT, n, 1) if e.kind == "micro" for m in e.motions]
    macro = [m for n in range(1, 11) for e in draw_expressions(DEFAULT, n, 1) if e.kind == "macro" for m in e.motions]
    strengths = [np.mean([max(m.left, m.right) for m in motions]) for motions in (micro, macro)]
    assert strengths[0] < 0.5 * strengths[1]
    assert any(m.left != m.right for m in micro)


def test_more_subjects_or_another_seed() -> None:
    more = DEFAULT.model_copy(update={"subjects": 30})
    assert draw_expressions(more, 3, 1) == draw_expressions(DEFAULT, 3, 1)
    assert draw_expressions(DemoParams(seed=1), 3, 1) != draw_expressions(DEFAULT, 3, 1)
    assert draw_expressions(DemoParams(seed=None), 3, 1) == draw_expressions(DEFAULT, 3, 1)


def test_too_many_expressions_say_how_long_a_video_they_need() -> None:
    with pytest.raises(UserError, match=r"demo: seconds: got 5\.0, expected at least \d+\.\d for so many"):
        draw_expressions(DemoParams(seconds=5, micro=7, macro=3), 1, 1)


@pytest.mark.long
@given(seed=st.integers(0, 50), fps=st.sampled_from([10, 25, 30, 200]), takes=st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_the_length_that_is_asked_for_is_enough_and_the_least(seed: int, fps: int, takes: int) -> None:
    short = DemoParams(subjects=5, videos=takes, seconds=3, fps=fps, seed=seed)
    with pytest.raises(UserError, match=r"c\.yaml: demo\.seconds: got 3\.0, expected at least") as caught:
        check_length(short, "c.yaml")
    asked_s = float(str(caught.value.expected).split()[2])
    enough = short.model_copy(update={"seconds": asked_s})
    check_length(enough, "c.yaml")
    assert all(draw_expressions(enough, n, take) for n in range(1, 6) for take in range(1, takes + 1))
    with pytest.raises(UserError):
        check_length(short.model_copy(update={"seconds": asked_s - 0.1 - 1 / fps}), "c.yaml")


def expression(
    onset: int = 10, apex: int = 15, offset: int = 24, hold: float = 17.0, lag: float = 0.0
) -> ActedExpression:
    return ActedExpression(onset, apex, offset, hold, "micro", "happiness", (UnitMotion(12, 0.3, 0.3, lag),))


@given(st.integers(1, 30), st.integers(0, 9), st.integers(1, 40), st.floats(0, 3))
def test_dynamics_rise_to_the_apex_and_return_to_rest(rise: int, hold: int, fall: int, lag: float) -> None:
    e = expression(5, 5 + rise, 5 + rise + hold + fall, 5.0 + rise + hold, lag)
    course = e.strength(100, e.motions[0])
    assert course.min() >= 0 and course.max() <= 1 + 1e-12
    assert not course[: e.onset].any() and not course[e.offset + 1 :].any()
    assert course[e.apex] == pytest.approx(1)
    assert course[e.offset] > 0
    assert (np.diff(course[: e.apex + 1]) >= -1e-12).all() and (np.diff(course[e.apex :]) <= 1e-12).all()


def test_onset_and_release_are_not_mirror_images() -> None:
    e = expression(10, 20, 30, 20.0)
    course = e.strength(40, e.motions[0])
    assert abs(course[15] - course[25]) > 0.02


def test_labels_say_which_side_moves_alone() -> None:
    assert UnitMotion(12, 0.3, 0.28).label == "12"
    assert UnitMotion(12, 0.3, 0.05).label == "L12"
    assert UnitMotion(14, 0.05, 0.3).label == "R14"
    rng = np.random.default_rng(0)
    labels = [m.label for _ in range(200) for m in draw_motions(rng, "happiness", 0.3, lopsided=0.1, lag_frame=0)]
    assert 0 < sum(label.startswith("L") for label in labels) < 0.3 * len(labels)
    assert not any(label.startswith("R") for label in labels)


def test_script_blinks_sways_and_looks_about_smoothly() -> None:
    script = make_script(DEFAULT, 1, 1)
    total = n_frames(DEFAULT)
    assert script.units.shape == (total, 52) and script.turn_rad.shape == (total, 3) == script.shift.shape
    lids = script.units[:, np.nonzero(UnitMotion(45, 1, 1).weights())[0]]
    closed = (lids > 0.9).all(1)
    blinks = int((np.diff(closed.astype(int)) == 1).sum())
    assert 3 <= blinks <= 15
    assert script.turn_rad.std(0).min() > 0.003 and script.turn_rad.std(0).max() < 0.04
    assert np.abs(np.diff(script.turn_rad, axis=0)).max() < 0.005  # the head never jerks
    assert np.abs(script.gaze_rad).max() < 0.3 and script.gaze_rad.std() > 0.01


def test_something_moves_between_expressions_that_is_not_annotated() -> None:
    chin = np.nonzero(UnitMotion(17, 1, 1).weights())[0]
    found = []
    for number in range(1, 7):
        script = make_script(DEFAULT, number, 1)
        busy = np.zeros(len(script.units), bool)
        for e in script.expressions:
            busy[e.onset : e.offset + 1] = True
        found.append(script.units[~busy][:, chin].max())
    assert 0.05 < max(found) < 0.35


def test_sheet_counts_frames_from_one() -> None:
    params = DemoParams(subjects=2, seed=4)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in sheet_rows(params)]
    first = draw_expressions(params, 1, 1)[0]
    assert len(rows) == 2 * (params.micro + params.macro)
    assert rows[0] == {
        "subject": "s01", "video": "s01_1", "onset": first.onset + 1, "apex": first.apex + 1,
        "offset": first.offset + 1, "kind": first.kind, "emotion": first.emotion, "AUs": first.aus,
    }  # fmt: skip
