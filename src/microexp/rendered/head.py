"""The CC0 head: mesh, masks and displacement targets, and how a person's neutral head is mixed from them.

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
