"""A model file for videos when nobody has trained one: peaks of the motion in facial regions, at a fixed threshold.

What it finds are candidates, not detections: nothing was learnt from annotations. It has the form of any other model
file, so that the stage `apply` needs no second way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from microexp import __version__
from microexp.features.motion.channels import MotionLayout
from microexp.features.motion.places import places
from microexp.features.motion.stage import layout_of, with_regions
from microexp.features.motion.tracking import PlaceMotion
from microexp.features.params import MotionParams
from microexp.methods.model import FORMAT
from microexp.methods.spotting.flow_magnitude import STREAM, FlowMagnitude
from microexp.run import bundle

NAME = ("candidates", "flow_magnitude")
"""Experiment and method of the file."""
LENGTH_S = 0.5
"""Length of a candidate: that of the longest micro-expression (Yan et al. 2013)."""
THRESHOLD = 0.5
"""Least prominence of a peak, in units of the video's median motion. docs/own_video.md says what it gives."""
NEVER = {"threshold": 1e9, "top_k": 0, "f1": 0.0}
ALL = 10**6


def write_candidates_model(path: Path, crop_size_px: int) -> None:
    """Write the model file.

    Args:
        path: where.
        crop_size_px: side of the crops that it is applied to.
    """
    method = FlowMagnitude()
    fitted = {"micro": LENGTH_S, "macro": LENGTH_S}
    about = {
        "kind": "spotting",
        "format": FORMAT,
        "microexp": __version__,
        "experiment": NAME[0],
        "method": NAME[1],
        "reference": NAME[1],
        "version": method.version,
        "options": {},
        "streams": {STREAM: stream_layout(MotionParams())},
        "selection": {"micro": {"threshold": THRESHOLD, "top_k": ALL, "f1": 0.0}, "macro": NEVER},
        "choice": {},
        "duration_s": {"micro": [LENGTH_S / 4, 4 * LENGTH_S], "macro": [LENGTH_S / 4, 4 * LENGTH_S]},
        "preprocessing": {"crops": {"size": crop_size_px}},
    }
    bundle.write(path, bundle.Bundle(about, {"method.0": method.to_bytes(fitted)}))


def stream_layout(params: MotionParams) -> dict[str, Any]:
    """How the stream `motion` with these options lies on a video: what a model file says of a stream."""
    layout: MotionLayout = layout_of(params)
    names, _ = places(_any_landmarks())
    still = PlaceMotion(np.zeros((0, len(names), 2)), np.zeros(0, bool), names, np.zeros(1), layout.rate)
    channels = with_regions(still, layout)[2]
    return {
        "step_frames": layout.step_frames,
        "clip_frames": layout.clip_frames,
        "channels": list(channels),
        "fps": [layout.rate],
    }


def _any_landmarks() -> np.ndarray:
    """(68, 2) points that differ: names of places do not depend on where they are."""
    return np.stack([np.arange(68.0), np.arange(68.0) ** 2], 1)
