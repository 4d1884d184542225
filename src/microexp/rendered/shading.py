"""The compiled loops of the renderer that deal with light: vertices, surfaces, pixels, the camera's sensor.

All arrays are float32 unless said otherwise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from microexp.rendered.kernels import njit

SKIN, EYE, TEETH, TONGUE, LASH, HAIR = range(6)
"""What a triangle is made of."""
TONE_STEPS = 4096
"""Entries of the tone curve, over brightness 0 … TONE_MAX."""
TONE_MAX = 2.0
Number = Any
"""float32 or float64, as the arithmetic makes it."""
Colour = tuple[Number, Number, Number]
"""Linear RGB. Scalars and tuples, no small arrays: with them a pixel took twice as long."""


@njit
def light_vertices(
    vertices: np.ndarray,
    normals: np.ndarray,
    surface: np.ndarray,
    lamps: np.ndarray,
    ambient: float,
    eye: np.ndarray,
    seen: np.ndarray,
    openness: np.ndarray,
    out: np.ndarray,
) -> None:
    """Light that falls on and glances off each vertex: `out` (N,8) = diffuse RGB, gloss, normal, lit share.

    `surface` (N,5) is gloss strength, gloss exponent and how far light bleeds round the terminator in R, G, B
    (wrapped Lambert). `lamps` (2,4) are unit direction and strength of key and fill; `eye` (3,) the camera's place;
    `seen` (N,) the key's lit share; `openness` (N,) dims creases.
    """
    for i in range(vertices.shape[0]):
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        vx, vy, vz = eye[0] - vertices[i, 0], eye[1] - vertices[i, 1], eye[2] - vertices[i, 2]
        length = 1 / math.sqrt(vx * vx + vy * vy + vz * vz)
        vx, vy, vz = vx * length, vy * length, vz * length
        sky = ambient * (0.75 + 0.25 * ny)
        red, green, blue, gloss = sky, sky, sky, 0.0
        for k in range(2):
            lx, ly, lz, strength = lamps[k, 0], lamps[k, 1], lamps[k, 2], lamps[k, 3]
            if k == 0:
                strength *= 0.15 + 0.85 * seen[i]
            facing = nx * lx + ny * ly + nz * lz
            red += strength * min(1.0, max(0.0, (facing + surface[i, 2]) / (1 + surface[i, 2])))
            green += strength * min(1.0, max(0.0, (facing + surface[i, 3]) / (1 + surface[i, 3])))
            blue += strength * min(1.0, max(0.0, (facing + surface[i, 4]) / (1 + surface[i, 4])))
            hx, hy, hz = lx + vx, ly + vy, lz + vz
            middle = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz)
            if middle > 0:
                gloss += surface[i, 0] * strength * middle ** surface[i, 1]
        out[i, 0], out[i, 1], out[i, 2] = red * openness[i], green * openness[i], blue * openness[i]
        out[i, 3] = gloss * openness[i]
        out[i, 4], out[i, 5], out[i, 6], out[i, 7] = nx, ny, nz, seen[i]


@njit
def _smooth(low: float, high: float, x: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@njit
def _rgb(red: Number, green: Number, blue: Number) -> Colour:
    return np.float32(red), np.float32(green), np.float32(blue)


@njit
def _eye_colour(x: Number, y: Number, z: Number, palette: np.ndarray) -> Colour:
    """White, iris with fibres and pupil of an eyeball at direction (x, y, z), which looks along z."""
    angle = math.acos(min(1.0, max(-1.0, z)))
    turn = math.atan2(x, y)
    fibre = 1 + 0.18 * math.sin(turn * 37 + math.sin(turn * 11) * 2) + 0.1 * math.sin(turn * 91)
    in_iris, in_pupil = 1 - _smooth(0.47, 0.53, angle), 1 - _smooth(0.17, 0.23, angle)
    rim = 1 - 0.55 * math.exp(-(((angle - 0.5) / 0.05) ** 2))
    white, shade = 1 - 0.10 * _smooth(0.5, 1.3, angle), 0.75 + 0.5 * _smooth(0.2, 0.5, angle)
    red = 0.85 * white * (1 - in_iris) + palette[2, 0] * fibre * shade * in_iris
    green = (0.85 - 0.025) * white * (1 - in_iris) + palette[2, 1] * fibre * shade * in_iris
    blue = (0.85 - 0.025 * 2) * white * (1 - in_iris) + palette[2, 2] * fibre * shade * in_iris
    dark, seen = 0.015 * in_pupil, 1 - in_pupil
    return (
        np.float32(red * rim * seen + dark),
        np.float32(green * rim * seen + dark),
        np.float32(blue * rim * seen + dark),
    )


@njit
def _between(texture: np.ndarray, i: int, j: int, k: int, fx: Number, fy: Number) -> Number:
    upper = texture[i, j, k] * (np.float32(1) - fx) + texture[i, j + 1, k] * fx
    lower = texture[i + 1, j, k] * (np.float32(1) - fx) + texture[i + 1, j + 1, k] * fx
    return upper * (np.float32(1) - fy) + lower * fy


@njit
def _texel(texture: np.ndarray, u: Number, v: Number) -> Colour:
    """The texture between its four nearest texels."""
    x, y = min(max(u, 0.0), texture.shape[0] - 1.001), min(max(v, 0.0), texture.shape[0] - 1.001)
    j, i = int(x), int(y)
    fx, fy = np.float32(x - j), np.float32(y - i)
    return (
        _between(texture, i, j, 0, fx, fy),
        _between(texture, i, j, 1, fx, fy),
        _between(texture, i, j, 2, fx, fy),
    )


@njit
def _mix(colour: Colour, share: Number, red: Number, green: Number, blue: Number) -> Colour:
    return (
        np.float32(colour[0] + share * (red - colour[0])),
        np.float32(colour[1] + share * (green - colour[1])),
        np.float32(colour[2] + share * (blue - colour[2])),
    )


@njit
def _skin_colour(
    colour: Colour, lip: Number, mouth: Number, cloth: Number, x: Number, y: Number, palette: np.ndarray
) -> Colour:
    """Skin and painted hair of the texture, with the lips' red, the dark of the mouth, and the shirt."""
    if lip > 0:
        colour = _mix(colour, np.float32(0.75) * lip, 0.80 * palette[0, 0], 0.58 * palette[0, 1], 0.62 * palette[0, 2])
    if mouth > np.float32(0.35):
        colour = _mix(colour, _smooth(0.35, 0.8, mouth) * (1 - lip), 0.25, 0.08, 0.10)
    if cloth > 0:
        weave = 1 + 0.05 * math.sin(x * 70) * math.sin(y * 70)
        edge = _smooth(0.0, 1.0, cloth)
        colour = _mix(colour, edge, palette[3, 0] * weave, palette[3, 1] * weave, palette[3, 2] * weave)
    return colour


@njit
def _lash_colour(painted: Colour, palette: np.ndarray) -> Colour:
    """Lashes: the hair's colour over the texture's."""
    return (
        np.float32(0.175 * palette[1, 0] + 0.49 * painted[0]),
        np.float32(0.175 * palette[1, 1] + 0.49 * painted[1]),
        np.float32(0.175 * palette[1, 2] + 0.49 * painted[2]),
    )


@njit
def _hair_colour(x: Number, y: Number, z: Number, palette: np.ndarray) -> Colour:
    """Strands."""
    phase = x * 60 + z * 40 + 2 * math.sin(y * 5 + x * 3)
    fine = 0.10 * math.sin(phase * 2.7 + 1) + 0.08 * math.sin(phase * 6.1 + 2)
    bright = 1 + 0.16 * math.sin(phase) + fine
    return (
        np.float32(palette[1, 0] * bright),
        np.float32(palette[1, 1] * bright),
        np.float32(palette[1, 2] * bright),
    )


@njit
def _glint(x: Number, y: Number, z: Number, glints: np.ndarray) -> Number:
    """The lamps' highlights on an eye with a surface that faces (x, y, z)."""
    length, total = 1 / math.sqrt(x * x + y * y + z * z), 0.0
    for k in range(2):
        middle = (x * glints[k, 0] + y * glints[k, 1] + z * glints[k, 2]) * length
        if middle > 0.9:
            total += 0.9 * glints[k, 3] * middle**220
    return total


@njit
def _weighted(values: np.ndarray, k: int, corners: tuple[int, int, int], weights: Colour) -> Number:
    """Number k of the corners' values, by their weights."""
    (a, b, c), (wa, wb, wc) = corners, weights
    return wa * values[a, k] + wb * values[b, k] + wc * values[c, k]


@njit
def colour_pixels(
    index: np.ndarray, first: np.ndarray, second: np.ndarray, triangles: np.ndarray, material: np.ndarray,
    fixed: np.ndarray, light: np.ndarray, texture: np.ndarray, palette: np.ndarray, glints: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Colour every covered pixel of `out` (H,W,3, linear RGB, holding the background).

    `fixed` (N,8) is what moves with a vertex: texture x, y (texels), lip, mouth, shirt, and its place at rest (for
    eyes: direction in the eyeball). `light` (N,8) comes from `light_vertices`. `palette` (4,3) is skin, hair, iris,
    shirt; `glints` (2,4) half-way direction and strength of each lamp for the eyes' highlights.
    """
    height, width = index.shape
    for y in range(height):
        for x in range(width):
            t = index[y, x]
            if t < 0:
                continue
            at = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            by = first[y, x], second[y, x], np.float32(1) - first[y, x] - second[y, x]
            px, py, pz = _weighted(fixed, 5, at, by), _weighted(fixed, 6, at, by), _weighted(fixed, 7, at, by)
            made_of, shine = material[t], _weighted(light, 3, at, by)
            if made_of == SKIN:
                painted = _texel(texture, _weighted(fixed, 0, at, by), _weighted(fixed, 1, at, by))
                lip, mouth, cloth = (
                    _weighted(fixed, 2, at, by),
                    _weighted(fixed, 3, at, by),
                    _weighted(fixed, 4, at, by),
                )
                colour = _skin_colour(painted, lip, mouth, cloth, px, py, palette)
            elif made_of == LASH:
                painted = _texel(texture, _weighted(fixed, 0, at, by), _weighted(fixed, 1, at, by))
                colour = _lash_colour(painted, palette)
            elif made_of == EYE:
                length = 1 / math.sqrt(px * px + py * py + pz * pz)
                colour = _eye_colour(px * length, py * length, pz * length, palette)
                nx, ny, nz = _weighted(light, 4, at, by), _weighted(light, 5, at, by), _weighted(light, 6, at, by)
                shine = np.float32(_glint(nx, ny, nz, glints))
            elif made_of == HAIR:
                colour = _hair_colour(px, py, pz, palette)
            elif made_of == TONGUE:
                colour = _rgb(0.55, 0.28, 0.30)
            else:
                colour = _rgb(0.79, 0.75, 0.70)
            out[y, x, 0] = colour[0] * _weighted(light, 0, at, by) + shine
            out[y, x, 1] = colour[1] * _weighted(light, 1, at, by) + shine
            out[y, x, 2] = colour[2] * _weighted(light, 2, at, by) + shine


@njit
def expose(linear: np.ndarray, tone: np.ndarray, noise: float, key: int, out: np.ndarray) -> None:
    """Linear RGB (H,W,3) to 8 bits through the tone curve, with sensor noise of `noise` grey levels (sd).

    The noise is a hash of `key` and the pixel's number (Wellons' lowbias32), so that every frame can be rendered
    alone; four bytes of it added up are nearly normal.
    """
    flat, result = linear.reshape(-1), out.reshape(-1)
    scale = np.float32(noise / 147.8)  # sd of the sum of four uniform bytes
    steps = np.float32((TONE_STEPS - 1) / TONE_MAX)
    for i in range(flat.size):
        place = min(max(flat[i] * steps, np.float32(0)), np.float32(TONE_STEPS - 1.001))
        j = int(place)
        value = tone[j] + (tone[j + 1] - tone[j]) * (place - np.float32(j))
        h = np.uint32(i) ^ np.uint32(key)
        h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D))
        h = np.uint32((h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B))
        h = np.uint32(h ^ (h >> np.uint32(16)))
        total = (h & np.uint32(255)) + ((h >> np.uint32(8)) & np.uint32(255))
        total += ((h >> np.uint32(16)) & np.uint32(255)) + (h >> np.uint32(24))
        value += scale * (np.float32(total) - np.float32(510)) + np.float32(0.5)
        result[i] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
