"""The exact optical flow between two pictures of a person: the projected motion of the surface that each pixel shows.

The renderer interpolates everything that is painted on the surface linearly on the screen, with the weights that are
used here, so this is the motion of the picture's texture, not an approximation of it. Light and highlights do not move
with the surface; that is what makes real flow hard, and it is in the pictures.
"""

from __future__ import annotations

import numpy as np

from microexp.rendered.actor import Actor, Camera, make_actor
from microexp.rendered.render import Pose, pose_vertices, visible
from microexp.rendered.scene import Scene

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
