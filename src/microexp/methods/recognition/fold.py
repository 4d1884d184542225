"""Stage `recognition-fold`: the honest protocol for every method: train on all subjects but one, predict that one.

A method is handed the clips of training subjects alone; the held-out clips are predicted after the models and the
training log are written. The fold `all` holds nobody out: its models are for other data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from microexp.datasets.classes import class_names, labels_of, log_absent_emotions, shown
from microexp.errors import UserError
from microexp.methods.context import Checkpoint, Context, digest, fingerprint
from microexp.methods.find import find_method, source_of
from microexp.methods.recognition.base import RecognitionMethod, TrainingClips
from microexp.methods.recognition.params import RecognitionFoldParams
from microexp.records.clips import Clips, read_shards
from microexp.records.predictions import write_predictions
from microexp.records.training import write_training
from microexp.run import bundle
from microexp.run.devices import pick_device
from microexp.run.log import log
from microexp.run.names import WHOLE_DATASET, fold_name, split_fold
from microexp.run.runner import source_sha256
from microexp.run.stage import Job, Params, validate

# Who is held out, who trains, and which clips guide as sources.


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


def roles(clips: Clips, label: np.ndarray, experiment: RecognitionFoldParams) -> Roles:
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
    sources, not what they did in another data set (`RecognitionFoldParams.people`).
    """
    return np.asarray((role.target | (role.source > 0)) & ~np.isin(role.person, np.unique(role.person[out])) & ~out)


def training_clips(
    clips: Clips, role: Roles, experiment: RecognitionFoldParams, *, fold: str, classes: tuple[str, ...]
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
        shown(clips.aus[rows]) if experiment.target == "action_units" else None,
    )  # fmt: skip


def test_rows(clips: Clips, role: Roles, experiment: RecognitionFoldParams, *, fold: str) -> np.ndarray:
    """Numbers of the clips that are predicted in `fold`; none in the fold `all`."""
    if fold == WHOLE_DATASET:
        return np.empty(0, np.int64)
    return np.flatnonzero(role.target & held_out(clips, fold, experiment.leave))


def label_text(
    clips: Clips, row: int, label: np.ndarray, *, experiment: RecognitionFoldParams, classes: tuple[str, ...]
) -> str:
    """What a clip shows, as `predictions.csv` says it: its class, or its units as its sheet writes them."""
    return str(clips.aus[row]) if experiment.target == "action_units" else classes[label[row]]


def answer_text(p: np.ndarray, experiment: RecognitionFoldParams, classes: tuple[str, ...]) -> str:
    """What probabilities (classes,) say: the most probable class, or the units of at least one half (`4+12`)."""
    if experiment.target == "action_units":
        return "+".join(name.removeprefix("AU") for name, value in zip(classes, p, strict=True) if value >= 0.5)
    return classes[int(np.argmax(p))]


def run(job: Job[RecognitionFoldParams]) -> Mapping[str, Any]:
    """Train and predict one fold. Where nobody is to be predicted, nothing is trained."""
    options, name = job.params, job.keys["fold"]
    method = find_method("recognition", options.method)
    assert isinstance(method, RecognitionMethod)
    settings = validate(method.Options, options.options, "config", where=f"{options.experiment}.methods.{options.name}")
    device = str(pick_device(job.device)) if method.gpu else "cpu"
    clips = read_shards(job.inputs["apexdiff"])
    log_absent_emotions(clips, options)
    classes, label = class_names(options), labels_of(clips, options)
    role = roles(clips, label, options)
    test = test_rows(clips, role, options, fold=name)
    fold = RecognitionFold(method, settings, options, name, device)
    if not (len(test) or options.applied) and name != WHOLE_DATASET:
        log(f"{options.name} {name}: no clip to predict, nothing is trained")
        bundle.write(job.output("trained"), fold.bundle({}, classes, clips))
        write_training(job.output("training"), [])
        write_predictions(job.output("predictions"), [], classes)
        return {"device": device, "train_clips": 0, "test_clips": 0}
    training = training_clips(clips, role, options, fold=name, classes=classes)
    log(f"{options.name} {name}: {len(training.clips)} clips to train on, {len(test)} to predict, on {device}")
    checkpoint = Checkpoint(Path(f"{job.output('trained')}.checkpoint"), fold.fingerprint(training))
    models = fold.train(training, checkpoint)
    bundle.write(job.output("trained"), fold.bundle(models, classes, clips))
    write_training(job.output("training"), fold.log_rows(models, checkpoint))
    rows = [
        row
        for seed, model in models.items()
        for row in fold.predict(model, seed, clips, label=label, test=test, classes=classes)
    ]
    write_predictions(job.output("predictions"), rows, classes)
    checkpoint.remove()
    return {
        "device": device,
        "method": f"{options.method} {method.version}",
        "train_clips": int(training.target.sum()),
        "test_clips": len(test),
        "source_clips": int((~training.target).sum()),
    }


@dataclass(frozen=True)
class RecognitionFold:
    """What all fits of a fold share."""

    method: RecognitionMethod[Any, Any]
    settings: Params
    options: RecognitionFoldParams
    fold: str
    device: str

    def fingerprint(self, training: TrainingClips) -> str:
        """What a checkpoint of this fold depends on: everything that the method is handed, and the code."""
        arrays = (*(getattr(training.clips, f.name) for f in fields(Clips)), training.label, training.domain)
        return fingerprint(
            self.options.model_dump_json(), self.fold, self.method.version, source_sha256(), source_of(self.method),
            self.device, [digest(np.asarray(array)) for array in arrays],
        )  # fmt: skip

    def train(self, training: TrainingClips, checkpoint: Checkpoint) -> dict[int, Any]:
        """Seed of the repetition -> model, going on from `checkpoint`."""
        seeds = range(self.options.seeds if self.method.seeded else 1)
        waiting = [s for s in seeds if str(s) not in checkpoint.models]
        if self.method.stacks and waiting:
            contexts = [self._context(s, checkpoint) for s in waiting]
            models = self.method.fit_many(training, self.settings, contexts)
            checkpoint.finish({str(s): self.method.to_bytes(m) for s, m in zip(waiting, models, strict=True)})
        else:
            for seed in waiting:  # one context at a time: what an interrupted fit kept is that fit's alone
                model = self.method.fit(training, self.settings, self._context(seed, checkpoint))
                checkpoint.finish({str(seed): self.method.to_bytes(model)})
        return {s: self.method.from_bytes(checkpoint.models[str(s)], self.settings) for s in seeds}

    def _context(self, seed: int, checkpoint: Checkpoint) -> Context:
        rows = checkpoint.log_of(str(seed))
        state = None if self.method.stacks else checkpoint.state
        if state is None:
            rows.clear()  # a fit that starts again logs again
        label = f"{self.options.name} {self.fold}, seed {seed}"
        keep = Context(0).keep if self.method.stacks else checkpoint.keep
        return Context(self.options.seed + seed, self.device, label, rows, keep, state)

    def predict(
        self, model: Any, seed: int, clips: Clips, *, label: np.ndarray, test: np.ndarray, classes: tuple[str, ...]
    ) -> list[tuple[object, ...]]:
        """Rows of `predictions.csv` for the clips `test`.

        Raises:
            UserError: when the method returns something else than its contract says.
        """
        p = np.asarray(self.method.predict(model, clips.take(test)), np.float64) if len(test) else np.empty((0, 0))
        if len(test) and (p.shape != (len(test), len(classes)) or not np.isfinite(p).all()):
            raise UserError(
                file=self.options.name,
                problem=f"predictions of shape {p.shape}, or values that are no numbers",
                expected=f"({len(test)}, {len(classes)}) probabilities",
            )
        rows: list[tuple[object, ...]] = []
        for row, q in zip(test, p, strict=True):
            shown = label_text(clips, row, label, experiment=self.options, classes=classes)
            answer = answer_text(q, self.options, classes)
            rows.append((self.options.name, seed, *clips.key(row), shown, answer, *map(float, q)))
        return rows

    def bundle(self, models: Mapping[int, Any], classes: Sequence[str], clips: Clips) -> bundle.Bundle:
        """The file of what was trained."""
        about = {
            "stage": "recognition-fold",
            "kind": "recognition",
            "experiment": self.options.experiment,
            "method": self.options.name,
            "fold": self.fold,
            "reference": self.options.method,
            "version": self.method.version,
            "options": self.settings.model_dump(mode="json"),
            "classes": list(classes),
            "size_px": int(clips.maps.shape[-1]),
        }
        return bundle.Bundle(about, {f"method.{seed}": self.method.to_bytes(m) for seed, m in models.items()})

    def log_rows(self, models: Mapping[int, Any], checkpoint: Checkpoint) -> list[dict[str, Any]]:
        """The training log of all repetitions."""
        return [
            {"variant": "method", "seed": s, "fit": "all", **row} for s in models for row in checkpoint.log_of(str(s))
        ]
