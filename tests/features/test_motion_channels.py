"""The motion of facial places: invariances, masks, and known synthetic motions."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from microexp.features import motion, motion_tracking
from microexp.features.motion import (
    REGIONS,
    MotionLayout,
    features,
    normalise,
    positions,
    region_speed,
    with_regions,
)
from microexp.features.motion_tracking import (
    PAIRS,
    PlaceMotion,
    eye_distance,
    fit_head,
    head_lattice,
    head_motion,
    model_steps,
    pieces,
    place_motion,
    places,
    usable_steps,
    windows,
)

SIZE = 96
LAYOUT = MotionLayout()
T = TypeVar("T")


def face() -> np.ndarray:
    """A plain, symmetric face of 68 landmarks, eyes .35 of the crop apart."""
    points = np.zeros((68, 2))
    turn = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.38 * np.cos(turn), 0.4 + 0.52 * np.sin(turn)], 1)
    brow = np.stack([np.linspace(0.2, 0.42, 5), [0.28, 0.25, 0.24, 0.25, 0.27]], 1)
    points[17:22], points[22:27] = brow, brow[::-1] * [-1, 1] + [1, 0]
    points[27:31] = np.stack([np.full(4, 0.5), np.linspace(0.36, 0.54, 4)], 1)
    points[31:36] = np.stack([np.linspace(0.43, 0.57, 5), np.full(5, 0.6)], 1)
    turn = np.linspace(np.pi, -np.pi, 7)[:6]
    eye = np.stack([0.06 * np.cos(turn), -0.025 * np.sin(turn)], 1)
    points[36:42] = eye + np.array([0.325, 0.36])
    points[42:48] = (eye * [-1, 1])[[3, 2, 1, 0, 5, 4]] + np.array([0.675, 0.36])
    turn = np.linspace(np.pi, -np.pi, 13)[:12]
    points[48:60] = np.stack([0.5 + 0.13 * np.cos(turn), 0.75 - 0.05 * np.sin(turn)], 1)
    turn = np.linspace(np.pi, -np.pi, 9)[:8]
    points[60:68] = np.stack([0.5 + 0.09 * np.cos(turn), 0.75 - 0.02 * np.sin(turn)], 1)
    return points


def bump(size: int, centre: np.ndarray, push: tuple[float, float], reach: float = 0.06) -> np.ndarray:
    """(S, S, 2) px: a push, in crop sides, that fades around `centre` (shares)."""
    pixel = (np.arange(size) + 0.5) / size
    shape = np.exp(-0.5 * ((pixel - centre[0]) ** 2 + (pixel[:, None] - centre[1]) ** 2) / reach**2)
    return shape[..., None] * np.array(push) * size


def course(times_s: np.ndarray) -> np.ndarray:
    """How far a twitch at 1 s has come: 0, up to 1, and back."""
    return np.exp(-0.5 * ((times_s - 1.0) / 0.12) ** 2)


def smile(times_s: np.ndarray, size: int = SIZE, head: float = 0.0, noise: float = 0.0) -> np.ndarray:
    """(T-1, S, S, 2) px: a corner of the mouth goes up and back; the head may shift by `head` sides a second."""
    shape = bump(size, face()[48], (-0.01, -0.02))
    flow = np.diff(course(times_s))[:, None, None, None] * shape
    flow = flow + np.diff(times_s)[:, None, None, None] * np.array([head, -head]) * size
    return flow + np.random.default_rng(0).normal(0, noise, flow.shape) if noise else flow


def follow(flow, times_s, usable=None, repeated=None, inside=None):
    usable = np.ones(len(flow), bool) if usable is None else usable
    return place_motion(
        lambda a, b: flow[a:b],
        flow.shape[1],
        face(),
        times_s=times_s,
        usable=usable,
        rate=LAYOUT.rate,
        repeated=repeated,
        inside=inside,
    )


def seconds(fps: float, length: float = 2.0) -> np.ndarray:
    return np.arange(round(length * fps) + 1) / fps


def path(motion) -> np.ndarray:
    return np.cumsum(motion.moved, 0)


# --- places -----------------------------------------------------------------------------------------------------------


def test_left_and_right_places_mirror_each_other():
    names, centres = places(face())
    assert len(names) == len(set(names)) == len(centres) == 2 * len(PAIRS) + 7
    left, right = centres[: 2 * len(PAIRS) : 2], centres[1 : 2 * len(PAIRS) : 2]
    np.testing.assert_allclose(left * [-1, 1] + [1, 0], right, atol=1e-12)


def test_windows_hold_no_denormal_numbers():
    """Products with them take a CPU twenty times as long; the sums are the same without."""
    weights = windows(places(face())[1], 0.02, SIZE)
    shown = weights[weights > 0]
    assert shown.min() > np.finfo(np.float32).tiny * 1e6 and (weights == 0).mean() > 0.3
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)


def test_windows_sum_to_one_and_sit_on_their_centres():
    _, centres = places(face())
    weights = windows(centres, 0.04, SIZE).reshape(-1, SIZE, SIZE)
    np.testing.assert_allclose(weights.sum((1, 2)), 1, atol=1e-5)
    pixel = (np.arange(SIZE) + 0.5) / SIZE
    np.testing.assert_allclose((weights.sum(1) * pixel).sum(1), centres[:, 0], atol=2e-3)


def test_a_window_outside_the_picture_has_no_weight():
    inside = np.ones((SIZE, SIZE), bool)
    inside[: SIZE // 3] = False
    names, centres = places(face())
    weights = windows(centres, 0.04, SIZE, inside=inside)
    assert not weights[names.index("brow_middle_left")].any()
    assert weights[names.index("chin_middle")].sum() == pytest.approx(1, abs=1e-5)


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("fps", [25.0, 50.0, 60.0, 100.0, 200.0])
def test_the_frame_rate_does_not_matter(fps):
    slow, fast = (follow(smile(seconds(f), noise=0), seconds(f)) for f in (30.0, fps))
    assert slow.moved.shape == fast.moved.shape
    top = np.abs(path(slow)).max()
    np.testing.assert_allclose(path(fast), path(slow), atol=(0.05 if fps > 30 else 0.15) * top)


def test_features_of_60_frames_a_second_are_those_of_30():
    found = [features(follow(smile(seconds(f)), seconds(f)), LAYOUT) for f in (30.0, 60.0)]
    assert found[0].channels == found[1].channels
    np.testing.assert_allclose(found[1].frame_index, 2 * found[0].frame_index)
    np.testing.assert_allclose(found[1].features, found[0].features, atol=0.02)


def test_frame_times_may_jitter():
    rng = np.random.default_rng(3)
    times = seconds(120.0)
    times[1:-1] += rng.uniform(-0.003, 0.003, len(times) - 2)
    even, uneven = follow(smile(seconds(120.0)), seconds(120.0)), follow(smile(times), times)
    np.testing.assert_allclose(path(uneven), path(even), atol=0.02 * np.abs(path(even)).max())


def test_repeated_frames_change_nothing():
    times = seconds(60.0)
    flow = smile(seconds(30.0))
    doubled = np.zeros((len(times) - 1, *flow.shape[1:]))
    doubled[1::2] = flow  # frames 0 0 1 1 2 2 …: the second of each is the same picture
    repeated = np.arange(len(times)) % 2 == 1
    with_mask = follow(doubled, times, repeated=repeated)
    np.testing.assert_allclose(with_mask.moved, follow(flow, seconds(30.0)).moved, atol=1e-9)
    assert with_mask.valid.all()


def test_motion_that_jumps_behind_repeats_is_spread_over_their_time():
    moved, times = np.array([0.0, 0.0, 3.0, 1.0])[:, None, None] * np.ones((1, 2)), np.arange(5) / 20
    repeated = np.array([False, True, True, False, False])
    steps = model_steps(times, np.ones(4, bool), rate=20.0, repeated=repeated)
    (found,) = steps.displacements(lambda first, last: moved[first:last])
    np.testing.assert_allclose(found[:, 0, 0], 1)
    assert steps.valid.all()


def test_a_frozen_picture_is_unknown():
    times = seconds(30.0)
    repeated = np.zeros(len(times), bool)
    repeated[21:41] = True
    found = follow(smile(times), times, repeated=repeated)
    np.testing.assert_array_equal(np.flatnonzero(~found.valid), np.arange(20, 41))
    assert not found.moved[20:41].any()


def test_a_single_frame_gives_no_feature():
    found = features(follow(np.zeros((0, SIZE, SIZE, 2)), np.zeros(1)), LAYOUT)
    assert len(found.features) == 0 and len(found.frame_index) == 1


def test_only_repeats_leave_no_motion():
    still = follow(np.zeros((9, SIZE, SIZE, 2)), np.arange(10) / 30, repeated=np.ones(10, bool))
    assert len(still.moved) == 0
    assert features(still, LAYOUT).features.shape == (0, len(features(still, LAYOUT).channels))


# --- masks ------------------------------------------------------------------------------------------------------------


def test_masked_frames_carry_no_motion_and_are_said_to_be_unknown():
    times = seconds(30.0)
    flow = smile(times, noise=0.05)
    bad = np.zeros(len(times), bool)
    bad[10:14] = True
    spoilt = flow.copy()
    spoilt[9:14] = 40 * np.random.default_rng(1).normal(size=spoilt[9:14].shape)
    spoilt[11] = np.nan
    usable = usable_steps(~bad)
    np.testing.assert_array_equal(np.flatnonzero(~usable), np.arange(9, 14))
    found, clean = (follow(f, times, usable) for f in (spoilt, flow))
    np.testing.assert_array_equal(found.moved, clean.moved)
    assert not found.moved[9:14].any()
    made = features(found, LAYOUT)
    assert not made.features[~made.valid].any()
    np.testing.assert_array_equal(np.flatnonzero(~made.valid), [4, 5, 6])


def test_a_cut_masks_one_step():
    cuts = np.zeros(11, bool)
    cuts[4] = True
    np.testing.assert_array_equal(np.flatnonzero(~usable_steps(np.ones(11, bool), cuts)), [3])


def test_a_masked_step_at_a_high_rate_masks_the_model_step_around_it():
    times = seconds(200.0, 0.5)
    usable = np.ones(len(times) - 1, bool)
    usable[50] = False
    found = follow(smile(times), times, usable)
    assert list(np.flatnonzero(~found.valid)) == [int(times[50] * 30 + 1e-9)]


def test_nothing_usable_gives_zeros():
    times = seconds(30.0)
    found = features(follow(smile(times), times, np.zeros(len(times) - 1, bool)), LAYOUT)
    assert not found.valid.any()
    assert not found.features.any()


# --- space ------------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("size", [64, 128, 224])
def test_the_size_of_the_crop_does_not_matter(size):
    times = seconds(30.0)
    a, b = (follow(smile(times, s), times) for s in (SIZE, size))
    np.testing.assert_allclose(b.moved, a.moved, atol=0.03 * np.abs(a.moved).max())


def test_a_push_moves_the_places_near_it():
    times = seconds(30.0)
    found = follow(smile(times), times)
    furthest = np.linalg.norm(path(found), axis=-1).max(0)
    order = [found.names[i] for i in np.argsort(-furthest)]
    assert order[0] == "mouth_corner_left"
    still = [furthest[found.names.index(n)] for n in ("mouth_corner_right", "brow_inner_left", "lid_upper_right")]
    assert max(still) < 0.1 * furthest.max()
    peak = path(found)[:, found.names.index("mouth_corner_left")]
    top = peak[np.argmax(np.linalg.norm(peak, axis=1))]
    assert top[0] < 0 and top[1] < 0 and abs(top[1]) == pytest.approx(2 * abs(top[0]), rel=0.1)


def test_the_head_s_motion_is_taken_out():
    times = seconds(30.0)
    still, moving = follow(smile(times), times), follow(smile(times, head=0.05), times)
    np.testing.assert_allclose(moving.moved, still.moved, atol=0.02 * np.abs(still.moved).max())


def test_a_turning_and_nearing_head_is_no_motion():
    pixel = (np.arange(SIZE) + 0.5) - 0.5 * SIZE
    x, y = np.meshgrid(pixel, pixel)
    flow = np.stack([0.004 * x - 0.003 * y + 0.2, 0.003 * x + 0.004 * y], -1)[None].repeat(20, 0)
    assert np.abs(follow(flow, np.arange(21) / 30).moved).max() < 2e-4


def test_the_fit_of_the_head_resists_an_expression():
    spots, trust = head_lattice(face())
    truth = np.array([[0.01, -0.02, 0.003, 0.005]])
    moved = head_motion(truth, spots)
    moved[:, spots[:, 1] > 0.6] += [0.0, -0.2]
    np.testing.assert_allclose(fit_head(moved, spots, trust), truth, atol=1e-3)


def test_a_face_wholly_outside_the_picture_gives_zeros():
    times = seconds(30.0)
    found = features(follow(smile(times), times, inside=np.zeros((SIZE, SIZE), bool)), LAYOUT)
    assert not found.features.any()


# --- features ---------------------------------------------------------------------------------------------------------


def test_layout_and_names_fit():
    times = seconds(30.0)
    found = features(follow(smile(times), times), LAYOUT)
    assert found.features.dtype == np.float32
    assert found.features.shape == (30, len(found.channels)) and len(set(found.channels)) == len(found.channels)
    assert (found.layout.step_frames, found.layout.clip_frames) == (2, 3)
    assert len(found.frame_index) == len(times)


def test_a_push_is_seen_at_its_place_and_time():
    times = seconds(30.0)
    found = features(follow(smile(times, noise=0.05), times), LAYOUT)
    column = found.features[:, found.channels.index("mouth_corner_left.position")]
    assert abs(int(column.argmax()) - 15) <= 1
    assert column.max() > 3 * np.abs(found.features[:, found.channels.index("mouth_corner_right.position")]).max() / 2


def test_a_mirrored_video_gives_mirrored_channels():
    times, layout = seconds(30.0), MotionLayout(directions=True)
    flow = smile(times, noise=0.02)
    mirrored = flow[:, :, ::-1] * np.array([-1, 1])
    a, b = (features(follow(f, times), layout) for f in (flow, mirrored))
    swap = {"left": "right", "right": "left", "middle": "middle"}
    for i, channel in enumerate(a.channels):
        place, _, what = channel.partition(".")
        kind, _, side = place.rpartition("_")
        other = b.features[:, b.channels.index(f"{kind}_{swap[side]}.{what}")]
        np.testing.assert_allclose(other * (-1 if what == "x" else 1), a.features[:, i], atol=1e-3)


def test_the_same_input_gives_the_same_bytes():
    times = seconds(60.0)
    flow = smile(times, noise=0.1)
    a, b = (features(follow(flow.copy(), times), LAYOUT).features for _ in range(2))
    assert a.tobytes() == b.tobytes()


def test_normalising_ignores_masked_steps_and_bounds_outliers():
    values = np.random.default_rng(0).normal(size=(200, 3))
    valid = np.ones(200, bool)
    valid[:20] = False
    values[:20] = 1e6
    found = normalise(values, valid, 0.0)
    assert not found[:20].any()
    assert np.abs(np.median(found[20:], 0)).max() < 1e-6
    values[50] = 1e6
    assert normalise(values, valid, 0.0)[50].max() < 35


def test_positions_see_what_comes_and_goes_but_no_lasting_shift():
    moved = np.zeros((400, 1, 2))
    moved[100] = 1
    assert not positions(moved, 90).any()
    moved[130] = -1
    found = positions(moved, 90)[:, 0, 0]
    assert (found[100:130] > 0).all()
    assert not found[:100].any() and not found[130:].any()


def test_regions_see_their_own_places_and_stand_still_where_masked():
    times = seconds(30.0)
    usable = np.ones(len(times) - 1, bool)
    usable[5:8] = False
    motion = follow(smile(times, noise=0.02), times, usable)
    speed = region_speed(motion)
    assert speed.shape == (len(times) - 1, len(REGIONS))
    assert list(REGIONS)[int(speed[20:40].max(0).argmax())] == "mouth"
    np.testing.assert_allclose(speed[5:8], np.median(speed[motion.valid], 0)[None].repeat(3, 0), rtol=1e-6)


def test_region_speed_is_in_eye_distances_a_second():
    times = seconds(30.0)
    per_step = bump(SIZE, face()[48], (0.0, 0.01), 10.0) * np.array([0, 1.0])  # the whole crop: the head, taken out
    assert region_speed(follow(per_step[None].repeat(60, 0), times)).max() < 1e-3
    half = smile(times)
    assert region_speed(follow(2 * half, times)).max() == pytest.approx(
        2 * region_speed(follow(half, times)).max(), rel=1e-2
    )
    assert eye_distance(face()) == pytest.approx(0.35, abs=0.01)


def test_flow_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="shape"):
        place_motion(
            lambda a, b: np.zeros((b - a, 9, 9, 2)), SIZE, face(), times_s=seconds(30.0), usable=np.ones(60, bool)
        )
    with pytest.raises(ValueError, match="increase"):
        follow(np.zeros((3, SIZE, SIZE, 2)), np.array([0.0, 1.0, 1.0, 2.0]))


# --- long videos ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "expected"), [(0, [(0, 0)]), (3, [(0, 3)]), (8, [(0, 4), (4, 8)]), (11, [(0, 4), (4, 11)])]
)
def test_pieces_cover_everything_once(length: int, expected: list[tuple[int, int]]) -> None:
    assert [(some.start, some.stop) for some in pieces(length, 4)] == expected


def test_a_long_video_in_pieces_is_the_same_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    times = seconds(25, 8)
    flow = smile(times, 32, head=0.02, noise=0.05)
    usable, repeated = rng.random(len(flow)) > 0.05, rng.random(len(times)) < 0.2
    found = []
    for at_once in (1, 5, 10**6):
        monkeypatch.setattr(motion_tracking, "STEPS_AT_ONCE", at_once)
        monkeypatch.setattr(motion, "PLACES_AT_ONCE", at_once)
        followed = follow(flow, times, usable=usable, repeated=repeated)
        found.append((followed, features(followed, LAYOUT)))
    assert np.abs(found[0][0].moved).max() > 1e-3 and np.abs(found[0][1].features).max() > 1
    for followed, values in found[1:]:
        assert (followed.valid == found[0][0].valid).all() and values.channels == found[0][1].channels
        np.testing.assert_allclose(followed.moved, found[0][0].moved, atol=1e-12)
        np.testing.assert_allclose(values.features, found[0][1].features, atol=1e-6)


@pytest.mark.long
def test_a_long_video_takes_little_more_memory_than_the_motion_of_its_places() -> None:
    """Three times the displacements of its places in float64; with those of the lattice it was eight times."""
    times = seconds(30, 1200)
    step = np.random.default_rng(0).normal(0, 0.1, (64, 8, 8, 2)).astype(np.float32)
    usable = np.ones(len(times) - 1, bool)
    _, peak = with_peak(lambda: place_motion(lambda a, b: step[: b - a], 8, face(), times_s=times, usable=usable))
    assert peak < 3 * len(times) * len(places(face())[0]) * 2 * 8


@pytest.mark.long
def test_the_features_of_a_long_video_take_little_memory_beside_themselves() -> None:
    """Beside displacements of float64: 2.2 times their size for ten minutes, 3.9 when all places came at once."""
    names, _ = places(face())
    moved = np.random.default_rng(0).normal(0, 0.01, (18_000, len(names), 2))
    followed = PlaceMotion(moved, np.ones(len(moved), bool), names, np.arange(len(moved) + 1.0), 30.0)
    found, peak = with_peak(lambda: with_regions(followed, LAYOUT))
    assert found.features.shape == (9_000, len(found.channels)) and peak < 3 * moved.nbytes


def with_peak(computed: Callable[[], T]) -> tuple[T, int]:
    """What a function gives, and the most bytes that it held on the way."""
    tracemalloc.start()
    try:
        return computed(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
