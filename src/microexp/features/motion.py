"""The stage `motion`: mean flow magnitude in eye and mouth regions, frame by frame, of one subject.

It feeds the baseline that learns nothing (`flow_magnitude`). Regions are boxes around the reference landmarks of the
video's one alignment, so they are fixed for the whole video.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.features.params import MotionParams
from microexp.records.crops import open_crops
from microexp.records.faces import Faces, open_faces
from microexp.records.features import Layout, create_features
from microexp.records.flow import Flow, open_flow
from microexp.records.shard import Shard, V
from microexp.run.log import track
from microexp.run.stage import Job

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


def region_boxes(faces: Faces, size: int, params: MotionParams) -> tuple[list[Box], Box | None]:
    """The boxes of `REGIONS` in crops of `size` px, and that of the nose when the head's motion is subtracted."""
    matrix = faces.alignment
    landmarks = faces.reference @ matrix[:, :2].T + matrix[:, 2]
    boxes = [region_box(landmarks[r], size, params.margin) for r in REGIONS.values()]
    return boxes, region_box(landmarks[NOSE], size, 0.0) if params.subtract_head_motion else None


def run(job: Job[MotionParams]) -> None:
    """Measure the motion of every video of a flow shard."""
    path = job.input("flow")
    with (
        open_flow(path) as flow,
        open_faces(job.input("faces"), flow.subject) as faces,
        open_crops(job.input("crops"), flow.subject) as crops,
        create_features(job.output("features"), "motion", flow.subject) as out,
    ):
        for name in track(sorted(flow), "motion"):
            video = flow[name]
            if video.excluded:
                out.exclude(name, video.excluded)
                continue
            face, source = _usable(faces, name, path), _usable(crops, name, path)
            magnitude = _measure(video, *region_boxes(face, video.side, job.params))
            layout = Layout(1, 2, video.fps, [f"region_{r}" for r in REGIONS])
            out.add(name, magnitude, layout, source.frame_index)


def _usable(shard: Shard[V], name: str, flow: Path) -> V:
    found = shard.usable(name)
    if found is None:
        raise UserError(
            file=shard.path,
            where=name,
            problem="no usable video",
            expected=f"as in {flow}",
            hint="run the stage flow again",
        )
    return found


def _measure(flow: Flow, boxes: list[Box], nose: Box | None) -> np.ndarray:
    """(T-1, regions) magnitudes of a video's flow, read piece by piece."""
    parts = [np.empty((0, len(boxes)), np.float32)]
    for first in range(0, len(flow), BATCH):
        parts.append(region_magnitudes(flow.read(first, first + BATCH), boxes, nose))
    return np.concatenate(parts)
