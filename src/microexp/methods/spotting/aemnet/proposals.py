"""From the network's outputs to proposals: intervals in source frames with a kind and a score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from microexp.methods.spotting.aemnet.features import FeatureStore, FeatureVideo
from microexp.methods.spotting.aemnet.geometry import Geometry, Window, window_origin_frame, window_starts
from microexp.methods.spotting.aemnet.network import AemNet
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.aemnet.stacked import StackedAemNet
from microexp.methods.spotting.aemnet.training import WindowFeatures, product_dtype
from microexp.records.index import KINDS

BATCH = 64
BLOCK = 4096
CELL_FRAME = 128
LOG_WIDTH_LIMIT = 4.0
Predictions = tuple[Tensor, Tensor, Tensor, Tensor]
Row = tuple[str, float, float, float, str]
"""Kind, onset, offset (source frames), score, head."""


def decode(predictions: Predictions, geometry: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals and scores of all points, then all anchors, of B windows.

    Returns:
        starts (B, P + A) and ends (exclusive), frames from the window's start, and scores (B, P + A, 2) of both kinds.
    """
    point_logits, distances, anchor_logits, offsets = (p.detach().float().cpu().numpy() for p in predictions)
    distances = distances * geometry.strides[:, None]
    centres = offsets[..., 0] * geometry.anchor_widths + geometry.anchor_centres
    halves = np.exp(np.clip(offsets[..., 1], -LOG_WIDTH_LIMIT, LOG_WIDTH_LIMIT)) * geometry.anchor_widths / 2
    starts = np.concatenate([geometry.points - distances[..., 0], centres - halves], 1)
    ends = np.concatenate([geometry.points + distances[..., 1], centres + halves], 1)
    logits = np.clip(np.concatenate([point_logits, anchor_logits], 1).astype(np.float64), -50, 50)
    return starts, ends, 1 / (1 + np.exp(-logits))


def propose(
    networks: Sequence[AemNet],
    video: FeatureVideo,
    store: FeatureStore,
    *,
    geometry: Geometry,
    options: AemnetParams,
    device: torch.device,
) -> list[Row]:
    """The best proposals of all windows of a video: kind, onset, offset (source frames), score, head.

    What several networks say of a window is averaged before it is decoded: logits, distances, and anchors' offsets.
    Every place of every window proposes both kinds; anchor-free and anchor-based proposals are pooled, cut to the
    video, and of each kind the `proposals_kept` best are kept per 128 frames, so that no stretch crowds out another.
    """
    stride = max(1, round(options.test_stride_frames / geometry.step_frame))
    windows = [
        Window(video, s, np.empty((0, 3)), empty=True) for s in window_starts(video, geometry.window_steps, stride)
    ]
    stack = StackedAemNet(networks, geometry, options.network, dtype=product_dtype(device, options.precision))
    narrow = options.network.input_channels is not None
    with torch.inference_mode():
        features = (
            _Narrowed(windows, store, stack, device)
            if narrow
            else WindowFeatures(windows, store, geometry.window_steps, device=device)
        )

        def predict(chosen: np.ndarray) -> Predictions:
            """Predictions of the windows `chosen`, (B, ...) each."""
            x = features(chosen[None])
            a, b, c, d = stack.forward(x.expand(len(networks), *x.shape[1:]), stack.all, narrowed=narrow)
            return a.mean(0), b.mean(0), c.mean(0), d.mean(0)

        return pool(predict, windows, geometry, options=options)


def pool(
    predict: Callable[[np.ndarray], Predictions],
    windows: Sequence[Window],
    geometry: Geometry,
    *,
    options: AemnetParams,
) -> list[Row]:
    """The best proposals of the `windows` of one video; `predict` says what the windows of some numbers hold.

    Of every batch only places that may be among the best are kept, so that memory does not grow with the video.
    """
    video, count = windows[0].video, options.proposals_kept
    kept: list[list[_Places]] = [[] for _ in KINDS]
    for first in range(0, len(windows), BATCH):
        chosen = np.arange(first, min(first + BATCH, len(windows)))
        starts, ends, scores = decode(predict(chosen), geometry)
        origins = np.array([window_origin_frame(video, windows[int(k)].start) for k in chosen])[:, None]
        is_point = np.broadcast_to(np.arange(starts.shape[1]) < len(geometry.points), starts.shape)
        for k, places in enumerate(_places(video, starts + origins, ends + origins, scores, is_point)):
            kept[k].append(places.at(np.sort(places.best(count))))
    rows = []
    for kind, batches in zip(KINDS, kept, strict=True):
        every = _Places(*(np.concatenate([getattr(p, f.name) for p in batches]) for f in fields(_Places)))
        rows += every.at(every.best(count)).rows(kind, video)
    return rows


class _Narrowed:
    """Windows of one video behind the layer that narrows the features: each feature passes it once, not per window."""

    def __init__(
        self, windows: Sequence[Window], store: FeatureStore, stack: StackedAemNet, device: torch.device
    ) -> None:
        video = windows[0].video
        parts = []
        for first in range(0, video.n_steps, BLOCK):
            part = store.read(video, first, min(BLOCK, video.n_steps - first))
            wide = torch.from_numpy(part).to(device).expand(len(stack.values), 1, *part.shape)
            parts.append(stack.narrow(wide, stack.all)[:, 0])
        self._table, self._device = torch.cat(parts, 1), device
        places = np.arange(stack.geometry.window_steps)
        self._rows = np.clip(np.array([w.start for w in windows])[:, None] + places, 0, video.n_steps - 1)

    def __call__(self, chosen: np.ndarray) -> Tensor:
        """Windows `chosen` (1, B) -> (G, B, W, narrowed channels), for each network."""
        return self._table[:, torch.from_numpy(self._rows[chosen[0]]).to(self._device)]


@dataclass(frozen=True)
class _Places:
    """Usable places of windows, (N,) each: onset and offset in the features' frames, the score of one kind."""

    onset: np.ndarray
    offset: np.ndarray
    cell: np.ndarray
    score: np.ndarray
    is_point: np.ndarray

    def at(self, chosen: np.ndarray) -> _Places:
        """The places of these numbers, in this order."""
        return _Places(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def best(self, count: int) -> np.ndarray:
        """Numbers of the `count` best places of every cell, best first; of equal ones the earlier."""
        return _first_per_cell(np.lexsort((self.offset, self.onset, -self.score)), self.cell, count)

    def rows(self, kind: str, video: FeatureVideo) -> list[Row]:
        """As proposals of a kind, in source frames."""
        on, off = video.to_source(self.onset), video.to_source(self.offset)
        heads = np.where(self.is_point, "point", "anchor")
        return [
            (kind, round(float(a), 2), round(float(b), 2), round(float(s), 6), str(h))
            for a, b, s, h in zip(on, off, self.score, heads, strict=True)
        ]


def _places(
    video: FeatureVideo, starts: np.ndarray, ends: np.ndarray, scores: np.ndarray, is_point: np.ndarray
) -> list[_Places]:
    """The usable places (B, P + A) of some windows, for each kind: cut to the video, their middle inside of it."""
    starts, ends, is_point, scores = starts.reshape(-1), ends.reshape(-1), is_point.reshape(-1), scores.reshape(-1, 2)
    onset = np.clip(starts, 0, video.n_frames - 1)
    offset = np.clip(ends - 1, 0, video.n_frames - 1)
    middle = (starts + ends) / 2
    usable = (offset > onset) & (middle >= 0) & (middle <= video.n_frames) & np.isfinite(scores).all(1)
    common = onset[usable], offset[usable], (middle // CELL_FRAME)[usable]
    return [_Places(*common, scores[usable, k], is_point[usable]) for k in range(len(KINDS))]


def _first_per_cell(order: np.ndarray, cell: np.ndarray, count: int) -> np.ndarray:
    """Of the indices `order` the first `count` of every cell, in the same order."""
    cells = cell[order]
    by_cell = np.argsort(cells, kind="stable")
    first = np.flatnonzero(np.diff(cells[by_cell], prepend=np.nan) != 0)
    rank = np.empty(len(order), np.int64)
    rank[by_cell] = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    return order[rank < count]
