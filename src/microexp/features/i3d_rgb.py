"""Stage `i3d-rgb`: I3D features of the crops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microexp.features.i3d import pad, prepare_rgb, run_stream
from microexp.features.params import I3dRgbParams
from microexp.records.crops import Crops
from microexp.run.stage import Job


def run(job: Job[I3dRgbParams]) -> dict[str, Any]:
    """Compute the shard of one subject."""
    from microexp.features.i3d_load import load_rgb

    params = job.params
    state, about = load_rgb(job.input("weights"), params.rgb_weights_sha256)

    def read_video(crops: Crops, name: str) -> tuple[str, Callable[[int, int], np.ndarray] | None]:
        """Why a video is excluded, or how to read its prepared crops."""
        if crops.excluded:
            return crops.excluded, None
        frames = crops.frames
        common = max(1, len(frames) - 1)  # the last frame has no flow, and both streams span the same frames

        def read(start: int, stop: int) -> np.ndarray:
            """The frames from `start` to `stop`, as the network takes them."""
            return prepare_rgb(pad(frames[start : min(stop, common)], stop - start, repeat=True), params.size_px)

        return "", read

    weights = f"{about['source']} ({about['state_sha256']})"
    found = run_stream(
        job, "i3d_rgb", state, read_video=read_video, about={"weights": weights, "size_px": params.size_px}
    )
    return found | {"weights": about}
