"""Small video files of any kind, made with PyAV; frame i has the grey level 20 + 8 * i."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, STEP = 64, 48, 8


def level(number: int) -> int:
    """Grey level of a frame."""
    return 20 + STEP * number


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(H, W, 3) frame with a white top left corner."""
    image = np.full((height, width, 3), level(number), np.uint8)
    image[: height // 4, : width // 4] = 255
    if width > WIDTH:  # something that needs bytes
        noise = np.random.default_rng(number).integers(-15, 16, image.shape)
        image = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
    return image


def number_of(frame: np.ndarray) -> int:
    """Which frame it is, by its middle."""
    height, width = frame.shape[:2]
    middle = frame[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4]
    return round((float(middle.mean()) - 20) / STEP)


def write(
    path: Path,
    n: int = 24,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 30,
    times_ms: Sequence[int] | None = None,
    container: str | None = None,
    pixel_aspect: Fraction | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    **options: str,
) -> Path:
    """Encode n frames; their times are even, or `times_ms`."""
    if codec in ("mpeg4", "mpeg1video", "mpeg2video", "msmpeg4v3", "wmv2"):
        options = {"qmin": "1", "qmax": "2", **options}
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[i], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[tuple[int, int]]:
    """(place, size) in the file of every video packet, in its order."""
    with av.open(str(path)) as file:
        return [(p.pos, p.size) for p in file.demux(file.streams.video[0]) if p.size and p.pos is not None]


def spoil(path: Path, which: int) -> Path:
    """Overwrite a packet."""
    place, size = packets(path)[which]
    if path.suffix == ".mkv":  # its packets begin with a header of the container
        place, size = place + 12, size - 12
    data = bytearray(path.read_bytes())
    data[place : place + size] = bytes((7 * i + 3) % 251 for i in range(size))
    path.write_bytes(data)
    return path


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write a display matrix into the track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 4 + (32 if data[at] == 1 else 20) + 16  # version and flags, times and length, the rest before the matrix
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
