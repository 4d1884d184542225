"""Stage `apexdiff`: what happens in the face between the onset and the apex of every expression.

What its shards hold is described in `records/apexdiff.py`; frames are those of the source, as in the index.

Flow and strain are computed on the grid of the crops (S, S); all maps are then averaged down to (s, s), and the flow is
multiplied by s / S. Strain, being motion per length, is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from microexp.apexdiff.identity import strain_magnitude
from microexp.apexdiff.params import ApexdiffParams
from microexp.errors import UserError
from microexp.faces.crops import nearest_crop
from microexp.flow.tvl1 import compute_flow, provenance
from microexp.records.apexdiff import Apexdiff, write_apexdiff
from microexp.records.crops import Crops, open_crops
from microexp.records.index import Expression, read_expressions, read_videos
from microexp.records.shard import Shard
from microexp.records.validity import WORDS, Reason
from microexp.run.log import log, track
from microexp.run.stage import Job

# The motion of the head as a whole between two frames, told from that of the face by a robust fit to the flow.

CENTRE = (0.5, 0.56)
RADII = (0.36, 0.42)
"""The face in the crop: an ellipse, in crop sides."""

ROUNDS = 20
TUKEY = 4.685
"""Residuals beyond so many standard deviations count nothing (Beaton & Tukey 1974)."""
SMALLEST_SPREAD_PX = 0.02


def face_mask(size: int) -> np.ndarray:
    """(size, size) bool: inside the ellipse of the face."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    inside: np.ndarray = ((x - CENTRE[0]) / RADII[0]) ** 2 + ((y - CENTRE[1]) / RADII[1]) ** 2 <= 1
    return inside


def rigid_flow(flow: np.ndarray) -> np.ndarray:
    """The flow of the head as a whole: a shift, turn and change of scale fitted to the flow of the face.

    Iteratively reweighted least squares with Tukey's weights from a median start: an expression moves a minor part of
    the face, stands out and counts nothing.

    Args:
        flow: (S, S, 2) px.

    Returns:
        (S, S, 2) px, smooth: in complex numbers w(z) = shift + turn * z.
    """
    size = flow.shape[0]
    y, x = np.mgrid[:size, :size]
    z = (x - size / 2) + 1j * (y - size / 2)
    inside = face_mask(size)
    points = z[inside]
    values = flow[..., 0][inside].astype(np.float64) + 1j * flow[..., 1][inside]
    shift, turn = complex(np.median(values.real), np.median(values.imag)), 0j
    for _ in range(ROUNDS):
        residual = np.abs(values - shift - turn * points)
        spread = max(SMALLEST_SPREAD_PX, float(np.median(residual)) / np.sqrt(2 * np.log(2)))  # Rayleigh
        weight = np.clip(1 - (residual / (TUKEY * spread)) ** 2, 0, None) ** 2
        total = weight.sum()
        centre, mean = (weight * points).sum() / total, (weight * values).sum() / total
        turn = (weight * np.conj(points - centre) * (values - mean)).sum() / (weight * abs(points - centre) ** 2).sum()
        shift = mean - turn * centre
    head = shift + turn * z
    return np.stack([head.real, head.imag], axis=-1).astype(np.float32)


def undo(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """`image` (S, S) float32 seen as if the points had not moved by `flow` (S, S, 2) px: image(x + flow(x))."""
    import cv2

    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    moved: np.ndarray = cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    return moved


PAIRS = 32
"""Expressions per call of the flow, by all threads or in one batch."""

MAPS = ("difference", "flow", "strain", "onset_grey")
COLUMNS = ("video", "expression", "onset", "apex", "offset", "kind", "emotion", "aus")


class LeftOut(Exception):
    """An expression that cannot be used; the text says why."""


@dataclass(frozen=True)
class Maps:
    """The inputs of one expression, on any grid (S, S); flow in px of that grid."""

    difference: np.ndarray
    flow: np.ndarray
    strain: np.ndarray
    onset_grey: np.ndarray


def to_grey(crops: np.ndarray) -> np.ndarray:
    """(N, S, S, 1 or 3) uint8 -> (N, S, S) float32 grey levels, not rounded (ITU-R 601 luma)."""
    if crops.shape[-1] == 1:
        return crops[..., 0].astype(np.float32)
    return crops.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def expression_maps(onset: np.ndarray, apex: np.ndarray, flow: np.ndarray, *, registration: str) -> Maps:
    """Difference, flow and strain on the grid of the crops.

    Args:
        onset: (S, S) float32 grey levels.
        apex: (S, S) float32 grey levels.
        flow: (S, S, 2) px, onset -> apex.
        registration: `alignment`, or `rigid`: the head's own motion is taken out of flow and apex first.
    """
    if registration == "rigid":
        head = rigid_flow(flow)
        flow, apex = flow - head, undo(apex, head)
    return Maps(apex - onset, flow, strain_magnitude(flow), onset)


def shrink(maps: Maps, size: int) -> Maps:
    """`maps` averaged down to (size, size), the flow in px of the new grid."""
    import cv2

    factor = size / maps.flow.shape[0]

    def area(values: np.ndarray) -> np.ndarray:
        """A map at the stored size: each pixel is the mean of the area it covers."""
        small: np.ndarray = cv2.resize(values, (size, size), interpolation=cv2.INTER_AREA)
        return small

    return Maps(area(maps.difference), area(maps.flow) * np.float32(factor), area(maps.strain), area(maps.onset_grey))


def check_frames(expression: Expression, video: Crops | None) -> None:
    """Raise `LeftOut` when the crops do not show onset and apex as two frames."""
    if video is None:
        raise LeftOut("its video is not among the crops")
    if video.excluded:
        raise LeftOut(video.excluded)
    n_frames = video.source_n_frames
    if expression.apex >= n_frames or not expression.is_inside(n_frames):
        raise LeftOut(f"onset {expression.onset}, apex {expression.apex}, but the video has {n_frames} frames")


def onset_and_apex(expression: Expression, frame_index: np.ndarray) -> tuple[int, int]:
    """Numbers of the crops nearest to onset and apex; raises `LeftOut` when that is the same one."""
    onset, apex = nearest_crop(frame_index, expression.onset), nearest_crop(frame_index, expression.apex)
    if onset == apex:
        raise LeftOut(f"onset {expression.onset} and apex {expression.apex} fall on the same frame")
    return onset, apex


def read_pair(expression: Expression, video: Crops | None, size: int) -> np.ndarray:
    """Onset and apex of an expression as (2, S, S) float32 grey levels; raises `LeftOut` when it cannot be used.

    Raises:
        UserError: when the crops are smaller than the maps are to be.
    """
    check_frames(expression, video)
    assert video is not None
    if size > video.side:
        raise UserError(file="apexdiff.size", got=size, expected=f"at most the crops' {video.side} px")
    pair = onset_and_apex(expression, video.frame_index)
    _check_valid(video, *pair)
    return to_grey(np.stack([video.frames[i] for i in pair]))


def _check_valid(video: Crops, onset: int, apex: int) -> None:
    """Raise `LeftOut` when a crop does not show the face, or the face has another place in between."""
    reason = video.reason
    for name, crop in (("onset", onset), ("apex", apex)):
        if not video.valid[crop] and reason[crop] != Reason.REPEATED:
            raise LeftOut(f"{name}: {WORDS[Reason(reason[crop])]}")
    if (reason[onset + 1 : apex + 1] == Reason.CUT).any():
        raise LeftOut("a cut between onset and apex")


def read_pairs(
    expressions: Iterable[Expression], crops: Shard[Crops], size: int, *, excluded: list[tuple[str, str]]
) -> Iterator[tuple[Expression, np.ndarray]]:
    """Every expression that can be used, with its `read_pair`; of the others, video and reason go to `excluded`."""
    for expression in expressions:
        try:
            pair = read_pair(expression, crops.get(expression.video), size)
        except LeftOut as reason:
            excluded.append((expression.video, f"expression {expression.expression}: {reason}"))
            log(f"{expression.dataset}/{expression.subject}/{expression.video} {excluded[-1][1]}: excluded")
            continue
        yield expression, pair


def make_maps(pairs: Sequence[np.ndarray], job: Job[ApexdiffParams]) -> list[Maps]:
    """The maps of pairs (2, S, S) of onset and apex, at the stored size."""
    params = job.params
    onsets, apexes = np.stack(pairs, 1)
    flows = compute_flow(onsets, apexes, params.flow, threads=job.threads, device=job.device)
    return [
        shrink(expression_maps(onset, apex, flow, registration=params.registration), params.size)
        for onset, apex, flow in zip(onsets, apexes, flows, strict=True)
    ]


def record_of(done: Sequence[tuple[Expression, Maps]], size: int, excluded: Iterable[tuple[str, str]]) -> Apexdiff:
    """The record of a subject; without a usable expression its arrays are empty."""
    arrays: dict[str, Any] = {n: [getattr(e, n) for e, _ in done] for n in COLUMNS}
    for name in MAPS:
        rows = np.array([getattr(maps, name) for _, maps in done], np.float32)
        arrays[name] = rows.reshape(len(done), size, size, *([2] if name == "flow" else []))
    return Apexdiff(**arrays, excluded=tuple(excluded))


def run(job: Job[ApexdiffParams]) -> Mapping[str, Any]:
    """Make the inputs of all expressions of one subject."""
    import cv2

    cv2.setNumThreads(job.threads)
    expressions = read_expressions(job.input("expressions"), read_videos(job.input("videos")))
    done: list[tuple[Expression, Maps]] = []
    excluded: list[tuple[str, str]] = []
    with open_crops(job.input("crops")) as crops:
        usable = read_pairs(track(expressions, "apexdiff"), crops, job.params.size, excluded=excluded)
        while chunk := list(islice(usable, PAIRS)):
            maps = make_maps([pair for _, pair in chunk], job)
            done += zip([expression for expression, _ in chunk], maps, strict=True)
    write_apexdiff(job.output("apexdiff"), crops.subject, record_of(done, job.params.size, excluded))
    return provenance(job.params.flow, job.device)


# Apex and onset-apex maps of intervals that nobody annotated, from the aligned crops of a video.

LOOKS = 12
"""Frames of an interval that are compared with its onset, evenly spaced; all where there are not so many."""


def apex_and_maps(
    video: Crops, interval: tuple[int, int], params: ApexdiffParams, *, threads: int = 1, device: str = "auto"
) -> tuple[int, Maps] | None:
    """The apex of an interval and the maps from its onset to there.

    The apex is the frame in which the displacement from the onset, without the head's own motion, has the largest mean
    magnitude; of equal ones the first.

    Args:
        video: crops of the video.
        interval: onset and offset, 0-based source frames, both inside.
        params: as of the stage `apexdiff`.
        threads: of the flow.
        device: of the flow.

    Returns:
        The apex's source frame and the maps at the stored size; None where the interval has no second crop.
    """
    index = video.frame_index
    first, last = (nearest_crop(index, frame) for frame in interval)
    if last <= first:
        return None
    looked = np.unique(np.linspace(first + 1, last, min(LOOKS, last - first)).round().astype(int))
    crops = to_grey(np.stack([video.frames[i] for i in (first, *looked)]))
    onsets = np.repeat(crops[:1], len(looked), 0)
    flows = compute_flow(onsets, crops[1:], params.flow, threads=threads, device=device)
    moved = [float(np.hypot(*np.moveaxis(flow - rigid_flow(flow), -1, 0)).mean()) for flow in flows]
    best = int(np.argmax(moved))
    maps = _maps(crops[0], crops[1 + best], flows[best], params=params)
    apex = min(max(int(index[looked[best]]), interval[0]), interval[1])  # the nearest crop may lie beyond the interval
    return apex, maps


def maps_to_apex(
    video: Crops, onset: int, apex: int, *, params: ApexdiffParams, threads: int = 1, device: str = "auto"
) -> Maps | None:
    """The maps of `apex_and_maps` where the apex is known, from one flow in place of a dozen.

    Args:
        video: crops of the video.
        onset: 0-based source frame.
        apex: 0-based source frame.
        params: as of the stage `apexdiff`.
        threads: of the flow.
        device: of the flow.

    Returns:
        The maps at the stored size; None where onset and apex have the same crop.
    """
    first, last = (nearest_crop(video.frame_index, frame) for frame in (onset, apex))
    if last <= first:
        return None
    crops = to_grey(np.stack([video.frames[i] for i in (first, last)]))
    flow = compute_flow(crops[:1], crops[1:], params.flow, threads=threads, device=device)[0]
    return _maps(crops[0], crops[1], flow, params=params)


def _maps(onset: np.ndarray, apex: np.ndarray, flow: np.ndarray, *, params: ApexdiffParams) -> Maps:
    return shrink(expression_maps(onset, apex, flow, registration=params.registration), params.size)
