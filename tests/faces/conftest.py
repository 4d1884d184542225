from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from microexp.records.index import Video, write_videos


@pytest.fixture(scope="session")
def face() -> np.ndarray:
    """One frame of the demo: (240, 320, 3) uint8 RGB, the face about 110 px wide."""
    from microexp.reading.params import DemoParams
    from microexp.rendered.scene import make_scene, render

    return render(make_scene(DemoParams(seconds=24, seed=0), "s05_1"), 0, noise=False)


@pytest.fixture(scope="session")
def grey(face: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY))


def moved(image: np.ndarray, x: float, y: float = 0.0) -> np.ndarray:
    """The picture shifted by a fraction of a pixel."""
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    size = image.shape[1::-1]
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write frames as PNG: make_folder("v1", frames)."""

    def make(name: str, frames: Sequence[np.ndarray]) -> Path:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for i, frame in enumerate(frames, 1):
            bgr = frame if frame.ndim == 2 else frame[..., ::-1]
            (folder / f"img{i}.png").write_bytes(cv2.imencode(".png", bgr)[1].tobytes())
        return folder

    return make


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[..., Path]:
    """Write videos.csv: make_index({"v1": (path, n_frames)})."""

    def make(videos: dict[str, tuple[Path, int]], fps: float = 30.0) -> Path:
        path = tmp_path / "videos.csv"
        rows = [Video("set", "s1", name, str(where), n, fps, 320, 240) for name, (where, n) in videos.items()]
        write_videos(path, rows)
        return path

    return make
