"""Stage `spotting-fold`: the honest protocol for every spotting method: train on all subjects but one, then propose.

Nothing that is trained, chosen or logged depends on the held-out subject: its features are opened only after the models
and the training log are written, its annotations are never used. Proposals for training subjects come from fits that
did not see them (role `calibration`), so that thresholds can be chosen without the held-out subject. The fold `all`
holds nobody out: its models are for other data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.methods.context import Checkpoint, Context, fingerprint
from microexp.methods.find import find_method, source_of
from microexp.methods.spotting.base import FitRequest, SpottingMethod, SpottingVideo, Truth, checked
from microexp.methods.spotting.fits import FitPlan, Start, Subject, check_start, held_out_subject, plan_fits, trained_on
from microexp.methods.spotting.params import SpottingFoldParams
from microexp.methods.spotting.sources import Sources, without_unseen
from microexp.records.features import Files, Key
from microexp.records.index import Expression
from microexp.records.proposals import CALIBRATION, PERMUTED, TEST, Proposals, write_proposals
from microexp.records.training import write_training
from microexp.run import bundle, provenance
from microexp.run.devices import pick_device
from microexp.run.log import log
from microexp.run.runner import source_sha256
from microexp.run.stage import Job, Params, validate

Method = SpottingMethod[Any, Any]


def run(job: Job[SpottingFoldParams]) -> Mapping[str, Any]:
    """Train the fold `job.keys["fold"]`, write models and log, then read the held-out subject and write proposals."""
    options = job.params
    method = find_method("spotting", options.method)
    assert isinstance(method, SpottingMethod)
    settings = validate(method.Options, options.options, "config", where=f"{options.experiment}.methods.{options.name}")
    device = str(pick_device(job.device)) if method.gpu else "cpu"
    sources = Sources.of(job, held_out_subject(job.keys["fold"]))
    path = method.starts_from(settings)
    start = check_start(path, {key[:2] for key in sources.videos}, options.people) if path else None
    with Files() as files:
        training = sources.training_videos(method.streams(settings), files)
        fold = SpottingFold(method, settings, options, training, sources.truth, job.keys["fold"], device, start)
        key = fold.fingerprint(sources.training_paths())
        checkpoint = Checkpoint(Path(f"{job.output('trained')}.checkpoint"), key)
        plans = plan_fits(fold.subjects(), options, learns=method.learns, seeded=method.seeded)
        models = fold.train(plans, checkpoint)
        proposals = list(fold.calibrate(plans, models))
        final = {f"{p.variant}.{p.seed}": models[p.name] for p in plans if p.final}
        bundle.write(job.output("trained"), fold.bundle(final))
        write_training(job.output("training"), fold.log_rows(plans, checkpoint))
    with Files() as files:  # from here on the held-out subject may be looked at
        for video in sources.test_videos(method.streams(settings), files, like=training):
            for plan in (p for p in plans if p.final):
                proposals += fold.propose(plan, models[plan.name], video, role=TEST)
    write_proposals(job.output("proposals"), proposals, fold.about())
    checkpoint.remove()
    done = {"device": device, "fits": len(plans), "method": f"{options.method} {method.version}"}
    return done | ({"start_from": start.sha256} if start else {})


@dataclass(frozen=True)
class SpottingFold:
    """What all fits of a fold share."""

    method: Method
    settings: Params
    options: SpottingFoldParams
    videos: Sequence[SpottingVideo]
    truth: Truth
    fold: str
    device: str
    start: Start | None = None

    def subjects(self) -> list[Subject]:
        """Training subjects, sorted."""
        return sorted({(v.dataset, v.subject) for v in self.videos})

    def about(self) -> dict[str, str]:
        """Stage, experiment, method and fold of the results."""
        return {
            "stage": "spotting-fold",
            "experiment": self.options.experiment,
            "method": self.options.name,
            "fold": self.fold,
        }

    def fingerprint(self, paths: Sequence[Path]) -> str:
        """What a checkpoint of this fold depends on."""
        return fingerprint(
            self.options.model_dump_json(), self.fold, self.method.version, source_sha256(), source_of(self.method),
            self.device, sorted(self.truth.items()), [(v.key, v.n_frames, v.fps) for v in self.videos],
            [provenance.input_hash(p) for p in paths], self.start and self.start.sha256,
        )  # fmt: skip

    def train(self, plans: Sequence[FitPlan], checkpoint: Checkpoint) -> dict[str, Any]:
        """The models of all fits by name, going on from `checkpoint`."""
        waiting = [p for p in plans if p.name not in checkpoint.models]
        if self.method.stacks and waiting:
            context = Context(
                self.options.seed, self.device, self._label(), keep=checkpoint.keep, state=checkpoint.state
            )
            models = list(self.method.fit_many([self._request(p, checkpoint) for p in waiting], self.settings, context))
            if len(models) != len(waiting):
                raise UserError(
                    file=self._label(), problem=f"fit_many gave {len(models)} models", expected=f"{len(waiting)}"
                )
            checkpoint.finish({p.name: self._bytes(m) for p, m in zip(waiting, models, strict=True)})
        else:
            for plan in waiting:
                request = self._request(plan, checkpoint)
                model = self.method.fit(request.videos, request.truth, self.settings, context=request.context)
                checkpoint.finish({plan.name: self._bytes(model)})
        return {p.name: self.method.from_bytes(checkpoint.models[p.name], self.settings) for p in plans}

    def _bytes(self, model: Any) -> bytes:
        data = self.method.to_bytes(model)
        if not isinstance(data, bytes):
            raise UserError(file=self._label(), problem=f"to_bytes gave {type(data).__name__}", expected="bytes")
        return data

    def _request(self, plan: FitPlan, checkpoint: Checkpoint) -> FitRequest:
        videos = list(self._videos(plan.subjects))
        truth: Truth = {v.key: self.truth[v.key] for v in videos if v.key in self.truth}
        seed = self.options.seed + plan.seed
        if plan.variant == PERMUTED:
            truth = permuted(videos, truth, seed)
        rows = checkpoint.log_of(plan.name)
        if checkpoint.state is None:
            rows.clear()  # a fit that starts again logs again
        context = Context(seed, self.device, f"{self._label()}, seed {plan.seed}, {plan.fit}", rows)
        if not self.method.stacks:
            context = replace(context, keep=checkpoint.keep, state=checkpoint.state)
        return FitRequest(videos, truth, context)

    def _label(self) -> str:
        return f"{self.options.name} {self.fold}"

    def _videos(self, subjects: Sequence[Subject]) -> Iterator[SpottingVideo]:
        return (v for v in self.videos if (v.dataset, v.subject) in subjects)

    def calibrate(self, plans: Sequence[FitPlan], models: Mapping[str, Any]) -> Iterator[Proposals]:
        """Proposals of every fit for the training subjects that it did not see."""
        for plan in plans:
            for video in self._videos(plan.calibration):
                yield from self.propose(plan, models[plan.name], video, role=CALIBRATION)

    def propose(self, plan: FitPlan, model: Any, video: SpottingVideo, *, role: str) -> list[Proposals]:
        """What one fit proposes for one video.

        Raises:
            UserError: when the method returns something else than its contract says.
        """
        found = without_unseen(checked(self.method.propose(model, video), video, self.options.name), video)
        return [
            Proposals(plan.variant, plan.seed, role, video.key, kind, intervals, scores)
            for kind, (intervals, scores) in found.items()
        ]

    def bundle(self, models: Mapping[str, Any]) -> bundle.Bundle:
        """The file of what was trained."""
        first = self.videos[0]
        about = {
            **self.about(),
            "kind": "spotting",
            "reference": self.options.method,
            "version": self.method.version,
            "options": self.settings.model_dump(mode="json"),
            **trained_on(self.subjects(), self.start),
            "streams": {
                name: {
                    "step_frames": f.step_frame, "clip_frames": f.clip_frame, "channels": list(f.channels),
                    "fps": sorted({v.streams[name].fps for v in self.videos}),
                }
                for name, f in first.streams.items()
            },
        }  # fmt: skip
        return bundle.Bundle(about, {name: self._bytes(model) for name, model in models.items()})

    def log_rows(self, plans: Sequence[FitPlan], checkpoint: Checkpoint) -> list[dict[str, Any]]:
        """The training log of all fits."""
        return [
            {**row, "variant": p.variant, "seed": p.seed, "fit": p.fit}
            for p in plans
            for row in checkpoint.log_of(p.name)
        ]


def permuted(videos: Sequence[SpottingVideo], truth: Truth, seed: int) -> dict[Key, list[Expression]]:
    """Each expression moved to a random place of its own video, its length and kind kept: labels that mean nothing."""
    generator = np.random.default_rng([seed, 2])
    moved = {}
    for video in videos:
        moved[video.key] = [
            _move(e, int(generator.integers(0, max(1, video.n_frames - (e.offset - e.onset)))))
            for e in truth.get(video.key, ())
        ]
    if any(truth.values()) and moved == {v.key: list(truth.get(v.key, ())) for v in videos}:
        log("permuted control: every expression stayed where it was; the videos are too short to move them")
    return moved


def _move(item: Expression, onset: int) -> Expression:
    shift = onset - item.onset
    return replace(item, onset=onset, apex=item.apex + shift, offset=item.offset + shift)
