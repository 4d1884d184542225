from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.apexdiff.identity import appearance_map, centre_by_median, motion_maps, strain_magnitude, strain_tensor

RNG = np.random.default_rng(0)
DIFFERENCE = RNG.normal(5, 2, (2, 12, 12))
FLOW = RNG.normal(1, 2, (2, 12, 12, 2))
STRAIN = strain_magnitude(FLOW)
ONSET = RNG.uniform(0, 255, (2, 12, 12))
Y, X = np.mgrid[:16, :20].astype(float)
SMALL = st.floats(-0.2, 0.2)


@pytest.mark.long
@given(SMALL, SMALL, SMALL, SMALL, st.floats(-5, 5))
def test_strain_of_an_affine_motion_is_its_symmetric_part(a: float, b: float, c: float, d: float, e: float) -> None:
    flow = np.stack([a * X + b * Y + e, c * X + d * Y - e], axis=-1)
    tensor = strain_tensor(flow)
    np.testing.assert_allclose(tensor, np.broadcast_to([a, d, (b + c) / 2], tensor.shape), atol=1e-12)
    np.testing.assert_allclose(strain_magnitude(flow), np.sqrt(a * a + d * d + (b + c) ** 2 / 2), atol=1e-12)


def test_turning_or_shifting_the_head_has_no_strain() -> None:
    flow = np.stack([3 - 0.01 * Y, -1 + 0.01 * X], axis=-1)
    np.testing.assert_allclose(strain_magnitude(flow), 0, atol=1e-12)


def test_strain_does_not_depend_on_the_size_of_the_maps() -> None:
    y, x = np.mgrid[:64, :64] / 64

    def bump(n: int) -> np.ndarray:
        step = 64 // n
        return np.stack([n * 0.01 * np.exp(-((x - 0.5) ** 2 + (y - 0.4) ** 2) / 0.05)] * 2, -1)[::step, ::step]

    large, small = strain_magnitude(bump(64))[::2, ::2], strain_magnitude(bump(32))
    assert np.abs(large - small)[1:-1, 1:-1].max() < 0.02 * large.max()


def test_leading_axes_are_free() -> None:
    np.testing.assert_array_equal(strain_magnitude(FLOW)[1], strain_magnitude(FLOW[1]))


def test_median_centring_takes_out_light_and_shifts_clip_by_clip() -> None:
    offset = np.array([7.0, -3])[:, None, None]
    np.testing.assert_allclose(centre_by_median(DIFFERENCE + offset), centre_by_median(DIFFERENCE))
    np.testing.assert_allclose(np.median(centre_by_median(DIFFERENCE), axis=(1, 2)), 0, atol=1e-12)
    moved = FLOW + np.array([4.0, -9])
    np.testing.assert_allclose(motion_maps("median", moved), motion_maps("median", FLOW))


def test_every_way_shows_what_it_says() -> None:
    ways = {
        way: appearance_map(way, DIFFERENCE, FLOW, strain=STRAIN, onset=ONSET)
        for way in ("difference", "flow", "median")
    }
    assert ways["difference"] is DIFFERENCE
    np.testing.assert_allclose(ways["flow"] ** 2, (FLOW**2).sum(-1))
    np.testing.assert_array_equal(ways["median"], centre_by_median(DIFFERENCE))
    assert appearance_map("strain", DIFFERENCE, FLOW, strain=STRAIN) is STRAIN
    np.testing.assert_array_equal(
        appearance_map("none", DIFFERENCE, FLOW, strain=STRAIN, onset=ONSET), ONSET + DIFFERENCE
    )
    for way in ("difference", "flow", "strain", "none"):
        assert motion_maps(way, FLOW) is FLOW  # type: ignore[arg-type]


def test_ways_that_remove_identity_do_not_see_the_onset() -> None:
    for way in ("difference", "flow", "median", "strain"):
        one, two = (appearance_map(way, DIFFERENCE, FLOW, strain=STRAIN, onset=o) for o in (ONSET, ONSET + 50))  # type: ignore[arg-type]
        np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match="onset"):
        appearance_map("none", DIFFERENCE, FLOW, strain=STRAIN)
