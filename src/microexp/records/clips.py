"""The clips of an experiment: onset-apex maps of every expression, with whose and what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microexp.errors import UserError
from microexp.run import storage

CHANNELS = ("difference", "u", "v", "strain")
"""Maps of an expression: apex - onset in grey levels; flow to the right and down in px; strain magnitude."""
Channel = Literal["difference", "u", "v", "strain"]
MAPS = ("difference", "flow", "strain", "onset_grey")
ALL_CHANNELS = (*CHANNELS, "onset")
TEXT_COLUMNS = ("video", "kind", "emotion")


@dataclass(frozen=True)
class Clips:
    """N expressions.

    Attributes:
        maps: (N, C, s, s) float32: the C `channels`; flow in px at the stored size, difference in grey levels.
        dataset, subject, video, kind, emotion: (N,) text.
        expression: (N,) int64, number within the video.
        channels: names of the maps.
    """

    maps: np.ndarray
    dataset: np.ndarray
    subject: np.ndarray
    video: np.ndarray
    expression: np.ndarray
    kind: np.ndarray
    emotion: np.ndarray
    channels: tuple[str, ...] = ALL_CHANNELS

    def __len__(self) -> int:
        return len(self.maps)

    def take(self, rows: np.ndarray) -> Clips:
        """The clips at `rows` (numbers or mask)."""
        arrays: dict[str, Any] = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "channels"}
        return replace(self, **arrays)

    def key(self, row: int) -> tuple[str, str, str, int]:
        """Data set, subject, video, expression of one clip."""
        return str(self.dataset[row]), str(self.subject[row]), str(self.video[row]), int(self.expression[row])


def concatenate(parts: Sequence[Clips]) -> Clips:
    """All clips of `parts`, which hold maps of the same channels and size."""
    first = parts[0]
    arrays: dict[str, Any] = {
        f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(first) if f.name != "channels"
    }
    return replace(first, **arrays)


def read_shard(path: Path) -> Clips:
    """Read one subject's `apexdiff` shard.

    Raises:
        UserError: when it lacks a part, or its parts differ in length.
    """
    with storage.open_shard(path) as file:
        try:
            difference, flow, strain, onset = (np.asarray(file[n]) for n in MAPS)
            columns: dict[str, Any] = {n: np.asarray(file[n].asstr()[()], dtype=str) for n in TEXT_COLUMNS}
            expression = np.asarray(file["expression"], dtype=np.int64)
            dataset, subject = str(file.attrs["dataset"]), str(file.attrs["subject"])
        except KeyError as error:
            raise UserError(
                file=path, problem=f"no {error}", expected="a shard written by the stage apexdiff"
            ) from error
    count = len(expression)
    arrays = zip((*MAPS, *columns), (difference, flow, strain, onset, *columns.values()), strict=True)
    for name, array in arrays:
        if len(array) != count:
            raise UserError(
                file=path, where=name, problem=f"{len(array)} rows", expected=f"{count}, one per expression"
            )
    parts = [difference[:, None], np.moveaxis(flow, -1, 1), strain[:, None], onset[:, None]]
    maps = np.concatenate(parts, 1).astype(np.float32)
    return Clips(
        maps=maps,
        dataset=np.full(count, dataset),
        subject=np.full(count, subject),
        expression=expression,
        **columns,
    )


def read_shards(paths: Sequence[Path]) -> Clips:
    """Read the shards of all subjects.

    Raises:
        UserError: when there is none, or when they differ in the size of their maps.
    """
    if not paths:
        raise UserError(file="--apexdiff", problem="no files", expected="the apexdiff shards of all subjects")
    parts = [read_shard(path) for path in paths]
    sides = [part.maps.shape[-1] for part in parts]
    for path, side in zip(paths, sides, strict=True):
        if side != sides[0]:
            raise UserError(file=path, where="size", problem=f"{side} px", expected=f"{sides[0]} px as in {paths[0]}")
    return concatenate(parts)


def shrink(clips: Clips, size: int | None) -> Clips:
    """The maps averaged down to `size` px; maps that are not larger stay as they are."""
    if size is None or clips.maps.shape[-1] <= size:
        return clips
    import torch
    import torch.nn.functional as F

    maps = F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(clips.maps)), size).numpy()
    return replace(clips, maps=maps)
