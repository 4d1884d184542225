"""The compiled inner loops of the renderer: rasterise, light vertices, colour pixels, add the sensor's noise.

All arrays are float32 unless said otherwise; pictures are (H,W[,3]), pixel (x, y) is sampled at (x + 0.5, y + 0.5).
Nothing here depends on threads; every picture is computed by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

SKIN, EYE, TEETH, TONGUE, LASH, HAIR = range(6)
"""What a triangle is made of."""
FAR = np.float32(1e9)
TONE_STEPS = 4096
"""Entries of the tone curve, over brightness 0 … TONE_MAX."""
TONE_MAX = 2.0


def njit(function: F) -> F:
    """Compile a kernel.

    Without fast maths: with it, the order of additions, and so the last bit of a result, hangs on whether the code was
    compiled just now or comes from the cache.
    """
    compiled: F = numba.njit(cache=True, error_model="numpy", fastmath=False)(function)
    return compiled


@njit
def rasterise(
    points: np.ndarray,
    triangles: np.ndarray,
    two_sided: np.ndarray,
    depth: np.ndarray,
    index: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> None:
    """Fill, per pixel, the nearest triangle and the weights of its first and second corner.

    `points` (N,3) are x, y (px) and depth; triangles that turn clockwise on the screen are seen from behind and left
    out unless `two_sided` (M,). `depth` must hold `FAR` and `index` -1 before.
    """
    height, width = depth.shape
    zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area > np.float32(-1e-6) and (not two_sided[t] or area < np.float32(1e-6)):
            continue
        left = max(0, math.floor(min(x0, x1, x2) - half))
        right = min(width - 1, int(max(x0, x1, x2) + half))
        top = max(0, math.floor(min(y0, y1, y2) - half))
        bottom = min(height - 1, int(max(y0, y1, y2) + half))
        z0, z1, z2 = points[a, 2], points[b, 2], points[c, 2]
        inverse = one / area
        step0, step1 = (y1 - y2) * inverse, (y2 - y0) * inverse  # change of the weights per pixel to the right
        for y in range(top, bottom + 1):
            py, px = y + half, left + half
            w0 = ((x1 - px) * (y2 - py) - (x2 - px) * (y1 - py)) * inverse
            w1 = ((x2 - px) * (y0 - py) - (x0 - px) * (y2 - py)) * inverse
            for x in range(left, right + 1):
                w2 = one - w0 - w1
                if w0 >= zero and w1 >= zero and w2 >= zero:
                    z = w0 * z0 + w1 * z1 + w2 * z2
                    if z < depth[y, x]:
                        depth[y, x] = z
                        index[y, x] = t
                        first[y, x] = w0
                        second[y, x] = w1
                w0 += step0
                w1 += step1


@njit
def depth_map(points: np.ndarray, triangles: np.ndarray, depth: np.ndarray) -> None:
    """Nearest depth per pixel of all triangles, seen from both sides; `depth` must hold `FAR` before."""
    height, width = depth.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < np.float32(1e-6):
            continue
        inverse = np.float32(1) / area
        for y in range(max(0, int(min(y0, y1, y2))), min(height - 1, int(max(y0, y1, y2))) + 1):
            for x in range(max(0, int(min(x0, x1, x2))), min(width - 1, int(max(x0, x1, x2))) + 1):
                px, py = x + np.float32(0.5), y + np.float32(0.5)
                w0 = ((x1 - px) * (y2 - py) - (x2 - px) * (y1 - py)) * inverse
                w1 = ((x2 - px) * (y0 - py) - (x0 - px) * (y2 - py)) * inverse
                w2 = np.float32(1) - w0 - w1
                if w0 >= 0 and w1 >= 0 and w2 >= 0:
                    z = w0 * points[a, 2] + w1 * points[b, 2] + w2 * points[c, 2]
                    depth[y, x] = min(depth[y, x], z)


@njit
def lit_share(points: np.ndarray, depth: np.ndarray, bias: float, reach_px: float) -> np.ndarray:
    """How much of each point (N,3; in the map's px and depth) a lamp with this depth map sees: (N,) in 0..1."""
    size = depth.shape[0]
    out = np.empty(points.shape[0], np.float32)
    for i in range(points.shape[0]):
        seen = 0
        for oy in range(-1, 2):
            for ox in range(-1, 2):
                y, x = int(points[i, 1] + oy * reach_px), int(points[i, 0] + ox * reach_px)
                if x < 0 or y < 0 or x >= size or y >= size or points[i, 2] < depth[y, x] + bias:
                    seen += 1
        out[i] = seen / 9.0
    return out


@njit
def vertex_normals(vertices: np.ndarray, triangles: np.ndarray, normals: np.ndarray) -> None:
    """Unit normals (N,3) of a mesh: the mean of the triangles round each vertex, by area."""
    normals[:] = 0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in range(3):
            normals[triangles[t, k], 0] += nx
            normals[triangles[t, k], 1] += ny
            normals[triangles[t, k], 2] += nz
    for i in range(normals.shape[0]):
        length = math.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2) + 1e-12
        for k in range(3):
            normals[i, k] = normals[i, k] / length


@njit
def hollowness(vertices: np.ndarray, normals: np.ndarray, start: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Mean curvature as a plain number (N,): how far the neighbours lie above a vertex, by their distance.

    Positive in a crease, negative on a ridge. `neighbours[start[i]:start[i + 1]]` are vertex i's.
    """
    out = np.zeros(vertices.shape[0], np.float32)
    for i in range(vertices.shape[0]):
        height, length = 0.0, 1e-9
        for j in neighbours[start[i] : start[i + 1]]:
            dx, dy, dz = (
                vertices[j, 0] - vertices[i, 0],
                vertices[j, 1] - vertices[i, 1],
                vertices[j, 2] - vertices[i, 2],
            )
            height += dx * normals[i, 0] + dy * normals[i, 1] + dz * normals[i, 2]
            length += math.sqrt(dx * dx + dy * dy + dz * dz)
        out[i] = height / length
    return out


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
    """The lamps' highlights on an eye whose surface faces (x, y, z)."""
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
