"""Rendered expressions as a source domain: exact onset-apex flow of made-up people who show known action units.

Real clips are few and their labels hard to come by; what an action unit moves is known. The demo's head gives the exact
flow of every action unit on either side of any number of faces. Small motions add up, so an expression is a sum of
unit flows: drawn mix, strength and asymmetry, a stray unit now and then, a blink, some motion of the head, smooth noise
as an optical flow has it, and a crop that never sits quite the same. No clip holds a real face or a real label, so they
belong to no fold; what three constants of the crop had seen is said at `HALF_DM`.

Sources: Ekman, Friesen & Hager, Facial Action Coding System (2002), for what units move and which units an emotion
shows with; for repression CASME II's coders (Yan et al., PLoS ONE 9(1): e86041, 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from microexp.datasets.demo.actor import Camera, make_actor
from microexp.datasets.demo.flow import flow_between
from microexp.datasets.demo.render import neutral_pose
from microexp.datasets.demo.subjects import make_subject
from microexp.datasets.demo.units import ACTION_UNITS, STRAY_UNITS, UnitMotion
from microexp.inputs.identity import strain_magnitude
from microexp.recognition.clips import Clips

DATASET = "rendered"
WAYS: dict[str, tuple[tuple[float, dict[int, float]], ...]] = {
    "happiness": (
        (4, {12: 1}), (4, {6: 0.6, 12: 1}), (1, {6: 1}), (1, {12: 0.8, 14: 0.4}), (1, {12: 0.9, 25: 0.5}),
        (0.5, {12: 0.7, 24: 0.3}),
    ),
    "surprise": (
        (4, {1: 1, 2: 1}), (1.5, {1: 1}), (1.5, {2: 1}), (1.5, {1: 0.8, 2: 0.8, 5: 0.6}),
        (1, {1: 0.7, 2: 0.7, 25: 0.6}), (0.7, {25: 1}), (0.7, {26: 1}), (0.5, {5: 1}),
    ),
    "disgust": (
        (1, {4: 1}), (2, {4: 1, 7: 0.6}), (1, {4: 0.8, 9: 0.6}), (1, {9: 1}), (1, {10: 1}),
        (1, {4: 0.6, 7: 0.5, 10: 0.5}),
    ),
    "anger": ((3, {4: 1}), (2, {4: 1, 7: 0.6}), (1.5, {7: 1}), (0.3, {4: 0.5, 25: 0.7})),
    "repression": (
        (0.7, {14: 0.8, 17: 0.5}), (1, {15: 0.7, 17: 0.7}), (1, {17: 1}), (0.7, {24: 1}), (0.5, {17: 0.5, 24: 0.7}),
        (0.5, {12: 0.5, 15: 0.8}),
    ),
    "contempt": ((1.5, {14: 1}),),
    "sadness": ((1, {15: 1}), (1, {1: 0.7, 4: 0.9}), (0.5, {1: 0.5, 4: 0.6, 15: 0.5})),
    "fear": ((0.5, {1: 0.6, 2: 0.5, 4: 0.8, 5: 0.5}),),
}  # fmt: skip
"""Emotion -> the ways in which it shows: how often, among all ways of a class; action unit -> relative strength."""
UNITS = tuple(sorted(ACTION_UNITS))
BLINK = UNITS.index(45)
PICTURE_PX, PICTURE_DM = 64, 2.0
CENTRE_DM = 6.92
"""Height of the middle of the crops: a face from above the brows to the chin."""
HALF_DM = (0.62, 0.78)
"""Half the width and height of a crop, which is then stretched to a square, as the field's crops are.

These three numbers are rounded from a fit to class means of all 442 MEGC2019 maps: see docs/recognition.md.
"""
STEP = 0.3
"""Strength at which a unit's flow is measured."""
RIGID_STEP = 0.01
"""Shift (dm) or turn (rad) of the head at which its flow is measured."""


@dataclass(frozen=True)
class Variation:
    """How much the rendered expressions differ; shares are of the expression's own root mean square.

    Attributes:
        noise: of smooth noise (its sd; drawn log-normally around it).
        head: of each of the six motions of the head.
        blink: share of clips in which the lids close or open.
        stray: share of clips in which a unit moves along that does not belong.
        shift: sd of the crop's place, and of the logarithm of its size.
    """

    noise: float = 0.6
    head: float = 0.2
    blink: float = 0.4
    stray: float = 0.4
    shift: float = 0.08


VARIATION = Variation()


def render_source(
    classes: Mapping[str, list[str]],
    count: int,
    seed: int,
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
    units, rigid = (np.stack(flows) for flows in zip(*(unit_flows(seed, n) for n in range(people)), strict=True))
    names = list(known)
    maps, emotions, who = [], [], rng.integers(people, size=count)
    for k in range(count):
        emotion, way = _draw_way(rng, known[names[k % len(names)]])
        flow = _crop(rng, _mix(rng, way, units[who[k]], rigid[who[k]], how), size, how)
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


def unit_flows(seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact flow of one person's action units and head motions.

    Returns:
        (len(UNITS), 2, P, P, 2) px per unit of strength, of each unit's left and right half; and (6, P, P, 2) px per
        `RIGID_STEP` of shift in x, y, z and of turns about them.
    """
    import cv2

    camera = Camera(PICTURE_PX, PICTURE_PX, PICTURE_PX / PICTURE_DM, centre_y=CENTRE_DM)
    actor, rest = make_actor(make_subject(seed, number), camera), neutral_pose()

    def flow_to(**change: object) -> np.ndarray:
        flow, valid = flow_between(actor, rest, replace(rest, **change), camera)  # type: ignore[arg-type]
        shown: np.ndarray = cv2.GaussianBlur(np.where(valid[..., None], flow, np.float32(0)), (0, 0), 0.7)
        return shown

    halves = ((1.0, 0.0), (0.0, 1.0))
    units = [[flow_to(units=STEP * UnitMotion(u, *half).weights()) / STEP for half in halves] for u in UNITS]
    steps = [tuple(RIGID_STEP * (i == k) for i in range(3)) for k in range(3)]
    rigid = [flow_to(**{name: step}) for name in ("shift", "turn_rad") for step in steps]
    return np.array(units, np.float32), np.array(rigid, np.float32)


def _draw_way(rng: np.random.Generator, emotions: Sequence[str]) -> tuple[str, dict[int, float]]:
    ways = [(weight, emotion, way) for emotion in emotions for weight, way in WAYS[emotion]]
    weights = np.array([weight for weight, _, _ in ways])
    _, emotion, way = ways[rng.choice(len(ways), p=weights / weights.sum())]
    return emotion, dict(way)


def _mix(
    rng: np.random.Generator, way: dict[int, float], units: np.ndarray, rigid: np.ndarray, how: Variation
) -> np.ndarray:
    """(P, P, 2) flow of one expression, without noise."""
    if rng.random() < how.stray:
        way.setdefault(int(rng.choice(STRAY_UNITS)), float(rng.uniform(0.1, 0.4)))
    flow = np.zeros(units.shape[2:], np.float32)
    for unit, strength in way.items():
        strength *= rng.uniform(0.5, 1.5)
        tilt = rng.normal(0, 0.35)
        for half, share in zip(units[UNITS.index(unit)], (1 + tilt, 1 - tilt), strict=True):
            flow += np.float32(strength * np.clip(share, 0, 2)) * half
    own = _rms(flow)
    if rng.random() < how.blink:
        lids = units[BLINK].sum(0)
        flow += np.float32(rng.normal(0, 0.5) * own / _rms(lids)) * lids
    for motion in rigid:
        flow += np.float32(rng.normal(0, how.head) * own / _rms(motion)) * motion
    return flow


def _crop(rng: np.random.Generator, flow: np.ndarray, size: int, how: Variation) -> np.ndarray:
    """(size, size, 2): the face cut out, a little off, and noise added."""
    import cv2

    middle = PICTURE_PX / 2 + rng.normal(0, how.shift, 2) * PICTURE_PX / PICTURE_DM
    half = np.array(HALF_DM) * np.exp(rng.normal(0, how.shift, 2)) * PICTURE_PX / PICTURE_DM
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
