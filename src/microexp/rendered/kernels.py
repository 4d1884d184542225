"""The compiled loops of the renderer that deal with shape: what each pixel shows, depth maps, normals, creases.

All arrays are float32 unless said otherwise; pictures are (H,W[,3]), pixel (x, y) is sampled at (x + 0.5, y + 0.5).
Nothing here depends on threads; every picture is computed by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from microexp.run.compiled import can_keep

F = TypeVar("F", bound=Callable[..., Any])

FAR = np.float32(1e9)


def njit(function: F) -> F:
    """Compile a kernel.

    Without fast maths: with it, the order of additions, and so the last bit of a result, hangs on whether the code was
    compiled just now or comes from the cache.
    """
    compiled: F = numba.njit(cache=can_keep(), error_model="numpy", fastmath=False)(function)
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
                if min(w0, w1, w2) >= zero:
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
    zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < np.float32(1e-6):
            continue
        left, right = max(0, math.floor(min(x0, x1, x2) - half)), min(width - 1, int(max(x0, x1, x2) + half))
        top, bottom = max(0, math.floor(min(y0, y1, y2) - half)), min(height - 1, int(max(y0, y1, y2) + half))
        z0, z1, z2 = points[a, 2], points[b, 2], points[c, 2]
        inverse = one / area
        step0, step1 = (y1 - y2) * inverse, (y2 - y0) * inverse
        for y in range(top, bottom + 1):
            py, px = y + half, left + half
            w0 = ((x1 - px) * (y2 - py) - (x2 - px) * (y1 - py)) * inverse
            w1 = ((x2 - px) * (y0 - py) - (x0 - px) * (y2 - py)) * inverse
            for x in range(left, right + 1):
                w2 = one - w0 - w1
                if min(w0, w1, w2) >= zero:
                    depth[y, x] = min(depth[y, x], w0 * z0 + w1 * z1 + w2 * z2)
                w0 += step0
                w1 += step1


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
