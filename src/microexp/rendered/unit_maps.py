"""Labelled onset-apex flow of known action units, as varied as real flow maps are: what a recogniser learns from.

A map is a sum of a face's own flows (`UnitFace`), then made worse in all the ways in which a real map is worse than
the exact flow: motion of the head that is left, gaze, blinks, movements that are no unit; the smoothing, shrinking and
local gain of a regularised flow; noise, outliers; a crop that nobody knows; no magnitude and 8 bits. The amounts
are round figures, wider than what is likely; docs/action_units.md says which were looked at with real maps.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from microexp.rendered.actor import Camera, make_actor
from microexp.rendered.expressions import PICTURE_CENTRE_DM, PICTURE_DM, PICTURE_PX, STEP, WAYS
from microexp.rendered.flow import flow_between
from microexp.rendered.head import ACTION_UNITS, EYES, face_unit_names, load_head
from microexp.rendered.render import Pose, neutral_pose
from microexp.rendered.subjects import make_subject

# The exact flow that each movement of a made-up face causes: what labelled flow of action units is mixed from.
#
# Small motions add up, so the flow of an expression is a sum of these. A face has 52 movements, two of the gaze and six
# of the head. Movements without a left and a right form are split at the middle of the face.

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


SIZE_PX = 28
"""Side of the maps."""
TYPICAL_RMS_PX = 0.15
"""A unit at typical strength moves the picture by about this much (root mean square of one half's flow)."""
BLINK = 45


@dataclass(frozen=True)
class UnitVariation:
    """How the maps differ. Shares are of the expression's own root mean square; `_share` of maps in which it happens.

    Attributes:
        none_share: maps without any unit.
        published_share: maps that show a published set of units (`WAYS`); the others one to three units by chance.
        one_sided_share: units that one half of the face shows alone.
        asymmetry: sd of (left - right) / (left + right).
        log_strength: sd of the logarithm of a unit's strength.
        along: how much of `ALONG` moves, at most.
        blink_share, gaze_share, other_share: what else moves.
        head: median of the head's motion that is left; drawn log-normally, sd 1.
        noise: median of the smooth noise, the same with sd .6.
        blob_share: maps with outliers.
        widths: crop's width over the distance between the eyes, smallest and largest.
        log_aspect, place: sd of the logarithm of height over width, and of the crop's place over that distance.
        apart_share: maps of which u and v were scaled separately, as published ones did.
    """

    none_share: float = 0.06
    published_share: float = 0.4
    one_sided_share: float = 0.12
    asymmetry: float = 0.2
    log_strength: float = 0.4
    along: float = 1.0
    blink_share: float = 0.12
    gaze_share: float = 0.3
    other_share: float = 0.1
    head: float = 0.3
    noise: float = 0.2
    blob_share: float = 0.3
    widths: tuple[float, float] = (1.6, 3.0)
    log_aspect: float = 0.12
    place: float = 0.12
    apart_share: float = 0.5


VARIATION = UnitVariation()


@dataclass(frozen=True)
class UnitMaps:
    """N labelled maps.

    Attributes:
        maps: (N, 2, s, s) float32 u, v; root mean square 1.
        halves: (N, U, 2) bool: which of `UNITS` the face's own left and right half shows.
    """

    maps: np.ndarray
    halves: np.ndarray

    @property
    def units(self) -> np.ndarray:
        """(N, U) bool: which units are shown at all."""
        return np.asarray(self.halves.any(2))


def draw_maps(
    faces: Sequence[UnitFace],
    count: int,
    rng: np.random.Generator,
    *,
    how: UnitVariation = VARIATION,
    size: int = SIZE_PX,
) -> UnitMaps:
    """`count` labelled maps of these faces; the same `rng` gives the same maps (about 2,000 a second)."""
    maps = np.empty((count, 2, size, size), np.float32)
    halves = np.zeros((count, len(UNITS), 2), bool)
    for k in range(count):
        face = faces[int(rng.integers(len(faces)))]
        flow, halves[k] = _expression(rng, face, how)
        cut = _as_computed(rng, _crop(rng, flow, face.eyes, size, how), how)
        maps[k] = np.moveaxis(_as_stored(rng, cut, how), -1, 0)
    return UnitMaps(maps, halves)


def _expression(rng: np.random.Generator, face: UnitFace, how: UnitVariation) -> tuple[np.ndarray, np.ndarray]:
    """(P, P, 2) flow of an expression with all that moves beside it, and its units (U, 2) bool."""
    weights, shown = draw_weights(rng, face, how)
    if rng.random() < how.other_share:
        weights[movements().index(str(rng.choice(OTHER_MOVEMENTS)))] += rng.normal(0, 0.3)
    flow = _sum(weights.ravel(), face.halves.reshape(-1, *face.halves.shape[2:]))
    own = max(_rms(flow), TYPICAL_RMS_PX)
    if rng.random() < how.gaze_share:
        flow += _sum(rng.normal(0, 0.4 * own, 2) / [_rms(g) for g in face.gaze], face.gaze)
    head = how.head * np.exp(rng.normal(0, 1)) * own / np.sqrt(len(face.head))
    return flow + _sum(rng.normal(0, head, len(face.head)) / [_rms(h) for h in face.head], face.head), shown


def draw_weights(
    rng: np.random.Generator, face: UnitFace, how: UnitVariation = VARIATION
) -> tuple[np.ndarray, np.ndarray]:
    """An expression of this face: weights (M, 2) of `movements` on its left and right, and units (U, 2) bool."""
    weights, shown = np.zeros(face.halves.shape[:2]), np.zeros((len(UNITS), 2), bool)
    for unit in _draw_units(rng, how):
        tilt = np.clip(rng.normal(0, how.asymmetry), -0.6, 0.6)
        sides = np.array([1 + tilt, 1 - tilt])
        if rng.random() < how.one_sided_share and unit != BLINK:
            sides[rng.integers(2)] *= rng.uniform(0, 0.15)
        weights += _unit_weights(rng, face, unit, how) * sides
        shown[UNITS.index(unit)] = sides > 0.3
    return weights, shown


def _draw_units(rng: np.random.Generator, how: UnitVariation) -> tuple[int, ...]:
    chance = rng.random()
    if chance < how.none_share:
        found: tuple[int, ...] = ()
    elif chance < how.none_share + how.published_share:
        ways = WAYS[str(rng.choice(list(WAYS)))]
        found = ways[rng.integers(len(ways))]
    else:
        others = [u for u in UNITS if u != BLINK]
        found = tuple(int(u) for u in rng.choice(others, rng.integers(1, 4), replace=False))
    return (*found, BLINK) if rng.random() < how.blink_share else found


def _unit_weights(rng: np.random.Generator, face: UnitFace, unit: int, how: UnitVariation) -> np.ndarray:
    """(M, 2) weights of the movements of one unit, at a strength that this face shows about as clearly as any other."""
    names, weights = movements(), np.zeros(face.halves.shape[:2])
    for name, weight in DEFINITIONS[unit].items():
        weights[names.index(name)] += weight
    for name, most in ALONG.get(unit, ()):
        weights[names.index(name)] += rng.uniform(0, how.along * most)
    moved = _rms(_sum(weights[:, 0], face.halves[:, 0]))
    return np.asarray(weights * np.sqrt(TYPICAL_RMS_PX / moved) * np.exp(rng.normal(0, how.log_strength)))


def _crop(rng: np.random.Generator, flow: np.ndarray, eyes: np.ndarray, size: int, how: UnitVariation) -> np.ndarray:
    """(size, size, 2): the face cut out by its eyes (2, 2), as tightly and as far up as crops of the field are."""
    import cv2

    between = float(np.hypot(*(eyes[1] - eyes[0])))
    width = np.exp(rng.uniform(*np.log(how.widths)))
    height = width * np.exp(rng.normal(0, how.log_aspect))
    above = 0.5 + 0.55 * (height - 2) + rng.normal(0, how.place)
    corner = eyes.mean(0) + between * np.array([rng.normal(0, how.place) - width / 2, -above])
    scale = between * np.array([width, height]) / size
    turn = rng.normal(0, 0.03)
    place = np.array([[scale[0], -turn * scale[1], 0], [turn * scale[0], scale[1], 0]])
    place[:, 2] = corner + scale / 2 - 0.5 - np.array([-turn, turn]) * between * np.array([height, width]) / 2
    cut = cv2.warpAffine(flow, place, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(cut / scale.astype(np.float32))


def _as_computed(rng: np.random.Generator, flow: np.ndarray, how: UnitVariation) -> np.ndarray:
    """A flow as a regularised method finds it: smeared, shrunk, uneven, noisy, now and then wrong."""
    size = len(flow)
    flow = _blurred(flow, rng.uniform(0, 1.2))
    if rng.random() < 0.5:
        share = rng.uniform(0, 0.6)
        flow = (1 - share) * flow + share * _blurred(flow, rng.uniform(1.5, 4))
    own = _rms(flow)
    flow = flow * np.exp(0.35 * _smooth(rng, (size, size, 1), rng.uniform(2, 5)))
    if rng.random() < 0.4:
        magnitude = np.sqrt(np.square(flow).sum(-1, keepdims=True)) + 1e-9
        flow = flow * np.maximum(0, 1 - rng.uniform(0, 0.4) * own / magnitude)
    if rng.random() < how.blob_share:
        flow = flow + _blobs(rng, size, own)
    level = how.noise * np.exp(rng.normal(0, 0.6)) * own
    return np.asarray(flow + level * _smooth(rng, flow.shape, rng.uniform(0.7, 4)), np.float32)


def _blobs(rng: np.random.Generator, size: int, own: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    found = np.zeros((size, size, 2))
    for _ in range(rng.integers(1, 4)):
        at, width = rng.uniform(0, size, 2), rng.uniform(0.8, 3)
        bump = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * width**2))
        found += bump[..., None] * rng.normal(0, 2 * own, 2)
    return found


def _as_stored(rng: np.random.Generator, flow: np.ndarray, how: UnitVariation) -> np.ndarray:
    """Root mean square 1; some maps as grey levels of u and v apart give them; rest is not quite at 0."""
    if rng.random() < how.apart_share:
        low, high = flow.min((0, 1)), flow.max((0, 1))
        flow = np.round((flow - low) / np.maximum(high - low, 1e-6) * 255) / 255
        flow = flow - np.median(flow, (0, 1))
        return np.asarray(flow / np.sqrt(np.square(flow).mean((0, 1)) + 1e-9))
    flow = flow + rng.normal(0, 0.1, 2) * _rms(flow)
    return np.asarray(flow / (_rms(flow) + 1e-9))


def _sum(weights: np.ndarray, flows: np.ndarray) -> np.ndarray:
    """Sum of weighted flows (K, P, P, 2)."""
    (used,) = np.nonzero(weights)
    return np.asarray(np.tensordot(weights[used].astype(np.float32), flows[used], 1))


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> np.ndarray:
    """Smooth noise of standard deviation 1."""
    found = _blurred(rng.normal(size=shape).astype(np.float32), width).reshape(shape)
    return np.asarray(found / (found.std() + 1e-9))


def _blurred(values: np.ndarray, width: float) -> np.ndarray:
    import cv2

    return np.asarray(cv2.GaussianBlur(values, (0, 0), max(width, 0.05)))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()) + 1e-9)
