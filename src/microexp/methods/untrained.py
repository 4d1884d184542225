"""A model file for videos without any training: motion that stands out from a video's own noise, at a fixed threshold.

What it finds are candidates, not detections: nothing was learnt from annotations. It has the form of any other model
file, so that the stage `apply` needs no second way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from microexp import __version__
from microexp.features.motion import MotionLayout, layout_of, with_regions
from microexp.features.motion_tracking import PlaceMotion, places
from microexp.features.params import MotionParams
from microexp.methods.model import FORMAT
from microexp.methods.spotting.candidates import CandidatesMethod, CandidatesParams, threshold_for
from microexp.methods.spotting.flow_magnitude import STREAM
from microexp.records.index import KINDS
from microexp.run import bundle

NAME = ("untrained", "candidates")
"""Experiment and method of the file."""
PER_MINUTE = 1.0
"""Unflagged false alarms a minute that are accepted."""
DURATION_S = (0.1, 4.0)
"""Shortest and longest candidate: a frame or two is noise, and what lasts longer no expression."""
ALL = 10**6


def write_candidates_model(path: Path, crop_size_px: int) -> None:
    """Write the model file.

    Args:
        path: where.
        crop_size_px: side of the crops that it is applied to.
    """
    method, options = CandidatesMethod(), CandidatesParams(per_minute=PER_MINUTE)
    choice = {"threshold": threshold_for(PER_MINUTE), "top_k": ALL, "f1": 0.0}
    about = {
        "kind": "spotting",
        "format": FORMAT,
        "microexp": __version__,
        "experiment": NAME[0],
        "method": NAME[1],
        "reference": NAME[1],
        "version": method.version,
        "options": options.model_dump(mode="json"),
        "streams": {STREAM: stream_layout(MotionParams())},
        "selection": dict.fromkeys(KINDS, choice),
        "choice": {},
        "duration_s": {kind: list(DURATION_S) for kind in KINDS},
        "preprocessing": {"crops": {"size": crop_size_px}},
    }
    bundle.write(path, bundle.Bundle(about, {"method.0": method.to_bytes(options)}))


def stream_layout(params: MotionParams) -> dict[str, Any]:
    """How the stream `motion` with these options lies on a video: what a model file says of a stream."""
    layout: MotionLayout = layout_of(params)
    names, _ = places(_any_landmarks())
    still = PlaceMotion(np.zeros((0, len(names), 2)), np.zeros(0, bool), names, np.zeros(1), layout.rate)
    channels = with_regions(still, layout).channels
    return {
        "step_frames": layout.step_frames,
        "clip_frames": layout.clip_frames,
        "channels": list(channels),
        "fps": [layout.rate],
    }


def _any_landmarks() -> np.ndarray:
    """(68, 2) points that differ: names of places do not depend on where they are."""
    return np.stack([np.arange(68.0), np.arange(68.0) ** 2], 1)
