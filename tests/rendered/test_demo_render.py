"""Pictures of people."""

from dataclasses import replace

import dlib
import numpy as np
import pytest

from microexp.reading.params import DemoParams
from microexp.rendered.actor import Actor, Camera, make_actor, texture_size
from microexp.rendered.render import Pose, neutral_pose, pose_vertices, render_pose, visible
from microexp.rendered.scene import make_scene, render
from microexp.rendered.schedule import n_frames
from microexp.rendered.subjects import RenderedSubject, make_subject
from microexp.rendered.texture import hair_of_vertices, paint, smoothstep

from .conftest import CAMERA, SMALL, pose_of


def test_camera_projects_as_a_pinhole() -> None:
    camera = Camera(200, 100, 50.0, centre_y=7.0, distance=12.0)
    points = camera.project(np.array([[0.0, 7.0, 1.2], [1.0, 8.0, 1.2], [1.0, 7.0, -9.6]]))
    assert points[0] == pytest.approx([100, 50, 10.8])
    assert points[1] == pytest.approx([150, 0, 10.8])
    assert points[2] == pytest.approx([125, 50, 21.6])  # twice as far, half as large


def test_texture_matches_the_picture() -> None:
    sizes = [texture_size(Camera(size, size, size / 2.15)) for size in (64, 128, 256, 2048)]
    assert sizes == sorted(sizes) and sizes[0] == 256 and sizes[-1] == 1024


@pytest.mark.long
def test_faces_are_found() -> None:
    """The detector that the pipeline uses, on the first and the last frame of two videos."""
    detector = dlib.get_frontal_face_detector()
    params = DemoParams(seed=0)
    for number in (1, 4):
        scene = make_scene(params, f"s{number:02d}_1")
        for frame in (0, n_frames(params) - 1):
            found, scores, _ = detector.run(render(scene, frame), 0, 0.5)
            assert len(found) == 1 and found[0].width() >= 90, (number, frame, list(scores))


@pytest.mark.long
def test_faces_are_found_in_all_expressions_of_all_subjects() -> None:
    detector = dlib.get_frontal_face_detector()
    params = DemoParams(seed=11, subjects=16)
    for number in range(1, 17):
        scene = make_scene(params, f"s{number:02d}_1")
        for expression in scene.script.expressions:
            assert len(detector(render(scene, expression.apex), 0)) == 1, (number, expression)


@pytest.mark.long
def test_rendering_is_reproducible_and_frames_stand_alone() -> None:
    one, again = make_scene(SMALL, "s01_1"), make_scene(SMALL, "s01_1")
    backwards = {f: render(again, f) for f in (40, 7, 0)}
    for frame, picture in sorted(backwards.items()):
        assert picture.shape == (SMALL.height, SMALL.width, 3) and picture.dtype == np.uint8
        assert (render(one, frame) == picture).all()
    other = make_scene(SMALL.model_copy(update={"seed": 4}), "s01_1")
    assert (render(other, 0) != backwards[0]).any()


@pytest.mark.long
def test_noise_is_that_of_the_sensor_and_can_be_left_out() -> None:
    scene = make_scene(SMALL, "s01_1")
    clean = render(scene, 3, noise=False).astype(float)
    noise = render(scene, 3) - clean
    dark = clean.max(2) < 250
    assert noise[dark].std() == pytest.approx(SMALL.noise, rel=0.1)
    next_noise = render(scene, 4) - render(scene, 4, noise=False).astype(float)
    assert abs(np.corrcoef(noise.ravel(), next_noise.ravel())[0, 1]) < 0.03
    assert (render(replace(scene, noise=0.0), 3) == clean).all()


def test_face_units_move_what_their_name_says(person: RenderedSubject, actor: Actor) -> None:
    rest = render_pose(person, neutral_pose(), CAMERA).astype(float)
    rows = {}
    for name in ("browInnerUp", "eyeBlinkLeft", "mouthSmileLeft"):
        change = np.abs(render_pose(person, pose_of(**{name: 1.0}), CAMERA) - rest).sum(2)
        rows[name] = (change * np.arange(CAMERA.height)[:, None]).sum() / change.sum()
        columns = (change * np.arange(CAMERA.width)).sum() / change.sum()
        if name.endswith("Left"):  # the subject's left is on the right of the picture
            assert columns > 0.52 * CAMERA.width, name
    assert rows["browInnerUp"] < rows["eyeBlinkLeft"] < rows["mouthSmileLeft"]


def test_gaze_turns_the_eyes_alone(person: RenderedSubject, actor: Actor) -> None:
    rest = pose_vertices(actor, neutral_pose())
    looked = pose_vertices(actor, replace(neutral_pose(), gaze_rad=(0.3, 0.1)))
    moved = np.linalg.norm(looked - rest, axis=1) > 1e-9
    assert moved.any() and set(np.nonzero(moved)[0]) <= set(np.concatenate(actor.eyes))
    for part in actor.eyes:
        pupil = part[(rest[part, 2]).argmax()]
        assert looked[pupil, 0] > rest[pupil, 0] + 0.01 and looked[pupil, 1] > rest[pupil, 1] + 0.005


def test_head_turns_on_still_shoulders(actor: Actor) -> None:
    rest = pose_vertices(actor, neutral_pose())
    turned = pose_vertices(actor, replace(neutral_pose(), turn_rad=(0.0, 0.1, 0.0)))
    moved = np.linalg.norm(turned - rest, axis=1)
    assert moved[rest[:, 1] < 5.2].max() == pytest.approx(0, abs=1e-12)
    assert moved[(rest[:, 2] > 1.3) & (rest[:, 1] > 6.5)].min() > 0.1
    shifted = pose_vertices(actor, Pose(neutral_pose().units, shift=(0.1, -0.2, 0.3)))
    assert shifted - rest == pytest.approx(np.tile([0.1, -0.2, 0.3], (len(rest), 1)))


def test_wrinkles_darken_when_the_brow_lowers(person: RenderedSubject, actor: Actor) -> None:
    """Light follows shape: the picture between the brows changes by more than texture that slides."""
    rest = render_pose(person, neutral_pose(), CAMERA).astype(float).mean(2)
    frown = render_pose(person, pose_of(browDownLeft=1.4, browDownRight=1.4), CAMERA).astype(float).mean(2)
    between = (slice(48, 68), slice(66, 94))
    assert np.abs(frown[between] - rest[between]).mean() > 3


def test_visible_part_is_the_person_in_front_of_the_wall(person: RenderedSubject, actor: Actor) -> None:
    depth, index, first, second = visible(actor, pose_vertices(actor, neutral_pose()), CAMERA)
    shown = index >= 0
    assert 0.4 < shown.mean() < 0.95 and shown[80, 80] and not shown[2, 2]
    assert (depth[shown] < 13).all() and (depth[~shown] > 1e8).all()
    third = 1 - first[shown] - second[shown]
    assert min(first[shown].min(), second[shown].min(), third.min()) > -1e-5
    picture = render_pose(person, neutral_pose(), CAMERA)
    skin, wall = np.array(person.skin), np.array(person.wall)
    assert np.corrcoef(picture[95, 62] / 255.0, skin)[0, 1] > 0.8
    assert np.abs(picture[:10, :10].std((0, 1))).max() < 10 and wall.max() > 0.3


@pytest.mark.long
def test_hair_styles_grow_where_hair_grows() -> None:
    mid = next(p for p in (make_subject(0, n) for n in range(1, 30)) if p.style == "mid")
    albedo, hair = paint(mid, 256)
    assert albedo.shape == (256, 256, 3) and albedo.min() > 0 and albedo.max() <= 1
    assert hair[10].mean() > 0.95 and hair[150, 100:156].max() < 0.05  # crown and cheeks
    assert np.abs(np.median(albedo[5:30, 100:156], (0, 1)) - mid.hair).max() < 0.1
    assert hair_of_vertices(hair).max() > 0.9
    bald = replace(mid, style="bald")
    assert paint(bald, 256)[1].max() == 0


@pytest.mark.long
def test_long_hair_adds_locks(person: RenderedSubject) -> None:
    short = make_actor(replace(person, style="short"), CAMERA)
    long = make_actor(replace(person, style="long"), CAMERA)
    assert len(long.triangles) > len(short.triangles)
    pictures = [render_pose(replace(person, style=s), neutral_pose(), CAMERA) for s in ("short", "long")]
    assert (np.abs(pictures[0].astype(int) - pictures[1]).sum(2) > 60).mean() > 0.02


@pytest.mark.long
def test_beard_and_freckles_show() -> None:
    base = replace(make_subject(0, 2), beard=0.0, freckles=0.0)
    plain = paint(base, 256)[0]
    assert paint(replace(base, beard=0.5), 256)[0][190, 118:138].mean() < 0.9 * plain[190, 118:138].mean()


def test_smoothstep_rises_smoothly() -> None:
    x = np.linspace(-1, 2, 31)
    y = smoothstep(0, 1, x)
    assert y[x <= 0].max() == 0 and y[x >= 1].min() == 1 and y[15] == pytest.approx(0.5)
