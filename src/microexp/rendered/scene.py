"""A video as a function: `render(scene, frame)` and the exact motion between any two of its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from microexp.reading.params import DemoVideoParams, UntidyParams
from microexp.rendered.actor import Camera, make_actor
from microexp.rendered.demo import parse_video
from microexp.rendered.head import EYES, load_head
from microexp.rendered.render import Pose, expose, linear_picture, pose_vertices
from microexp.rendered.schedule import Script, make_script, recorded
from microexp.rendered.untidy import add_to, ramp

# What stands between an untidy recording's face and its picture: glasses, hands, flickering light, another camera.
#
# Hands and glasses are drawn over the linear picture at several times its size, so that they move by parts of a pixel.

FINE = 4
"""Samples along each side of a pixel for what is drawn in front."""
SUBPIXEL = 4
"""Bits of a coordinate that OpenCV takes below a sample."""
GLASSES, HANDS, LIGHT, CAMERA = 21, 22, 23, 24
"""What random numbers are for."""
TARGETS = (((0.0, 6.55), 0.4), ((0.45, 6.75), 0.25), ((-0.45, 6.75), 0.25), ((0.1, 6.8), 0.2), ((0.5, 7.6), 0.2))
"""Where hands go (x, y in dm at the face's plane) and how much each place varies: chin, cheeks, mouth, forehead."""


@dataclass(frozen=True)
class Glasses:
    """A frame: half width and height of a lens, thickness of the rim (dm), how dark the rim is, glint of the lens."""

    half: tuple[float, float]
    rim: float
    shade: float
    glint: float
    square: float


@dataclass(frozen=True, eq=False)
class Front:
    """All that is in front, over the frames of a video.

    Attributes:
        glasses: or None.
        hands: (n, T, 3) place of each hand (x, y dm, and its angle, rad); far below the picture while it is away.
        light: (T, 2) factor on the light, and how far its phase moves from the top row to the bottom one.
        ripple: (T, 2) size of the flicker and its phase, rad.
    """

    glasses: Glasses | None
    hands: np.ndarray
    light: np.ndarray
    ripple: np.ndarray

    def draw(self, linear: np.ndarray, script: Script, pose: Pose, *, frame: int, camera: Camera) -> None:
        """Draw what is in front of `linear` (H,W,3), in place, and dim or brighten it."""
        if self.glasses is not None:
            _draw_glasses(linear, self.glasses, glasses_lines(script, pose, camera), camera)
        for hand in self.hands[:, frame]:
            _draw_hand(linear, hand, script, camera)
        amount, phase = self.ripple[frame]
        rows = np.linspace(0, 1, len(linear), dtype=np.float32)[:, None, None]
        factor, slope = self.light[frame]
        linear *= np.float32(factor) * (1 + np.float32(amount) * np.sin(np.float32(phase) + np.float32(slope) * rows))


def make_front(script: Script, untidy: UntidyParams, fps: int, *, take: int) -> Front | None:
    """What is in front in a video; None when nothing can."""
    if not (untidy.glasses or untidy.hands or untidy.flicker or untidy.cameras):
        return None
    key, total = (script.subject.seed, script.subject.number), len(script.units)
    worn = np.random.default_rng([*key, GLASSES])
    glasses = draw_glasses(worn) if worn.uniform() < untidy.glasses else None
    hands = draw_hands(np.random.default_rng([*key, HANDS, take]), total, fps, per_minute=untidy.hands)
    light, ripple = draw_light(np.random.default_rng([*key, LIGHT, take]), total, fps, untidy=untidy)
    return Front(glasses, hands, light, ripple)


def make_camera(camera: Camera, script: Script, untidy: UntidyParams, *, take: int) -> tuple[Camera, np.ndarray, float]:
    """Another camera, where the person stands before it (3,) dm, and a factor on the sensor's noise."""
    if not untidy.cameras:
        return camera, np.zeros(3), 1.0
    rng = np.random.default_rng([script.subject.seed, script.subject.number, CAMERA, take])
    much = untidy.cameras
    scale = float(np.exp(rng.uniform(-0.45, 0.12) * much))
    room = np.array([camera.width, camera.height]) / (camera.scale_px * scale) / 2 - np.array([1.0, 1.15])
    beside = rng.uniform(-0.5, 0.5, 2) * np.clip(room, 0, None) * much
    distance = camera.distance * float(np.exp(rng.uniform(-0.5, 0.4) * much))
    noise = float(np.exp(rng.uniform(-0.9, 0.7) * much))
    return replace(camera, scale_px=camera.scale_px * scale, distance=distance), np.array([*beside, 0.0]), noise


def draw_glasses(rng: np.random.Generator) -> Glasses:
    """A person's glasses."""
    width, height = rng.uniform(0.21, 0.27), rng.uniform(0.15, 0.22)
    rim, shade, square = rng.uniform(0.02, 0.05), rng.uniform(0.02, 0.25), rng.uniform(2, 5)
    return Glasses((width, height), rim, shade, rng.uniform(0.02, 0.14), square)


def draw_hands(rng: np.random.Generator, total: int, fps: int, *, per_minute: float) -> np.ndarray:
    """(n, total, 3): each hand comes up from below, rests with a little motion, and goes."""
    hands = []
    for frame in np.sort(rng.uniform(0, total, rng.poisson(per_minute * total / fps / 60))):
        up, stay, down = rng.uniform((0.3, 0.3, 0.3), (0.8, 2.5, 0.8)) * fps
        there = ramp(total, frame, up) - ramp(total, frame + up + stay, down)
        (x, y), spread = TARGETS[rng.integers(len(TARGETS))]
        place = np.array([x, y]) + rng.normal(0, spread / 2, 2)
        start = np.array([place[0] + rng.choice((-1, 1)) * rng.uniform(0.3, 1.2), 3.2])
        t = np.arange(total)[:, None]
        tremble = 0.03 * np.sin(t / fps * rng.uniform(2, 9, 2) + rng.uniform(0, 6, 2))
        path = start + there[:, None] * (place + tremble - start)
        angle = np.full((total, 1), np.arctan2(place[0] - start[0], place[1] - start[1]) + rng.normal(0, 0.25))
        hands.append(np.concatenate([path, angle], 1))
    return np.array(hands).reshape(-1, total, 3)


def draw_light(
    rng: np.random.Generator, total: int, fps: int, *, untidy: UntidyParams
) -> tuple[np.ndarray, np.ndarray]:
    """Light (total,2) and ripple (total,2) as `Front` has them: mains light beats against the rate of the camera."""
    brightness = np.exp(rng.uniform(-0.45, 0.15) * untidy.cameras)
    amount, beat_hz, slope = rng.uniform(0, untidy.flicker), rng.uniform(0.3, 9.0), rng.uniform(0, 12)
    drift = 1 + 0.5 * amount * np.sin(np.arange(total) / fps * rng.uniform(0.1, 0.8) + rng.uniform(0, 6))
    phase = np.arange(total) / fps * beat_hz * 2 * np.pi + rng.uniform(0, 6)
    light = np.stack([brightness * drift, np.full(total, slope)], 1)
    return light, np.stack([np.full(total, amount), phase], 1)


def glasses_lines(script: Script, pose: Pose, camera: Camera) -> np.ndarray:
    """(2, 3, 2) px: for each eye the lens's middle, and the ends of its half axes to the side and up.

    The frame sits before the eyes and moves with the head, not with the lids.
    """
    actor = make_actor(script.subject, camera)
    rest = Pose(np.zeros_like(pose.units), pose.turn_rad, pose.shift)
    vertices, still = pose_vertices(actor, rest), actor.rest
    parts = [load_head().part(eye) for eye in EYES]
    now = np.array([vertices[p].mean(0) for p in parts])
    before = np.array([still[p].mean(0) for p in parts])
    across = (now[0] - now[1]) / np.linalg.norm(before[0] - before[1])
    cx, sx = np.cos(pose.turn_rad[0]), np.sin(pose.turn_rad[0])
    up = np.array([-across[1], across[0] * cx, sx])
    forward = np.cross(across, up)
    middle = now + 0.3 * forward - 0.02 * up
    points = np.stack([middle, middle + across, middle + up], 1).reshape(-1, 3)
    return camera.project(points)[:, :2].reshape(2, 3, 2)


def _draw_glasses(linear: np.ndarray, glasses: Glasses, lines: np.ndarray, camera: Camera) -> None:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    round_ = 2 / glasses.square
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** round_ * glasses.half[0]
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** round_ * glasses.half[1]
    rims = [
        m + x[:, None] * (side - m) + y[:, None] * (up - m) for m, side, up in lines
    ]  # each lens in its own perspective
    (left, right) = lines
    inner = [m - sign * glasses.half[0] * (side - m) for sign, (m, side, _) in zip((1, -1), (left, right), strict=True)]
    outer = [m + sign * glasses.half[0] * (side - m) for sign, (m, side, _) in zip((1, -1), (left, right), strict=True)]
    temples = [o + sign * 0.09 * (side - m) for o, sign, (m, side, _) in zip(outer, (1, -1), lines, strict=True)]
    thick = max(1, round(glasses.rim * camera.scale_px * FINE))
    lens = _mask(linear.shape, rims, filled=True)
    linear += (glasses.glint * lens * np.linspace(1, 0.2, len(linear), dtype=np.float32)[:, None])[..., None]
    bars = [np.array(inner), np.array([outer[0], temples[0]]), np.array([outer[1], temples[1]])]
    rim = np.maximum(_mask(linear.shape, rims, thick, closed=True), _mask(linear.shape, bars, thick))
    linear += rim[..., None] * (np.float32(glasses.shade) - linear)


def _draw_hand(linear: np.ndarray, hand: np.ndarray, script: Script, camera: Camera) -> None:
    """A palm, four fingers, a thumb and the forearm, in the person's own skin."""
    x, y, angle = hand
    along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])

    def place(u: float, v: float) -> np.ndarray:
        """Where a point of the hand lies in the picture, px."""
        point = np.array([x, y]) + u * across + v * along
        return np.asarray(camera.project(np.array([[*point, 1.6]]))[0, :2])

    if place(0, 1.1)[1] > linear.shape[0] and place(0, -0.4)[1] > linear.shape[0]:
        return
    pixels = camera.scale_px * FINE
    bones = [(0.0, -0.3, 0.0, 0.05, 0.62), (0.0, -3.5, 0.0, -0.3, 0.5), (0.28, -0.15, 0.55, 0.3, 0.19)]
    bones += [(0.2 * k - 0.3, 0.1, 0.24 * k - 0.36, 0.72 - 0.06 * abs(k - 1.5), 0.17) for k in range(4)]
    cover, relief = np.zeros(linear.shape[:2], np.float32), np.zeros(linear.shape[:2], np.float32)
    for u, v, to_u, to_v, width in bones:
        bone = _mask(linear.shape, [np.array([place(u, v), place(to_u, to_v)])], max(1, round(width * pixels)))
        cover = np.maximum(cover, bone)
        relief = np.maximum(relief, bone * cv2.GaussianBlur(bone, (0, 0), max(0.5, 0.3 * width * camera.scale_px)))
    light = script.subject.light
    bright = (light.ambient + 0.75 * light.key_strength) * (0.35 + 0.65 * relief[..., None])
    linear += cover[..., None] * (np.array(script.subject.skin, np.float32) * np.float32(0.95) * bright - linear)


def _mask(
    shape: tuple[int, ...], lines: list[np.ndarray], thick: int = 1, *, closed: bool = False, filled: bool = False
) -> np.ndarray:
    """Cover (H,W) float32 in 0..1 of polylines given in px, drawn `thick` samples wide."""
    height, width = shape[:2]
    fine = np.zeros((height * FINE, width * FINE), np.uint8)
    points = [np.rint(np.clip(line, -4000, 4000) * FINE * (1 << SUBPIXEL)).astype(np.int32) for line in lines]
    if filled:
        for line in points:
            cv2.fillPoly(fine, [line], 255, cv2.LINE_8, SUBPIXEL)
    else:
        cv2.polylines(fine, points, closed, 255, thick, cv2.LINE_8, SUBPIXEL)
    small = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


SCALE_PER_HEIGHT = 0.335
"""Pixels per decimetre, as a share of the picture's height: head and shoulders fill the picture."""


@dataclass(frozen=True)
class Scene:
    """A person, what they do, and the camera that looks on.

    Attributes:
        noise: of the sensor, grey levels (sd).
        key: tells this video's noise from that of others.
        front: what stands before the person, and the light; None in a tidy recording.
        fps: frame rate.
    """

    script: Script
    camera: Camera
    noise: float = 0.0
    key: int = 0
    front: Front | None = None
    fps: int = 30

    @property
    def n_frames(self) -> int:
        """Frames of the video."""
        return len(self.script.units)

    def pose(self, frame: int) -> Pose:
        """What the person does at `frame` (0-based)."""
        script = self.script
        turn, shift, gaze = script.turn_rad[frame], script.shift[frame], script.gaze_rad[frame]
        return Pose(script.units[frame], tuple(turn), tuple(shift), tuple(gaze))


def make_scene(params: DemoVideoParams, video: str) -> Scene:
    """The scene of video `s01_1` …

    Raises:
        UserError: when there is no such video, or its expressions do not fit in.
    """
    number, take = parse_video(params, video)
    own = recorded(params, number, take)
    camera = Camera(own.width, own.height, min(own.height, 0.75 * own.width) * SCALE_PER_HEIGHT)
    script = add_to(make_script(own, number, take), own.untidy, own.fps, take=take)
    camera, place, louder = make_camera(camera, script, own.untidy, take=take)
    script = replace(script, shift=script.shift + place)
    key = int(np.random.default_rng([script.subject.seed, number, 9, take]).integers(1 << 31))
    front = make_front(script, own.untidy, own.fps, take=take)
    return Scene(script, camera, own.noise * louder, key, front, own.fps)


def render(scene: Scene, frame: int, noise: bool = True) -> np.ndarray:
    """Frame `frame` (0-based) as (H,W,3) uint8 RGB, on request without the sensor's noise."""
    amount = scene.noise if noise else 0.0
    pose = scene.pose(frame)
    linear = linear_picture(scene.script.subject, pose, scene.camera)
    if scene.front is not None:
        scene.front.draw(linear, scene.script, pose, frame=frame, camera=scene.camera)
    return expose(linear, amount, scene.key + 0x9E3779B1 * frame)
