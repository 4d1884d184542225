"""The compiled loops of the renderer that deal with light: vertices, surfaces, pixels, the camera's sensor.

All arrays are float32 unless said otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from microexp.rendered.kernels import njit

SKIN, EYE, TEETH, TONGUE, LASH, HAIR = range(6)
"""What a triangle is made of."""
TONE_STEPS = 4096
"""Entries of the tone curve, over brightness 0 … TONE_MAX."""
TONE_MAX = 2.0


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
def _eye_colour(x: float, y: float, z: float, iris: np.ndarray, out: np.ndarray) -> None:
    """White, iris with fibres and pupil of an eyeball at direction (x, y, z), which looks along z."""
    angle = math.acos(min(1.0, max(-1.0, z)))
    turn = math.atan2(x, y)
    fibre = 1 + 0.18 * math.sin(turn * 37 + math.sin(turn * 11) * 2) + 0.1 * math.sin(turn * 91)
    in_iris, in_pupil = 1 - _smooth(0.47, 0.53, angle), 1 - _smooth(0.17, 0.23, angle)
    rim = 1 - 0.55 * math.exp(-(((angle - 0.5) / 0.05) ** 2))
    white, shade = 1 - 0.10 * _smooth(0.5, 1.3, angle), 0.75 + 0.5 * _smooth(0.2, 0.5, angle)
    for k in range(3):
        colour = (0.85 - 0.025 * k) * white * (1 - in_iris) + iris[k] * fibre * shade * in_iris
        out[k] = colour * rim * (1 - in_pupil) + 0.015 * in_pupil


@njit
def _texel(texture: np.ndarray, u: float, v: float, out: np.ndarray) -> None:
    """The texture between its four nearest texels."""
    x, y = min(max(u, 0.0), texture.shape[0] - 1.001), min(max(v, 0.0), texture.shape[0] - 1.001)
    j, i = int(x), int(y)
    fx, fy = np.float32(x - j), np.float32(y - i)
    gx, gy = np.float32(1) - fx, np.float32(1) - fy
    for k in range(3):
        upper = texture[i, j, k] * gx + texture[i, j + 1, k] * fx
        lower = texture[i + 1, j, k] * gx + texture[i + 1, j + 1, k] * fx
        out[k] = upper * gy + lower * fy


@njit
def _mix(colour: np.ndarray, share: float, red: float, green: float, blue: float) -> None:
    colour[0] += share * (red - colour[0])
    colour[1] += share * (green - colour[1])
    colour[2] += share * (blue - colour[2])


@njit
def _skin_colour(attributes: np.ndarray, texture: np.ndarray, palette: np.ndarray, out: np.ndarray) -> None:
    """Skin and painted hair, with the lips' red, the dark of the mouth, and the shirt."""
    _texel(texture, attributes[0], attributes[1], out)
    lip, mouth, cloth = attributes[2], attributes[3], attributes[4]
    if lip > 0:
        _mix(out, np.float32(0.75) * lip, 0.80 * palette[0, 0], 0.58 * palette[0, 1], 0.62 * palette[0, 2])
    if mouth > np.float32(0.35):
        _mix(out, _smooth(0.35, 0.8, mouth) * (1 - lip), 0.25, 0.08, 0.10)
    if cloth > 0:
        weave = 1 + 0.05 * math.sin(attributes[5] * 70) * math.sin(attributes[6] * 70)
        edge = _smooth(0.0, 1.0, cloth)
        _mix(out, edge, palette[3, 0] * weave, palette[3, 1] * weave, palette[3, 2] * weave)


@njit
def _glint(x: float, y: float, z: float, glints: np.ndarray) -> float:
    """The lamps' highlights on an eye with a surface that faces (x, y, z)."""
    length, total = 1 / math.sqrt(x * x + y * y + z * z), 0.0
    for k in range(2):
        middle = (x * glints[k, 0] + y * glints[k, 1] + z * glints[k, 2]) * length
        if middle > 0.9:
            total += 0.9 * glints[k, 3] * middle**220
    return total


@njit
def _albedo(made_of: int, attributes: np.ndarray, texture: np.ndarray, palette: np.ndarray, out: np.ndarray) -> None:
    """Colour of the surface itself, by what it is made of."""
    x, y, z = attributes[5], attributes[6], attributes[7]
    if made_of == SKIN:
        _skin_colour(attributes, texture, palette, out)
    elif made_of == LASH:
        _texel(texture, attributes[0], attributes[1], out)
        for k in range(3):
            out[k] = 0.175 * palette[1, k] + 0.49 * out[k]
    elif made_of == EYE:
        length = 1 / math.sqrt(x * x + y * y + z * z)
        _eye_colour(x * length, y * length, z * length, palette[2], out)
    elif made_of == HAIR:
        phase = x * 60 + z * 40 + 2 * math.sin(y * 5 + x * 3)
        fine = 0.10 * math.sin(phase * 2.7 + 1) + 0.08 * math.sin(phase * 6.1 + 2)
        for k in range(3):
            out[k] = palette[1, k] * (1 + 0.16 * math.sin(phase) + fine)
    elif made_of == TONGUE:
        out[0], out[1], out[2] = 0.55, 0.28, 0.30
    else:
        out[0], out[1], out[2] = 0.79, 0.75, 0.70


@njit
def colour_pixels(
    index: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    triangles: np.ndarray,
    material: np.ndarray,
    fixed: np.ndarray,
    light: np.ndarray,
    texture: np.ndarray,
    palette: np.ndarray,
    glints: np.ndarray,
    out: np.ndarray,
) -> None:
    """Colour every covered pixel of `out` (H,W,3, linear RGB, holding the background).

    `fixed` (N,8) is what moves with a vertex: texture x, y (texels), lip, mouth, shirt, and its place at rest (for
    eyes: direction in the eyeball). `light` (N,8) comes from `light_vertices`. `palette` (4,3) is skin, hair, iris,
    shirt; `glints` (2,4) half-way direction and strength of each lamp for the eyes' highlights.
    """
    height, width = index.shape
    albedo, attributes, shine = np.empty(3, np.float32), np.empty(8, np.float32), np.empty(8, np.float32)
    for y in range(height):
        for x in range(width):
            t = index[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            wa, wb = first[y, x], second[y, x]
            wc = np.float32(1) - wa - wb
            for k in range(8):
                attributes[k] = wa * fixed[a, k] + wb * fixed[b, k] + wc * fixed[c, k]
                shine[k] = wa * light[a, k] + wb * light[b, k] + wc * light[c, k]
            _albedo(material[t], attributes, texture, palette, albedo)
            if material[t] == EYE:
                shine[3] = _glint(shine[4], shine[5], shine[6], glints)
            for k in range(3):
                out[y, x, k] = albedo[k] * shine[k] + shine[3]


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
