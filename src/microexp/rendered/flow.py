"""The exact optical flow between two pictures of a person, and such pairs of pictures to test and rank flow.

The renderer interpolates everything that is painted on the surface linearly on the screen, with the weights that are
used here, so this is the motion of the picture's texture, not an approximation of it. Light and highlights do not move
with the surface; that is what makes real flow hard, and it is in the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from microexp.rendered.actor import Actor, Camera, make_actor
from microexp.rendered.head import EMOTIONS, UnitMotion, draw_motions
from microexp.rendered.render import Pose, neutral_pose, pose_vertices, render_pose, visible
from microexp.rendered.scene import Scene
from microexp.rendered.subjects import RenderedSubject, make_subject

DEPTH_SLACK = 0.03
"""How far (dm) behind the nearest surface a point may lie and still count as seen."""


def exact_flow(scene: Scene, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Forward flow from frame `a` to frame `b` (0-based) of a scene, on the pixels of frame `a`.

    Returns:
        flow (H,W,2) float32 in px (x to the right, y down; 0 on the background, which does not move), and valid (H,W)
        bool: whether the pixel shows the person and that point is still visible, inside the picture, in frame `b`.
    """
    actor = make_actor(scene.script.subject, scene.camera)
    return flow_between(actor, scene.pose(a), scene.pose(b), camera=scene.camera)


def flow_between(actor: Actor, a: Pose, b: Pose, *, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The same for two poses of one person."""
    before, after = pose_vertices(actor, a), pose_vertices(actor, b)
    target_depth = visible(actor, after, camera)[0].copy()
    _, index, first, second = visible(actor, before, camera)
    shown = index >= 0
    corners = actor.triangles[index[shown]]
    weights = np.stack([first[shown], second[shown], 1 - first[shown] - second[shown]], 1).astype(np.float64)
    to = camera.project(after)
    motion = (to - camera.project(before))[:, :2]
    flow = np.zeros((*index.shape, 2), np.float32)
    flow[shown] = np.einsum("nk,nkc->nc", weights, motion[corners])
    rows, columns = np.nonzero(shown)
    x, y = columns + 0.5 + flow[shown][:, 0], rows + 0.5 + flow[shown][:, 1]
    depth = np.einsum("nk,nk->n", weights, to[corners, 2])
    valid = np.zeros(index.shape, bool)
    valid[shown] = _seen(x, y, depth, target_depth)
    return flow, valid


def _seen(x: np.ndarray, y: np.ndarray, depth: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Whether points (px, dm) lie in the picture and not behind what it shows there (the four pixels round them)."""
    height, width = nearest.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    behind = np.full(len(x), -np.inf)
    for dy in (-0.5, 0.5):
        for dx in (-0.5, 0.5):
            i = np.clip(np.floor(y + dy), 0, height - 1).astype(int)
            j = np.clip(np.floor(x + dx), 0, width - 1).astype(int)
            shown = nearest[i, j]
            behind = np.maximum(behind, np.where(shown < 1e8, shown, -np.inf))
    return np.asarray(inside & (depth <= behind + DEPTH_SLACK))


# Two pictures of one face with an expression of chosen size between them, and the exact flow: to test and rank flow.
#
# pair = scene_pair(subject=3, amplitude_px=0.3, size=224, seed=1, sway_px=0.5, noise=0.7)
# error = np.linalg.norm(my_flow(pair.before, pair.after) - pair.flow, axis=2)[pair.active].mean()

ACTIVE_SHARE = 0.2
"""A pixel is active from this share of the amplitude."""
DM_PER_PICTURE = 2.15
"""What the picture's side shows: the whole face, as an aligned crop does."""


@dataclass(frozen=True)
class FlowPair:
    """Two pictures and what moved between them.

    Attributes:
        before: (size,size,3) uint8 RGB, the face at rest.
        after: (size,size,3) uint8 RGB.
        flow: (size,size,2) float32 px from `before` to `after`, on the pixels of `before`: x to the right, y down.
        valid: (size,size) bool, where the flow is known: on the person, visible in both, inside both.
        active: (size,size) bool, valid and moved by the expression itself (sway and blink apart) by at least
            `ACTIVE_SHARE` of the amplitude.
        emotion: which expression it is.
    """

    before: np.ndarray
    after: np.ndarray
    flow: np.ndarray
    valid: np.ndarray
    active: np.ndarray
    emotion: str


def scene_pair(
    subject: int | RenderedSubject,
    amplitude_px: float,
    size: int = 224,
    *,
    seed: int = 0,
    sway_px: float = 0.0,
    blink: float = 0.0,
    noise: float = 0.0,
    emotion: str | None = None,
) -> FlowPair:
    """Render a face at rest and with an expression that moves it by at most `amplitude_px` where it is visible.

    Args:
        subject: who; a number n means person n of seed 0.
        amplitude_px: largest motion that the expression causes at any pixel that stays visible; 0 for none.
        size: side of the pictures, px.
        seed: draws the expression, its mix and asymmetry, the sway and the noise.
        sway_px: about how far the head as a whole moves between the pictures.
        blink: closure of the lids in the second picture, 0..1.
        noise: of the sensor in both pictures, grey levels (sd).
        emotion: one of `EMOTIONS`; none draws one.
    """
    person = make_subject(0, subject) if isinstance(subject, int) else subject
    rng = np.random.default_rng([person.seed, person.number, 10, seed])
    camera = Camera(size, size, size / DM_PER_PICTURE, centre_y=7.15)
    actor = make_actor(person, camera)
    chosen = emotion or list(EMOTIONS)[rng.integers(len(EMOTIONS))]
    motions = draw_motions(rng, chosen, 0.5, lopsided=person.lopsided, lag_frame=0.0)
    course = np.sum([m.weights() for m in motions], axis=0)
    rest = neutral_pose()
    shown, flow, valid = _scaled(actor, rest, course, amplitude_px, camera)
    moved = np.linalg.norm(flow, axis=2)
    lids = blink * UnitMotion(45, 1, 1).weights()
    after = replace(_swayed(rng, sway_px, camera), units=np.maximum(shown.units, lids))
    if sway_px or blink:
        flow, valid = flow_between(actor, rest, after, camera=camera)
    keys = [int(k) for k in rng.integers(1 << 31, size=2)]
    return FlowPair(
        before=render_pose(person, rest, camera, noise=noise, noise_key=keys[0]),
        after=render_pose(person, after, camera, noise=noise, noise_key=keys[1]),
        flow=flow,
        valid=valid,
        active=valid & (moved >= ACTIVE_SHARE * amplitude_px) & (moved > 0),
        emotion=chosen,
    )


def _scaled(
    actor: Actor, rest: Pose, course: np.ndarray, amplitude_px: float, camera: Camera
) -> tuple[Pose, np.ndarray, np.ndarray]:
    """The pose along `course` with a largest visible motion of `amplitude_px`, its flow and its validity.

    Vertices move in proportion to the weights, and their projection nearly so: a few rounds are plenty.
    """
    weight = 1.0 if amplitude_px > 0 else 0.0
    for _ in range(6):
        pose = replace(rest, units=weight * course)
        flow, valid = flow_between(actor, rest, pose, camera=camera)
        largest = float(np.linalg.norm(flow, axis=2)[valid].max())
        if amplitude_px == 0 or abs(largest - amplitude_px) < 1e-3 * amplitude_px:
            break
        weight *= amplitude_px / largest
    return pose, flow, valid


def _swayed(rng: np.random.Generator, sway_px: float, camera: Camera) -> Pose:
    """The face at rest, shifted and turned so that it moves by about `sway_px`."""
    amount = sway_px / camera.scale_px
    shift, turn = rng.normal(size=3), rng.normal(size=3)
    shift *= 0.8 * amount / np.linalg.norm(shift[:2])
    turn *= 0.4 * amount / np.linalg.norm(turn)
    return replace(neutral_pose(), turn_rad=tuple(turn), shift=tuple(shift))
