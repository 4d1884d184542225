"""TV-L1 in plain NumPy, short rather than fast: what the tests hold every backend against.

After Zach, Pock & Bischof 2007, in the form of Sanchez, Meinhardt-Llopis & Facciolo (IPOL 2013) that OpenCV has. The
arithmetic is float32, in the same order as in `kernels.py`: the two agree to the last bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from microexp.flow.params import Tvl1
from microexp.flow.tvl1 import gaussian_weights, pyramid_sizes, spline_weights

F = np.float32
Array = npt.NDArray[np.float32]


def reference_flow(first: Array, second: Array, tvl1: Tvl1) -> Array:
    """Flow (H, W, 2), px, from `first` to `second`, both (H, W) grey levels of 0 to 255."""
    sizes = pyramid_sizes(first.shape[0], first.shape[1], tvl1)
    pyramids = [(remove_shading(first.astype(F), tvl1), remove_shading(second.astype(F), tvl1))]
    down = 1 / tvl1.scale_step
    for size in sizes[1:]:
        one, two = pyramids[-1]
        pyramids.append((resize(one, size, (down, down)), resize(two, size, (down, down))))
    flow = np.zeros((2, *sizes[-1]), F)
    for size, (one, two) in zip(sizes[::-1], pyramids[::-1], strict=True):
        if flow.shape[1:] != size:
            ratio = flow.shape[1] / size[0], flow.shape[2] / size[1]
            flow = F(1) / F(tvl1.scale_step) * np.stack([resize(component, size, ratio) for component in flow])
        flow = solve_level(one, two, flow, tvl1)
    return np.stack([flow[0], flow[1]], -1)


def remove_shading(image: Array, tvl1: Tvl1) -> Array:
    """`image` less a share of what a Gaussian blur leaves of it, edge repeated."""
    if not (tvl1.shading_sigma_px and tvl1.shading_share):
        return image
    return image - F(tvl1.shading_share) * convolve(image, gaussian_weights(tvl1.shading_sigma_px))


def convolve(image: Array, weights: Array) -> Array:
    """`image` filtered with the same weights along x and y, edge repeated."""
    radius = len(weights) // 2
    for axis in (1, 0):
        n = image.shape[axis]
        total: Array = np.zeros(image.shape, F)
        for k, weight in enumerate(weights, -radius):
            total += F(weight) * np.take(image, np.clip(np.arange(n) + k, 0, n - 1), axis)
        image = total
    return image


def solve_level(first: Array, second: Array, flow: Array, tvl1: Tvl1) -> Array:
    """Flow (2, H, W) at one level, from the `flow` that the level above gave."""
    u, v = flow
    dual = np.zeros((4, *u.shape), F)
    limit, theta, ratio = F(tvl1.data_weight * tvl1.theta), F(tvl1.theta), F(tvl1.tau / tvl1.theta)
    stop = float(F(tvl1.epsilon_px)) ** 2 * u.size
    images = [second, gradient(second, 1, tvl1.gradient), gradient(second, 0, tvl1.gradient)]
    if tvl1.interpolation == "spline":
        images = [convolve(image, spline_weights()) for image in images]
        # what a warp by nothing gives, so that equal images have no flow
        first = warp(convolve(first, spline_weights()), np.zeros_like(u), np.zeros_like(u), tvl1)
    for _ in range(tvl1.warps):
        warped, wx, wy = (warp(image, u, v, tvl1) for image in images)
        squared = wx * wx + wy * wy
        inverse = np.divide(F(1), squared, out=np.zeros_like(u), where=squared > np.finfo(F).eps)
        rho = warped - wx * u - wy * v - first
        for _ in range(tvl1.outer_iterations):
            if tvl1.median_px > 1:
                u, v = (median_filter(component, tvl1.median_px, mode="nearest") for component in (u, v))
            change = np.inf
            for _ in range(tvl1.iterations):
                step = np.clip(-(rho + (wx * u + wy * v)) * inverse, -limit, limit)
                du = step * wx + theta * divergence(dual[0], dual[1])
                dv = step * wy + theta * divergence(dual[2], dual[3])
                u, v = u + du, v + dv
                dual[:2], dual[2:] = dual_step(u, dual[:2], ratio), dual_step(v, dual[2:], ratio)
                change = float((du * du + dv * dv).sum(dtype=float))
                if change <= stop and tvl1.epsilon_px > 0:
                    break
            if change <= stop and tvl1.epsilon_px > 0:
                break
    return np.stack([u, v])


def divergence(px: Array, py: Array) -> Array:
    """Backward differences, zero beyond the edge."""
    return np.diff(px, axis=1, prepend=F(0)) + np.diff(py, axis=0, prepend=F(0))


def dual_step(u: Array, p: Array, ratio: np.float32) -> Array:
    """Gradient ascent on the dual field (2, H, W) of one component, then back towards the unit disc."""
    ux, uy = np.diff(u, axis=1, append=u[:, -1:]), np.diff(u, axis=0, append=u[-1:])
    shrink = F(1) / (F(1) + ratio * np.sqrt(ux * ux + uy * uy))
    moved: Array = np.stack([p[0] + ratio * ux, p[1] + ratio * uy]) * shrink
    return moved


def gradient(image: Array, axis: int, scheme: str) -> Array:
    """Central differences of 3 or 5 points, edge repeated."""
    padded = np.pad(image, 2, mode="edge")
    n = image.shape[axis]

    def at(offset: int) -> Array:
        """The image moved by `offset` px along the axis, without its padding."""
        moved = np.take(padded, range(2 + offset, 2 + offset + n), axis)
        return moved[2:-2] if axis == 1 else moved[:, 2:-2]

    near = at(1) - at(-1)
    slope = near if scheme == "central" else (F(8) * near - (at(2) - at(-2))) / F(6)
    return np.asarray(F(0.5) * slope, F)


def cubic_weights(t: Array, a: np.float32) -> list[Array]:
    """Weights of Keys' bicubic kernel for the taps -1, 0, 1, 2, at 0 <= t < 1."""
    z = F(1) - t
    first, last = a * t * z * z, a * z * t * t
    second = ((a + F(2)) * t - (a + F(3))) * t * t + F(1)
    return [first, second, F(1) - first - second - last, last]


def spline_basis(t: Array) -> list[Array]:
    """Weights of the cubic B-spline for the taps -1, 0, 1, 2, at 0 <= t < 1."""
    z, sixth = F(1) - t, F(1) / F(6)
    first, last = z * z * z * sixth, t * t * t * sixth
    second = (F(3) * t - F(6)) * t * t * sixth + F(4) * sixth
    return [first, second, F(1) - first - second - last, last]


def warp(image: Array, u: Array, v: Array, tvl1: Tvl1) -> Array:
    """`image` (or the spline with these coefficients) at x + u, y + v, edge repeated."""
    h, w = image.shape
    x = np.clip(np.arange(w, dtype=F) + u, F(-2), F(w))
    y = np.clip(np.arange(h, dtype=F)[:, None] + v, F(-2), F(h))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    spline, a = tvl1.interpolation == "spline", F(tvl1.cubic_a)
    across, down = (spline_basis(t) if spline else cubic_weights(t, a) for t in (x - np.floor(x), y - np.floor(y)))
    total: Array = np.zeros_like(u)
    for i in range(4):
        row = np.clip(top + i - 1, 0, h - 1)
        total = total + down[i] * sum(across[j] * image[row, np.clip(left + j - 1, 0, w - 1)] for j in range(4))
    return total


def resize(image: Array, size: tuple[int, int], ratio: tuple[float, float]) -> Array:
    """Bilinear, pixel centres at half numbers, edge repeated; ratio = source px per target px."""
    places = [
        np.clip((np.arange(n) + 0.5) * r - 0.5, 0, m - 1) for n, r, m in zip(size, ratio, image.shape, strict=True)
    ]
    (top, left) = (p.astype(int) for p in places)
    down, across = ((p - p.astype(int)).astype(F) for p in places)
    bottom, right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    upper, lower = image[top], image[bottom]
    above = upper[:, left] + (upper[:, right] - upper[:, left]) * across
    below = lower[:, left] + (lower[:, right] - lower[:, left]) * across
    value: Array = above + (below - above) * down[:, None]
    return value
