"""A video as a function: `render(scene, frame)` and the exact motion between any two of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microexp.reading.params import DemoVideoParams
from microexp.rendered.actor import Camera
from microexp.rendered.layout import parse_video
from microexp.rendered.render import Pose, render_pose
from microexp.rendered.schedule import Script, make_script

SCALE_PER_HEIGHT = 0.335
"""Pixels per decimetre, as a share of the picture's height: head and shoulders fill the picture."""


@dataclass(frozen=True)
class Scene:
    """A person, what they do, and the camera that looks on.

    Attributes:
        noise: of the sensor, grey levels (sd).
        key: tells this video's noise from that of others.
    """

    script: Script
    camera: Camera
    noise: float = 0.0
    key: int = 0

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
    camera = Camera(params.width, params.height, min(params.height, 0.75 * params.width) * SCALE_PER_HEIGHT)
    script = make_script(params, number, take)
    key = int(np.random.default_rng([script.subject.seed, number, 9, take]).integers(1 << 31))
    return Scene(script, camera, params.noise, key)


def render(scene: Scene, frame: int, noise: bool = True) -> np.ndarray:
    """Frame `frame` (0-based) as (H,W,3) uint8 RGB, on request without the sensor's noise."""
    amount = scene.noise if noise else 0.0
    return render_pose(scene.script.subject, scene.pose(frame), scene.camera, amount, scene.key + 0x9E3779B1 * frame)
