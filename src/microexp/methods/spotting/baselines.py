"""What AEM-Net has to beat: random intervals, and peaks of the flow's magnitude (nothing learnt but a threshold)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.errors import UserError
from microexp.metrics.spotting import KINDS
from microexp.run.storage import open_shard


@dataclass(frozen=True)
class MotionVideo:
    """Mean flow magnitude of a video.

    Attributes:
        magnitude: (T-1,) mean over the regions, px per frame.
        frame_index: (T,) source frame of each crop.
        fps: of the crops.
    """

    dataset: str
    subject: str
    video: str
    magnitude: np.ndarray
    frame_index: np.ndarray
    fps: float


def read_motion(paths: Sequence[Path]) -> list[MotionVideo]:
    """Videos of motion shards `…/{dataset}/{subject}.h5`, sorted; excluded ones are left out.

    Raises:
        UserError: when a shard is damaged or holds something else.
    """
    videos = []
    for path in sorted(paths):
        with open_shard(path) as file:
            for name, group in file.items():
                if group.attrs.get("excluded", ""):
                    continue
                try:
                    magnitude = group["magnitude"][:].mean(1)
                    index, fps = group["frame_index"][:], float(group.attrs["fps"])
                except KeyError as error:
                    raise UserError(
                        file=path, where=name, problem=error, expected="magnitudes of the stage motion"
                    ) from error
                videos.append(MotionVideo(path.parent.name, path.stem, name, magnitude, index, fps))
    return sorted(videos, key=lambda v: (v.dataset, v.subject, v.video))


def flow_peaks(video: MotionVideo, length_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of `length_s` around the peaks of a video's motion, with the prominence of each as its score.

    The magnitude is averaged over an expression's length, since an expression moves twice (it comes and goes); a
    peak's prominence (how far it stands above the higher of the two valleys beside it) is taken in units of the
    video's median magnitude, so that one threshold fits quiet and noisy videos.

    Args:
        video: its motion.
        length_s: typical length of the kind, from training subjects.

    Returns:
        (n, 2) closed intervals in source frames and (n,) prominences.
    """
    from scipy.signal import find_peaks

    half = max(1, round(length_s * video.fps / 2))
    if len(video.magnitude) < 3:
        return np.empty((0, 2)), np.empty(0)
    padded = np.pad(video.magnitude, half, mode="edge")
    smooth = np.convolve(padded, np.ones(2 * half) / (2 * half), mode="same")[half:-half]
    peaks, about = find_peaks(smooth, prominence=0, distance=half)
    onset = np.clip(peaks - half, 0, len(video.frame_index) - 1)
    offset = np.clip(peaks + half - 1, 0, len(video.frame_index) - 1)
    frames = np.stack([onset, offset], 1)
    intervals = np.rint(np.interp(frames, np.arange(len(video.frame_index)), video.frame_index))
    return intervals, about["prominences"] / max(float(np.median(video.magnitude)), 1e-9)


def random_intervals(
    n_frames: int,
    fps: float,
    lengths_s: Mapping[str, Sequence[float]],
    rate_per_s: Mapping[str, float],
    generator: np.random.Generator,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Random intervals of one video, with the lengths and the frequency of the training expressions.

    Args:
        n_frames: of the video.
        fps: of the video.
        lengths_s: kind -> lengths of the training expressions, s.
        rate_per_s: kind -> training expressions per second of training video.
        generator: source of chance.

    Returns:
        kind -> (n, 2) closed intervals of source frames and (n,) random scores.
    """
    found = {}
    for kind in KINDS:
        number = int(generator.poisson(rate_per_s.get(kind, 0.0) * n_frames / fps))
        pool = np.asarray(lengths_s.get(kind) or [1 / fps])
        lengths = np.clip(np.rint(generator.choice(pool, number) * fps), 1, n_frames)
        onset = np.floor(generator.random(number) * (n_frames - lengths + 1))
        found[kind] = (np.stack([onset, onset + lengths - 1], 1), generator.random(number))
    return found
