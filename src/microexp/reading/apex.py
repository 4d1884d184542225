"""Where an expression without an annotated apex has it: at the largest motion away from its onset."""

from __future__ import annotations

import numpy as np

from microexp.reading.frames import VideoSource

WIDTH_PX = 160
"""Width to which frames are scaled: motion of a whole expression shows well at this size."""


def apex_by_flow(source: VideoSource, onset: int, offset: int) -> int:
    """Index of the frame in `[onset, offset]` that differs most in motion from the onset.

    Dense flow (Farneback 2003) from the onset to each frame, minus its median, which is the motion of the head; the
    apex is the frame with the largest mean magnitude, the first one on a tie. A damaged frame is no apex; where the
    onset is damaged, motion is counted from the first frame that is not.

    Returns:
        The frame; the middle of the interval where no frame can be decoded.

    Raises:
        UserError: when the file cannot be read.
    """
    import cv2

    offset = min(offset, source.n_frames - 1)
    if onset == offset:
        return onset
    size = (WIDTH_PX, max(16, round(WIDTH_PX * source.height / source.width)))
    first: np.ndarray | None = None
    magnitudes = []
    for image in source.read(range(onset, offset + 1), grey=True):
        if image is None:
            magnitudes.append(-1.0)
            continue
        frame = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if first is None:
            first = frame
            magnitudes.append(0.0)
            continue
        flow = cv2.calcOpticalFlowFarneback(first, frame, None, 0.5, 3, 15, 3, 5, 1.1, 0)
        flow -= np.median(flow, axis=(0, 1))
        magnitudes.append(float(np.hypot(flow[..., 0], flow[..., 1]).mean(dtype=np.float64)))
    if first is None:
        return (onset + offset + 1) // 2
    return onset + int(np.argmax(magnitudes))
