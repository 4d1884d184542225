"""Who is a member of a stack of MDML networks: training domains and weights of every clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from microexp.methods.recognition.base import TrainingClips
from microexp.methods.recognition.mdml.batches import Member
from microexp.methods.recognition.mdml.params import MdmlParams


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
