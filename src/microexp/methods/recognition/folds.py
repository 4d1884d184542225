"""Who is held out, who trains, and which clips guide as sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microexp.errors import UserError
from microexp.methods.recognition.mdml.batches import Member
from microexp.methods.recognition.params import MdmlParams, RecognitionExperiment
from microexp.records.clips import Clips
from microexp.run.names import WHOLE_DATASET, fold_name, split_fold


@dataclass(frozen=True)
class Roles:
    """What each clip is in an experiment, before any fold.

    Attributes:
        label: (N,) class number, -1 none.
        target: (N,) bool: of the target data sets, of a kind to recognise, with a class.
        source: (N,) int: 1-based number of the source domain that it belongs to, 0 none.
        person: (N,) text: the same for the same person in any data set.
    """

    label: np.ndarray
    target: np.ndarray
    source: np.ndarray
    person: np.ndarray


def roles(clips: Clips, label: np.ndarray, experiment: RecognitionExperiment) -> Roles:
    """Find targets and sources; a clip that is a target is no source."""
    target = np.isin(clips.dataset, experiment.datasets) & np.isin(clips.kind, experiment.kinds) & (label >= 0)
    source = np.zeros(len(clips), dtype=np.int64)
    for number, name in enumerate(experiment.sources, 1):
        dataset, _, kind = name.partition(":")
        of_source = (clips.dataset == dataset) & ~target & (source == 0)
        source[of_source & ((clips.kind == kind) if kind else True)] = number
    space = {d: group[0] for group in experiment.people(experiment.adapters) for d in group}
    spaces = [space.get(str(d), str(d)) for d in clips.dataset]
    person = np.array([f"{d}-{s}" for d, s in zip(spaces, clips.subject, strict=True)], dtype=str)
    return Roles(label, target, source, person)


def fold_names(clips: Clips, role: Roles, leave: str) -> list[str]:
    """All folds in the order of the clips: one per subject (or data set) that has a clip to recognise."""
    if leave == "dataset":
        return list(dict.fromkeys(fold_name(str(d), WHOLE_DATASET) for d in clips.dataset[role.target]))
    pairs = zip(clips.dataset[role.target], clips.subject[role.target], strict=True)
    return list(dict.fromkeys(fold_name(str(d), str(s)) for d, s in pairs))


def held_out(clips: Clips, fold: str, leave: str) -> np.ndarray:
    """(N,) bool: clips of the fold's subject in its data set (or of the whole data set)."""
    dataset, subject = split_fold(fold)
    of_dataset = np.asarray(clips.dataset == dataset)
    if leave == "dataset":
        if subject != WHOLE_DATASET:
            raise UserError(
                file="fold", got=repr(fold), expected=f"{dataset}-{WHOLE_DATASET}, as the experiment leaves data sets"
            )
        return of_dataset
    return np.asarray(of_dataset & (clips.subject == subject))


def member(
    clips: Clips, role: Roles, experiment: RecognitionExperiment, fold: str, seed: int, options: MdmlParams
) -> Member:
    """Training domains and weights of one network of `fold`.

    Raises:
        UserError: when nothing is left to train on.
    """
    out = held_out(clips, fold, experiment.leave)
    own = split_fold(fold)[0] if experiment.leave == "subject" else None
    built = member_without(clips, role, experiment.datasets, out, own, seed, options)
    if not len(built.main):
        raise UserError(
            file="fold",
            where=fold,
            problem="no clip of another subject",
            expected="clips of at least one other subject to train on",
        )
    return built


def member_without(
    clips: Clips,
    role: Roles,
    datasets: Sequence[str],
    out: np.ndarray,
    own: str | None,
    seed: int,
    options: MdmlParams,
    usable: np.ndarray | None = None,
) -> Member:
    """Training domains and weights of a network that predicts the clips `out`.

    Nothing of a held-out person is trained on: not their clips to recognise, not their macro-expressions among the
    sources, not what they did in another data set (`RecognitionExperiment.people`).

    Args:
        clips: all clips.
        role: what they are.
        datasets: the target data sets.
        out: (N,) bool, held out.
        own: data set of the held-out clips; the other target data sets are sources (if the options say so). None when
            it is a whole data set that is left out: then the others are sources of each other.
        seed: of the network.
        options: of the network.
        usable: (N,) bool, clips that may be trained on at all (inner folds leave more out).
    """
    allowed = ~np.isin(role.person, np.unique(role.person[out])) & ~out
    if usable is not None:
        allowed &= usable
    train, extra = role.target & allowed, (role.source > 0) & allowed
    domain = np.full(len(clips), -1, dtype=np.int64)
    domain[train] = 0
    others = [d for d in datasets if (train & (clips.dataset == d)).any()] if options.domain.others else []
    peers = 1 if own is not None else max(1, len(others))
    order = others if own is None else [own, *(d for d in others if d != own)]
    for position, name in enumerate(order):
        domain[train & (clips.dataset == name)] = position
    number = max(0, len(order) - 1)
    weight = balance(role.label, clips.dataset, train, options.balance)
    for source in np.unique(role.source[extra]):
        number += 1
        domain[extra & (role.source == source)] = number
        part = extra & (role.source == source) & (role.label >= 0)
        weight += options.domain.label_weight * balance(role.label, clips.dataset, part, options.balance)
    return Member(seed, domain, weight.astype(np.float32), extra, np.flatnonzero(role.target & out), peers)


def balance(label: np.ndarray, dataset: np.ndarray, rows: np.ndarray, how: str) -> np.ndarray:
    """(N,) weights with mean 1 over `rows` (0 elsewhere), equal in sum for all classes (of all data sets)."""
    weight = np.zeros(len(label))
    if how == "none" or not rows.any():
        weight[rows] = 1.0
        return weight
    cells = [f"{d if how == 'class_and_dataset' else ''}/{c}" for d, c in zip(dataset[rows], label[rows], strict=True)]
    _, inverse, counts = np.unique(cells, return_inverse=True, return_counts=True)
    weight[rows] = rows.sum() / (len(counts) * counts[inverse])
    return weight


def runs(experiment_options: MdmlParams, first_seed: int) -> Sequence[tuple[int, int]]:
    """(seed of the run, seed of the network) of every network: `seeds` runs of `members` networks each."""
    return [
        (first_seed + run, first_seed + run + 10_000 * number)
        for run in range(experiment_options.seeds)
        for number in range(experiment_options.members)
    ]
