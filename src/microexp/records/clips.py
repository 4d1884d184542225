"""The clips of an experiment: onset-apex maps of every expression, with their subject and class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microexp.errors import UserError
from microexp.records.apexdiff import Apexdiff, read_apexdiff
from microexp.records.shard import Subject

CHANNELS = ("difference", "u", "v", "strain")
"""Maps of an expression: apex - onset in grey levels; flow to the right and down in px; strain magnitude."""
Channel = Literal["difference", "u", "v", "strain"]
ALL_CHANNELS = (*CHANNELS, "onset")


@dataclass(frozen=True)
class Clips:
    """N expressions.

    Attributes:
        maps: (N, C, s, s) float32: the C `channels`; flow in px at the stored size, difference in grey levels.
        dataset, subject, video, kind, emotion: (N,) text.
        expression: (N,) int64, number within the video.
        aus: (N,) text, action units such as 4+7+L10; empty where none are coded (the default).
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
    aus: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=str))

    def __post_init__(self) -> None:
        if not len(self.aus):
            object.__setattr__(self, "aus", np.full(len(self.maps), ""))

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
    """Read one subject's `apexdiff` shard; errors as of `read_apexdiff`."""
    who, record = read_apexdiff(path)
    parts = [
        record.difference[:, None], np.moveaxis(record.flow, -1, 1), record.strain[:, None], record.onset_grey[:, None],
    ]  # fmt: skip
    return Clips(
        maps=np.concatenate(parts, 1),
        dataset=np.full(len(record), who.dataset),
        subject=np.full(len(record), who.subject),
        video=np.asarray(record.video, dtype=str),
        expression=np.asarray(record.expression, dtype=np.int64),
        kind=np.asarray(record.kind, dtype=str),
        emotion=np.asarray(record.emotion, dtype=str),
        aus=np.asarray(record.aus, dtype=str),
    )


def split(clips: Clips) -> dict[Subject, Apexdiff]:
    """A record for each subject of clips with `ALL_CHANNELS`; their frames are unknown (-1).

    Raises:
        ValueError: when there are other channels.
    """
    if clips.channels != ALL_CHANNELS:
        raise ValueError(f"channels {clips.channels}, expected {ALL_CHANNELS}")
    found = {}
    for dataset, subject in sorted(set(zip(clips.dataset.tolist(), clips.subject.tolist(), strict=True))):
        part = clips.take((clips.dataset == dataset) & (clips.subject == subject))
        difference, u, v, strain, onset = np.moveaxis(part.maps, 1, 0)
        unknown = np.full(len(part), -1)
        found[Subject(dataset, subject)] = Apexdiff(
            difference, np.stack([u, v], -1), strain, onset,
            video=part.video, expression=part.expression, kind=part.kind, emotion=part.emotion,
            onset=unknown, apex=unknown, offset=unknown, aus=part.aus,
        )  # fmt: skip
    return found


def read_shards(paths: Sequence[Path]) -> Clips:
    """Read the shards of all subjects; the order of the clips is that of the subjects' names, not that of `paths`.

    Raises:
        UserError: when there is none, when they differ in the size of their maps, or a subject is there twice.
    """
    if not paths:
        raise UserError(file="--apexdiff", problem="no files", expected="the apexdiff shards of all subjects")
    paths = sorted(paths)
    parts = [read_shard(path) for path in paths]
    seen: dict[tuple[str, str], Path] = {}
    for path, part in zip(paths, parts, strict=True):
        for subject in set(zip(part.dataset.tolist(), part.subject.tolist(), strict=True)):
            if subject in seen:
                raise UserError(
                    file=path, problem=f"{'/'.join(subject)} a second time, after {seen[subject]}",
                    expected="one shard per subject",
                )  # fmt: skip
            seen[subject] = path
    sides = [part.maps.shape[-1] for part in parts]
    for path, side in zip(paths, sides, strict=True):
        if side != sides[0]:
            raise UserError(file=path, where="size", problem=f"{side} px", expected=f"{sides[0]} px as in {paths[0]}")
    return concatenate(sorted(parts, key=lambda part: (part.dataset[:1].tolist(), part.subject[:1].tolist())))


def shrink(clips: Clips, size: int | None) -> Clips:
    """The maps averaged down to `size` px; maps that are not larger stay as they are."""
    if size is None or clips.maps.shape[-1] <= size:
        return clips
    return replace(clips, maps=average_down(clips.maps, size))


def average_down(maps: np.ndarray, size: int) -> np.ndarray:
    """(…, S, S) float32 -> (…, size, size): means of the pixels that each cell overlaps.

    The same cells, and the same bits, as PyTorch's `adaptive_avg_pool2d`, without the seconds that importing it takes.
    """
    side, cells = maps.shape[-1], np.arange(size)
    first = cells * side // size
    count = -(-(cells + 1) * side // size) - first
    total = np.zeros((*maps.shape[:-2], size, size), np.float32)
    for down, right in np.ndindex(count.max(), count.max()):  # in the order in which PyTorch adds
        rows, columns = np.minimum(first + down, side - 1), np.minimum(first + right, side - 1)
        inside = (down < count)[:, None] & (right < count)
        total = np.where(inside, total + maps[..., rows[:, None], columns], total)
    height, width = count.astype(np.float32)[:, None], count.astype(np.float32)
    return np.asarray(total / height / width)
