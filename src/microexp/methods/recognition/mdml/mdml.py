"""Stage `mdml`: train MDML for one fold on the other subjects, and predict the held-out one.

MDML: mutual learning between streams that see different modalities of the same expression, stage by stage, guided by
the feature distributions of several source domains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microexp.methods.recognition import baselines, folds
from microexp.methods.recognition.classes import class_names, labels_of
from microexp.methods.recognition.folds import Roles
from microexp.methods.recognition.mdml import model_file
from microexp.methods.recognition.mdml.views import pool_of
from microexp.methods.recognition.params import MdmlParams, RecognitionExperiment
from microexp.records.clips import Clips, read_shards
from microexp.run import log as progress
from microexp.run import storage
from microexp.run.devices import pick_device
from microexp.run.stage import Job, Stage

PREDICTION_COLUMNS = ("method", "seed", "dataset", "subject", "video", "expression", "label", "prediction")
"""Then one column `p_<class>` per class."""


@dataclass(frozen=True)
class Fold:
    """One fold's data, ready for any method."""

    clips: Clips
    roles: Roles
    classes: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray


def prediction_rows(
    method: str, seed: int, clips: Clips, label: np.ndarray, rows: np.ndarray, p: np.ndarray, classes: Sequence[str]
) -> list[tuple[object, ...]]:
    """Rows of `predictions.csv` for clips `rows` with class probabilities p (len(rows), classes)."""
    return [
        (method, seed, *clips.key(row), classes[label[row]], classes[int(np.argmax(q))], *(float(v) for v in q))
        for row, q in zip(rows, p, strict=True)
    ]


def baseline_rows(fold: Fold, seed: int) -> list[tuple[object, ...]]:
    """Majority and logistic regression (u, v, mirror) of one fold."""
    label, count = fold.roles.label, len(fold.classes)
    found = {
        "majority": baselines.majority(label[fold.train], len(fold.test), count),
        "logistic_regression": baselines.logistic(fold.clips, label, fold.train, fold.test, count),
    }
    return [
        row
        for method, p in found.items()
        for row in prediction_rows(method, seed, fold.clips, label, fold.test, p, fold.classes)
    ]


def run(job: Job[RecognitionExperiment]) -> Mapping[str, Any]:
    """Train and predict one fold; see `STAGE` for the files. Where nobody is to be predicted, nothing is trained."""
    import torch

    from microexp.methods.recognition.mdml.training import train

    torch.set_num_threads(1)  # the result must not depend on the number of threads
    experiment, name = job.params, job.keys["fold"]
    device = pick_device(job.device)
    clips = read_shards(job.inputs["apexdiff"])
    classes, label = class_names(experiment), labels_of(clips, experiment)
    role = folds.roles(clips, label, experiment)
    runs = folds.runs(experiment.mdml, experiment.mdml.seed or 0)
    members = [folds.member(clips, role, experiment, name, seed, experiment.mdml) for _, seed in runs]
    fold = Fold(clips, role, classes, members[0].main, members[0].test)
    about = {
        "train_clips": len(fold.train),
        "test_clips": len(fold.test),
        "source_clips": int((members[0].extra & (members[0].domain >= 0)).sum()),
    }
    if not len(fold.test):
        progress.log(f"mdml {name}: no clip to predict, nothing is trained")
        model_file.save_empty(job.output("model"), experiment.mdml, classes)
        _write_tables(job, fold)
        return about
    progress.log(f"mdml {name}: {len(fold.train)} clips to train on, {len(fold.test)} to predict, on {device}")
    options = experiment.mdml
    pool = pool_of(clips, label, options)
    trained = train(pool, members, options, len(classes), device)
    model = model_file.Model(
        options, classes, numbers_within_runs(runs), pool.maps.shape[-1], trained, vote(fold, options)
    )
    _write(job, fold, model)
    return {"device": str(device), **about}


def vote(fold: Fold, options: MdmlParams) -> baselines.Linear | None:
    """The logistic regression that votes: it reads the networks' size of map, mirrored or not."""
    if not options.logistic_share:
        return None
    size = options.size or fold.clips.maps.shape[-1]
    return baselines.train_logistic(
        fold.clips.take(fold.train), fold.roles.label[fold.train], len(fold.classes), size=size
    )


def _write(job: Job[RecognitionExperiment], fold: Fold, model: model_file.Model) -> None:
    trained = model.trained
    model_file.save(job.output("model"), model)
    names = [f"weight_source_{i}" for i in range(1, trained.source_weights.shape[2] + 1)]
    log = [
        (seed, number, *_log_row(trained.log[g, e]), *trained.source_weights[g, e])
        for g, (seed, number) in enumerate(model.runs)
        for e in range(trained.log.shape[1])
    ]
    rows: list[tuple[object, ...]] = []
    for seed, p in model_file.predict(model, fold.clips.take(fold.test)).items():
        rows += prediction_rows("mdml", seed, fold.clips, fold.roles.label, fold.test, p, fold.classes)
    rows += baseline_rows(fold, job.params.mdml.seed or 0)
    _write_tables(job, fold, names, log, rows)


def _write_tables(
    job: Job[RecognitionExperiment],
    fold: Fold,
    sources: Sequence[str] = (),
    log: Sequence[tuple[object, ...]] = (),
    rows: Sequence[tuple[object, ...]] = (),
) -> None:
    from microexp.methods.recognition.mdml.training import LOG_COLUMNS

    storage.write_csv(job.output("training"), ("seed", "member", *LOG_COLUMNS, *sources), log)
    columns = (*PREDICTION_COLUMNS, *(f"p_{c}" for c in fold.classes))
    storage.write_csv(job.output("predictions"), columns, rows)


def numbers_within_runs(runs: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """(seed of the run, 0-based number of the network within it)."""
    counts: dict[int, int] = {}
    numbered = []
    for seed, _ in runs:
        numbered.append((seed, counts.get(seed, 0)))
        counts[seed] = counts.get(seed, 0) + 1
    return tuple(numbered)


def _log_row(values: np.ndarray) -> tuple[object, ...]:
    return (int(values[0]), *(float(v) for v in values[1:]))


STAGE = Stage(
    name="mdml",
    summary="Train MDML for one fold and predict the held-out subject.",
    params=RecognitionExperiment,
    inputs={"apexdiff*": "apexdiff shards of all subjects of the experiment's data sets and sources"},
    outputs={
        "model": "all networks of the fold (safetensors)",
        "training": "training log (CSV)",
        "predictions": "class probabilities of the held-out clips (CSV)",
    },
    run=run,
    keys={"fold": "held-out subject as dataset-subject (or dataset-all)"},
)
