"""The stage `motion`: mean flow magnitude in eye and mouth regions, frame by frame, of one subject.

It feeds the baseline that learns nothing (`flow_magnitude`). Regions are boxes around the reference landmarks of the
video's one alignment, so they are fixed for the whole video.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from microexp.errors import UserError
from microexp.features.params import MotionParams
from microexp.flow.quantise import read_flow
from microexp.records.features import Layout, start_shard, write_features
from microexp.run.log import track
from microexp.run.stage import Job
from microexp.run.storage import create_shard, open_shard, set_attributes

if TYPE_CHECKING:
    import h5py

REGIONS = {
    "left_eye": [*range(17, 22), *range(36, 42)],
    "right_eye": [*range(22, 27), *range(42, 48)],
    "mouth": [*range(48, 68)],
}
"""Landmarks (iBUG 300-W order, from 0) of brow and eye, left and right in the picture, and of the mouth."""
NOSE = [*range(27, 36)]
BATCH = 64

Box = tuple[int, int, int, int]


def region_box(landmarks: np.ndarray, size: int, margin: float) -> Box:
    """Box around landmarks in a crop.

    Args:
        landmarks: (n, 2) x, y as shares of the crop's side.
        size: side of the crop, px.
        margin: added all around, as a share of the side.

    Returns:
        x0, y0, x1, y1 px, the last two exclusive; at least one pixel, inside the crop.
    """
    low = np.clip(np.floor((landmarks.min(0) - margin) * size), 0, size - 1).astype(int)
    high = np.clip(np.ceil((landmarks.max(0) + margin) * size), low + 1, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def region_magnitudes(flow: np.ndarray, boxes: list[Box], nose: Box | None) -> np.ndarray:
    """Mean magnitude of flow in boxes.

    Args:
        flow: (n, S, S, 2) px.
        boxes: regions.
        nose: its median flow is the head's motion and is subtracted; None subtracts nothing.

    Returns:
        (n, regions) float32 px per frame.
    """
    flow = flow.astype(np.float32, copy=False)
    head = np.zeros((len(flow), 1, 1, 2), np.float32)
    if nose is not None:
        x0, y0, x1, y1 = nose
        head = np.median(flow[:, y0:y1, x0:x1], axis=(1, 2), keepdims=True)
    columns = []
    for x0, y0, x1, y1 in boxes:
        part = flow[:, y0:y1, x0:x1] - head
        columns.append(np.sqrt((part**2).sum(-1)).mean((1, 2)))
    return np.stack(columns, 1).astype(np.float32)


def run(job: Job[MotionParams]) -> None:
    """Measure the motion of every video of a flow shard."""
    path = job.input("flow")
    with (
        open_shard(path) as flow,
        open_shard(job.input("faces")) as faces,
        open_shard(job.input("crops")) as crops,
        create_shard(job.output("features")) as out,
    ):
        start_shard(out, "motion", path.parent.name, path.stem)
        for name in track(sorted(flow), "motion"):
            group = out.create_group(name)
            reason = str(flow[name].attrs.get("excluded", ""))
            set_attributes(group, {"excluded": reason})
            if reason:
                continue
            for other, file in ((faces, job.input("faces")), (crops, job.input("crops"))):
                if name not in other or other[name].attrs.get("excluded", ""):
                    raise UserError(
                        file=file,
                        where=name,
                        problem="no usable video",
                        expected=f"as in {path}",
                        hint="run the stage flow again",
                    )
            size = flow[name]["flow"].shape[1]
            matrix, points = faces[name]["alignment"][:], faces[name]["reference"][:]
            landmarks = points @ matrix[:, :2].T + matrix[:, 2]
            boxes = [region_box(landmarks[r], size, job.params.margin) for r in REGIONS.values()]
            nose = region_box(landmarks[NOSE], size, 0.0) if job.params.subtract_head_motion else None
            layout = Layout(1, 2, float(flow[name].attrs["fps"]), [f"region_{r}" for r in REGIONS])
            write_features(group, _measure(flow[name]["flow"], boxes, nose), layout, crops[name]["frame_index"][:])


def _measure(data: h5py.Dataset, boxes: list[Box], nose: Box | None) -> np.ndarray:
    """Magnitudes of a flow data set (T-1, S, S, 2), read piece by piece."""
    parts = [np.empty((0, len(boxes)), np.float32)]
    for first in range(0, len(data), BATCH):
        parts.append(region_magnitudes(read_flow(data, first, first + BATCH), boxes, nose))
    return np.concatenate(parts)
