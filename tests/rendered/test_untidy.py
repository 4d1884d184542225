"""Untidy recordings: every option changes the pictures, always in the same way, and none changes the tidy demo."""

from collections import Counter

import av
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.errors import UserError
from microexp.reading.params import DemoParams, DemoSheetParams, DemoVideoParams, UntidyParams
from microexp.rendered.demo import demo_subjects, sheet_rows
from microexp.rendered.head import UnitMotion
from microexp.rendered.scene import TARGETS, Scene, draw_hands, make_scene, render
from microexp.rendered.schedule import STRONGEST, check_length, draw_expressions, make_script, recorded
from microexp.rendered.untidy import add_to, head_turns, seat_changes, speech
from microexp.rendered.video import X264, quantiser

from .conftest import SMALL

OPTIONS = {
    "speech": 1.0, "gaze": 3.0, "turns": 60, "seat_changes": 60, "hands": 30, "glasses": 1.0, "flicker": 0.4,
    "cameras": 1.0,
}  # fmt: skip


def scene_of(name: str = "s01_1", **untidy: object) -> Scene:
    return make_scene(SMALL.model_copy(update={"untidy": UntidyParams.model_validate(untidy)}), name)


def pictures(scene: Scene) -> np.ndarray:
    return np.array([render(scene, frame, noise=False) for frame in range(0, scene.n_frames, 4)])


@pytest.fixture(scope="module")
def tidy() -> np.ndarray:
    return pictures(scene_of())


def test_a_tidy_recording_is_its_script_alone() -> None:
    scene, script = scene_of(), make_script(SMALL, 1, 1)
    assert scene.front is None and scene.noise == SMALL.noise and scene.fps == SMALL.fps
    for name in ("units", "turn_rad", "shift", "gaze_rad"):
        assert np.array_equal(getattr(scene.script, name), getattr(script, name))
    assert X264 | quantiser(SMALL, "s01_1") == X264 and recorded(SMALL, 1, 1) == SMALL


SLOW = {"speech", "cameras"}


@pytest.mark.parametrize("option", [pytest.param(o, marks=[pytest.mark.long] * (o in SLOW)) for o in OPTIONS])
def test_each_option_changes_the_pictures_and_always_in_the_same_way(option: str, tidy: np.ndarray) -> None:
    one, again = (pictures(scene_of(**{option: OPTIONS[option]})) for _ in range(2))
    assert np.array_equal(one, again)
    assert (np.abs(one.astype(int) - tidy).max((1, 2, 3)) > 20).sum() >= 3
    assert not np.array_equal(one, pictures(make_scene(_other_seed(option), "s01_1")))


def _other_seed(option: str) -> DemoParams:
    return SMALL.model_copy(update={"seed": 4, "untidy": UntidyParams.model_validate({option: OPTIONS[option]})})


def test_kinds_of_untidiness_do_not_change_each_other() -> None:
    alone, together = scene_of(speech=0.5).script, scene_of(speech=0.5, seat_changes=20, hands=20, glasses=1).script
    assert np.array_equal(alone.units, together.units) and not np.array_equal(alone.shift, together.shift)


def test_the_annotated_expressions_stay_what_they_are() -> None:
    scene, script = scene_of(**OPTIONS), make_script(SMALL, 1, 1)
    assert scene.script.expressions == script.expressions == draw_expressions(SMALL, 1, 1)
    brows = UnitMotion(4, 1, 1).weights() > 0
    assert np.array_equal(scene.script.units[:, brows], script.units[:, brows])
    assert scene.script.units.max() <= max(STRONGEST, script.units.max())


def test_people_talk_for_the_share_that_is_asked_for() -> None:
    moving = [
        (speech(np.random.default_rng(seed), 3000, 30, share=0.25)[0].max(1) > 0.02).mean() for seed in range(24)
    ]  # fmt: skip
    assert 0.17 < np.mean(moving) < 0.33 and min(moving) < 0.1 and max(moving) > 0.35
    units, nods = speech(np.random.default_rng(0), 300, 30, share=0.0)
    assert not units.any() and not nods.any()


def test_heads_turn_back_and_seats_change_for_good() -> None:
    turns = head_turns(np.random.default_rng(3), 3600, 30, per_minute=6)
    assert np.abs(turns).max() < 0.6 and (np.abs(turns).max(1) < 1e-9).mean() > 0.5
    assert np.abs(turns[:, 1]).max() > 0.06
    shift = seat_changes(np.random.default_rng(3), 3600, 30, per_minute=3)
    still = np.abs(np.diff(shift, axis=0)).max(1) < 1e-9
    assert still.mean() > 0.8 and len(np.unique(np.round(shift[1:][still], 6), axis=0)) >= 3


def test_hands_come_to_the_face_and_go() -> None:
    hands = draw_hands(np.random.default_rng(1), 3600, 30, per_minute=6)
    assert 5 <= len(hands) <= 20
    low = min(y for (_, y), _ in TARGETS) - 0.8
    for hand in hands:
        away = hand[:, 1] < 4
        assert away.mean() > 0.9 and (hand[:, 1] > low).any()


def test_a_hand_covers_a_part_of_the_face(tidy: np.ndarray) -> None:
    scene = scene_of(hands=30)
    assert scene.front is not None and len(scene.front.hands)
    frame = int(np.argmax(scene.front.hands[0, :, 1]))
    changed = np.abs(render(scene, frame, noise=False).astype(int) - render(scene_of(), frame, noise=False)).max(2) > 8
    assert 0.03 < changed.mean() < 0.5


def test_each_video_draws_its_rate_and_size() -> None:
    choice = {"rates": (20, 25, 50), "sizes": ((96, 72), (128, 72)), "videos": 2}
    params = SMALL.model_copy(update=choice)
    drawn = [recorded(params, number, take) for number in range(1, 31) for take in (1, 2)]
    assert {p.fps for p in drawn} == {20, 25, 50} and {(p.width, p.height) for p in drawn} == {(96, 72), (128, 72)}
    assert min(Counter(p.fps for p in drawn).values()) > 8
    assert recorded(drawn[0], 1, 1) == drawn[0]  # drawn again, it is the same
    sheet_only = DemoSheetParams.model_validate(params.model_dump(include=set(DemoSheetParams.model_fields)))
    for number in range(1, 9):
        scene = make_scene(params, f"s{number:02d}_1")
        assert scene.fps == recorded(sheet_only, number, 1).fps and scene.n_frames == round(6.0 * scene.fps)
        assert scene.script.expressions == draw_expressions(sheet_only, number, 1)
        assert scene.script.expressions[-1].offset < scene.n_frames


def test_some_videos_show_no_expression() -> None:
    params = SMALL.model_copy(update={"still": 0.5, "subjects": 20})
    rows = sheet_rows(params)
    shown = Counter(row[0] for row in rows if row[2] is not None)
    assert 4 < len(shown) < 16 and set(shown.values()) == {3}
    still = sheet_rows(params.model_copy(update={"still": 1.0}))
    assert [row[0] for row in still] == demo_subjects(params), "each is named"
    assert {cell for row in still for cell in row[2:]} == {None}
    assert (
        add_to(make_script(params.model_copy(update={"still": 1.0}), 1, 1), UntidyParams(), 10, take=1).expressions
        == ()
    )


def test_a_video_that_is_too_short_at_any_rate_is_refused() -> None:
    check_length(SMALL, "config")
    with pytest.raises(UserError, match=r"demo\.seconds: got 3\.0"):
        check_length(SMALL.model_copy(update={"seconds": 3.0, "rates": (10, 50)}), "config")


@pytest.mark.long
def test_coarse_compression_loses_detail(tmp_path) -> None:
    params = SMALL.model_copy(update={"seconds": 2.5, "micro": 0, "macro": 0, "rates": (25,)})
    sizes, errors = [], []
    for q in (14, 40):
        own = params.model_copy(update={"untidy": UntidyParams(quantisers=(q,))})
        options, out = own.model_dump_json(include=set(DemoVideoParams.model_fields)), tmp_path / f"{q}.mp4"
        assert main(["demo", "--video", "s01_1", "--out-video", str(out), "--params", options]) == 0
        with av.open(str(out)) as file:
            assert file.streams.video[0].average_rate == 25
            first = next(file.decode(video=0)).to_ndarray(format="rgb24")
        sizes.append(out.stat().st_size)
        errors.append(np.abs(first.astype(int) - render(make_scene(own, "s01_1"), 0)).mean())
    assert sizes[1] < sizes[0] / 4 and errors[1] > 1.3 * errors[0]
