"""Renders a person: pose the mesh, light its vertices, colour its pixels.

Lighting is computed at the vertices (2-3 px apart on the face), texture and eyes per pixel, at a higher resolution
that is then averaged down. Texture, weave, strands and irises are fixed to the surface and interpolated linearly on the
screen, so that the projected motion of the vertices is exactly the motion of the picture.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import cv2
import numpy as np

from microexp.rendered import kernels, shading
from microexp.rendered.actor import Actor, Camera, lit_share, make_actor, sample_size
from microexp.rendered.head import face_unit_names
from microexp.rendered.subjects import RenderedSubject

NECK = np.array([0.0, 6.35, 0.1])
"""The point about which the head turns."""


@dataclass(frozen=True)
class Pose:
    """One moment of a face.

    Attributes:
        units: (52,) weights of the face units.
        turn_rad: rotation of the head about x (nod), y (shake), z (tilt).
        shift: movement of the whole person (dm).
        gaze_rad: turn of the eyes to the subject's left and up.
    """

    units: np.ndarray
    turn_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gaze_rad: tuple[float, float] = (0.0, 0.0)


def neutral_pose() -> Pose:
    """The face at rest, looking into the camera."""
    return Pose(np.zeros(len(face_unit_names())))


def pose_vertices(actor: Actor, pose: Pose) -> np.ndarray:
    """The person's vertices (N,3) float64 in a pose."""
    (active,) = np.nonzero(pose.units)
    vertices = actor.rest + np.einsum("k,knc->nc", pose.units[active], actor.units[active])
    across, up = pose.gaze_rad
    look = _rotation(-up, across, 0.0)
    for part in actor.eyes:
        centre = actor.rest[part].mean(0)
        vertices[part] = (actor.rest[part] - centre) @ look.T + centre
    turned = (vertices - NECK) @ _rotation(*pose.turn_rad).T + NECK
    return np.asarray(vertices + actor.follows * (turned - vertices) + np.array(pose.shift))


def _rotation(x: float, y: float, z: float) -> np.ndarray:
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def _unit(direction: tuple[float, float, float]) -> np.ndarray:
    vector = np.array(direction)
    return np.asarray(vector / np.linalg.norm(vector))


def _light(actor: Actor, vertices: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Light at the vertices (N,8) and the lamps' glints in the eyes (2,4)."""
    light = actor.subject.light
    v = vertices.astype(np.float32)
    normals = np.empty_like(v)
    kernels.vertex_normals(v, actor.triangles, normals)
    for part in actor.eyes:
        outward = v[part] - v[part].mean(0)
        normals[part] = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    key, fill = _unit(light.key), _unit(light.fill)
    eye = np.array([0.0, camera.centre_y, camera.distance], np.float32)
    seen = lit_share(vertices, actor.solid, key)
    crease = kernels.hollowness(v, normals, *actor.links) - actor.hollow
    openness = actor.openness * np.clip(1 - 1.5 * crease, 0.6, 1.15)
    lamps = np.array([[*key, light.key_strength], [*fill, light.fill_strength]], np.float32)
    out = np.empty((len(v), 8), np.float32)
    shading.light_vertices(v, normals, actor.surface, lamps, light.ambient, eye, seen, openness, out)
    view = _unit(tuple(eye - v[np.concatenate(actor.eyes)].mean(0)))
    halfway = np.array([_unit(tuple(d + view)) for d in (key, fill)])
    return out, np.concatenate([halfway, lamps[:, 3:]], 1).astype(np.float32)


def _scratch(actor: Actor, height: int, width: int) -> tuple[np.ndarray, ...]:
    """Picture-sized work arrays, made once and cleared for each frame."""
    buffers = actor.scratch
    if "depth" not in buffers or buffers["depth"].shape != (height, width):
        buffers["index"] = np.empty((height, width), np.int32)
        for name in ("depth", "first", "second"):
            buffers[name] = np.empty((height, width), np.float32)
    buffers["depth"].fill(kernels.FAR)
    buffers["index"].fill(-1)
    return buffers["depth"], buffers["index"], buffers["first"], buffers["second"]


def visible(actor: Actor, vertices: np.ndarray, camera: Camera, *, oversample: float = 1.0) -> tuple[np.ndarray, ...]:
    """What each sample shows: depth, triangle (-1: background), weights of the first and second corner, (H,W) each."""
    points = camera.project(vertices) * np.array([oversample, oversample, 1])
    height, width = sample_size(replace(camera, oversample=oversample))
    buffers = _scratch(actor, height, width)
    kernels.rasterise(points.astype(np.float32), actor.triangles, actor.two_sided, *buffers)
    return buffers


def render_pose(
    subject: RenderedSubject, pose: Pose, camera: Camera, *, noise: float = 0.0, noise_key: int = 0
) -> np.ndarray:
    """A picture (H,W,3) uint8 RGB; `noise` is the sensor's in grey levels (sd), `noise_key` picks its realisation."""
    return expose(linear_picture(subject, pose, camera), noise, noise_key)


def linear_picture(subject: RenderedSubject, pose: Pose, camera: Camera) -> np.ndarray:
    """The light that falls on the camera's sensor, (H,W,3) float32 linear RGB."""
    actor = make_actor(subject, camera)
    vertices = pose_vertices(actor, pose)
    light, glints = _light(actor, vertices, camera)
    _, index, first, second = visible(actor, vertices, camera, oversample=camera.oversample)
    linear = actor.background.copy()
    shading.colour_pixels(
        index,
        first,
        second,
        actor.triangles,
        actor.material,
        actor.fixed,
        light,
        actor.texture,
        actor.palette,
        glints,
        linear,
    )
    return np.asarray(cv2.resize(linear, (camera.width, camera.height), interpolation=cv2.INTER_AREA))


def expose(linear: np.ndarray, noise: float = 0.0, noise_key: int = 0) -> np.ndarray:
    """What a sensor with `noise` (sd, grey levels) makes of linear RGB (H,W,3): uint8."""
    out = np.empty(linear.shape, np.uint8)
    shading.expose(linear, _tone_curve(), noise, noise_key & 0xFFFFFFFF, out)
    return out


@functools.cache
def _tone_curve() -> np.ndarray:
    """Grey level (0..255, float32) of linear brightness 0 … TONE_MAX: bright parts roll off, as in a camera."""
    x = np.linspace(0, shading.TONE_MAX, shading.TONE_STEPS)
    return (np.clip(1.12 * x / (1 + 0.18 * x), 0, 1) ** (1 / 1.5) * 255).astype(np.float32)
