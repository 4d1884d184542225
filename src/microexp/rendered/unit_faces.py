"""The exact flow that each movement of a made-up face causes: what labelled flow of action units is mixed from.

Small motions add up, so the flow of an expression is a sum of these. A face has 52 movements, two of the gaze and six
of the head. Movements without a left and a right form are split at the middle of the face.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from microexp.rendered.actor import Camera, make_actor
from microexp.rendered.expressions import PICTURE_CENTRE_DM, PICTURE_DM, PICTURE_PX, STEP
from microexp.rendered.flow import flow_between
from microexp.rendered.head import EYES, face_unit_names, load_head
from microexp.rendered.render import Pose, neutral_pose
from microexp.rendered.subjects import make_subject
from microexp.rendered.units import ACTION_UNITS

DEFINITIONS: dict[int, dict[str, float]] = {
    **ACTION_UNITS,
    18: {"mouthPucker": 0.8},
    20: {"mouthStretch*": 1.0},
}
"""Action unit -> movements of the face; two more than the actors of the demo use."""
UNITS: tuple[int, ...] = tuple(sorted(DEFINITIONS))
ALONG: dict[int, tuple[tuple[str, float], ...]] = {
    1: (("browOuterUp*", 0.25),),
    2: (("browInnerUp", 0.3),),
    5: (("browOuterUp*", 0.15),),
    6: (("eyeSquint*", 0.5),),
    7: (("cheekSquint*", 0.25),),
    9: (("browDown*", 0.3), ("mouthUpperUp*", 0.3)),
    10: (("noseSneer*", 0.4),),
    12: (("cheekSquint*", 0.2), ("mouthDimple*", 0.2)),
    14: (("mouthPress*", 0.3),),
    15: (("mouthShrugLower", 0.2),),
    17: (("mouthShrugUpper", 0.5),),
    24: (("mouthRollLower", 0.3),),
    25: (("jawOpen", 0.1),),
}
"""Action unit -> what moves along in some people, and at most how much: muscles are not tied to one movement each."""
OTHER_MOVEMENTS = ("cheekPuff", "jawForward", "mouthFunnel", "mouthRollUpper", "mouthClose", "jawLeft", "jawRight",
                   "mouthLeft", "mouthRight")  # fmt: skip
"""Movements that belong to none of the units."""
HEAD_STEPS = {
    "shift": 0.01,  # dm
    "turn_rad": 0.01,
}
GAZE_STEP_RAD = 0.05
MIDDLE_PX = 2.0
"""Half the width of the seam at which a movement without sides is split."""


@dataclass(frozen=True)
class UnitFace:
    """One face's flows, px of a square picture of P = `PICTURE_PX`.

    Attributes:
        halves: (M, 2, P, P, 2) per unit of strength, left (the face's own) and right half of each of the M `MOVEMENTS`.
        gaze: (2, P, P, 2) to the side and up.
        head: (6, P, P, 2) shift in x, y, z and turn about x, y, z.
        eyes: (2, 2) x, y of the eyes' centres.
    """

    halves: np.ndarray
    gaze: np.ndarray
    head: np.ndarray
    eyes: np.ndarray


@functools.cache
def movements() -> tuple[str, ...]:
    """Names of the face's movements without their side, in the order of `Face.halves`."""
    names = [
        name.removesuffix("Left").removesuffix("Right") + "*" if paired(name) else name for name in face_unit_names()
    ]
    return tuple(dict.fromkeys(names))


def paired(name: str) -> bool:
    """Whether a movement has a left and a right form that are mirror images; shifts of jaw and mouth have not."""
    return name.endswith(("Left", "Right")) and not name.startswith(("jaw", "mouthLeft", "mouthRight"))


def make_face(seed: int, number: int) -> UnitFace:
    """Flows of person `number` of `seed` (see `make_subject`); about two seconds."""
    import cv2

    camera = Camera(PICTURE_PX, PICTURE_PX, PICTURE_PX / PICTURE_DM, centre_y=PICTURE_CENTRE_DM)
    actor, rest = make_actor(make_subject(seed, number), camera), neutral_pose()

    def flow_to(pose: Pose, step: float) -> np.ndarray:
        """(s, s, 2) px flow from rest to a pose, per unit of `step`."""
        flow, valid = flow_between(actor, rest, pose, camera=camera)
        shown: np.ndarray = cv2.GaussianBlur(np.where(valid[..., None], flow, np.float32(0)), (0, 0), 0.7)
        return shown / np.float32(step)

    def moved(name: str) -> np.ndarray:
        """The flow of one movement alone."""
        weights = np.zeros(len(face_unit_names()))
        weights[face_unit_names().index(name)] = STEP
        return flow_to(replace(rest, units=weights), STEP)

    eyes = np.array([camera.project(actor.rest[load_head().part(eye)])[:, :2].mean(0) for eye in EYES])
    own_left = 1 / (1 + np.exp(-(np.arange(PICTURE_PX) + 0.5 - eyes[:, 0].mean()) / MIDDLE_PX))[None, :, None]
    halves = []
    for name in movements():
        if name.endswith("*"):
            halves.append([moved(name[:-1] + "Left"), moved(name[:-1] + "Right")])
        else:
            whole = moved(name)
            halves.append([whole * own_left, whole * (1 - own_left)])
    gaze = [flow_to(replace(rest, gaze_rad=g), GAZE_STEP_RAD) for g in ((GAZE_STEP_RAD, 0.0), (0.0, GAZE_STEP_RAD))]
    head = [
        flow_to(replace(rest, **{kind: tuple(step * (i == k) for i in range(3))}), step)  # type: ignore[arg-type]
        for kind, step in HEAD_STEPS.items()
        for k in range(3)
    ]
    return UnitFace(np.array(halves, np.float32), np.array(gaze, np.float32), np.array(head, np.float32), eyes)
