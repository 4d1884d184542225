"""Stage `mdml`: train MDML for one fold on the other subjects, and predict the held-out one.

MDML: mutual learning between streams that see different modalities of the same expression, stage by stage, guided by
the feature distributions of several source domains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microexp import progress, storage
from microexp.errors import UserError
from microexp.recognition import baselines, folds, model_file
from microexp.recognition.batches import Member, Pool
from microexp.recognition.clips import Clips, read_shards, shrink
from microexp.recognition.folds import Roles
from microexp.recognition.params import MdmlParams, RecognitionExperiment
from microexp.recognition.protocol import class_names, labels_of
from microexp.recognition.views import remove_identity
from microexp.stage import Job, Stage

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


def pool_of(clips: Clips, label: np.ndarray, options: MdmlParams) -> Pool:
    """The maps that the network sees: without identity, averaged down, only the channels that a stream reads."""
    import torch

    seen = shrink(remove_identity(clips, options.identity), options.size)
    channels = model_file.input_channels(options)
    chosen = [seen.channels.index(c) for c in channels]
    maps = torch.from_numpy(np.ascontiguousarray(seen.maps[:, chosen], dtype=np.float32))
    return Pool(maps, torch.from_numpy(label), channels)


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


def vote(fold: Fold, options: MdmlParams, p: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Blend in the logistic regression, `logistic_share` of it: it reads the networks' size of map, mirrored or not."""
    share = options.logistic_share
    if not share:
        return list(p)
    linear = baselines.logistic(
        fold.clips,
        fold.roles.label,
        fold.train,
        fold.test,
        len(fold.classes),
        size=options.size or fold.clips.maps.shape[-1],
        mirror_test=options.mirror_test,
    )
    return [(1 - share) * q + share * linear for q in p]


def run_average(runs: Sequence[tuple[int, int]], p: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
    """Run's seed -> mean class probabilities over its networks."""
    seeds = list(dict.fromkeys(seed for seed, _ in runs))
    return {s: np.mean([q for (seed, _), q in zip(runs, p, strict=True) if seed == s], axis=0) for s in seeds}


def run(job: Job[RecognitionExperiment]) -> Mapping[str, Any]:
    """Train and predict one fold; see `STAGE` for the files. Where nobody is to be predicted, nothing is trained."""
    import torch

    from microexp.recognition.training import train

    torch.set_num_threads(1)  # the result must not depend on the number of threads
    experiment, name = job.params, job.keys["fold"]
    device = pick_device(job.device)
    clips = read_shards(job.inputs["apexdiff"])
    classes, label = class_names(experiment), labels_of(clips, experiment)
    role = folds.roles(clips, label, experiment)
    first = experiment.mdml.seed or 0
    runs = folds.runs(experiment.mdml, first)
    members = [folds.member(clips, role, experiment, name, seed, experiment.mdml) for _, seed in runs]
    fold = Fold(clips, role, classes, members[0].main, members[0].test)
    about = {
        "train_clips": len(fold.train),
        "test_clips": len(fold.test),
        "source_clips": int((members[0].extra & (members[0].domain >= 0)).sum()),
    }
    if not len(fold.test):
        progress.log(f"mdml {name}: no clip to predict, nothing is trained")
        model_file.save(job.output("model"), None, experiment.mdml, classes, runs)
        _write_tables(job, [], [], fold, [])
        return about
    progress.log(f"mdml {name}: {len(fold.train)} clips to train on, {len(fold.test)} to predict, on {device}")
    pool, options = pool_of(clips, label, experiment.mdml), experiment.mdml
    trained = train(pool, members, options, len(classes), device)
    _write(job, fold, pool, members, trained, options, runs)
    return {"device": str(device), **about}


def _write(
    job: Job[RecognitionExperiment],
    fold: Fold,
    pool: Pool,
    members: Sequence[Member],
    trained: Any,
    options: MdmlParams,
    runs: Sequence[tuple[int, int]],
) -> None:
    from microexp.recognition.training import predict

    first = job.params.mdml.seed or 0
    numbered = numbers_within_runs(runs)
    model_file.save(job.output("model"), trained, options, fold.classes, numbered)
    names = [f"weight_source_{i}" for i in range(1, trained.source_weights.shape[2] + 1)]
    log = [
        (seed, number, *_log_row(trained.log[g, e]), *trained.source_weights[g, e])
        for g, (seed, number) in enumerate(numbered)
        for e in range(trained.log.shape[1])
    ]
    rows: list[tuple[object, ...]] = []
    voted = vote(fold, options, predict(trained, pool, members, options))
    for seed, p in run_average(runs, voted).items():
        rows += prediction_rows("mdml", seed, fold.clips, fold.roles.label, fold.test, p, fold.classes)
    rows += baseline_rows(fold, first)
    _write_tables(job, names, log, fold, rows)


def _write_tables(
    job: Job[RecognitionExperiment],
    sources: Sequence[str],
    log: Sequence[tuple[object, ...]],
    fold: Fold,
    rows: Sequence[tuple[object, ...]],
) -> None:
    from microexp.recognition.training import LOG_COLUMNS

    storage.write_csv(job.output("training"), ("seed", "member", *LOG_COLUMNS, *sources), log)
    columns = (*PREDICTION_COLUMNS, *(f"p_{c}" for c in fold.classes))
    storage.write_csv(job.output("predictions"), columns, rows)


def numbers_within_runs(runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(seed of the run, 0-based number of the network within it)."""
    counts: dict[int, int] = {}
    numbered = []
    for seed, _ in runs:
        numbered.append((seed, counts.get(seed, 0)))
        counts[seed] = counts.get(seed, 0) + 1
    return numbered


def _log_row(values: np.ndarray) -> tuple[object, ...]:
    return (int(values[0]), *(float(v) for v in values[1:]))


def pick_device(name: str) -> Any:
    """The torch device of `--device`; `auto` takes a GPU when there is one.

    Raises:
        UserError: when the device asked for is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError("command line", "--device", repr(name), "auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError("command line", "--device", repr(name), "a GPU that torch can see, or auto")
    return device


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
