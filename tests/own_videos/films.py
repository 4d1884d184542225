"""Films of a rendered person in every form that people's videos come in."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from tests.reading.made import packets, spoil, with_matrix

N = 30
WIDTH, HEIGHT = 320, 240
Frames = Sequence[np.ndarray]


@functools.cache
def person(number: int = 1) -> tuple[np.ndarray, ...]:
    """One second of somebody, (240, 320, 3) uint8 RGB each."""
    from microexp.reading.params import DemoVideoParams
    from microexp.rendered.scene import make_scene, render

    scene = make_scene(DemoVideoParams(seconds=12, micro=3, macro=1, seed=5), f"s0{number}_1")
    return tuple(render(scene, frame) for frame in range(N))


def write(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    fps: int = 30,
    times_ms: Sequence[int] | None = None,
    container: str | None = None,
    pixel_aspect: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    **options: str,
) -> Path:
    """Encode frames; their times are even, or `times_ms`."""
    fine = {"libx264": {"qp": "18", "preset": "superfast"}}.get(codec, {"qmin": "1", "qmax": "3"})
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=fps, options={**fine, **options})
        for i, image in enumerate(frames):
            if i == 0:
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = pix_fmt
                if pixel_aspect is not None:
                    stream.codec_context.sample_aspect_ratio = pixel_aspect
                if times_ms is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[i], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def images(folder: Path, frames: Frames, suffix: str = ".png", first: int = 1) -> Path:
    """A folder of numbered images."""
    folder.mkdir(parents=True)
    for number, image in enumerate(frames, first):
        (folder / f"img{number}{suffix}").write_bytes(cv2.imencode(suffix, image[..., ::-1])[1].tobytes())
    return folder


def _turned(path: Path) -> Path:
    return with_matrix(write(path, [np.rot90(f, 1) for f in person()]), 0, 1, -1, 0)


def _hidden(share: float) -> Frames:
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    shown = round(N * (1 - share))
    return [*person()[:shown], *[grey] * (N - shown)]


def _beside(other: float) -> list[np.ndarray]:
    """Two people, the second one smaller."""
    found = []
    for one, two in zip(person(1), person(2), strict=True):
        small = cv2.resize(two, None, fx=other, fy=other, interpolation=cv2.INTER_AREA)
        canvas = np.full((HEIGHT, WIDTH + small.shape[1] // 2 * 2, 3), 120, np.uint8)
        canvas[:, :WIDTH] = one
        canvas[-small.shape[0] :, WIDTH : WIDTH + small.shape[1]] = small[:, : canvas.shape[1] - WIDTH]
        found.append(canvas)
    return found


def _seats() -> list[np.ndarray]:
    """The person changes the seat in the middle."""
    wide = [np.full((HEIGHT, 2 * WIDTH, 3), 120, np.uint8) for _ in range(N)]
    for i, image in enumerate(person()):
        at = 0 if i < N // 2 else WIDTH
        wide[i][:, at : at + WIDTH] = image
    return wide


def _cut_off(path: Path) -> Path:
    write(path, person(), g="5")
    place, size = packets(path)[20]
    path.write_bytes(path.read_bytes()[: place + size // 2])
    return path


def _script(path: Path) -> Path:
    path.write_text("ffconcat version 1.0\nfile plain.mp4\n")
    return path


def _copy(path: Path, of: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(of, path))


Made = tuple[str, Callable[[Path], object], str]
"""Name below the folder, what makes it, and the status that it must have."""


def all_films() -> list[Made]:
    """(name, maker, status) of every film; names have suffixes as people's have."""
    people, still = person(), [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * N
    vfr = [round(1000 * t) for t in np.cumsum(np.r_[0, np.tile([1 / 30, 1 / 30, 1 / 12], 10)])[:N]]
    gap = [round(1000 * (i / 30 + (2.0 if i >= 15 else 0))) for i in range(N)]
    return [
        ("plain.mp4", lambda p: write(p, people), "ok"),
        ("b frames.mp4", lambda p: write(p, people, bf="3"), "ok"),
        ("decoding order.avi", lambda p: write(p, people, bf="3"), "ok"),
        ("xvid.avi", lambda p: write(p, people, codec="mpeg4", bf="2"), "ok"),
        ("mpeg2.mpg", lambda p: write(p, people, codec="mpeg2video", g="12", bf="2"), "ok"),
        ("mpeg1.mpeg", lambda p: write(p, people, codec="mpeg1video", g="12"), "ok"),
        ("stream.ts", lambda p: write(p, people, bf="2", container="mpegts"), "ok"),
        ("CAMERA.MTS", lambda p: write(p, people, container="mpegts"), "ok"),
        ("disc.vob", lambda p: write(p, people, codec="mpeg2video", container="vob"), "ok"),
        ("browser.webm", lambda p: write(p, people, codec="libvpx", deadline="realtime", **{"b": "2M"}), "ok"),
        ("matroska.mkv", lambda p: write(p, people), "ok"),
        ("quicktime.mov", lambda p: write(p, people), "ok"),
        ("phone.3gp", lambda p: write(p, people), "ok"),
        ("flash.flv", lambda p: write(p, people), "ok"),
        ("raw.h264", lambda p: write(p, people, container="h264"), "ok"),
        ("motion.gif", lambda p: write(p, people, codec="gif", fps=25, pix_fmt="rgb8"), "ok"),
        ("no suffix", lambda p: write(p, people, container="mp4"), "ok"),
        ("upright phone.mp4", _turned, "ok"),
        ("anamorphic.mp4", lambda p: write(p, [f[:, ::2] for f in people], pixel_aspect=Fraction(2, 1)), "ok"),
        ("variable rate.mkv", lambda p: write(p, people, times_ms=vfr), "ok"),
        ("gap in time.mkv", lambda p: write(p, people, times_ms=gap), "ok"),
        ("repeated.mp4", lambda p: write(p, np.repeat(people, 2, 0), fps=60), "ok"),
        ("fast.mp4", lambda p: write(p, people, fps=200), "ok"),
        ("half hidden.mp4", lambda p: write(p, _hidden(0.5)), "partly"),
        ("seat.mp4", lambda p: write(p, _seats()), "ok"),
        ("two people.mp4", lambda p: write(p, _beside(0.8)), "ok"),
        ("bad packet.mkv", lambda p: spoil(write(p, people, g="5", bf="0"), 20), "partly"),
        ("cut off.ts", lambda p: _cut_off(p), "ok"),
        ("Zoë – Größe (take 1) 中.mp4", lambda p: write(p, people), "ok"),
        ("--out.mp4", lambda p: write(p, people), "ok"),
        ("run.mp4", lambda p: write(p, people), "ok"),
        ("frames", lambda p: images(p, people), "ok"),
        ("numbered/from 7", lambda p: images(p, people, ".jpg", 7), "ok"),
        ("tight.mp4", lambda p: write(p, [cv2.resize(f[70:200, 100:220], (240, 260)) for f in people]), "ok"),
        ("nobody.mp4", lambda p: write(p, still), "none"),
        ("empty.mp4", lambda p: p.write_bytes(b""), "none"),
        ("text.mp4", lambda p: p.write_text("this is no video\n" * 50), "none"),
        ("playlist.mp4", _script, "none"),
        ("one frame.mp4", lambda p: write(p, people[:1]), "none"),
        ("broken link.mp4", lambda p: p.symlink_to("nowhere.mp4"), "none"),
    ]
