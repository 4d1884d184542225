"""`proposals.h5`: what a trained spotting method proposes, before anything is chosen.

One array (n, 3) per variant, seed, role, video and kind: onset and offset (0-based source frames, fractional, both
inside the interval) and score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from microexp.errors import UserError
from microexp.records.features import Key
from microexp.records.index import KINDS
from microexp.run import shard_files
from microexp.run.names import check_identity

METHOD, PERMUTED = "method", "permuted"
TEST, CALIBRATION = "test", "calibration"
LAYOUT = "spotting/{experiment}/{method}/{fold}/proposals.h5"
"""Path of the proposals of a fold."""
ARRAY = "{variant}/{seed}/{role}/{dataset}/{subject}/{video}/{kind}"


@dataclass(frozen=True)
class Proposals:
    """What one fit proposes for one kind in one video.

    Attributes:
        variant: `method`, or `permuted` for the control that was trained on displaced expressions.
        seed: the repetition.
        role: `test` for the held-out subject, `calibration` for training subjects that this fit did not see.
        key: data set, subject, video.
        kind: `micro` or `macro`.
        intervals: (n, 2) closed intervals, 0-based source frames, fractional.
        scores: (n,) the higher, the surer.
    """

    variant: str
    seed: int
    role: str
    key: Key
    kind: str
    intervals: np.ndarray
    scores: np.ndarray


def write_proposals(path: Path, proposals: Iterable[Proposals], about: dict[str, str]) -> None:
    """Write `proposals.h5`; `about` names experiment, method and fold."""
    with shard_files.create_shard(path) as shard:
        shard_files.set_attributes(shard, about)
        for item in proposals:
            dataset, subject, video = item.key
            name = ARRAY.format(
                variant=item.variant, seed=item.seed, role=item.role, dataset=dataset, subject=subject, video=video,
                kind=item.kind,
            )  # fmt: skip
            values = np.concatenate([item.intervals.reshape(-1, 2), item.scores.reshape(-1, 1)], 1)
            shard_files.add_array(shard, name, values.astype(np.float64), chunks=(max(1, min(len(values), 4096)), 3))


def read_proposals(path: Path) -> list[Proposals]:
    """Read `proposals.h5`, in the order of variant, seed, role, video and kind.

    Raises:
        UserError: when the file is damaged, holds something else, or is of another fold than its path says.
    """
    with shard_files.open_shard(path) as shard:
        check_identity(path, {name: str(value) for name, value in shard.attrs.items()}, LAYOUT)
        try:
            return [_proposals(name, array) for name, array in sorted(_arrays(shard))]
        except ValueError as error:
            raise UserError(file=path, problem=error, expected="proposals of a spotting method") from error


def _arrays(shard: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []
    shard.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    yield from found


def _proposals(name: str, array: h5py.Dataset) -> Proposals:
    variant, seed, role, dataset, subject, video, kind = name.split("/")
    known = variant in (METHOD, PERMUTED) and role in (TEST, CALIBRATION) and kind in KINDS
    if not known or array.shape[1:] != (3,):
        raise ValueError(f"an array {name} of shape {array.shape}")
    values = array[:]
    return Proposals(variant, int(seed), role, (dataset, subject, video), kind, values[:, :2], values[:, 2])
