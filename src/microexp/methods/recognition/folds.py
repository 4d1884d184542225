"""Who is held out, who trains, and which clips guide as sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microexp.datasets import units
from microexp.errors import UserError
from microexp.methods.recognition.base import TrainingClips
from microexp.methods.recognition.params import FoldParams
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


def roles(clips: Clips, label: np.ndarray, experiment: FoldParams) -> Roles:
    """Find targets and sources; a clip that is a target is no source."""
    target = np.isin(clips.dataset, experiment.datasets) & np.isin(clips.kind, experiment.kinds) & (label >= 0)
    source = np.zeros(len(clips), dtype=np.int64)
    for number, name in enumerate(experiment.sources, 1):
        dataset, _, kind = name.partition(":")
        of_source = (clips.dataset == dataset) & ~target & (source == 0)
        source[of_source & ((clips.kind == kind) if kind else True)] = number
    space = {d: group[0] for group in experiment.people for d in group}
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


def training_rows(role: Roles, out: np.ndarray) -> np.ndarray:
    """(N,) bool: clips that may be trained on when `out` (N,) is held out.

    Nothing of a held-out person is trained on: not their clips to recognise, not their macro-expressions among the
    sources, not what they did in another data set (`FoldParams.people`).
    """
    return np.asarray((role.target | (role.source > 0)) & ~np.isin(role.person, np.unique(role.person[out])) & ~out)


def training_clips(
    clips: Clips, role: Roles, experiment: FoldParams, *, fold: str, classes: tuple[str, ...]
) -> TrainingClips:
    """What a method is handed in `fold`.

    Raises:
        UserError: when no clip of another subject is there to train on.
    """
    out = np.zeros(len(clips), bool) if fold == WHOLE_DATASET else held_out(clips, fold, experiment.leave)
    rows = np.flatnonzero(training_rows(role, out))
    target = role.target[rows]
    if not target.any():
        raise UserError(
            file="fold",
            where=fold,
            problem="no clip of another subject",
            expected="clips of at least one other subject to train on",
        )
    names = np.array(["", *experiment.sources])
    domain = np.where(target, clips.dataset[rows], names[role.source[rows]])
    own = split_fold(fold)[0] if fold != WHOLE_DATASET and experiment.leave == "subject" else None
    return TrainingClips(
        clips.take(rows), role.label[rows], classes, target, domain, own,
        tuple(experiment.datasets), tuple(experiment.sources),
        units.shown(clips.aus[rows]) if experiment.target == "action_units" else None,
    )  # fmt: skip


def test_rows(clips: Clips, role: Roles, experiment: FoldParams, *, fold: str) -> np.ndarray:
    """Numbers of the clips that are predicted in `fold`; none in the fold `all`."""
    if fold == WHOLE_DATASET:
        return np.empty(0, np.int64)
    return np.flatnonzero(role.target & held_out(clips, fold, experiment.leave))


def label_text(clips: Clips, row: int, label: np.ndarray, *, experiment: FoldParams, classes: tuple[str, ...]) -> str:
    """What a clip shows, as `predictions.csv` says it: its class, or its units as its sheet writes them."""
    return str(clips.aus[row]) if experiment.target == "action_units" else classes[label[row]]


def answer_text(p: np.ndarray, experiment: FoldParams, classes: tuple[str, ...]) -> str:
    """What probabilities (classes,) say: the most probable class, or the units of at least one half (`4+12`)."""
    if experiment.target == "action_units":
        return "+".join(name.removeprefix("AU") for name, value in zip(classes, p, strict=True) if value >= 0.5)
    return classes[int(np.argmax(p))]
