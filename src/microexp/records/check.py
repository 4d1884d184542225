"""What is wrong with the inside of any file that stages exchange: what its kind promises, and whom it is of."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from microexp.errors import UserError
from microexp.records import apexdiff
from microexp.records.crops import Crops
from microexp.records.faces import Faces
from microexp.records.features import FEATURES
from microexp.records.flow import Flow
from microexp.records.identity import check_rows
from microexp.records.shard import Kind, check_shard

if TYPE_CHECKING:
    import h5py

KINDS = {kind.stage: kind for kind in (Faces.KIND, Crops.KIND, Flow.KIND, apexdiff.KIND)}
"""Stage -> its kind of shard."""


def kind_of(path: Path, stage: str) -> Kind | None:
    """The kind that a shard has to be of.

    Args:
        path: where it is: a stage's folder counts, and `features/{stream}`.
        stage: that made it, as its provenance says.
    """
    folders = [folder.name for folder in path.absolute().parents]
    if len(folders) > 2 and folders[2] == FEATURES.stage:
        return FEATURES
    return KINDS.get(folders[1]) or KINDS.get(stage)


def shard_problem(file: h5py.File, path: Path, stage: str) -> str | None:
    """What an open shard has that it should not, or lacks; None when it is right or of no known kind.

    Args:
        file: the shard.
        path: where it is.
        stage: that made it, as its provenance says.
    """
    kind = kind_of(path, stage)
    try:
        if kind is not None:
            check_shard(file, path, kind)
    except UserError as error:
        return _words(error)
    return _snippet_problem(file) if str(file.attrs.get("stream", "")).startswith("i3d_") else None


def _snippet_problem(file: h5py.File) -> str | None:
    """I3D makes as many features as its snippets fit into the frames that have a flow; what is too short is padded."""
    for name, group in file.items():
        if group.attrs["excluded"]:
            continue
        frames, clip, step = (int(group.attrs[k]) for k in ("n_frames", "clip_frames", "step_frames"))
        expected = max(0, frames - 1 - clip) // step + 1
        if len(group["features"]) != expected:
            return f"{name}: features: {len(group['features'])} snippets, expected {expected}"
    return None


def table_problem(path: Path) -> str | None:
    """What is wrong with the identity of a CSV file; None when it is right or has none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            check_rows(path, csv.DictReader(file))
    except UserError as error:
        return _words(error)
    return None


def _words(error: UserError) -> str:
    """The error without file and hint, which who asks adds."""
    parts = [str(error.where), error.what] if error.where else [error.what]
    return ": ".join(parts) + (f"; expected {error.expected}" if error.expected else "")
