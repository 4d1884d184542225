"""All folds of an experiment in one process, stacked: for benchmarks, comparisons and inner folds.

The stage `mdml` does one fold as a job of its own; here many folds (and seeds) train together, which on one core is
several times faster. Both build their members with the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from microexp.methods.recognition import baselines, folds
from microexp.methods.recognition.classes import class_names, labels_of
from microexp.methods.recognition.folds import Roles
from microexp.methods.recognition.mdml.batches import Member, Pool
from microexp.methods.recognition.mdml.model_file import blend
from microexp.methods.recognition.mdml.views import pool_of
from microexp.methods.recognition.params import MdmlParams, RecognitionExperiment
from microexp.metrics.recognition import Prediction, confusion, scores
from microexp.records.clips import Clips


def mdml(
    clips: Clips,
    pool: Pool,
    role: Roles,
    experiment: RecognitionExperiment,
    classes: int,
    names: Sequence[str] | None = None,
    device: str = "cpu",
) -> dict[int, np.ndarray]:
    """Run's seed -> class probabilities (N, classes) of every clip by the networks that did not train on its subject.

    Clips of folds that are not in `names` (default: all) stay nan.
    """
    options = experiment.mdml
    names = folds.fold_names(clips, role, experiment.leave) if names is None else names
    runs = folds.runs(options, options.seed or 0)
    members = [folds.member(clips, role, experiment, name, seed, options) for name in names for _, seed in runs]
    owners = [run for _ in names for run, _ in runs]
    found = by_run(members, owners, train_predict(pool, members, options, classes, device), len(clips), classes)
    if not options.logistic_share:
        return found
    size = options.size or clips.maps.shape[-1]
    linear = logistic(clips, role, experiment, classes, size=size, mirror_test=options.mirror_test)
    return {run: blend(p, linear, options) for run, p in found.items()}


def by_run(
    members: Sequence[Member], owners: Sequence[int], p: Sequence[np.ndarray], clips: int, classes: int
) -> dict[int, np.ndarray]:
    """Owner -> (clips, classes): the mean over that owner's members of what each gave its test clips, else nan."""
    found: dict[int, np.ndarray] = {}
    for owner in dict.fromkeys(owners):
        total, count = np.zeros((clips, classes)), np.zeros((clips, 1))
        for member, whose, values in zip(members, owners, p, strict=True):
            if whose == owner:
                total[member.test] += values
                count[member.test] += 1
        with np.errstate(invalid="ignore"):
            found[owner] = total / count
    return found


def train_predict(
    pool: Pool, members: Sequence[Member], options: MdmlParams, classes: int, device: str = "cpu"
) -> list[np.ndarray]:
    """Train all members in as few stacks as possible; class probabilities (T, classes) of each one's test clips."""
    from microexp.methods.recognition.mdml.training import predict, stacks, train

    found: list[np.ndarray] = [np.zeros(0)] * len(members)
    for stack in stacks(members, options):
        chosen = [members[i] for i in stack]
        trained = train(pool, chosen, options, classes, device)
        for i, p in zip(stack, predict(trained, pool, chosen, options), strict=True):
            found[i] = p
    return found


def logistic(clips: Clips, role: Roles, experiment: RecognitionExperiment, classes: int, **how: Any) -> np.ndarray:
    """(N, classes) class probabilities of the logistic regression; nan where a clip is in no fold.

    `how` is handed to `baselines.logistic`: channels, mirror, size, mirror_test.
    """
    p = np.full((len(clips), classes), np.nan)
    for name in folds.fold_names(clips, role, experiment.leave):
        member = folds.member(clips, role, experiment, name, 0, experiment.mdml)
        p[member.test] = baselines.logistic(clips, role.label, member.main, member.test, classes, **how)
    return p


def majority(clips: Clips, role: Roles, experiment: RecognitionExperiment, classes: int) -> np.ndarray:
    """(N, classes) class shares of each clip's training clips; nan where a clip is in no fold."""
    p = np.full((len(clips), classes), np.nan)
    for name in folds.fold_names(clips, role, experiment.leave):
        member = folds.member(clips, role, experiment, name, 0, experiment.mdml)
        p[member.test] = baselines.majority(role.label[member.main], len(member.test), classes)
    return p


def predictions(
    method: str, seed: int, clips: Clips, label: np.ndarray, p: np.ndarray, classes: Sequence[str]
) -> list[Prediction]:
    """What the evaluation reads, of all clips that have probabilities."""
    rows = np.flatnonzero(np.isfinite(p).all(1))
    answers = p[rows].argmax(1)
    return [
        _prediction(method, seed, clips, int(row), classes[label[row]], classes[answer])
        for row, answer in zip(rows, answers, strict=True)
    ]


def _prediction(method: str, seed: int, clips: Clips, row: int, label: str, answer: str) -> Prediction:
    dataset, subject, video, expression = clips.key(row)
    return Prediction(method, seed, dataset, subject, video, str(expression), label, answer)


def compare(
    clips: Clips,
    variants: Mapping[str, RecognitionExperiment],
    log: Callable[[str], None] = lambda line: None,
    device: str = "cpu",
) -> list[Prediction]:
    """Predictions of all folds for each named variant of an experiment (same classes), after both baselines."""
    first = next(iter(variants.values()))
    names, label = class_names(first), labels_of(clips, first)
    role = folds.roles(clips, label, first)
    count = len(names)
    rows = predictions("majority", 0, clips, label, majority(clips, role, first, count), names)
    rows += predictions("logistic_regression", 0, clips, label, logistic(clips, role, first, count), names)
    for name, experiment in variants.items():
        role = folds.roles(clips, label, experiment)
        pool = pool_of(clips, label, experiment.mdml)
        found = mdml(clips, pool, role, experiment, count, device=device)
        new = [row for seed, p in found.items() for row in predictions(name, seed, clips, label, p, names)]
        scored = [scores(confusion((r for r in new if r.seed == seed), names)) for seed in found]
        log(f"{name}: UF1 {np.mean([s.uf1 for s in scored]):.3f}, UAR {np.mean([s.uar for s in scored]):.3f}")
        rows += new
    return rows
