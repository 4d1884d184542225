"""Prepares a person for a camera: everything about them that stays the same from frame to frame."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from microexp.rendered import kernels, shading, texture
from microexp.rendered.head import EYES, face_unit_shapes, load_head, neutral_shape
from microexp.rendered.subjects import RenderedSubject

SHADOW_PX, SHADOW_SCALE = 256, 80.0
SHADOW_CENTRE = np.array([0.0, 7.0, 0.5])
LOCKS_SCALE = np.array([0.91, 1.0, 0.93])
"""Brings the asset's locks close to the head."""
SHIRT_Y = 6.1
"""Height of the shirt's edge at the sides; in front it hangs a little lower."""
LIFT = {"short": 0.06, "mid": 0.13, "long": 0.12, "bald": 0.0}
"""How far hair stands off the scalp (dm)."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on the z axis.

    Attributes:
        scale_px: pixels per decimetre at the plane of the eyes (z = 1.2).
        centre_y: height on which the picture is centred.
        distance: from the origin.
        oversample: samples per pixel along each side.
    """

    width: int
    height: int
    scale_px: float
    centre_y: float = 7.05
    distance: float = 12.0
    oversample: float = 1.25

    def project(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices (N,3) to x, y in px of the picture (pixel centres at .5) and depth, (N,3) float64."""
        depth = self.distance - vertices[:, 2]
        factor = self.scale_px * (self.distance - 1.2) / depth
        x = self.width / 2 + factor * vertices[:, 0]
        y = self.height / 2 - factor * (vertices[:, 1] - self.centre_y)
        return np.stack([x, y, depth], 1)


@dataclass(frozen=True, eq=False, repr=False)
class Actor:
    """Everything about a person that does not change from frame to frame; arrays as the kernels take them."""

    subject: RenderedSubject
    rest: np.ndarray
    units: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    two_sided: np.ndarray
    solid: np.ndarray
    eyes: tuple[np.ndarray, ...]
    follows: np.ndarray
    fixed: np.ndarray
    surface: np.ndarray
    openness: np.ndarray
    hollow: np.ndarray
    links: tuple[np.ndarray, np.ndarray]
    texture: np.ndarray
    palette: np.ndarray
    background: np.ndarray
    scratch: dict[str, np.ndarray] = field(default_factory=dict)


@functools.lru_cache(maxsize=4)
def make_actor(subject: RenderedSubject, camera: Camera) -> Actor:
    """Prepare a person for a camera (about half a second; kept for the last four)."""
    head = load_head()
    size = texture_size(camera)
    picture, hair = texture.paint(subject, size)
    scalp = texture.hair_of_vertices(hair)
    rest = neutral_shape(subject)
    skin = head.groups["body"]
    normals = np.zeros_like(rest)
    kernels.vertex_normals(rest, skin, normals)
    rest += normals * (scalp * LIFT[subject.style] * (head.masks["ears"] <= 0.3))[:, None]
    locks = head.part("helper-hair")  # drawn for long hair only
    rest[locks] = (rest[locks] - texture.CENTRE) * LOCKS_SCALE + texture.CENTRE
    triangles, material = _triangles(subject)
    solid = triangles[(material == shading.SKIN) | (material == shading.HAIR)]
    cloth = _cloth(head.vertices)
    kernels.vertex_normals(rest, triangles, normals)
    links = _links(triangles)
    return Actor(
        subject=subject,
        rest=rest,
        units=face_unit_shapes(),
        triangles=triangles,
        material=material,
        two_sided=(material == shading.LASH) | (material == shading.HAIR),
        solid=solid,
        eyes=tuple(head.part(e) for e in EYES),
        follows=_follows_head(head.vertices, rest),
        fixed=_fixed(rest, cloth, size),
        surface=_surface(scalp, cloth),
        openness=_openness(rest, normals, solid),
        hollow=kernels.hollowness(rest.astype(np.float32), normals.astype(np.float32), *links),
        links=links,
        texture=np.ascontiguousarray(picture, np.float32),
        palette=np.array([subject.skin, subject.hair, subject.iris, subject.shirt], np.float32),
        background=_background(subject, *sample_size(camera)),
    )


def texture_size(camera: Camera) -> int:
    """Texels along a side so that about one falls on each sample: more would flicker, fewer blur."""
    needed = camera.scale_px * camera.oversample * 2 * texture.ANGLE_RAD
    return int(min(texture.PAINT_PX, max(256, round(needed / 64) * 64)))


def sample_size(camera: Camera) -> tuple[int, int]:
    """Height and width of the oversampled picture."""
    return round(camera.height * camera.oversample), round(camera.width * camera.oversample)


def _triangles(subject: RenderedSubject) -> tuple[np.ndarray, np.ndarray]:
    """Triangles to draw (M,3) and what each is made of (M,)."""
    head = load_head()
    middle = head.vertices[head.groups["lash"]].mean(1)
    parts = [
        (head.groups["body"], shading.SKIN),
        (head.groups["helper-l-eye"], shading.EYE),
        (head.groups["helper-r-eye"], shading.EYE),
        (head.groups["helper-upper-teeth"], shading.TEETH),
        (head.groups["helper-lower-teeth"], shading.TEETH),
        (head.groups["helper-tongue"], shading.TONGUE),
        (head.groups["lash"][middle[:, 1] >= 7.285], shading.LASH),
    ]
    if subject.style == "long":
        x, y, z = head.vertices[head.groups["helper-hair"]].mean(1).T
        beside = np.abs(np.arctan2(x, z - 0.25)) > 0.95
        parts.append((head.groups["helper-hair"][beside & (y > 6.15) & (y < 8.0)], shading.HAIR))
    made_of = np.concatenate([np.full(len(t), m, np.int32) for t, m in parts])
    return np.ascontiguousarray(np.concatenate([t for t, _ in parts])), made_of


def _cloth(base: np.ndarray) -> np.ndarray:
    """How far below the shirt's edge each vertex is, 0 on the edge, 1 a little below it."""
    angle = np.arctan2(base[:, 0], base[:, 2] - texture.CENTRE[2])
    return np.asarray((SHIRT_Y - base[:, 1] - 0.12 * np.cos(angle)) / 0.08)


def _follows_head(base: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """How much each vertex turns with the head (1) rather than stays with the shoulders (0), (N,1)."""
    share = texture.smoothstep(5.35, 6.35, rest[:, 1] - 0.25 * (rest[:, 2] < 0))
    return np.where(base[:, 1] > 6.3, 1.0, share)[:, None]


def _fixed(rest: np.ndarray, cloth: np.ndarray, size: int) -> np.ndarray:
    head = load_head()
    place = rest.copy()
    for name in EYES:
        part = head.part(name)
        place[part] -= rest[part].mean(0)
        place[part] /= np.linalg.norm(place[part], axis=1, keepdims=True)
    uv = texture.wrap(head.vertices) * size - 0.5
    columns = [uv, np.stack([head.masks["lips"], head.masks["inside-mouth"], cloth], 1), place]
    return np.ascontiguousarray(np.concatenate(columns, 1), np.float32)


def _surface(scalp: np.ndarray, cloth: np.ndarray) -> np.ndarray:
    """Gloss strength and exponent, and the bleeding of light in R, G, B, per vertex (N,5)."""
    head = load_head()
    skin = np.zeros(len(scalp), bool)
    skin[head.part("body")] = True
    dressed = np.clip(cloth, 0, 1) * skin
    lips = head.masks["lips"]
    gloss = np.where(skin, ((0.18 * (1 - dressed) + 0.35 * lips) * (1 - scalp) + 0.12 * scalp), 0.12)
    bare = (skin & (scalp < 0.5) & (dressed < 0.5))[:, None]
    bleed = np.where(bare, np.array([[0.35, 0.18, 0.12]]), 0.1)
    return np.concatenate([gloss[:, None], (18 + 30 * lips)[:, None], bleed], 1).astype(np.float32)


def _links(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of each vertex: start (N+1,) and their list."""
    edges = np.concatenate([triangles[:, [i, j]] for i in range(3) for j in range(3) if i != j])
    edges = np.unique(edges, axis=0)
    start = np.searchsorted(edges[:, 0], np.arange(len(load_head().vertices) + 1))
    return start.astype(np.int32), edges[:, 1].astype(np.int32)


def _openness(rest: np.ndarray, normals: np.ndarray, solid: np.ndarray, directions: int = 64) -> np.ndarray:
    """Share of the surroundings that each vertex sees, weighed by the angle (ambient occlusion), (N,)."""
    k = np.arange(directions) + 0.5
    z, turn = 1 - 1.3 * k / directions, np.pi * (1 + 5**0.5) * k
    seen, total = np.zeros(len(rest)), np.full(len(rest), 1e-6)
    for d in np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], 1):
        facing = np.clip(normals @ d, 0, None)
        seen += facing * lit_share(rest, solid, d)
        total += facing
    return np.asarray(np.clip(0.25 + 0.85 * seen / total, 0.3, 1), np.float32)


def _background(subject: RenderedSubject, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng([subject.seed, subject.number, 4])
    shade = np.linspace(1.08, 0.85, height)[:, None] + 0.02 * texture.clouds(
        rng, (height, width), 300, octaves=3, gain=0.55
    )
    return (np.array(subject.wall) * shade[..., None]).astype(np.float32)


def lit_share(vertices: np.ndarray, solid: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Share (N,) of a far lamp in `direction` that each vertex sees past the solid triangles."""
    across = np.cross([0.0, 1.0, 0.0], direction)
    across /= np.linalg.norm(across)
    frame = np.stack([across, -np.cross(direction, across), -direction])
    points = (vertices - SHADOW_CENTRE) @ frame.T * np.array([SHADOW_SCALE, SHADOW_SCALE, 1])
    points = (points + np.array([SHADOW_PX / 2, SHADOW_PX / 2, 20])).astype(np.float32)
    depth = np.full((SHADOW_PX, SHADOW_PX), kernels.FAR, np.float32)
    kernels.depth_map(points, solid, depth)
    return np.asarray(kernels.lit_share(points, depth, 0.06, 1.2))
