"""The CC0 head: mesh, masks and displacement targets; neutral heads and facial action units are mixed from them.

Units are the asset's: decimetres, x to the subject's left (right in the picture), y up, z towards the camera.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.rendered.subjects import RenderedSubject

ASSET = Path(__file__).with_name("head_cc0.npz")
STEPS_PER_UNIT = 5000.0
EYE_CENTRE = np.array([0.0, 7.285, 1.245])
"""Where every person's point between the eyeballs is put."""
EYES = ("helper-l-eye", "helper-r-eye")
OPPOSITES = (
    ("decr", "incr"),
    ("in", "out"),
    ("down", "up"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)


@dataclass(frozen=True)
class Head:
    """The asset.

    Attributes:
        vertices: (N,3) base mesh.
        triangles: (M,3) vertex indices.
        groups: part name -> triangles (m,3) of it.
        masks: `lips`, `eyelids`, `inside-mouth`, `ears` -> (N,) in 0..1.
        targets: key (`fu/jawOpen`, `nose/nose-hump-incr` …) -> (touched vertices, displacements).
    """

    vertices: np.ndarray
    triangles: np.ndarray
    groups: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    targets: dict[str, tuple[np.ndarray, np.ndarray]]

    def add(self, shape: np.ndarray, key: str, weight: float) -> None:
        """Move `shape` (N,3) in place by `weight` times a target."""
        if weight and key in self.targets:
            index, moved = self.targets[key]
            shape[index] += weight * moved

    def part(self, name: str) -> np.ndarray:
        """Vertices of a part, sorted."""
        return np.unique(self.groups[name])


@functools.cache
def load_head() -> Head:
    """Read the asset (once per process)."""
    with np.load(ASSET, allow_pickle=False) as asset:
        data = dict(asset)
    triangles = data["tri"].astype(np.int32)
    starts = data["ptr"]
    index, value = data["idx"].astype(np.int64), data["val"] / STEPS_PER_UNIT
    return Head(
        vertices=data["v"].astype(np.float64),
        triangles=triangles,
        groups={str(name): triangles[data["tg"] == i] for i, name in enumerate(data["names"])},
        masks={str(name): data["masks"][i] / 255.0 for i, name in enumerate(data["mask_names"])},
        targets={
            str(key): (index[a:b], value[a:b]) for key, a, b in zip(data["keys"], starts[:-1], starts[1:], strict=True)
        },
    )


def face_unit_names() -> list[str]:
    """The 52 face units in the asset's order (`browDownLeft` …)."""
    return [key.removeprefix("fu/") for key in load_head().targets if key.startswith("fu/")]


def face_unit_shapes() -> np.ndarray:
    """Displacements of all face units at weight 1, (52,N,3) float32.

    The eyeballs are not among them: they turn with the gaze instead.
    """
    head = load_head()
    names = face_unit_names()
    shapes = np.zeros((len(names), *head.vertices.shape), np.float32)
    for shape, name in zip(shapes, names, strict=True):
        index, moved = head.targets["fu/" + name]
        shape[index] = moved
    shapes[:, np.concatenate([head.part(e) for e in EYES])] = 0
    return shapes


def neutral_shape(subject: RenderedSubject) -> np.ndarray:
    """The person's head at rest, (N,3): sex, age, origin and weight mixed, then individual features."""
    head = load_head()
    shape = head.vertices.copy()
    sexes = (("male", subject.sex), ("female", 1 - subject.sex))
    ages = (("young", 1 - subject.age), ("old", subject.age))
    weights = (
        ("min", max(0.0, 1 - 2 * subject.weight)),
        ("average", 1 - abs(2 * subject.weight - 1)),
        ("max", max(0.0, 2 * subject.weight - 1)),
    )
    for sex, by_sex in sexes:
        for age, by_age in ages:
            for origin, by_origin in zip(("caucasian", "asian", "african"), subject.origin, strict=True):
                head.add(shape, f"macro/{origin}-{sex}-{age}", by_sex * by_age * by_origin)
            for weight, by_weight in weights:
                key = f"macro/universal-{sex}-{age}-averagemuscle-{weight}weight"
                head.add(shape, key, by_sex * by_age * by_weight)
    _add_features(head, shape, np.random.default_rng([subject.seed, subject.number, 2]), subject.features)
    eyes = [shape[head.part(e)].mean(0) for e in EYES]
    return np.asarray(shape - (eyes[0] + eyes[1]) / 2 + EYE_CENTRE)


def _add_features(head: Head, shape: np.ndarray, rng: np.random.Generator, amount: float) -> None:
    """Individual nose, jaw, eyes …: each pair of opposite targets by a normal deviate, the same on both sides."""
    done: set[str] = set()
    for key in head.targets:
        folder, name = key.split("/")
        if folder in ("fu", "macro") or key in done or name.startswith("head-age"):
            continue
        deviate = float(np.clip(rng.normal() * amount, -1, 1))
        opposite = _opposite(key)
        if opposite not in head.targets:
            if folder == "head":
                head.add(shape, key, 0.5 * max(0.0, deviate))
            continue
        both = {key, opposite}
        if name.startswith(("l-", "r-")):
            both |= {_mirrored(k) for k in both}
            deviate *= 0.6
        done |= both
        chosen = key if deviate > 0 else opposite
        for target in sorted({chosen, _mirrored(chosen)}):
            head.add(shape, target, abs(deviate))


def _opposite(key: str) -> str:
    """`…-incr` for `…-decr` and so on; the key itself is returned when it has no opposite's name."""
    for one, other in OPPOSITES:
        if key.endswith("-" + one):
            return key.removesuffix(one) + other
        if key.endswith("-" + other):
            return key.removesuffix(other) + one
    return ""


def _mirrored(key: str) -> str:
    folder, name = key.split("/")
    sides = {"l-": "r-", "r-": "l-"}
    return f"{folder}/{sides[name[:2]]}{name[2:]}" if name[:2] in sides else key


# Facial action units (FACS) as combinations of the head's 52 face units, and emotions as combinations of action units.
#
# Sources: Ekman, Friesen & Hager, Facial Action Coding System (2002), for what each unit moves; the combinations are
# those that CASME II's coders list for its emotion classes (Yan et al., PLoS ONE 9(1): e86041, 2014).

ACTION_UNITS: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.4},
    2: {"browOuterUp*": 1.4},
    4: {"browDown*": 1.4},
    5: {"eyeWide*": 1.0},
    6: {"cheekSquint*": 1.0},
    7: {"eyeSquint*": 1.0},
    9: {"noseSneer*": 1.5},
    10: {"mouthUpperUp*": 1.2},
    12: {"mouthSmile*": 0.7},
    14: {"mouthDimple*": 1.0},
    15: {"mouthFrown*": 1.0},
    17: {"mouthShrugLower": 1.0},
    24: {"mouthPress*": 1.0},
    25: {"jawOpen": 0.12, "mouthLowerDown*": 0.3},
    26: {"jawOpen": 0.4},
    45: {"eyeBlink*": 1.0},
}
"""Action unit -> face units at full strength (more than 1 goes beyond the asset's shape); `*`: Left and Right."""

EMOTIONS: dict[str, tuple[dict[int, float], ...]] = {
    "happiness": (
        {12: 1.0, 6: 0.6},
        {12: 1.0},
        {12: 0.6, 6: 0.9},
        {12: 0.8, 14: 0.4},
        {12: 1.0, 6: 0.4, 25: 0.4},
    ),
    "surprise": (
        {1: 1.0, 2: 0.9},
        {1: 0.9},
        {2: 0.9, 5: 0.6},
        {1: 0.7, 2: 0.7, 26: 0.3},
        {1: 0.6, 2: 0.7, 5: 0.5, 25: 0.5},
    ),
    "disgust": ({4: 0.8, 7: 0.7}, {4: 0.6, 9: 0.8}, {10: 0.8}, {9: 1.0}, {4: 0.6, 7: 0.4, 10: 0.6}, {10: 0.7, 17: 0.5}),
    "repression": (
        {14: 1.0},
        {14: 0.8, 17: 0.6},
        {24: 1.0, 17: 0.5},
        {15: 0.7, 17: 0.8},
        {12: 0.6, 24: 0.8},
        {12: 0.6, 15: 0.9},
    ),
}
"""Emotion -> the ways in which it shows: action unit -> relative strength."""

ONE_SIDED = (10, 12, 14, 15)
"""Units that people can show on one side of the face."""
STRAY_UNITS = (1, 2, 4, 6, 7, 14, 17, 25)
"""Units that now and then move along, whatever the emotion: people are not that tidy, and coders note them."""
STRAY_CHANCE = 0.4
CLEARLY_ONE_SIDED = 3.0
"""Ratio of the sides from which a coder writes L12 or R12."""


@dataclass(frozen=True)
class UnitMotion:
    """One action unit within an expression: strength 0..1 on each side of the face, and how late it starts (frames)."""

    unit: int
    left: float
    right: float
    lag_frame: float = 0.0

    @property
    def label(self) -> str:
        """How a coder writes it: `12`, or `L12` when the other side hardly moves."""
        side = ""
        if self.left >= CLEARLY_ONE_SIDED * self.right:
            side = "L"
        elif self.right >= CLEARLY_ONE_SIDED * self.left:
            side = "R"
        return f"{side}{self.unit}"

    def weights(self) -> np.ndarray:
        """Weights (52,) of the face units at this motion's full strength."""
        names = face_unit_names()
        out = np.zeros(len(names))
        for name, weight in ACTION_UNITS[self.unit].items():
            if name.endswith("*"):
                out[names.index(name[:-1] + "Left")] += weight * self.left
                out[names.index(name[:-1] + "Right")] += weight * self.right
            else:
                out[names.index(name)] += weight * (self.left + self.right) / 2
        return out


def draw_motions(
    rng: np.random.Generator, emotion: str, strength: float, *, lopsided: float, lag_frame: float
) -> tuple[UnitMotion, ...]:
    """One person's way of showing `emotion` this time.

    Args:
        rng: source of the variation in mix, strength, asymmetry and timing.
        emotion: a key of `EMOTIONS`.
        strength: of the whole expression, 1 = as strong as the face allows.
        lopsided: the person's usual asymmetry.
        lag_frame: largest delay between units.
    """
    ways = EMOTIONS[emotion]
    motions = []
    alone = rng.uniform() < 0.12
    way = dict(ways[rng.integers(len(ways))])
    stray = int(rng.choice(STRAY_UNITS))
    if rng.uniform() < STRAY_CHANCE and stray not in way:
        way[stray] = float(rng.uniform(0.3, 0.8))
    for unit, relative in sorted(way.items()):
        amount = float(np.clip(strength * relative * rng.uniform(0.6, 1.3), 0.05, 1.0))
        tilt = float(np.clip(lopsided + rng.normal(0, 0.1), -0.35, 0.35))
        left, right = (amount, amount * (1 - tilt)) if tilt > 0 else (amount * (1 + tilt), amount)
        if alone and unit in ONE_SIDED:
            left, right = (amount, 0.15 * amount) if lopsided > 0 else (0.15 * amount, amount)
        motions.append(UnitMotion(unit, left, right, float(rng.uniform(0, lag_frame))))
    return tuple(motions)
