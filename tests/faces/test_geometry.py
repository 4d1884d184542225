from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microexp.faces import geometry as g

NUMBERS = st.floats(-50, 50)


def similarity(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    turn = scale * np.exp(1j * angle)
    return g.from_complex(turn, complex(x, y))


@given(st.floats(-3, 3), st.floats(0.01, 20), NUMBERS, NUMBERS, st.integers(0, 2**31))
def test_fit_recovers_any_similarity(angle: float, scale: float, x: float, y: float, seed: int) -> None:
    points = np.random.default_rng(seed).normal(0, 10, (7, 2))
    matrix = similarity(angle, scale, x, y)
    np.testing.assert_allclose(g.fit_similarity(points, g.apply(matrix, points)), matrix, atol=1e-8)
    assert np.isclose(g.scale_of(matrix), scale)
    np.testing.assert_allclose(g.apply(g.invert(matrix), g.apply(matrix, points)), points, atol=1e-8)


def test_fit_is_the_least_squares_one() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    best = g.fit_similarity(source, target)
    error = ((g.apply(best, source) - target) ** 2).sum()
    for _ in range(200):
        turn, shift = complex(best[0, 0], best[1, 0]), complex(*best[:, 2])
        step = rng.normal(0, 0.01, 4)
        other = g.from_complex(turn + complex(*step[:2]), shift + complex(*step[2:]))
        assert ((g.apply(other, source) - target) ** 2).sum() >= error


def test_fit_never_mirrors() -> None:
    points = np.array([[0, 0], [1, 0], [0, 2.0]])
    assert np.linalg.det(g.fit_similarity(points, points * [-1, 1])[:, :2]) >= 0


def template() -> np.ndarray:
    """Landmarks with eyes and nose exactly where the canonical face has them."""
    points = np.zeros((68, 2))
    for part, place in zip((g.LEFT_EYE, g.RIGHT_EYE, g.NOSE_BASE), g.canonical_anchors(0.35, 0.36), strict=True):
        points[part] = place
    return points


def test_alignment_brings_eyes_and_nose_to_their_places() -> None:
    matrix = similarity(0.2, 170, 400, 300)  # crop -> source
    alignment = g.face_alignment(g.apply(matrix, template()), 0.35, 0.36)
    np.testing.assert_allclose(alignment, g.invert(matrix), atol=1e-9)
    eyes = g.canonical_anchors(0.35, 0.36)[:2]
    np.testing.assert_allclose(eyes, [[0.325, 0.36], [0.675, 0.36]])


def test_eye_distance_scales_the_crop() -> None:
    points = g.apply(similarity(0, 100, 0, 0), template())
    wide, narrow = (g.scale_of(g.face_alignment(points, d, 0.36)) for d in (0.5, 0.25))
    assert np.isclose(wide / narrow, 2)


def test_rebox_follows_the_face() -> None:
    points = np.random.default_rng(2).normal(100, 20, (68, 2))
    box = g.rebox(points)
    np.testing.assert_allclose(g.rebox(points * 2 + 5), box * 2 + 5)
    assert np.isclose(box[2] - box[0], box[3] - box[1])
