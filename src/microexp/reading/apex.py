"""Where an expression without an annotated apex has it: at the largest motion away from its onset."""

from __future__ import annotations

import numpy as np

from microexp.reading.frames import VideoSource

WIDTH_PX = 160
"""Width to which frames are scaled: motion of a whole expression shows well at this size."""


def apex_by_flow(source: VideoSource, onset: int, offset: int) -> int:
    """Index of the frame in `[onset, offset]` that differs most in motion from the onset.

    Dense flow (Farneback 2003) from the onset to each frame, minus its median, which is the motion of the head; the
    apex is the frame with the largest mean magnitude, the first one on a tie.

    Raises:
        UserError: when a frame cannot be decoded.
    """
    import cv2

    if onset == offset:
        return onset
    size = (WIDTH_PX, max(16, round(WIDTH_PX * source.height / source.width)))
    frames = (
        cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in source.read(range(onset, offset + 1), grey=True)
    )
    first = next(frames)
    magnitudes = [0.0]
    for frame in frames:
        flow = cv2.calcOpticalFlowFarneback(first, frame, None, 0.5, 3, 15, 3, 5, 1.1, 0)
        flow -= np.median(flow, axis=(0, 1))
        magnitudes.append(float(np.hypot(flow[..., 0], flow[..., 1]).mean(dtype=np.float64)))
    return onset + int(np.argmax(magnitudes))
