"""Identity removal: what the appearance and the motion channels of a clip hold before a network sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from microexp.apexdiff.identity import Way, appearance_map, motion_maps
from microexp.errors import UserError
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.records.clips import Clips, shrink

if TYPE_CHECKING:
    from microexp.methods.recognition.mdml.batches import Pool


def pool_of(clips: Clips, label: np.ndarray, options: MdmlParams) -> Pool:
    """The maps that the network sees: without identity, averaged down, only the channels that a stream reads.

    Raises:
        UserError: when a stream reads a channel that the clips do not have.
    """
    import torch

    from microexp.methods.recognition.mdml.batches import Pool

    channels = options.input_channels()
    for channel in channels:
        if channel not in clips.channels:
            raise UserError(
                file="recognition",
                where="mdml.streams",
                problem=f"no {channel} in the clips",
                expected=", ".join(clips.channels),
            )
    seen = shrink(remove_identity(clips, options.identity), options.size)
    maps = seen.maps[:, [seen.channels.index(c) for c in channels]]
    return Pool(torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32)), torch.from_numpy(label), channels)


def remove_identity(clips: Clips, way: Way) -> Clips:
    """The clips with their channel `difference` (and, with `median`, u and v) replaced as `way` says.

    Clips without a difference (flow maps that others published) keep their channels, but for `median`.

    Raises:
        UserError: for `none` where the shards hold no onset.
    """
    maps = clips.maps.copy()
    at = {c: clips.channels.index(c) for c in clips.channels}
    flow = np.moveaxis(clips.maps[:, [at["u"], at["v"]]], 1, -1) if {"u", "v"} <= at.keys() else None
    if "difference" in at and flow is not None and len(clips):
        onset = clips.maps[:, at["onset"]] if "onset" in at else None
        if way == "none" and onset is None:
            raise UserError(
                file="recognition", where="mdml.identity", got="'none'", expected="shards that hold the onset"
            )
        maps[:, at["difference"]] = appearance_map(
            way, clips.maps[:, at["difference"]], flow, strain=clips.maps[:, at["strain"]], onset=onset
        )
    if flow is not None and len(clips):
        maps[:, [at["u"], at["v"]]] = np.moveaxis(motion_maps(way, flow), -1, 1)
    return replace(clips, maps=maps)
