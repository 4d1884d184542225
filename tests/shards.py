"""Made-up shards with their records, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from microexp.records import apexdiff, features
from microexp.records.apexdiff import Apexdiff
from microexp.records.crops import create_crops
from microexp.records.faces import create_faces
from microexp.records.flow import create_flow
from microexp.records.shard import Subject
from microexp.run import provenance


def recorded(path: Path, stage: str) -> Path:
    """`path`, with a record beside it."""
    provenance.write_provenance(path, {"stage": stage})
    return path


def write_crops(
    path: Path,
    videos: Mapping[str, np.ndarray | str],
    *,
    frame_index: np.ndarray | Mapping[str, np.ndarray] | None = None,
    fps: float = 30.0,
    source_fps: float = 30.0,
    source_n_frames: int | None = None,
) -> Path:
    """Crops (T, S, S, C) uint8 of each video, or the reason why it is excluded, at `…/{dataset}/{subject}.h5`."""
    with create_crops(path, Subject.of_path(path)) as shard:
        for name, crops in videos.items():
            about = {"fps": fps, "source_fps": source_fps, "source_n_frames": source_n_frames or len(crops)}
            if isinstance(crops, str):
                shard.exclude(name, crops, **about)
                continue
            index = frame_index[name] if isinstance(frame_index, Mapping) else frame_index
            index = np.arange(len(crops), dtype=np.int32) if index is None else index
            shard.stream(name, index, crops, **about)
    return recorded(path, "crops")


def write_flow(
    path: Path, videos: Mapping[str, np.ndarray | str], scale_px: float = 1 / 512, fps: float = 30.0
) -> Path:
    """Flow (T-1, S, S, 2) px of each video, or the reason why it is excluded."""
    with create_flow(path, Subject.of_path(path)) as shard:
        for name, flow in videos.items():
            if isinstance(flow, str):
                shard.exclude(name, flow, fps=fps)
            else:
                pairs = flow.astype(np.float32)
                shard.stream(name, pairs, shape=flow.shape, scale_px=scale_px, fps=fps)
    return recorded(path, "flow")


def face_arrays(points: np.ndarray) -> dict[str, np.ndarray]:
    """A face seen in one frame, with landmarks (68, 2) px."""
    return {
        "frames": np.array([3], np.int32),
        "boxes": np.array([[0, 0, 100, 100]], np.float32),
        "landmarks": points[None].astype(np.float32),
        "score": np.ones(1, np.float32),
        "reference": points.astype(np.float64),
        "alignment": np.array([[0.01, 0, 0], [0, 0.01, 0]]),
    }


def write_faces(
    path: Path, videos: Mapping[str, np.ndarray | str], alignment: np.ndarray | None = None, **attributes: object
) -> Path:
    """Reference landmarks (68, 2) px of each video, seen in one frame, or the reason why it is excluded."""
    size = {"n_frames": 20, "width": 320, "height": 240, "fps": 30.0}
    quality = {"looked_at": 2, "misses": 1, "jitter_px": 0.5, "motion_px": 2.0, "scale": 100.0, "drift_px": 0.0}
    with create_faces(path, Subject.of_path(path)) as shard:
        for name, points in videos.items():
            if isinstance(points, str):
                shard.exclude(name, points, **size)
                continue
            arrays = face_arrays(points) | ({} if alignment is None else {"alignment": alignment})
            shard.add(name, arrays, **{**size, **quality, **attributes})
    return recorded(path, "faces")


def write_features(path: Path, videos: Mapping[str, np.ndarray | str]) -> Path:
    """Features (T-1, C) of each video, or why it is excluded, at `…/features/{stream}/{dataset}/{subject}.h5`."""
    stream, dataset, subject = features.unit_of(path)
    with features.create_features(path, stream, Subject(dataset, subject)) as file:
        for name, values in videos.items():
            if isinstance(values, str):
                file.exclude(name, values)
                continue
            layout = features.Layout(1, 2, 30.0, "abcdefgh"[: values.shape[1]])
            file.add(name, values.astype(np.float32), layout, frame_index=np.arange(len(values) + 1, dtype=np.int32))
    return recorded(path, stream)


def apexdiff_record(count: int, side: int = 4) -> Apexdiff:
    """`count` expressions of the video `v`."""
    rng = np.random.default_rng(count)
    grey = {n: rng.random((count, side, side), dtype=np.float32) for n in ("difference", "strain", "onset_grey")}
    numbers = {n: np.arange(count, dtype=np.int32) + i for i, n in enumerate(("onset", "expression", "apex", "offset"))}
    texts = {"video": "v", "kind": "micro", "emotion": "überrascht", "aus": "1+2"}
    columns = {n: np.array([text] * count, dtype=str) for n, text in texts.items()}
    return Apexdiff(**grey, flow=rng.random((count, side, side, 2), dtype=np.float32), **numbers, **columns)


def write_apexdiff(path: Path, count: int) -> Path:
    """A shard of `count` made-up expressions."""
    apexdiff.write_apexdiff(path, Subject.of_path(path), apexdiff_record(count))
    return recorded(path, "apexdiff")
