"""The compiled inner loops of the renderer: rasterise, light vertices, colour pixels, add the sensor's noise.

All arrays are float32 unless said otherwise; pictures are (H,W[,3]), pixel (x, y) is sampled at (x + 0.5, y + 0.5).
Nothing here depends on threads; every picture is computed by one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SKIN, EYE, TEETH, TONGUE, LASH, HAIR = range(6)
"""What a triangle is made of."""
FAR = np.float32(1e9)
TONE_STEPS = 4096
"""Entries of the tone curve, over brightness 0 … TONE_MAX."""
TONE_MAX = 2.0


@njit(cache=True, fastmath=True)
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
        left = max(0, int(math.floor(min(x0, x1, x2) - half)))
        right = min(width - 1, int(max(x0, x1, x2) + half))
        top = max(0, int(math.floor(min(y0, y1, y2) - half)))
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


@njit(cache=True, fastmath=True)
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


@njit(cache=True, fastmath=True)
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


@njit(cache=True, fastmath=True)
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


@njit(cache=True, fastmath=True)
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


@njit(cache=True, fastmath=True)
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


@njit(cache=True, fastmath=True)
def _smooth(low: float, high: float, x: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@njit(cache=True, fastmath=True)
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


@njit(cache=True, fastmath=True)
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
    size = texture.shape[0]
    albedo = np.empty(3, np.float32)
    one = np.float32(1)
    for y in range(height):
        for x in range(width):
            t = index[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            wa, wb = first[y, x], second[y, x]
            wc = one - wa - wb
            made_of = material[t]
            gloss = wa * light[a, 3] + wb * light[b, 3] + wc * light[c, 3]
            if made_of == SKIN or made_of == LASH:
                u = wa * fixed[a, 0] + wb * fixed[b, 0] + wc * fixed[c, 0]
                v = wa * fixed[a, 1] + wb * fixed[b, 1] + wc * fixed[c, 1]
                u = min(max(u, np.float32(0)), np.float32(size - 1.001))
                v = min(max(v, np.float32(0)), np.float32(size - 1.001))
                j, i = int(u), int(v)
                fu, fv = u - np.float32(j), v - np.float32(i)
                for k in range(3):
                    upper = texture[i, j, k] * (one - fu) + texture[i, j + 1, k] * fu
                    lower = texture[i + 1, j, k] * (one - fu) + texture[i + 1, j + 1, k] * fu
                    albedo[k] = upper * (one - fv) + lower * fv
                if made_of == LASH:
                    for k in range(3):
                        albedo[k] = np.float32(0.175) * palette[1, k] + np.float32(0.49) * albedo[k]
                else:
                    lip = wa * fixed[a, 2] + wb * fixed[b, 2] + wc * fixed[c, 2]
                    mouth = wa * fixed[a, 3] + wb * fixed[b, 3] + wc * fixed[c, 3]
                    cloth = wa * fixed[a, 4] + wb * fixed[b, 4] + wc * fixed[c, 4]
                    if lip > 0:
                        strength = np.float32(0.75) * lip
                        albedo[0] = albedo[0] * (one - strength) + strength * palette[0, 0] * np.float32(0.80)
                        albedo[1] = albedo[1] * (one - strength) + strength * palette[0, 1] * np.float32(0.58)
                        albedo[2] = albedo[2] * (one - strength) + strength * palette[0, 2] * np.float32(0.62)
                    if mouth > np.float32(0.35):
                        inside = np.float32(_smooth(0.35, 0.8, mouth)) * (one - lip)
                        albedo[0] = albedo[0] * (one - inside) + inside * np.float32(0.25)
                        albedo[1] = albedo[1] * (one - inside) + inside * np.float32(0.08)
                        albedo[2] = albedo[2] * (one - inside) + inside * np.float32(0.10)
                    if cloth > 0:
                        px = wa * fixed[a, 5] + wb * fixed[b, 5] + wc * fixed[c, 5]
                        py = wa * fixed[a, 6] + wb * fixed[b, 6] + wc * fixed[c, 6]
                        weave = one + np.float32(0.05 * math.sin(px * 70) * math.sin(py * 70))
                        edge = np.float32(_smooth(0.0, 1.0, cloth))
                        for k in range(3):
                            albedo[k] = albedo[k] * (one - edge) + edge * palette[3, k] * weave
            elif made_of == EYE:
                ex = wa * fixed[a, 5] + wb * fixed[b, 5] + wc * fixed[c, 5]
                ey = wa * fixed[a, 6] + wb * fixed[b, 6] + wc * fixed[c, 6]
                ez = wa * fixed[a, 7] + wb * fixed[b, 7] + wc * fixed[c, 7]
                length = 1 / math.sqrt(ex * ex + ey * ey + ez * ez)
                _eye_colour(ex * length, ey * length, ez * length, palette[2], albedo)
                nx = wa * light[a, 4] + wb * light[b, 4] + wc * light[c, 4]
                ny = wa * light[a, 5] + wb * light[b, 5] + wc * light[c, 5]
                nz = wa * light[a, 6] + wb * light[b, 6] + wc * light[c, 6]
                length = 1 / math.sqrt(nx * nx + ny * ny + nz * nz)
                gloss = 0.0
                for k in range(2):
                    middle = (nx * glints[k, 0] + ny * glints[k, 1] + nz * glints[k, 2]) * length
                    if middle > 0.9:
                        gloss += 0.9 * glints[k, 3] * middle**220
            elif made_of == HAIR:
                px = wa * fixed[a, 5] + wb * fixed[b, 5] + wc * fixed[c, 5]
                py = wa * fixed[a, 6] + wb * fixed[b, 6] + wc * fixed[c, 6]
                pz = wa * fixed[a, 7] + wb * fixed[b, 7] + wc * fixed[c, 7]
                phase = px * 60 + pz * 40 + 2 * math.sin(py * 5 + px * 3)
                strand = 1 + 0.16 * math.sin(phase) + 0.10 * math.sin(phase * 2.7 + 1) + 0.08 * math.sin(phase * 6.1 + 2)
                for k in range(3):
                    albedo[k] = palette[1, k] * strand
            elif made_of == TONGUE:
                albedo[0], albedo[1], albedo[2] = 0.55, 0.28, 0.30
            else:
                albedo[0], albedo[1], albedo[2] = 0.79, 0.75, 0.70
            for k in range(3):
                out[y, x, k] = albedo[k] * (wa * light[a, k] + wb * light[b, k] + wc * light[c, k]) + gloss


@njit(cache=True, fastmath=True)
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
