"""The exact flow, checked against geometry, against the pictures, and against an estimator that knows nothing of it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from microexp.rendered.actor import Actor
from microexp.rendered.flow import exact_flow, flow_between, scene_pair
from microexp.rendered.render import neutral_pose, render_pose
from microexp.rendered.scene import make_scene, render
from microexp.rendered.subjects import RenderedSubject

from .conftest import CAMERA, SMALL, pose_of


def grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def warped_back(after: np.ndarray, flow: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    back = cv2.remap(after, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(back)


@pytest.mark.long
def test_nothing_moves_between_a_frame_and_itself(actor: Actor) -> None:
    pose = pose_of(mouthSmileLeft=0.5)
    flow, valid = flow_between(actor, pose, pose, camera=CAMERA)
    assert flow.shape == (160, 160, 2) and flow.dtype == np.float32 and valid.dtype == bool
    assert not flow.any()
    person = flow_between(actor, pose, pose, camera=CAMERA)[1]
    assert (valid == person).all() and 0.4 < valid.mean() < 0.95


@pytest.mark.long
def test_a_shift_of_the_person_moves_near_points_more(actor: Actor) -> None:
    rest = neutral_pose()
    flow, valid = flow_between(actor, rest, replace(rest, shift=(0.05, 0.02, 0.0)), camera=CAMERA)
    nose = flow[92, 80]
    assert nose == pytest.approx([0.05 * 74, -0.02 * 74], rel=0.06)
    neck = flow[150, 80]
    assert valid[150, 80] and 0.8 < neck[0] / nose[0] < 0.99
    assert not flow[2, 2].any() and not valid[2, 2]


def test_points_that_leave_the_picture_are_not_valid(actor: Actor) -> None:
    rest = neutral_pose()
    flow, valid = flow_between(actor, rest, replace(rest, shift=(0.0, -0.3, 0.0)), camera=CAMERA)
    assert not valid[150:].any() and valid[90, 80]
    assert flow[155, 80, 1] > 10


def test_flow_there_and_back_meets_where_it_started(actor: Actor) -> None:
    a, b = neutral_pose(), pose_of(mouthSmileLeft=0.8, mouthSmileRight=0.6, browInnerUp=1.0)
    there, valid = flow_between(actor, a, b, camera=CAMERA)
    back, _ = flow_between(actor, b, a, camera=CAMERA)
    error = np.linalg.norm(there + warped_back(back, there), axis=2)
    inner = cv2.erode(valid.astype(np.uint8), np.ones((7, 7))) > 0
    assert np.linalg.norm(there, axis=2)[inner].max() > 3
    assert np.median(error[inner]) < 0.01 and np.quantile(error[inner], 0.97) < 0.2


def test_lids_hide_the_eyes_behind_them(actor: Actor) -> None:
    open_eyes, shut = neutral_pose(), pose_of(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    _, valid = flow_between(actor, open_eyes, shut, camera=CAMERA)
    _, still = flow_between(actor, open_eyes, open_eyes, camera=CAMERA)
    hidden = still & ~valid
    rows, _ = np.nonzero(hidden)
    assert 20 < hidden.sum() < 400
    assert 60 < rows.mean() < 82  # where the eyes are


def test_pictures_move_as_the_flow_says(person: RenderedSubject, actor: Actor) -> None:
    a, b = neutral_pose(), replace(pose_of(mouthSmileLeft=0.6, mouthSmileRight=0.6), turn_rad=(0.01, 0.03, 0.02))
    first, second = (grey(render_pose(person, p, CAMERA)) for p in (a, b))
    flow, valid = flow_between(actor, a, b, camera=CAMERA)
    inner = cv2.erode(valid.astype(np.uint8), np.ones((5, 5))) > 0
    before = np.abs(second - first)[inner].mean()
    after = np.abs(warped_back(second, flow) - first)[inner].mean()
    wrong = np.abs(warped_back(second, -flow) - first)[inner].mean()
    assert after < 0.45 * before < before < wrong


@pytest.mark.long
def test_an_estimator_finds_the_same_motion() -> None:
    """DIS at its finest scale recovers the motion to a few hundredths of a pixel: gain and error by projection."""
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)
    estimator.setVariationalRefinementIterations(10)
    pair = scene_pair(2, 1.0, size=224, seed=3, emotion="happiness")
    found = estimator.calc(*(grey(p).astype(np.uint8) for p in (pair.before, pair.after)), None)
    true, mine = pair.flow[pair.active], found[pair.active]
    gain = (true * mine).sum() / (true**2).sum()
    assert 0.92 < gain < 1.08
    assert np.linalg.norm(true - mine, axis=1).mean() < 0.12


@pytest.mark.long
def test_frames_of_a_video_have_exact_flow() -> None:
    scene = make_scene(SMALL, "s02_1")
    e = next(e for e in scene.script.expressions if e.kind == "macro")
    flow, valid = exact_flow(scene, e.onset, e.apex)
    assert flow.shape == (SMALL.height, SMALL.width, 2) and valid.any()
    first, second = (grey(render(scene, f, noise=False)) for f in (e.onset, e.apex))
    inner = cv2.erode(valid.astype(np.uint8), np.ones((5, 5))) > 0
    after = np.abs(warped_back(second, flow) - first)[inner].mean()
    assert after < 0.75 * np.abs(second - first)[inner].mean()


@pytest.mark.long
@pytest.mark.parametrize("amplitude", [0.1, 1.0, 3.0])
def test_pairs_move_by_the_amplitude_asked_for(amplitude: float) -> None:
    pair = scene_pair(2, amplitude, size=128, seed=1, emotion="disgust")
    size = np.linalg.norm(pair.flow, axis=2)
    assert pair.before.shape == pair.after.shape == (128, 128, 3)
    assert size[pair.valid].max() == pytest.approx(amplitude, rel=5e-3)
    assert size[pair.active].min() >= 0.2 * amplitude and 0.01 < pair.active.mean() < 0.4
    assert pair.emotion == "disgust"


@pytest.mark.long
def test_pairs_vary_with_the_seed_alone() -> None:
    one, again, other = (scene_pair(2, 1.0, size=96, seed=s, noise=2.0) for s in (1, 1, 2))
    assert all((a == b).all() for a, b in ((one.before, again.before), (one.flow, again.flow)))
    assert (one.flow != other.flow).any() and (one.before != other.before).any()


@pytest.mark.long
def test_sway_and_blink_are_in_the_flow_but_not_in_the_active_area() -> None:
    plain = scene_pair(2, 1.0, size=128, seed=5, emotion="repression")
    moved = scene_pair(2, 1.0, size=128, seed=5, emotion="repression", sway_px=2.0, blink=1.0)
    assert (moved.before == plain.before).all()
    forehead = (slice(30, 40), slice(55, 75))
    assert np.linalg.norm(plain.flow[forehead], axis=2).max() < 0.05
    assert 0.5 < np.linalg.norm(moved.flow[forehead], axis=2).mean() < 5
    lost = plain.active & ~moved.active
    assert (moved.active & ~plain.active).sum() == 0 and lost.sum() < 0.1 * plain.active.sum()
    assert (moved.valid & ~moved.active).any()


@pytest.mark.long
def test_a_pair_without_expression_shows_noise_only() -> None:
    pair = scene_pair(2, 0.0, size=96, seed=1, noise=1.0)
    assert not pair.flow.any() and not pair.active.any()
    assert (pair.before != pair.after).any()
    assert np.abs(pair.before.astype(int) - pair.after).max() <= 10
