"""A video as a function: `render(scene, frame)` and the exact motion between any two of its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from microexp.reading.params import DemoVideoParams
from microexp.rendered.actor import Camera
from microexp.rendered.front import Front, make_camera, make_front
from microexp.rendered.layout import parse_video
from microexp.rendered.render import Pose, expose, linear_picture
from microexp.rendered.schedule import Script, make_script, recorded
from microexp.rendered.untidy import add_to

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
