"""Stage `demo`: renders one video of the demo data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from microexp.reading.params import DemoVideoParams
from microexp.rendered.demo import parse_video
from microexp.run import storage
from microexp.run.log import track
from microexp.run.stage import Job

X264 = {"qp": "14", "preset": "superfast", "bf": "0", "threads": "1"}
"""Fine enough that motion of a tenth of a pixel survives, and equally fine in every frame.

A constant quantiser, since macroblock-tree rate control (on with crf) is not reproducible: with x264's AVX2 code, 16
encodings of one clip gave 10 different files. One thread, since the bytes depend on their number.
"""
QUANTISER = 31
"""What a random number is for."""
MP4 = {"fflags": "+bitexact", "movflags": "+faststart"}


def write_video(
    path: Path, frames: Iterable[np.ndarray], fps: int | Fraction, *, x264: Mapping[str, str] = X264
) -> None:
    """Write frames (H,W,3) uint8 RGB as H.264 in mp4, atomically; equal frames give equal bytes."""
    import av

    with storage.atomic(path) as temporary, av.open(str(temporary), "w", format="mp4", options=MP4) as file:
        stream = file.add_stream("libx264", rate=Fraction(fps), options=dict(x264))
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(frames):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode(None))


def run(job: Job[DemoVideoParams]) -> dict[str, object]:
    """Render the video named by the key `video`."""
    import cv2

    from microexp.rendered.scene import make_scene, render
    from microexp.run.compiled import one_at_a_time

    cv2.setNumThreads(job.threads)
    video = job.keys["video"]
    scene = make_scene(job.params, video)
    with one_at_a_time():  # the first picture compiles the kernels, or loads them
        render(scene, 0)
    frames = track(range(scene.n_frames), f"demo {video}")
    x264 = X264 | quantiser(job.params, video)
    write_video(job.output("video"), (render(scene, frame) for frame in frames), scene.fps, x264=x264)
    return {"x264": x264, "n_frames": scene.n_frames}


def quantiser(params: DemoVideoParams, video: str) -> dict[str, str]:
    """x264's option for the quantiser that a video has drawn; nothing where there is no choice."""
    choices = params.untidy.quantisers
    if not choices:
        return {}
    rng = np.random.default_rng([params.seed or 0, *parse_video(params, video), QUANTISER])
    return {"qp": str(choices[rng.integers(len(choices))])}
