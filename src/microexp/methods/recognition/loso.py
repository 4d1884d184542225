"""All folds of an experiment in one process, MDML's stacked: for benchmarks, comparisons and inner folds.

The stage `recognition-fold` does one fold as a job of its own; here many folds (and seeds) train together, which on one
core is several times faster. Both build their members with the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microexp.datasets.classes import class_names, labels_of
from microexp.methods.context import Context
from microexp.methods.find import find_method
from microexp.methods.recognition.base import RecognitionMethod
from microexp.methods.recognition.fold import (
    Roles,
    fold_names,
    held_out,
    roles,
    test_rows,
    training_clips,
    training_rows,
)
from microexp.methods.recognition.logistic_regression import predict_logistic, train_logistic
from microexp.methods.recognition.majority import shares
from microexp.methods.recognition.mdml.batches import Member, Pool
from microexp.methods.recognition.mdml.members import make_member, network_seeds, pool_of
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.methods.recognition.params import RecognitionFoldParams
from microexp.metrics.action_units import UnitPrediction
from microexp.metrics.recognition import Prediction
from microexp.records.clips import Clips
from microexp.run.names import split_fold
from microexp.run.stage import Params, validate


def mdml(
    clips: Clips,
    pool: Pool,
    role: Roles,
    *,
    experiment: RecognitionFoldParams,
    options: MdmlParams,
    classes: int,
    names: Sequence[str] | None = None,
    device: str = "cpu",
) -> dict[int, np.ndarray]:
    """Repetition -> class probabilities (N, classes) of every clip by the networks that did not train on its subject.

    Clips of folds that are not in `names` (default: all) stay nan.
    """
    names = fold_names(clips, role, experiment.leave) if names is None else names
    members, owners = [], []
    for name in names:
        for run in range(experiment.seeds):
            for seed in network_seeds(options, experiment.seed + run):
                members.append(fold_member(clips, role, experiment, fold=name, seed=seed, options=options))
                owners.append(run)
    return by_run(
        members,
        owners,
        train_predict(pool, members, options, classes=classes, device=device),
        clips=len(clips),
        classes=classes,
    )


def fold_member(
    clips: Clips, role: Roles, experiment: RecognitionFoldParams, *, fold: str, seed: int, options: MdmlParams
) -> Member:
    """One network of a fold as a member of a stack over all clips."""
    out = held_out(clips, fold, experiment.leave)
    own = split_fold(fold)[0] if experiment.leave == "subject" else None
    return member_without(clips, role, out, seed=seed, options=options, datasets=experiment.datasets, own=own)


def member_without(
    clips: Clips,
    role: Roles,
    out: np.ndarray,
    *,
    seed: int,
    options: MdmlParams,
    datasets: Sequence[str],
    own: str | None,
    usable: np.ndarray | None = None,
) -> Member:
    """A network that predicts the clips `out` (N,) and is trained on others, as `fold.training_rows` says.

    `usable` (N,) bool: clips that may be trained on at all (inner folds hold more out).
    """
    allowed = training_rows(role, out)
    if usable is not None:
        allowed = allowed & usable
    source = np.where(allowed & ~role.target, role.source, 0)
    return make_member(
        clips.dataset, role.label, role.target & allowed, source=source, seed=seed, options=options,
        datasets=datasets, own=own, test=np.flatnonzero(role.target & out),
    )  # fmt: skip


def by_run(
    members: Sequence[Member], owners: Sequence[int], p: Sequence[np.ndarray], *, clips: int, classes: int
) -> dict[int, np.ndarray]:
    """Owner -> (clips, classes): the mean over that owner's members of what each gave its test clips, else nan."""
    found: dict[int, np.ndarray] = {}
    for owner in dict.fromkeys(owners):
        total, count = np.zeros((clips, classes)), np.zeros((clips, 1))
        for member, of_owner, values in zip(members, owners, p, strict=True):
            if of_owner == owner:
                total[member.test] += values
                count[member.test] += 1
        with np.errstate(invalid="ignore"):
            found[owner] = total / count
    return found


def train_predict(
    pool: Pool, members: Sequence[Member], options: MdmlParams, *, classes: int, device: str = "cpu"
) -> list[np.ndarray]:
    """Train all members in as few stacks as possible; class probabilities (T, classes) of each one's test clips."""
    from microexp.methods.recognition.mdml.training import predict, stacks, train

    found: list[np.ndarray] = [np.zeros(0)] * len(members)
    for stack in stacks(members, options):
        chosen = [members[i] for i in stack]
        trained = train(pool, chosen, options, classes=classes, device=device)
        for i, p in zip(stack, predict(trained, pool, chosen, options=options), strict=True):
            found[i] = p
    return found


def logistic(clips: Clips, role: Roles, experiment: RecognitionFoldParams, *, classes: int, **how: Any) -> np.ndarray:
    """(N, classes) class probabilities of the logistic regression; nan where a clip is in no fold.

    `how` is handed to `train_logistic`; `mirror_test` also averages over mirror images.
    """
    mirror_test = bool(how.pop("mirror_test", False))
    p = np.full((len(clips), classes), np.nan)
    for name in fold_names(clips, role, experiment.leave):
        train, test = _plain_rows(clips, role, experiment, name)
        linear = train_logistic(clips.take(train), role.label[train], classes, **how)
        reading = {key: how[key] for key in ("channels", "size") if key in how}
        p[test] = predict_logistic(linear, clips.take(test), mirror=mirror_test, **reading)
    return p


def majority(clips: Clips, role: Roles, experiment: RecognitionFoldParams, *, classes: int) -> np.ndarray:
    """(N, classes) class shares of each clip's training clips; nan where a clip is in no fold."""
    p = np.full((len(clips), classes), np.nan)
    for name in fold_names(clips, role, experiment.leave):
        train, test = _plain_rows(clips, role, experiment, name)
        p[test] = shares(role.label[train], classes)
    return p


def _plain_rows(
    clips: Clips, role: Roles, experiment: RecognitionFoldParams, fold: str
) -> tuple[np.ndarray, np.ndarray]:
    out = held_out(clips, fold, experiment.leave)
    train = np.flatnonzero(role.target & training_rows(role, out))
    return train, np.flatnonzero(role.target & out)


def predictions(
    method: str, seed: int, clips: Clips, *, label: np.ndarray, p: np.ndarray, classes: Sequence[str]
) -> list[Prediction]:
    """What the evaluation reads, of all clips that have probabilities."""
    rows = np.flatnonzero(np.isfinite(p).all(1))
    answers = p[rows].argmax(1)
    found = []
    for row, answer in zip(rows, answers, strict=True):
        dataset, subject, video, expression = clips.key(int(row))
        found.append(
            Prediction(method, seed, dataset, subject, video, str(expression), classes[label[row]], classes[answer])
        )
    return found


def unit_predictions(
    method: str, seed: int, clips: Clips, *, p: np.ndarray, classes: Sequence[str]
) -> list[UnitPrediction]:
    """The same for action units."""
    found = []
    for row in np.flatnonzero(np.isfinite(p).all(1)).tolist():
        dataset, subject, video, expression = clips.key(row)
        answers = dict(zip(classes, p[row].tolist(), strict=True))
        label = str(clips.aus[row])
        found.append(UnitPrediction(method, seed, dataset, subject, video, str(expression), label, "", answers))
    return found


def predict_units(clips: Clips, experiment: RecognitionFoldParams) -> list[UnitPrediction]:
    """Predictions of all folds of an experiment on action units, by the method that it names."""
    classes = class_names(experiment)
    role = roles(clips, labels_of(clips, experiment), experiment)
    method = find_method("recognition", experiment.method)
    assert isinstance(method, RecognitionMethod)
    settings = validate(method.Options, experiment.options, "config", where=f"methods.{experiment.name}")
    found = _fold_by_fold(clips, role, experiment, method, settings, classes, device="cpu")
    return [
        row for seed, p in found.items() for row in unit_predictions(experiment.name, seed, clips, p=p, classes=classes)
    ]


def predict_all(clips: Clips, experiment: RecognitionFoldParams, *, device: str = "cpu") -> list[Prediction]:
    """Predictions of all folds by the method that `experiment` names: MDML stacked, any other fold by fold."""
    classes, label = class_names(experiment), labels_of(clips, experiment)
    role = roles(clips, label, experiment)
    method = find_method("recognition", experiment.method)
    assert isinstance(method, RecognitionMethod)
    settings = validate(method.Options, experiment.options, "config", where=f"methods.{experiment.name}")
    if isinstance(settings, MdmlParams):
        pool = pool_of(clips, label, settings)
        found = mdml(clips, pool, role, experiment=experiment, options=settings, classes=len(classes), device=device)
    else:
        found = _fold_by_fold(clips, role, experiment, method, settings, classes, device=device)
    name = experiment.name
    return [
        row for seed, p in found.items() for row in predictions(name, seed, clips, label=label, p=p, classes=classes)
    ]


def _fold_by_fold(
    clips: Clips,
    role: Roles,
    experiment: RecognitionFoldParams,
    method: RecognitionMethod[Any, Any],
    settings: Params,
    classes: tuple[str, ...],
    *,
    device: str,
) -> dict[int, np.ndarray]:
    seeds = range(experiment.seeds if method.seeded else 1)
    found = {seed: np.full((len(clips), len(classes)), np.nan) for seed in seeds}
    for fold in fold_names(clips, role, experiment.leave):
        training = training_clips(clips, role, experiment, fold=fold, classes=classes)
        test = test_rows(clips, role, experiment, fold=fold)
        where = device if method.gpu else "cpu"
        contexts = [Context(experiment.seed + s, where, f"{experiment.name} {fold}, seed {s}") for s in seeds]
        for seed, model in zip(seeds, method.fit_many(training, settings, contexts), strict=True):
            found[seed][test] = method.predict(model, clips.take(test))
    return found
