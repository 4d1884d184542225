import numpy as np
import pytest

from microexp.apexdiff import rest_level as rest
from microexp.errors import UserError


def moving_faces(levels, noise=0.03, side=28, seed=0):
    """(len(levels), 2, side, side): rest with noise, and a third of the image that moves one way."""
    rng = np.random.default_rng(seed)
    images = np.asarray(levels, np.float32).reshape(-1, 1, 1, 1) + rng.normal(0, noise, (len(levels), 2, side, side))
    images[:, :, : side // 3] += 0.25 + 0.1 * rng.random((len(levels), 2, side // 3, side))
    return images.astype(np.float32)


def test_the_robust_level_is_that_of_rest_and_nearer_than_the_mode_and_the_median():
    levels = np.linspace(0.2, 0.6, 20)
    images = moving_faces(levels)
    off = {zero: np.abs(rest.rest_levels(images, zero) - levels[:, None]) for zero in ("robust", "mode")}
    assert off["robust"].max() < 0.005
    assert off["robust"].mean() < off["mode"].mean() / 2
    assert np.abs(np.median(images, (2, 3)) - levels[:, None]).mean() > 2 * off["robust"].mean()


def test_robust_levels_move_and_scale_with_the_image_and_stand_alone():
    images = moving_faces([0.3, 0.4])
    found = rest.rest_levels(images, "robust")
    np.testing.assert_allclose(rest.rest_levels(images * 3 - 1, "robust"), found * 3 - 1, atol=1e-5)
    np.testing.assert_allclose(rest.rest_levels(images[1:], "robust"), found[1:])
    assert rest.rest_levels(np.full((1, 1, 4, 4), 0.7, np.float32), "robust").item() == pytest.approx(0.7)


def test_the_mode_of_grey_levels_is_exact_and_of_px_on_its_own_grid():
    grey = np.full((1, 2, 8, 8), 90, np.uint8)
    grey[:, :, :3] = np.arange(24).reshape(3, 8)
    assert (rest.centred(grey, "mode", "none")[:, :, 3:] == 0).all()
    px = np.where(grey == 90, -0.31, grey / 10).astype(np.float32)
    assert rest.rest_levels(px, "mode", signed=True).ravel() == pytest.approx([-0.31] * 2, abs=3 / 255)


def test_scales():
    px = np.random.default_rng(0).normal(0, 3, (4, 3, 9, 9))
    assert np.ptp(rest.centred(px, scale="range"), axis=(2, 3)) == pytest.approx(np.ones((4, 3)), abs=1e-5)
    assert np.square(rest.centred(px, scale="rms")).mean((2, 3)) == pytest.approx(np.ones((4, 3)), abs=1e-4)
    assert np.array_equal(rest.centred(px), px.astype(np.float32))
    assert np.array_equal(rest.centred(px, "middle"), px.astype(np.float32))


def test_grey_levels_have_no_known_zero():
    with pytest.raises(UserError, match="'known' for grey levels"):
        rest.centred(np.zeros((1, 3, 4, 4), np.uint8), "known")
