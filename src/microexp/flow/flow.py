"""Stage `flow`: TV-L1 between consecutive crops of every video of a subject."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.flow.params import FlowParams
from microexp.flow.quantise import LARGEST, quantise
from microexp.flow.tvl1 import provenance, stream_flow
from microexp.run import log as progress
from microexp.run import storage
from microexp.run.stage import Job

if TYPE_CHECKING:
    import h5py


def to_grey(frames: np.ndarray) -> np.ndarray:
    """Crops (N, H, W, 3) RGB or (N, H, W, 1) as grey (N, H, W), uint8, weighted as OpenCV does (ITU-R BT.601)."""
    if frames.shape[-1] == 1:
        return frames[..., 0]
    import cv2

    return np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]) if len(frames) else frames[..., 0]


def read_grey(frames: h5py.Dataset, chunk: int = 32) -> Iterator[np.ndarray]:
    """Grey frames (H, W) of a stored video, of which only `chunk` are in memory."""
    for start in range(0, len(frames), chunk):
        yield from to_grey(frames[start : start + chunk])


def write_video(source: h5py.Group, target: h5py.Group, job: Job[FlowParams]) -> tuple[float, int]:
    """Compute and store the flow of one video.

    Returns:
        The largest component, px, and how many numbers did not fit into 16 bits.

    Raises:
        UserError: when the crops are not 8-bit frames (T, H, W, 3 or 1).
    """
    frames = source["frames"]
    if frames.ndim != 4 or frames.shape[-1] not in (1, 3) or frames.dtype != np.uint8:
        raise UserError(
            file=job.input("crops"),
            where=source.name,
            problem=f"{frames.dtype} {frames.shape}",
            expected="crops as uint8 (T, H, W, 3 or 1)",
        )
    scale = job.params.storage_scale_px
    shape = (max(len(frames) - 1, 0), *frames.shape[1:3], 2)
    flow = storage.add_array(target, "flow", shape=shape, dtype=np.int16)
    flow.attrs["scale"] = scale
    bound, cut = 0.0, 0
    for i, pair in enumerate(stream_flow(read_grey(frames), job.params, job.threads, job.device)):
        bound = max(bound, float(np.abs(pair).max()))
        flow[i], more = quantise(pair, scale)
        cut += more
    storage.set_attributes(target, {"fps": source.attrs["fps"], "bound_px": bound, "cut_values": cut})
    return bound, cut


def run(job: Job[FlowParams]) -> Mapping[str, Any]:
    """Read a shard of crops, write a shard of flow; excluded videos keep their reason."""
    bounds: dict[str, float] = {}
    cut: dict[str, int] = {}
    with storage.open_shard(job.input("crops")) as crops, storage.create_shard(job.output("flow")) as out:
        for video in progress.track(list(crops), "flow"):
            target = out.create_group(video)
            reason = str(crops[video].attrs.get("excluded", ""))
            target.attrs["excluded"] = reason
            if reason:
                target.attrs["fps"] = crops[video].attrs.get("fps", 0.0)
                continue
            bounds[video], number = write_video(crops[video], target, job)
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
