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
from microexp.apexdiff.registration import rigid_flow, undo
from microexp.errors import UserError
from microexp.faces.resample import nearest_crop
from microexp.flow.tvl1 import compute_flow, provenance
from microexp.records.apexdiff import Apexdiff, write_apexdiff
from microexp.records.crops import Crops, open_crops
from microexp.records.index import Expression, read_expressions, read_videos
from microexp.records.shard import Shard
from microexp.records.validity import WORDS, Reason
from microexp.run.log import log, track
from microexp.run.stage import Job

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
