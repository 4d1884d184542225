"""Rendered expressions as a source domain: exact onset-apex flow of made-up people who show known action units.

Real clips are few and their labels hard to come by; what an action unit moves is known. The demo's head gives the exact
flow of every action unit on either side of any number of faces. Small motions add up, so an expression is a sum of
unit flows: a published set of units, drawn strengths and asymmetry, a stray unit now and then, a blink, some motion of
the head, smooth noise as an optical flow has it, and a crop that never sits quite the same. No clip holds a real face
or a real label, so they belong to no fold. What is written here as a constant comes from the literature and from round
figures, not from any data set's maps; docs/recognition.md gives the reasons.

Sources of the sets: the criteria of CASME II's coders (Yan et al., PLoS ONE 9(1): e86041, 2014, table 3); prototypes
and variants of the FACS Investigator's Guide (Ekman, Friesen & Hager 2002, table 10-1); the objective classes I to VI
of Davison, Merghani & Yap (J. Imaging 4(10): 119, 2018); for contempt Ekman & Friesen (Motivation and Emotion 10, 1986)
and Matsumoto et al. (Handbook of Emotions, 2008).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from microexp.apexdiff.identity import strain_magnitude
from microexp.records.clips import Clips
from microexp.rendered.actor import Camera, make_actor
from microexp.rendered.flow import flow_between
from microexp.rendered.head import ACTION_UNITS, EYES, ONE_SIDED, UnitMotion, load_head
from microexp.rendered.render import neutral_pose
from microexp.rendered.subjects import make_subject

DATASET = "rendered"
WAYS: dict[str, tuple[tuple[int, ...], ...]] = {
    "happiness": ((6,), (12,), (6, 12), (7, 12), (6, 7, 12)),
    "surprise": ((2,), (5,), (25,), (1, 2), (5, 24), (5, 26), (25, 26), (1, 2, 5), (1, 2, 25), (1, 2, 26)),
    "disgust": (
        (9,), (10,), (4, 7), (4, 9), (7, 10), (9, 17), (10, 17), (4, 7, 9), (4, 7, 10), (4, 9, 17),
    ),
    "anger": ((4,), (4, 5), (4, 7), (17, 24), (4, 5, 7), (4, 6, 7), (4, 5, 24), (4, 7, 24), (5, 7, 24)),
    "contempt": ((14,), (12, 14)),
    "fear": ((1, 2, 4), (1, 2, 4, 5)),
    "sadness": ((1,), (15,), (1, 4), (6, 15), (15, 17), (1, 4, 15), (6, 15, 25), (6, 15, 26)),
    "repression": ((15,), (17,), (15, 17)),
}  # fmt: skip
"""Emotion -> sets of action units in which it shows, all equally likely: the published ones that the head has, of at
most three units (fear: four), as micro-expressions show few."""
ON_ONE_SIDE = ("contempt",)
"""Emotions that one half of the face shows."""
UNITS = tuple(sorted(ACTION_UNITS))
BLINK = UNITS.index(45)
PICTURE_PX, PICTURE_DM, PICTURE_CENTRE_DM = 80, 2.5, 7.0
"""Side of the picture in which unit flows are measured, and the height of its middle."""
CROP = (1.8, 2.2)
"""Width and height of a crop over the distance between the eyes' centres; it is then stretched to a square, as the
field's crops are (the usual rule for CASME II and SMIC)."""
CROP_ABOVE = 0.6
"""How far a crop reaches above the eyes, over the same distance."""
STEP = 0.3
"""Strength at which a unit's flow is measured."""
RIGID_STEP = 0.01
"""Shift (dm) or turn (rad) of the head at which its flow is measured."""


@dataclass(frozen=True)
class Variation:
    """How much the rendered expressions differ; shares are of the expression's own root mean square.

    Attributes:
        noise: of smooth noise (its sd; drawn log-normally around it).
        head: of the motion of the head in the picture's plane.
        blink: share of clips in which the lids close or open.
        stray: share of clips in which a unit moves along that does not belong, half as strong.
        asymmetry: sd of (left - right) / (left + right).
        one_sided: share of clips in which the units that can show on one side do.
        place: sd of the crop's place, over the distance between the eyes.
        log_size: sd of the logarithm of its size, and of that of its height over its width.
    """

    noise: float = 0.2
    head: float = 0.3
    blink: float = 0.1
    stray: float = 0.2
    asymmetry: float = 0.1
    one_sided: float = 0.05
    place: float = 0.1
    log_size: float = 0.1


VARIATION = Variation()


def render_source(
    classes: Mapping[str, Sequence[str]],
    count: int,
    seed: int,
    *,
    size: int = 28,
    people: int = 16,
    how: Variation = VARIATION,
) -> Clips:
    """`count` rendered expressions as clips of the data set `rendered`, classes equally often.

    Args:
        classes: class -> its emotions, those of `WAYS`; others are passed over.
        count: clips.
        seed: draws people and expressions; same seed, same maps.
        size: side of the maps, px.
        people: how many different faces.
        how: the variation.

    Returns:
        Clips with maps (count, 3, size, size): u, v and strain, each with root mean square 1.

    Raises:
        ValueError: when a class has no emotion that can be rendered.
    """
    known = {name: [e for e in emotions if e in WAYS] for name, emotions in classes.items()}
    empty = [name for name, emotions in known.items() if not emotions]
    if empty:
        raise ValueError(f"no emotion of class {empty[0]!r} can be rendered; known: {', '.join(WAYS)}")
    rng = np.random.default_rng([seed, 14])
    units, rigid, eyes = (np.stack(part) for part in zip(*(unit_flows(seed, n) for n in range(people)), strict=True))
    names = list(known)
    maps, emotions, who = [], [], rng.integers(people, size=count)
    for k in range(count):
        emotion, way = _draw_way(rng, known[names[k % len(names)]])
        flow = _crop(rng, _mix(rng, emotion, way, units[who[k]], rigid[who[k]], how), eyes[who[k]], size, how)
        maps.append(np.concatenate([flow, strain_magnitude(flow)[..., None]], -1))
        emotions.append(emotion)
    stacked = np.moveaxis(np.stack(maps), -1, 1)
    stacked /= np.sqrt(np.square(stacked).mean((2, 3), keepdims=True) + 1e-6)
    return Clips(
        maps=stacked.astype(np.float32),
        dataset=np.full(count, DATASET),
        subject=np.array([f"p{n:02d}" for n in who]),
        video=np.array([f"e{k:05d}" for k in range(count)]),
        expression=np.ones(count, dtype=np.int64),
        kind=np.full(count, "micro"),
        emotion=np.array(emotions),
        channels=("u", "v", "strain"),
    )


def unit_flows(seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact flow of one person's action units and head motions, and where the eyes are.

    Returns:
        (len(UNITS), 2, P, P, 2) px per unit of strength, of each unit's left and right half; (3, P, P, 2) px per
        `RIGID_STEP` of shift in x and y and of the turn in the picture's plane; (2, 2) x, y of the eyes' centres, px.
    """
    import cv2

    camera = Camera(PICTURE_PX, PICTURE_PX, PICTURE_PX / PICTURE_DM, centre_y=PICTURE_CENTRE_DM)
    actor, rest = make_actor(make_subject(seed, number), camera), neutral_pose()

    def flow_to(**change: object) -> np.ndarray:
        """(s, s, 2) px flow from rest to a changed pose."""
        flow, valid = flow_between(actor, rest, replace(rest, **change), camera=camera)  # type: ignore[arg-type]
        shown: np.ndarray = cv2.GaussianBlur(np.where(valid[..., None], flow, np.float32(0)), (0, 0), 0.7)
        return shown

    halves = ((1.0, 0.0), (0.0, 1.0))
    units = [[flow_to(units=STEP * UnitMotion(u, *half).weights()) / STEP for half in halves] for u in UNITS]
    x, y, z = (tuple(RIGID_STEP * (i == k) for i in range(3)) for k in range(3))
    rigid = [flow_to(shift=x), flow_to(shift=y), flow_to(turn_rad=z)]
    eyes = [camera.project(actor.rest[load_head().part(eye)])[:, :2].mean(0) for eye in EYES]
    return np.array(units, np.float32), np.array(rigid, np.float32), np.array(eyes)


def _draw_way(rng: np.random.Generator, emotions: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    emotion = str(rng.choice(list(emotions)))
    ways = WAYS[emotion]
    return emotion, ways[rng.integers(len(ways))]


def _mix(
    rng: np.random.Generator, emotion: str, way: Sequence[int], units: np.ndarray, rigid: np.ndarray, how: Variation
) -> np.ndarray:
    """(P, P, 2) flow of one expression, without noise."""
    strength = dict.fromkeys(way, 1.0)
    if rng.random() < how.stray:
        strength[int(rng.choice([u for u in UNITS if u not in strength and u != 45]))] = 0.5
    side = rng.choice((-1.0, 1.0))
    one_sided = rng.random() < how.one_sided
    flow = np.zeros(units.shape[2:], np.float32)
    for unit, level in strength.items():
        tilt = np.clip(rng.normal(0, how.asymmetry), -1, 1)
        if emotion in ON_ONE_SIDE or (one_sided and unit in ONE_SIDED):
            tilt = side
        level *= rng.uniform(0.5, 1.5)
        for half, share in zip(units[UNITS.index(unit)], (1 + tilt, 1 - tilt), strict=True):
            flow += np.float32(level * share) * half
    own = _rms(flow)
    if rng.random() < how.blink:
        lids = units[BLINK].sum(0)
        flow += np.float32(rng.normal(0, 0.5) * own / _rms(lids)) * lids
    for motion in rigid:
        flow += np.float32(rng.normal(0, how.head / np.sqrt(len(rigid))) * own / _rms(motion)) * motion
    return flow


def _crop(rng: np.random.Generator, flow: np.ndarray, eyes: np.ndarray, size: int, how: Variation) -> np.ndarray:
    """(size, size, 2): the face cut out by its eyes (2, 2), a little off, and noise added."""
    import cv2

    between = float(np.hypot(*(eyes[1] - eyes[0])))
    middle = eyes.mean(0) + np.array([0, CROP[1] / 2 - CROP_ABOVE]) * between
    middle += rng.normal(0, how.place, 2) * between
    longer = rng.normal(0, how.log_size) * np.array([-0.5, 0.5])
    half = np.array(CROP) / 2 * between * np.exp(rng.normal(0, how.log_size) + longer)
    scale = 2 * half / size
    place = np.array(
        [
            [scale[0], 0, middle[0] - half[0] + scale[0] / 2 - 0.5],
            [0, scale[1], middle[1] - half[1] + scale[1] / 2 - 0.5],
        ]
    )
    cut = cv2.warpAffine(flow, place, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    noise = cv2.GaussianBlur(rng.normal(size=cut.shape), (0, 0), size / 19)
    level = how.noise * np.exp(rng.normal(0, 0.5)) * _rms(cut) / _rms(noise)
    return np.asarray(cut + level * noise)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()) + 1e-9)


# --- the command ------------------------------------------------------------------------------------------------------
