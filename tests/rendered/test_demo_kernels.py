"""The compiled loops against plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microexp.rendered import kernels, shading


def buffers(height: int, width: int) -> tuple[np.ndarray, ...]:
    depth = np.full((height, width), kernels.FAR, np.float32)
    return depth, np.full((height, width), -1, np.int32), np.zeros_like(depth), np.zeros_like(depth)


def weights_of(points: np.ndarray, triangle: np.ndarray, height: int, width: int) -> np.ndarray:
    """Weights of the three corners at every pixel's centre, (3,H,W), by solving for them."""
    y, x = np.mgrid[:height, :width] + 0.5
    corners = points[triangle].astype(float)
    system = np.vstack([corners[:, :2].T, np.ones(3)])
    return np.linalg.solve(system, np.stack([x.ravel(), y.ravel(), np.ones(x.size)])).reshape(3, height, width)


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_rasterise_finds_the_nearest_triangle_and_its_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = 12, 16
    points = rng.uniform([-6, -6, 1], [22, 18, 9], (9, 3)).astype(np.float32)
    triangles = np.arange(9, dtype=np.int32).reshape(3, 3)
    two_sided = rng.integers(0, 2, 3).astype(bool)
    depth, index, first, second = buffers(height, width)
    kernels.rasterise(points, triangles, two_sided, depth, index, first, second)
    nearest, sure = np.full((height, width), 1e9), np.ones((height, width), bool)
    winner = np.full((height, width), -1)
    for t, triangle in enumerate(triangles):
        (x0, y0), (x1, y1), (x2, y2) = points[triangle, :2].astype(float)
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area >= 0 and not two_sided[t]:
            continue
        w = weights_of(points, triangle, height, width)
        z = np.tensordot(points[triangle, 2], w, 1)
        inside = (w > 0).all(0)
        sure &= (np.abs(w) > 1e-3).all(0) & ~(inside & (np.abs(z - nearest) < 1e-3))
        closer = inside & (z < nearest)
        nearest[closer], winner[closer] = z[closer], t
    assert (index == winner)[sure].all()
    for t, triangle in enumerate(triangles):
        mine = sure & (index == t)
        w = weights_of(points, triangle, height, width)
        assert first[mine] == pytest.approx(w[0][mine], abs=1e-3)
        assert second[mine] == pytest.approx(w[1][mine], abs=1e-3)


def test_depth_map_sees_both_sides_and_keeps_the_nearest() -> None:
    points = np.array([[0, 0, 5], [8, 0, 5], [0, 8, 5], [0, 0, 3], [0, 8, 3], [8, 0, 3]], np.float32)
    for triangles in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        depth = np.full((8, 8), kernels.FAR, np.float32)
        kernels.depth_map(points, np.array(triangles, np.int32), depth)
        assert depth[1, 1] == 3 and depth[7, 7] == kernels.FAR


def test_lit_share_is_zero_behind_and_one_before_or_outside() -> None:
    depth = np.full((9, 9), kernels.FAR, np.float32)
    depth[:, :5] = 2.0
    points = np.array([[2.5, 4.5, 3], [2.5, 4.5, 2.01], [7.5, 4.5, 3], [-5, 4, 9], [4.9, 4.5, 3]], np.float32)
    share = kernels.lit_share(points, depth, 0.06, 1.2)
    assert share[:4].tolist() == [0, 1, 1, 1]
    assert 0 < share[4] < 1  # on the edge of the shadow


def sphere(n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    lat, lon = np.meshgrid(
        np.linspace(0.2, np.pi - 0.2, n), np.linspace(0, 2 * np.pi, n, endpoint=False), indexing="ij"
    )
    vertices = np.stack([np.sin(lat) * np.cos(lon), np.cos(lat), np.sin(lat) * np.sin(lon)], 2).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(n - 1), np.arange(n), indexing="ij")
    a, b, c, d = (i * n + j, i * n + (j + 1) % n, (i + 1) * n + (j + 1) % n, (i + 1) * n + j)
    quads = np.stack([a, b, c, d], 2).reshape(-1, 4)
    return vertices.astype(np.float32), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def test_normals_of_a_sphere_point_outwards_and_have_unit_length() -> None:
    vertices, triangles = sphere()
    normals = np.empty_like(vertices)
    kernels.vertex_normals(vertices, triangles, normals)
    inner = slice(24, -24)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-5)
    assert (normals[inner] * vertices[inner]).sum(1).min() > 0.99


def test_hollowness_tells_a_ball_from_a_bowl() -> None:
    vertices, triangles = sphere()
    edges = np.unique(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=0)
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    start = np.searchsorted(edges[:, 0], np.arange(len(vertices) + 1)).astype(np.int32)
    neighbours = edges[:, 1].astype(np.int32)
    ball = kernels.hollowness(vertices, vertices, start, neighbours)[24:-24]
    bowl = kernels.hollowness(vertices, -vertices, start, neighbours)[24:-24]
    assert ball.max() < 0 < bowl.min()
    assert bowl == pytest.approx(-ball, abs=1e-6)


def test_light_falls_off_with_the_angle_and_shadows_spare_the_rest() -> None:
    normals = np.array([[0, 0, 1], [1, 0, 0], [0, 0, -1], [0, 0, 1]], np.float32)
    vertices = np.zeros_like(normals)
    surface = np.tile(np.array([0, 18, 0, 0, 0], np.float32), (4, 1))
    lamps = np.array([[0, 0, 1, 1], [0, 0, 1, 0]], np.float32)
    eye, seen = np.array([0, 0, 10], np.float32), np.array([1, 1, 1, 0], np.float32)
    out = np.empty((4, 8), np.float32)
    shading.light_vertices(vertices, normals, surface, lamps, 0.4, eye, seen, np.ones(4, np.float32), out)
    assert out[:, 0] == pytest.approx([1.3, 0.3, 0.3, 0.45], abs=1e-6)
    assert (out[:, 0] == out[:, 1]).all()
    surface[:, 2] = 0.35  # red bleeds round the edge
    shading.light_vertices(vertices, normals, surface, lamps, 0.4, eye, seen, np.ones(4, np.float32), out)
    assert out[1, 0] > out[1, 1]


def test_expose_follows_the_tone_curve_and_adds_normal_noise_of_the_right_size() -> None:
    tone = np.linspace(0, 255, shading.TONE_STEPS).astype(np.float32)
    linear = np.full((200, 200, 3), 1.0, np.float32)
    plain, noisy, same, other = (np.empty(linear.shape, np.uint8) for _ in range(4))
    shading.expose(linear, tone, 0.0, 1, plain)
    assert (plain == 128).all()
    shading.expose(linear, tone, 4.0, 1, noisy)
    shading.expose(linear, tone, 4.0, 1, same)
    shading.expose(linear, tone, 4.0, 2, other)
    error = noisy.astype(float) - 127.5
    assert (noisy == same).all()
    assert error.std() == pytest.approx(4, rel=0.03) and abs(error.mean()) < 0.1
    assert abs((error**3).mean()) / 64 < 0.1 and 2.4 < (error**4).mean() / error.std() ** 4 < 3.2
    for shifted in (error[1:, :] * error[:-1, :], error[:, 1:] * error[:, :-1]):
        assert abs(shifted.mean()) / error.var() < 0.02
    assert abs(np.corrcoef(error.ravel(), other.ravel())[0, 1]) < 0.02
