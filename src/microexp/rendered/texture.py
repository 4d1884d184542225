"""A person's skin, brows, hair and beard as a picture wrapped round the head, with fine relief baked in.

The wrap is a cylinder round the head's axis: angle -2.2 … 2.2 rad from left to right, y 1.3 … -1.6 dm from top to
bottom, relative to `CENTRE`.
"""

from __future__ import annotations

import cv2
import numpy as np

from microexp.rendered.head import load_head
from microexp.rendered.subjects import RenderedSubject

CENTRE = np.array([0.0, 7.35, 0.25])
ANGLE_RAD, TOP, HEIGHT = 2.2, 1.3, 2.9
PAINT_PX = 1024
"""Everything is painted at this size and shrunk to what a camera needs, so that looks do not depend on the camera."""


def wrap(vertices: np.ndarray) -> np.ndarray:
    """Texture coordinates (N,2) in 0..1 of points (N,3) on the base head."""
    d = vertices - CENTRE
    angle = np.arctan2(d[:, 0], d[:, 2])
    return np.stack([(angle + ANGLE_RAD) / (2 * ANGLE_RAD), (TOP - d[:, 1]) / HEIGHT], 1)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; turned round when low > high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def clouds(rng: np.random.Generator, shape: tuple[int, int], cell_px: int, *, octaves: int, gain: float) -> np.ndarray:
    """Fractal noise of about unit strength, its coarsest detail `cell_px` wide, (H,W) float32."""
    out = np.zeros(shape, np.float32)
    strength = 1.0
    for octave in range(octaves):
        cell = max(1, cell_px >> octave)
        grid = rng.standard_normal((shape[0] // cell + 3, shape[1] // cell + 3), np.float32)
        size = (grid.shape[1] * cell, grid.shape[0] * cell)
        out += strength * cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]]
        strength *= gain
    return out


def paint(subject: RenderedSubject, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Albedo (size,size,3) linear RGB with relief baked in, and how much each point is scalp hair (size,size)."""
    rng = np.random.default_rng([subject.seed, subject.number, 3])
    line = np.linspace(0, 1, PAINT_PX, endpoint=False, dtype=np.float32)
    angle, y = np.meshgrid(line * 2 * ANGLE_RAD - ANGLE_RAD, TOP - line * HEIGHT)
    albedo, relief = _skin(subject, rng, angle, y)
    brows = _brows(subject, rng)[..., None]
    albedo = albedo * (1 - brows) + np.array(subject.hair, np.float32) * 1.05 * brows
    hair = _hair_mask(subject, rng, angle, y)
    strands = rng.standard_normal((PAINT_PX, PAINT_PX), np.float32)
    strands = cv2.GaussianBlur(strands, (0, 0), sigmaX=0.9, sigmaY=14)
    strands /= strands.std()
    if subject.style == "bald":
        hair = np.zeros_like(hair)
    h = hair[..., None]
    albedo = albedo * (1 - h) + np.array(subject.hair, np.float32) * (1 + 0.22 * strands[..., None]) * h
    relief = relief * (1 - hair) + 2 * strands * hair
    albedo = np.clip(albedo * _embossed(relief, subject)[..., None], 0.01, 1)
    size = (size_px, size_px)
    return cv2.resize(albedo, size, interpolation=cv2.INTER_AREA), cv2.resize(hair, size, interpolation=cv2.INTER_AREA)


def hair_of_vertices(hair: np.ndarray) -> np.ndarray:
    """The scalp mask read at the head's vertices, (N,)."""
    uv = (wrap(load_head().vertices) * hair.shape[0] - 0.5).astype(np.float32)
    read = cv2.remap(hair, uv[None, :, 0], uv[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read[0])


def _embossed(relief: np.ndarray, subject: RenderedSubject) -> np.ndarray:
    """Light and shade that the key lamp draws on pores and strands."""
    smooth = cv2.GaussianBlur(relief, (0, 0), 0.8)
    side, up, _ = subject.light.key
    slope = up * cv2.Sobel(smooth, cv2.CV_32F, 0, 1) - side * cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    return np.asarray(np.clip(1 + 0.028 * slope, 0.6, 1.4))


def _blob(angle: np.ndarray, y: np.ndarray, at: tuple[float, float], width: tuple[float, float]) -> np.ndarray:
    return np.asarray(np.exp(-(((angle - at[0]) / width[0]) ** 2) - ((y - at[1]) / width[1]) ** 2))


def _skin(
    subject: RenderedSubject, rng: np.random.Generator, angle: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Skin (P,P,3) and its relief (P,P): mottles, blush, shadows under the eyes, freckles, moles, stubble."""
    shape = angle.shape
    skin = np.ones((*shape, 3), np.float32) * np.array(subject.skin, np.float32)
    fine = clouds(rng, shape, 6, octaves=3, gain=0.7)
    red = clouds(rng, shape, 64, octaves=3, gain=0.55)
    skin *= 1 + 0.045 * clouds(rng, shape, 160, octaves=4, gain=0.55)[..., None] * np.array([1, 0.8, 0.6], np.float32)
    skin *= 1 + red[..., None] * np.array([0.025, -0.02, -0.02], np.float32)
    skin *= 1 + 0.05 * fine[..., None]
    blush = _blob(angle, y, (0.55, -0.15), (0.28, 0.22)) + _blob(angle, y, (-0.55, -0.15), (0.28, 0.22))
    blush += 0.8 * _blob(angle, y, (0, -0.12), (0.12, 0.14))
    skin *= 1 + blush[..., None] * np.array([0.02, -0.09, -0.10], np.float32)
    tired = _blob(angle, y, (0.30, 0.02), (0.16, 0.055)) + _blob(angle, y, (-0.30, 0.02), (0.16, 0.055))
    skin *= 1 - 0.14 * tired[..., None] * np.array([0.8, 1, 0.7], np.float32)
    skin *= 1 - _spots(subject, rng)[..., None] * np.array([0.5, 0.65, 0.75], np.float32)
    if subject.beard > 0:
        place = _blob(angle, y, (0, -0.85), (0.75, 0.28)) + _blob(angle, y, (0, -0.46), (0.25, 0.06))
        place += _blob(angle, y, (0.75, -0.62), (0.28, 0.35)) + _blob(angle, y, (-0.75, -0.62), (0.28, 0.35))
        stubble = cv2.GaussianBlur((rng.random(shape, np.float32) < 0.35).astype(np.float32), (0, 0), 0.8)
        dark = subject.beard * np.clip(place, 0, 1) * (0.35 + 0.8 * stubble)
        skin *= 1 - dark[..., None] * np.array([0.75, 0.7, 0.55], np.float32)
    return skin, 0.5 * fine + 0.5 * clouds(rng, shape, 3, octaves=2, gain=0.55)


def _spots(subject: RenderedSubject, rng: np.random.Generator) -> np.ndarray:
    """Freckles and a few moles: how dark each point is, 0..1."""
    canvas = np.zeros((PAINT_PX, PAINT_PX), np.float32)
    for _ in range(int(250 * subject.freckles)):
        centre = (int(rng.normal(512, 110) * 8), int(rng.normal(480, 90) * 8))
        cv2.circle(canvas, centre, int(rng.uniform(8, 17)), float(rng.uniform(0.1, 0.35)), -1, cv2.LINE_AA, 3)
    for _ in range(int(rng.integers(2, 7))):
        centre = (int(rng.uniform(340, 690) * 8), int(rng.uniform(330, 720) * 8))
        cv2.circle(canvas, centre, int(rng.uniform(14, 26)), 0.6, -1, cv2.LINE_AA, 3)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.9))


def _brows(subject: RenderedSubject, rng: np.random.Generator) -> np.ndarray:
    """Eyebrows, hair by hair: coverage 0..1."""
    canvas = np.zeros((PAINT_PX, PAINT_PX), np.float32)
    for side in (1, -1):
        arch, base = rng.uniform(0.025, 0.05), rng.uniform(0.075, 0.10)
        inner, outer = 0.085, rng.uniform(0.43, 0.47)
        for t in rng.uniform(0, 1, 420):
            y = base + arch * np.sin(np.pi * min(1, t * 1.15)) - 0.075 * max(0, t - 0.55)
            y += rng.uniform(-0.8, 0.8) * 0.038 * subject.brow * (1 - 0.65 * t**2) * (0.75 + 0.5 * min(1, t * 4))
            lean, length = np.deg2rad(70 - 62 * min(1, t * 1.6)), 0.06 * rng.uniform(0.6, 1)
            root = np.array([(inner + (outer - inner) * t) * side, y])
            tip = root + length * np.array([side * np.cos(lean), np.sin(lean)])
            ends = [_texel(root), _texel(tip)]
            cv2.line(canvas, ends[0], ends[1], float(rng.uniform(0.35, 0.9)), 1, cv2.LINE_AA, 3)
    return np.asarray(np.clip(cv2.GaussianBlur(canvas, (0, 0), 1.0) * 1.05, 0, 0.92))


def _texel(point: np.ndarray) -> tuple[int, int]:
    """(angle, y) in eighths of a texel, as cv2 draws with shift 3."""
    x = (point[0] + ANGLE_RAD) / (2 * ANGLE_RAD) * PAINT_PX * 8
    return int(x), int((TOP - point[1]) / HEIGHT * PAINT_PX * 8)


def _hair_mask(subject: RenderedSubject, rng: np.random.Generator, angle: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where the scalp's hair grows, 0..1: above a hairline that falls towards the ears and spares them."""
    away = np.abs(angle)
    top = rng.uniform(0.50, 0.60) + (0.06 if subject.sex > 0.5 else 0.0)
    line = top - 0.05 * np.cos(angle * 4) * (away < 0.8) - (top + 0.36) * smoothstep(0.62, 1.2, away)
    line -= 0.55 * smoothstep(1.5, 1.95, away)
    mask = smoothstep(-0.035, 0.06, y - line + 0.03 * clouds(rng, angle.shape, 40, octaves=3, gain=0.55))
    ear = np.exp(-(((away - 1.42) / 0.2) ** 2) - ((y + 0.22) / 0.33) ** 2)
    return np.asarray(mask * (1 - smoothstep(0.2, 0.6, ear) * (y < 0.12)), np.float32)
