"""Stage `i3d-flow`: I3D features of the flow between consecutive crops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from microexp.features.i3d import check_pair, pad, prepare_flow, run_stream
from microexp.features.params import I3dFlowParams
from microexp.records.crops import Crops
from microexp.records.flow import open_flow
from microexp.records.shard import Subject
from microexp.run.stage import Job


def run(job: Job[I3dFlowParams]) -> dict[str, Any]:
    """Compute the shard of one subject."""
    from microexp.features.i3d_load import load_flow

    params = job.params
    own_weights = job.input("flow_weights") if job.inputs.get("flow_weights") else None
    state, about = load_flow(
        job.input("weights"), own_weights, params.rgb_weights_sha256, flow_sha256=params.flow_weights_sha256
    )
    with open_flow(job.input("flow"), Subject.of_path(job.input("crops"))) as flow:

        def read_video(crops: Crops, name: str) -> tuple[str, Callable[[int, int], np.ndarray] | None]:
            """Why a video is excluded, or how to read its prepared flow."""
            pairs = check_pair(name, crops, flow)
            excluded = crops.excluded or pairs.excluded
            if excluded:
                return excluded, None

            def read(start: int, stop: int) -> np.ndarray:
                """Flow of the frames from `start` to `stop`, as the network takes it."""
                found = pad(pairs.read(start, stop), stop - start, repeat=False)
                return prepare_flow(found, params.size_px, params.flow_bound_px)

            return "", read

        attributes = {
            "weights": f"{about['source']} ({about['state_sha256']})",
            "size_px": params.size_px,
            "flow_bound_px": params.flow_bound_px,
        }
        found = run_stream(job, "i3d_flow", state, read_video=read_video, about=attributes)
    return found | {"weights": about}
