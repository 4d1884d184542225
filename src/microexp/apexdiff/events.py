"""Apex and onset-apex maps of intervals that nobody annotated, from the aligned crops of a video."""

from __future__ import annotations

import numpy as np

from microexp.apexdiff.apexdiff import Maps, expression_maps, shrink, to_grey
from microexp.apexdiff.params import ApexdiffParams
from microexp.apexdiff.registration import rigid_flow
from microexp.faces.resample import nearest_crop
from microexp.flow.tvl1 import compute_flow
from microexp.records.crops import Crops

LOOKS = 12
"""Frames of an interval that are compared with its onset, evenly spaced; all where there are not so many."""


def apex_and_maps(
    video: Crops, interval: tuple[int, int], params: ApexdiffParams, *, threads: int = 1, device: str = "auto"
) -> tuple[int, Maps] | None:
    """The apex of an interval and the maps from its onset to there.

    The apex is the frame in which the displacement from the onset, without the head's own motion, has the largest mean
    magnitude; of equal ones the first.

    Args:
        video: crops of the video.
        interval: onset and offset, 0-based source frames, both inside.
        params: as of the stage `apexdiff`.
        threads: of the flow.
        device: of the flow.

    Returns:
        The apex's source frame and the maps at the stored size; None where the interval has no second crop.
    """
    index = video.frame_index
    first, last = (nearest_crop(index, frame) for frame in interval)
    if last <= first:
        return None
    looked = np.unique(np.linspace(first + 1, last, min(LOOKS, last - first)).round().astype(int))
    crops = to_grey(np.stack([video.frames[i] for i in (first, *looked)]))
    onsets = np.repeat(crops[:1], len(looked), 0)
    flows = compute_flow(onsets, crops[1:], params.flow, threads=threads, device=device)
    moved = [float(np.hypot(*np.moveaxis(flow - rigid_flow(flow), -1, 0)).mean()) for flow in flows]
    best = int(np.argmax(moved))
    maps = _maps(crops[0], crops[1 + best], flows[best], params=params)
    apex = min(max(int(index[looked[best]]), interval[0]), interval[1])  # the nearest crop may lie beyond the interval
    return apex, maps


def maps_to_apex(
    video: Crops, onset: int, apex: int, *, params: ApexdiffParams, threads: int = 1, device: str = "auto"
) -> Maps | None:
    """The maps of `apex_and_maps` where the apex is known, from one flow in place of a dozen.

    Args:
        video: crops of the video.
        onset: 0-based source frame.
        apex: 0-based source frame.
        params: as of the stage `apexdiff`.
        threads: of the flow.
        device: of the flow.

    Returns:
        The maps at the stored size; None where onset and apex have the same crop.
    """
    first, last = (nearest_crop(video.frame_index, frame) for frame in (onset, apex))
    if last <= first:
        return None
    crops = to_grey(np.stack([video.frames[i] for i in (first, last)]))
    flow = compute_flow(crops[:1], crops[1:], params.flow, threads=threads, device=device)[0]
    return _maps(crops[0], crops[1], flow, params=params)


def _maps(onset: np.ndarray, apex: np.ndarray, flow: np.ndarray, *, params: ApexdiffParams) -> Maps:
    return shrink(expression_maps(onset, apex, flow, registration=params.registration), params.size)
