"""Who is a member of a stack of MDML networks: training domains and weights of every clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from microexp.apexdiff.identity import Way, appearance_map, motion_maps
from microexp.errors import UserError
from microexp.methods.recognition.base import TrainingClips
from microexp.methods.recognition.mdml.batches import Member, Pool
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.records.clips import Clips, shrink


def member_of(training: TrainingClips, seed: int, options: MdmlParams) -> Member:
    """The network that is trained on these clips, all of them; it predicts none."""
    source = np.zeros(len(training.clips), np.int64)
    for number, name in enumerate(training.sources, 1):
        source[~training.target & (training.domain == name)] = number
    return make_member(
        training.clips.dataset, training.label, training.target, source=source, seed=seed, options=options,
        datasets=training.datasets, own=training.own, test=np.empty(0, np.int64),
    )  # fmt: skip


def make_member(
    dataset: np.ndarray,
    label: np.ndarray,
    train: np.ndarray,
    *,
    source: np.ndarray,
    seed: int,
    options: MdmlParams,
    datasets: Sequence[str],
    own: str | None,
    test: np.ndarray,
) -> Member:
    """Domains and weights of one network.

    Args:
        dataset: (N,) data set of each clip.
        label: (N,) class number, -1 none.
        train: (N,) bool: clips like those to recognise that are trained on.
        source: (N,) 1-based number of the source domain of clips that only guide, 0 for all others.
        seed: of the network.
        options: of the network.
        datasets: the target data sets.
        own: data set of the held-out clips; the other target data sets are sources (if the options say so). None when
            it is a whole data set that is held out, or nobody: then the data sets are sources of each other.
        test: numbers of the clips to predict.
    """
    domain = np.full(len(label), -1, dtype=np.int64)
    domain[train] = 0
    others = [d for d in datasets if (train & (dataset == d)).any()] if options.domain.others else []
    peers = 1 if own is not None else max(1, len(others))
    order = others if own is None else [own, *(d for d in others if d != own)]
    for position, name in enumerate(order):
        domain[train & (dataset == name)] = position
    number = max(0, len(order) - 1)
    weight = balance(label, dataset, train, how=options.balance)
    extra = source > 0
    for one in np.unique(source[extra]):
        number += 1
        domain[source == one] = number
        part = (source == one) & (label >= 0)
        weight += options.domain.label_weight * balance(label, dataset, part, how=options.balance)
    return Member(seed, domain, weight.astype(np.float32), extra, test, peers)


def balance(label: np.ndarray, dataset: np.ndarray, rows: np.ndarray, *, how: str) -> np.ndarray:
    """(N,) weights with mean 1 over `rows` (0 elsewhere), equal in sum for all classes (of all data sets)."""
    weight = np.zeros(len(label))
    if how == "none" or not rows.any():
        weight[rows] = 1.0
        return weight
    cells = [f"{d if how == 'class_and_dataset' else ''}/{c}" for d, c in zip(dataset[rows], label[rows], strict=True)]
    _, inverse, counts = np.unique(cells, return_inverse=True, return_counts=True)
    weight[rows] = rows.sum() / (len(counts) * counts[inverse])
    return weight


def network_seeds(options: MdmlParams, seed: int) -> list[int]:
    """Seeds of the networks that are averaged within one run."""
    return [seed + 10_000 * number for number in range(options.members)]


# Identity removal: what the appearance and the motion channels of a clip hold before a network sees them.


def pool_of(clips: Clips, label: np.ndarray, options: MdmlParams) -> Pool:
    """The maps that the network sees: without identity, averaged down, only the channels that a stream reads.

    Raises:
        UserError: when a stream reads a channel that the clips do not have.
    """
    import torch

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
