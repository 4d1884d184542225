"""Where in a video the face keeps one place: segments, each with an alignment of its own, and what is in none.

One alignment serves as long as the head stays about where it is. A person who changes the seat, or a film that is cut,
makes a new segment; within one nothing ever moves the crop by a jump. Landmarks are known for some frames only, so the
frame at which one state goes over into another is looked for by halving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from microexp.faces.geometry import RIGID, anchors, apply, canonical_anchors, face_alignment, fit_similarity
from microexp.faces.observe import Face, Looks, Observations

OFF = 0.15
"""Shares of the crop's side by which an eye may lie beside its place."""
MEMBERS = 3
"""Looks that make a segment: more than one pair of neighbouring frames."""
NO_FACE, NO_PLACE, UNKNOWN = -1, -2, -3
"""Labels of frames in no segment: without a face; with one elsewhere; not looked at yet, or damaged."""
ROUNDS = 16
MOST_LOOKS = 400
"""Halvings of a video at most, and frames looked at for them."""


@dataclass(frozen=True)
class Segment:
    """A stretch, or several, in which the face has one place: (68, 2) median landmarks px, (2, 3) alignment."""

    reference: np.ndarray
    alignment: np.ndarray


@dataclass(frozen=True)
class FaceGeometry:
    """Where the eyes are to lie in the crop, and the size of the picture, px."""

    eye_distance: float
    eye_height: float
    width: int
    height: int

    def segment(self, landmarks: np.ndarray) -> Segment:
        """The segment of these (K, 68, 2) landmarks."""
        reference = np.median(landmarks.astype(np.float64), axis=0)
        return Segment(reference, face_alignment(reference, self.eye_distance, self.eye_height))

    def off(self, landmarks: np.ndarray, alignment: np.ndarray) -> np.ndarray:
        """(K,) how far the worse eye lies beside its place, in shares of the crop's side.

        Args:
            landmarks: (K, 68, 2) px.
            alignment: (2, 3), or (K, 2, 3) one for each.
        """
        eyes = anchors(landmarks.astype(np.float64))[:, :2]
        if alignment.ndim == 2:
            places = apply(alignment, eyes)
        else:
            places = np.einsum("kij,kpj->kpi", alignment[:, :, :2], eyes) + alignment[:, None, :, 2]
        wanted = canonical_anchors(self.eye_distance, self.eye_height)[:2]
        return np.asarray(np.linalg.norm(places - wanted, axis=-1).max(axis=-1))

    def in_picture(self, landmarks: np.ndarray) -> np.ndarray:
        """(K,) bool: whether the middle of each face, (K, 68, 2) px, is in the picture."""
        points = landmarks[:, RIGID].astype(np.float64)
        inside = (points >= -0.5).all(-1) & (points < [self.width - 0.5, self.height - 0.5]).all(-1)
        return np.asarray(inside.mean(axis=1) > 0.5)


def find_segments(landmarks: np.ndarray, geometry: FaceGeometry) -> list[Segment]:
    """Segments of a video, the one with most looks first; at least one when there are landmarks.

    Args:
        landmarks: (K, 68, 2) of the looks in order of time.
        geometry: of crop and picture.
    """
    every = one_segment(landmarks, geometry)
    if every is not None:
        return [every]
    rest = np.ones(len(landmarks), bool)
    found: list[Segment] = []
    while rest.any():
        members = _densest(landmarks, rest, geometry)
        if found and (members.sum() < MEMBERS or not _stays(members)):
            break
        found.append(geometry.segment(landmarks[members]))
        rest &= ~members & (geometry.off(landmarks, found[-1].alignment) > OFF)
    return found


def one_segment(landmarks: np.ndarray, geometry: FaceGeometry) -> Segment | None:
    """The segment that holds all landmarks (K, 68, 2); None where no alignment suits all of them."""
    every = geometry.segment(landmarks)
    return every if geometry.off(landmarks, every.alignment).max() <= OFF else None


def _densest(landmarks: np.ndarray, rest: np.ndarray, geometry: FaceGeometry) -> np.ndarray:
    """(K,) bool: the largest set of looks, of the `rest`, that lie around one of them."""
    best = np.zeros(len(landmarks), bool)
    for index in np.flatnonzero(rest):
        around = geometry.segment(landmarks[index : index + 1])
        near = rest & (geometry.off(landmarks, around.alignment) <= OFF)
        if near.sum() > best.sum():
            best = near
    return best


def _stays(members: np.ndarray) -> bool:
    """Whether some looks in a row are members: a head that only swings by has no place there."""
    longest = current = 0
    for member in members:
        current = current + 1 if member else 0
        longest = max(longest, current)
    return longest >= MEMBERS


def labels_of(landmarks: np.ndarray, segments: Sequence[Segment], geometry: FaceGeometry) -> np.ndarray:
    """(K,) number of the segment in which each face has its place, or `NO_PLACE`."""
    off = np.array([geometry.off(landmarks, s.alignment) for s in segments])
    labels = np.where(off.min(axis=0) <= OFF, off.argmin(axis=0), NO_PLACE)
    return np.where(geometry.in_picture(landmarks), labels, NO_PLACE)


Look = Callable[[np.ndarray], list[Face | None]]
"""Faces in some (increasing) frames, None where there is none."""


def refine(looks: Looks, look: Look, label: Callable[[Looks], np.ndarray]) -> Looks:
    """Look at more frames, until every two neighbouring looks with different labels are neighbouring frames.

    Args:
        looks: what was seen so far.
        look: shows faces in more frames.
        label: (N,) label of every look.
    """
    spent = 0
    for _ in range(ROUNDS):
        labels = label(looks)
        known = labels != UNKNOWN
        frames, labels = looks.frames[known], labels[known]
        apart = (np.diff(labels) != 0) & (np.diff(frames) > 1)
        middle = (frames[:-1] + frames[1:])[apart] // 2
        middle = np.setdiff1d(middle, looks.frames)[: MOST_LOOKS - spent]
        if not len(middle):
            break
        spent += len(middle)
        looks = looks.with_more(middle, look(middle))
    return looks


def spread_labels(frames: np.ndarray, labels: np.ndarray, n_frames: int) -> np.ndarray:
    """(n_frames,) label of every frame, from those of the looks before and after it.

    Where these differ and nothing between was looked at, the frames are in doubt and count as what is not usable.
    """
    known = labels != UNKNOWN
    frames, labels = frames[known], labels[known]
    every = np.arange(n_frames)
    after = np.searchsorted(frames, every)
    low, high = labels[np.maximum(after - 1, 0)], labels[np.minimum(after, len(frames) - 1)]
    on_look = frames[np.minimum(after, len(frames) - 1)] == every
    doubt = np.where(np.minimum(low, high) < 0, np.minimum(low, high), NO_PLACE)
    return np.where(on_look | (low == high), high, doubt)


# From noisy landmarks on some frames to one steady alignment of a video.
#
# A micro-expression moves a mouth corner by a few pixels; landmarks shake by half a pixel from frame to frame. Aligning
# each frame to its own landmarks would therefore add a motion as large as the one that is looked for. So landmarks of
# many frames make one reference (the median), and the video gets one transform: all motion in the crops is motion of
# the face. For heads that sway, a slowly varying transform takes the sway out: it changes within seconds, an expression
# within tenths of one.

GAUSSIAN_WIDTH = 2 * np.sqrt(2 * np.log(2))
"""Width at half height over standard deviation."""


def reference_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """(K, 68, 2) -> (68, 2) float64 median, which no minority of wrong or grimacing frames can move far."""
    return np.median(landmarks.astype(np.float64), axis=0)


def jitter_px(seen: Observations) -> float:
    """Noise of the landmarks from frame to frame, px: RMS distance of the rigid points between neighbouring frames.

    Divided by sqrt(2), since both frames have it; the median over the pairs of frames keeps blinks and head turns out.
    It is what frame-by-frame alignment would have added as motion. NaN when there are no neighbouring frames.
    """
    pairs = np.flatnonzero(np.diff(seen.frames) == 1)
    if not len(pairs):
        return float("nan")
    points = seen.landmarks[:, RIGID].astype(np.float64)
    square = ((points[pairs + 1] - points[pairs]) ** 2).sum(axis=-1).mean(axis=-1)
    return float(np.sqrt(np.median(square) / 2))


def distances_px(landmarks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(K,) distance of the rigid points' mean from its reference place, px, of (K, 68, 2) landmarks."""
    centres = landmarks[:, RIGID].astype(np.float64).mean(axis=1)
    distances: np.ndarray = np.linalg.norm(centres - reference[RIGID].mean(axis=0), axis=1)
    return distances


def motion_px(seen: Observations, reference: np.ndarray) -> float:
    """How far the head leaves its reference place: 95th percentile of the distance of the rigid points' mean, px."""
    return float(np.quantile(distances_px(seen.landmarks, reference), 0.95))


def head_poses(landmarks: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where the head is in each frame: (K, 4) turn (real, imaginary) and shift (x, y) of reference -> frame.

    Turn and shift are about the reference's rigid points, so that they are independent.
    """
    centre = reference[RIGID].mean(axis=0)
    around = reference[RIGID] - centre
    fits = [fit_similarity(around, points[RIGID].astype(np.float64) - centre) for points in landmarks]
    return np.array([[m[0, 0], m[1, 0], m[0, 2], m[1, 2]] for m in fits])


def smooth_poses(
    poses: np.ndarray, frames: np.ndarray, n_frames: int, *, step_frames: float, window: float
) -> np.ndarray:
    """Low-pass head poses and give one for every frame.

    A running median over half the window removes what is shorter than a quarter of it (blinks, wrong landmarks), a
    Gaussian then bounds how fast the rest can change.

    Args:
        poses: (K, C) at `frames`.
        frames: (K,) increasing.
        n_frames: length of the video.
        step_frames: spacing to work at, frames.
        window: width of the Gaussian at half height, frames.

    Returns:
        (n_frames, C).
    """
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d

    if n_frames == 1:
        return poses[:1]
    knots = np.linspace(0, n_frames - 1, max(2, round((n_frames - 1) / step_frames) + 1))
    spacing = (n_frames - 1) / (len(knots) - 1)
    sigma = window / GAUSSIAN_WIDTH / spacing
    half, edge = round(window / 4 / spacing), int(np.ceil(4 * sigma))
    smooth = []
    for values in poses.T:
        at_knots = np.interp(knots, frames, values)
        padded = _running_median(np.pad(at_knots, edge + half, mode="edge"), half)
        smooth.append(gaussian_filter1d(padded, sigma, mode="nearest")[edge : edge + len(knots)])
    at_frames: np.ndarray = CubicSpline(knots, np.array(smooth).T)(np.arange(n_frames))
    return at_frames


def _running_median(values: np.ndarray, half: int) -> np.ndarray:
    """Median of 2 * half + 1 values around each; the ends, where some are missing, are dropped."""
    median: np.ndarray = np.median(np.lib.stride_tricks.sliding_window_view(values, 2 * half + 1), axis=-1)
    return median


def slow_alignments(
    alignment: np.ndarray, reference: np.ndarray, seen: Observations, *, n_frames: int, step: float, window: float
) -> np.ndarray:
    """(n_frames, 2, 3): `alignment` with the slow part of the head's motion taken out; step and window in frames."""
    poses = smooth_poses(head_poses(seen.landmarks, reference), seen.frames, n_frames, step_frames=step, window=window)
    turn, shift = poses[:, 0] + 1j * poses[:, 1], poses[:, 2] + 1j * poses[:, 3]
    centre = complex(*reference[RIGID].mean(axis=0))
    scale, offset = complex(alignment[0, 0], alignment[1, 0]), complex(*alignment[:, 2])
    # frame point z -> reference place (z - centre - shift) / turn + centre -> crop
    slope = scale / turn
    constant = scale * (centre - (centre + shift) / turn) + offset
    rows = [[slope.real, -slope.imag, constant.real], [slope.imag, slope.real, constant.imag]]
    return np.moveaxis(np.array(rows), -1, 0)


def largest_shift(alignments: np.ndarray, reference: np.ndarray) -> float:
    """Largest motion that the alignment itself makes from frame to frame at a landmark, in crop sides."""
    if len(alignments) < 2:
        return 0.0
    places = np.einsum("tij,pj->tpi", alignments[:, :, :2], reference) + alignments[:, None, :, 2]
    return float(np.linalg.norm(np.diff(places, axis=0), axis=-1).max())
