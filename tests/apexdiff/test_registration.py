from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from microexp.apexdiff.apexdiff import face_mask, rigid_flow, undo
from microexp.faces.geometry import apply, fit_similarity

SIZE = 96
Y, X = np.mgrid[:SIZE, :SIZE].astype(float)


def head(shift: complex = 1.5 - 0.7j, turn: complex = 0.01 + 0.008j) -> np.ndarray:
    w = shift + turn * ((X - SIZE / 2) + 1j * (Y - SIZE / 2))
    return np.stack([w.real, w.imag], -1)


def smile() -> np.ndarray:
    """Both mouth corners rise by 2 px: about a fifth of the face."""
    bumps = sum(np.exp(-((X - x) ** 2 + (Y - 72) ** 2) / (2 * 6.0**2)) for x in (34, 62))
    return np.stack([0 * X, -2 * bumps], -1)


def test_a_still_head_has_no_motion() -> None:
    assert not rigid_flow(np.zeros((SIZE, SIZE, 2))).any()


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_expression_does_not_pull_the_head(noise: float) -> None:
    inside = face_mask(SIZE)
    flow = head() + smile() + np.random.default_rng(0).normal(0, noise, (SIZE, SIZE, 2))
    robust = np.linalg.norm(rigid_flow(flow) - head(), axis=-1)[inside]
    points = np.stack([X[inside], Y[inside]], -1)
    plain = fit_similarity(points, points + flow[inside])
    usual = np.linalg.norm(apply(plain, points) - points - head()[inside], axis=-1)
    assert robust.max() < 0.15 and robust.mean() < 0.35 * usual.mean()


def test_what_lies_beside_the_face_counts_nothing() -> None:
    flow = head()
    flow[~face_mask(SIZE)] = 30
    np.testing.assert_allclose(rigid_flow(flow), head(), atol=1e-4)


def test_undo_brings_the_apex_back() -> None:
    texture = gaussian_filter(np.random.default_rng(1).normal(0, 1, (SIZE, SIZE)), 2).astype(np.float32) * 500 + 128
    flow = head(0.4 + 0.3j, 0.005)
    apex = undo(texture, -flow.astype(np.float32))  # small and smooth: nearly texture moved by flow
    inner = np.s_[8:-8, 8:-8]
    before, after = np.abs(apex - texture)[inner].mean(), np.abs(undo(apex, flow.astype(np.float32)) - texture)[inner]
    assert after.mean() < 0.05 * before
    np.testing.assert_array_equal(undo(texture, np.zeros((SIZE, SIZE, 2), np.float32)), texture)


def test_the_mask_is_the_middle_of_the_crop() -> None:
    mask = face_mask(50)
    assert mask[28, 25] and not mask[0].any() and not mask[:, 0].any() and 0.4 < mask.mean() < 0.6
