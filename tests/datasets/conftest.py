from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest


def image(value: int, width: int = 16, height: int = 12, grey: bool = False) -> np.ndarray:
    """A smooth picture with a mean that tells its number apart after JPEG."""
    shape = (height, width) if grey else (height, width, 3)
    return np.full(shape, value % 256, np.uint8)


@pytest.fixture
def make_frames() -> Callable[..., Path]:
    """Write tiny images: make_frames(folder, numbers, "img{}.jpg")."""

    def make(
        folder: Path,
        numbers: Iterable[int],
        name: str = "img{}.jpg",
        grey: bool = False,
        size: tuple[int, int] = (16, 12),
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(Path(name).suffix, image(100, *size, grey=grey))[1].tobytes()
        for number in numbers:
            (folder / name.format(number)).write_bytes(encoded)
        return folder

    return make


@pytest.fixture
def make_video() -> Callable[..., Path]:
    """Encode a small video, in which frame i has the grey level 4 * i."""

    def make(path: Path, n: int = 40, fps: int = 30, codec: str = "libx264", gop: int = 10, **options: str) -> Path:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps, options={"g": str(gop), **options})
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p" if codec != "mjpeg" else "yuvj420p"
            for i in range(n):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 4 * i % 256, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return make
