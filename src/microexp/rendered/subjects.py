"""Who is filmed: any number of people of different sex, age, origin, skin, hair and manner, drawn from a seed.

Person `number` depends on the seed and the number alone, so anybody can be rendered without the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
"""Linear RGB in 0..1."""

ORIGINS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.25, 0.25))
"""Weights of the caucasian, asian and african shapes; four people in a row pair up to differ."""
SKINS: tuple[tuple[Colour, Colour], ...] = (
    ((0.84, 0.65, 0.54), (0.74, 0.54, 0.43)),
    ((0.80, 0.61, 0.48), (0.68, 0.49, 0.36)),
    ((0.46, 0.30, 0.21), (0.28, 0.17, 0.115)),
    ((0.70, 0.49, 0.36), (0.52, 0.35, 0.25)),
)
"""Lightest and darkest skin of each origin."""
HAIRS: tuple[tuple[Colour, ...], ...] = (
    ((0.09, 0.06, 0.04), (0.20, 0.13, 0.08), (0.38, 0.26, 0.14), (0.30, 0.12, 0.05)),
    ((0.035, 0.03, 0.03), (0.06, 0.045, 0.04)),
    ((0.03, 0.025, 0.025), (0.045, 0.035, 0.03)),
    ((0.05, 0.04, 0.03), (0.10, 0.07, 0.045)),
)
IRISES: tuple[tuple[Colour, ...], ...] = (
    ((0.22, 0.40, 0.52), (0.28, 0.38, 0.26), (0.20, 0.13, 0.07)),
    ((0.15, 0.09, 0.05),),
    ((0.12, 0.07, 0.04),),
    ((0.18, 0.11, 0.06), (0.24, 0.24, 0.14)),
)
GREY: Colour = (0.45, 0.45, 0.44)
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Light:
    """One strong and one weak lamp, given by direction, and light from everywhere."""

    key: tuple[float, float, float]
    key_strength: float
    fill: tuple[float, float, float]
    fill_strength: float
    ambient: float


@dataclass(frozen=True)
class RenderedSubject:
    """A person: looks (sex 0 female … 1 male, age 0 young … 1 old, weight 0 thin … 1 heavy) and manner.

    Attributes:
        expressivity: factor on the strength of this person's expressions.
        tempo: factor on their duration.
        lopsided: mean share by which the right half of the face is weaker (negative: the left).
    """

    seed: int
    number: int
    sex: float
    origin: tuple[float, float, float]
    age: float
    weight: float
    features: float
    skin: Colour
    hair: Colour
    iris: Colour
    style: str
    brow: float
    beard: float
    freckles: float
    shirt: Colour
    wall: Colour
    light: Light
    expressivity: float
    tempo: float
    lopsided: float


def make_subject(seed: int, number: int) -> RenderedSubject:
    """Person `number` (from 1). Sex alternates and origins take turns, so that a small group is already mixed."""
    rng = np.random.default_rng([seed, number, 1])
    group = np.random.default_rng([seed, 0, 1])
    male = (number + int(group.integers(2))) % 2 == 1
    origin = int(group.permutation(len(ORIGINS))[(number - 1) // 2 % len(ORIGINS)])
    age = float(((number + float(group.uniform())) * GOLDEN) % 1) * 0.85
    light_skin, dark_skin = np.array(SKINS[origin])
    hair = np.array(HAIRS[origin][rng.integers(len(HAIRS[origin]))])
    grey = max(0.0, (age - 0.5) / 0.35) * rng.uniform(0.6, 1.0)
    styles = ("short", "short", "short", "bald") if male else ("mid", "mid", "long")
    return RenderedSubject(
        seed=seed,
        number=number,
        sex=float(rng.uniform(0.8, 1.0) if male else rng.uniform(0.0, 0.2)),
        origin=_near(ORIGINS[origin], rng),
        age=age,
        weight=float(rng.uniform(0.3, 0.75)),
        features=0.2,
        skin=_colour(light_skin + rng.uniform() * (dark_skin - light_skin)),
        hair=_colour(hair * (1 - grey) + np.array(GREY) * grey),
        iris=_colour(IRISES[origin][rng.integers(len(IRISES[origin]))]),
        style=styles[rng.integers(len(styles))],
        brow=float(rng.uniform(0.9, 1.2) if male else rng.uniform(0.65, 0.85)),
        beard=float(rng.uniform(0.0, 0.5)) if male else 0.0,
        freckles=float(rng.uniform(0.0, 0.5)),
        shirt=_colour(rng.uniform(0.15, 0.5) + rng.uniform(-0.12, 0.12, 3)),
        wall=_colour(rng.uniform(0.42, 0.6) + rng.uniform(-0.04, 0.04, 3)),
        light=_light(rng),
        expressivity=float(np.exp(rng.normal(0, 0.18))),
        tempo=float(np.exp(rng.normal(0, 0.12))),
        lopsided=float(rng.normal(0, 0.12)),
    )


def _colour(values: np.ndarray | Colour) -> Colour:
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def _near(origin: Colour, rng: np.random.Generator) -> Colour:
    mixed = np.array(origin) * 0.85 + 0.15 * rng.dirichlet(np.ones(3))
    return _colour(mixed / mixed.sum())


def _light(rng: np.random.Generator) -> Light:
    side = float(rng.choice([-1.0, 1.0]))
    return Light(
        key=(side * float(rng.uniform(0.2, 0.55)), float(rng.uniform(0.35, 0.6)), 0.75),
        key_strength=float(rng.uniform(0.6, 0.78)),
        fill=(-side * 0.7, float(rng.uniform(0.0, 0.2)), 0.6),
        fill_strength=float(rng.uniform(0.2, 0.34)),
        ambient=float(rng.uniform(0.26, 0.33)),
    )
