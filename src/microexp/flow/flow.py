"""Stage `flow`: TV-L1 between consecutive crops of every video of a subject."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from microexp.flow.params import FlowParams
from microexp.flow.tvl1 import provenance, stream_flow
from microexp.records.crops import Crops, open_crops
from microexp.records.flow import LARGEST, FlowWriter, create_flow
from microexp.run import log as progress
from microexp.run.stage import Job


def to_grey(frames: np.ndarray) -> np.ndarray:
    """Crops (N, H, W, 3) RGB or (N, H, W, 1) as grey (N, H, W), uint8, weighted as OpenCV does (ITU-R BT.601)."""
    if frames.shape[-1] == 1:
        return frames[..., 0]
    import cv2

    return np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]) if len(frames) else frames[..., 0]


def read_grey(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Grey frames (H, W) of a video that comes in batches, of which one is in memory."""
    for frames in batches:
        yield from to_grey(frames)


def write_video(video: str, crops: Crops, out: FlowWriter, *, job: Job[FlowParams]) -> tuple[float, int]:
    """Compute and store the flow of one video.

    Returns:
        The largest component, px, and how many numbers did not fit into 16 bits.
    """
    valid = crops.valid_pairs
    pairs = stream_flow(read_grey(crops.batches()), job.params, job.threads, device=job.device)
    shape = (max(len(crops) - 1, 0), crops.side, crops.side, 2)
    pairs = usable(pairs, valid, crops)
    return out.stream(video, pairs, shape=shape, scale_px=job.params.storage_scale_px, fps=crops.fps, valid=valid)


def usable(pairs: Iterable[np.ndarray], valid: np.ndarray, crops: Crops) -> Iterator[np.ndarray]:
    """Flow (S, S, 2) of each pair, 0 where the pair is not valid and where the crop lies beyond the picture."""
    for i, pair in enumerate(pairs):
        if not valid[i]:
            yield np.zeros_like(pair)
            continue
        inside = crops.inside(i + 1)
        yield pair if inside is None else pair * inside[..., None]


def run(job: Job[FlowParams]) -> Mapping[str, Any]:
    """Read a shard of crops, write a shard of flow; excluded videos keep their reason."""
    bounds: dict[str, float] = {}
    cut: dict[str, int] = {}
    with open_crops(job.input("crops")) as crops, create_flow(job.output("flow"), crops.subject) as out:
        for video in progress.track(list(crops), "flow"):
            if crops[video].excluded:
                out.exclude(video, crops[video].excluded, fps=crops[video].fps)
                continue
            bounds[video], number = write_video(video, crops[video], out, job=job)
            if number:
                cut[video] = number
    return {**provenance(job.params, job.device), **report(bounds, cut, LARGEST * job.params.storage_scale_px)}


def report(bounds: Mapping[str, float], cut: Mapping[str, int], reach_px: float) -> dict[str, Any]:
    """Say how large the flow of the videos is, against the `reach_px` of what is stored, and what was cut.

    Returns:
        The same for the provenance: `bound_px` of all videos, rounded up to tenths, and `cut_values` per video.
    """
    largest = max(bounds, key=lambda video: bounds[video], default=None)
    if largest is None:
        return {"bound_px": 0.0, "cut_values": {}}
    progress.log(f"flow: at most {bounds[largest]:.3g} px (in {largest}); up to {reach_px:g} px can be stored")
    for video, number in cut.items():
        progress.log(
            f"flow: {video}: {number} values beyond ±{reach_px:g} px were cut; a larger storage_scale_px keeps them"
        )
    return {"bound_px": math.ceil(10 * bounds[largest]) / 10, "cut_values": dict(cut)}
