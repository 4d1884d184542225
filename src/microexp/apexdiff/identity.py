"""Ways to take who it is out of the onset-apex inputs, so that what is left is the expression; and optical strain.

A face differs from another face by far more than a face with a micro-expression from itself. All functions work on
arrays with any leading axes and change nothing in place.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Way = Literal["difference", "flow", "median", "strain", "none"]


def strain_tensor(flow: np.ndarray) -> np.ndarray:
    """Optical strain (..., H, W, 3): e_xx, e_yy, e_xy of e = (grad f + grad f^T) / 2, central differences.

    Shreve et al. 2009. Strain is motion per length, so it does not depend on the size of the maps, and a shift of the
    whole head has none.

    Args:
        flow: (..., H, W, 2) in px of the same grid.
    """
    u_y, u_x = np.gradient(flow[..., 0], axis=(-2, -1))
    v_y, v_x = np.gradient(flow[..., 1], axis=(-2, -1))
    return np.stack([u_x, v_y, (u_y + v_x) / 2], axis=-1)


def strain_magnitude(flow: np.ndarray) -> np.ndarray:
    """sqrt(e_xx^2 + e_yy^2 + 2 e_xy^2): (..., H, W, 2) px -> (..., H, W)."""
    xx, yy, xy = np.moveaxis(strain_tensor(flow), -1, 0)
    magnitude: np.ndarray = np.sqrt(xx**2 + yy**2 + 2 * xy**2)
    return magnitude


def centre_by_median(maps: np.ndarray) -> np.ndarray:
    """(..., H, W) minus its median over the map: takes out a change of light or a shift of the whole head."""
    centred: np.ndarray = maps - np.median(maps, axis=(-2, -1), keepdims=True)
    return centred


def appearance_map(
    way: Way, difference: np.ndarray, flow: np.ndarray, *, strain: np.ndarray, onset: np.ndarray | None = None
) -> np.ndarray:
    """What the appearance stream sees: (N, H, W).

    - `difference`: apex - onset in grey levels. What does not change, which is who it is, cancels.
    - `flow`: the flow's magnitude. No grey level is left, so neither skin nor light.
    - `median`: the difference minus its median over the clip.
    - `strain`: the strain's magnitude, which moreover does not count what the head does as a whole.
    - `none`: the apex itself; the yardstick for what the other ways bring.

    Args:
        way: one of these.
        difference: (N, H, W) grey levels.
        flow: (N, H, W, 2) px.
        strain: (N, H, W).
        onset: (N, H, W) grey levels; needed for `none`.

    Raises:
        ValueError: for `none` without `onset`.
    """
    if way == "none":
        if onset is None:
            raise ValueError("the way 'none' needs the onset")
        apex: np.ndarray = onset + difference
        return apex
    if way == "flow":
        magnitude: np.ndarray = np.hypot(flow[..., 0], flow[..., 1])
        return magnitude
    if way == "strain":
        return strain
    return centre_by_median(difference) if way == "median" else difference


def motion_maps(way: Way, flow: np.ndarray) -> np.ndarray:
    """What the motion stream sees: (N, H, W, 2) px; with `median`, u and v minus their medians over the clip."""
    if way != "median":
        return flow
    return np.moveaxis(centre_by_median(np.moveaxis(flow, -1, -3)), -3, -1)
