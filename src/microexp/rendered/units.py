"""Facial action units (FACS) as combinations of the head's 52 face units, and emotions as combinations of action units.

Sources: Ekman, Friesen & Hager, Facial Action Coding System (2002), for what each unit moves; the combinations are
those that CASME II's coders list for its emotion classes (Yan et al., PLoS ONE 9(1): e86041, 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microexp.rendered.head import face_unit_names

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
