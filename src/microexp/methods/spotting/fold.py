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
from microexp.methods.checkpoint import Checkpoint, fingerprint
from microexp.methods.context import Context
from microexp.methods.find import find_method, source_of
from microexp.methods.people import Sides, same_person
from microexp.methods.spotting.base import FitRequest, SpottingMethod, SpottingVideo, Truth
from microexp.methods.spotting.params import FoldParams
from microexp.methods.spotting.start import Start, check_start, trained_on
from microexp.methods.spotting.usable import without_unseen
from microexp.records.features import Features, Files, Key, list_features, whose
from microexp.records.index import KINDS, Expression, Video, read_expressions, read_videos
from microexp.records.proposals import CALIBRATION, METHOD, PERMUTED, TEST, Proposals, write_proposals
from microexp.records.training import write_training
from microexp.run import bundle, storage
from microexp.run.devices import pick_device
from microexp.run.log import log
from microexp.run.names import split_fold
from microexp.run.options import validate
from microexp.run.runner import source_sha256
from microexp.run.stage import Job, Params

ALL = "all"
NOTHING = (np.empty((0, 2)), np.empty(0))
RATE_TOLERANCE = 0.02
"""30 and 29.97 frames a second are the same to a model."""
Subject = tuple[str, str]
Method = SpottingMethod[Any, Any]


@dataclass(frozen=True)
class FitPlan:
    """One training of the fold.

    Attributes:
        variant: `method`, or `permuted` for the control.
        seed: the repetition.
        fit: `main`, `inner1` …, or `all`.
        subjects: whom it is trained on.
        calibration: training subjects that it proposes for, never among `subjects`.
        final: whether it proposes for the held-out subject and is kept.
    """

    variant: str
    seed: int
    fit: str
    subjects: tuple[Subject, ...]
    calibration: tuple[Subject, ...]
    final: bool

    @property
    def name(self) -> str:
        """What tells it from the fold's other fits."""
        return f"{self.variant}.{self.seed}.{self.fit}"


def plan_fits(subjects: Sequence[Subject], options: FoldParams, *, learns: bool, seeded: bool) -> list[FitPlan]:
    """The trainings of a fold, in order.

    Args:
        subjects: training subjects, sorted.
        options: say how calibration proposals come about, and how many repetitions there are.
        learns: whether a control on permuted labels means anything.
        seeded: whether repetitions differ.

    Raises:
        UserError: when there are too few training subjects to keep some for calibration.
    """
    people = {same_person(*s, options.people) for s in subjects}
    if len(people) < 2:
        raise UserError(
            file="features",
            problem=f"{len(people)} training subject(s)",
            expected="at least 2, one of them to calibrate",
        )
    variants = (METHOD, PERMUTED) if options.permuted_control and learns else (METHOD,)
    plans = []
    for variant in variants:
        for repetition in range(options.seeds if seeded else 1):
            parts = calibration_parts(subjects, options, options.seed + repetition)
            single = options.calibrate == "held_out"
            for k, part in enumerate(parts, 1):
                rest = tuple(s for s in subjects if s not in part)
                plans.append(FitPlan(variant, repetition, "main" if single else f"inner{k}", rest, part, single))
            if not single:
                plans.append(FitPlan(variant, repetition, ALL, subjects=tuple(subjects), calibration=(), final=True))
    return plans


def calibration_parts(subjects: Sequence[Subject], options: FoldParams, seed: int) -> list[tuple[Subject, ...]]:
    """Who calibrates: a held-out share of the training subjects, or each of them in one of the inner folds.

    Subjects of several data sets who are one person stay together.
    """
    people = sorted({same_person(*s, options.people) for s in subjects})
    order = np.random.default_rng([seed, 0]).permutation(len(people))
    if options.calibrate == "held_out":
        parts = [order[: min(len(people) - 1, max(1, round(options.held_out_share * len(people))))]]
    else:
        folds = min(options.inner_folds, len(people))
        parts = [order[k::folds] for k in range(folds)]
    chosen = [{people[i] for i in part} for part in parts]
    return [tuple(s for s in sorted(subjects) if same_person(*s, options.people) in who) for who in chosen]


def held_out_subject(fold: str) -> Subject | None:
    """The subject that a fold holds out (`all`: the whole data set); None for the fold `all`."""
    return None if fold == ALL else split_fold(fold)


def run(job: Job[FoldParams]) -> Mapping[str, Any]:
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
        fold = Fold(method, settings, options, training, sources.truth, job.keys["fold"], device, start)
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
class Sources:
    """The files of a fold, with those of the people who are held out kept apart.

    Attributes:
        videos: all videos of the index.
        truth: annotations of training subjects alone.
        shards: feature shards by data set and subject, any stream.
        sides: who is trained on and who is held out.
    """

    videos: Mapping[Key, Video]
    truth: Truth
    shards: Mapping[Subject, Sequence[Path]]
    sides: Sides

    @classmethod
    def of(cls, job: Job[FoldParams], held_out: Subject | None) -> Sources:
        """Read the index; feature shards are known by their names alone.

        Raises:
            UserError: when there is nothing of the held-out subject.
        """
        listed = [v for path in job.inputs["videos"] for v in read_videos(path)]
        videos = {(v.dataset, v.subject, v.video): v for v in listed}
        sides = Sides.of(held_out, {k[:2] for k in videos}, job.params.people, train_on=job.params.train_on)
        truth: dict[Key, list[Expression]] = {}
        for path in job.inputs["expressions"]:
            for item in read_expressions(path, listed):
                seen = item.is_inside(videos[item.video_key].n_frames)
                if seen and sides.is_training((item.dataset, item.subject)):
                    truth.setdefault((item.dataset, item.subject, item.video), []).append(item)
        shards: dict[Subject, list[Path]] = {}
        for path in sorted(job.inputs["features"]):
            _, dataset, subject = whose(path)
            shards.setdefault((dataset, subject), []).append(path)
        known = shards or {k[:2] for k in videos}
        if held_out is not None and not any(map(sides.is_held_out, known)):
            raise UserError(
                file="command line",
                where="--features" if shards else "--fold",
                problem=f"no {'shard' if shards else 'video'} of {'/'.join(held_out)}",
                expected="the held-out subject's too" if shards else "a subject of the index",
            )
        return cls(videos, truth, shards, sides)

    def training_paths(self) -> list[Path]:
        """Feature shards of training subjects."""
        return [p for subject, paths in sorted(self.shards.items()) if self.sides.is_training(subject) for p in paths]

    def training_videos(self, streams: Sequence[str], files: Files) -> list[SpottingVideo]:
        """Videos of training subjects.

        Raises:
            UserError: when there is none, or a stream is missing or laid out in several ways.
        """
        if self.sides.train_on and not any(self.sides.is_training(key[:2]) for key in self.videos):
            raise UserError(
                file="index",
                where="train_on",
                problem="everybody in it is tested too",
                expected="somebody who is not in the data set that is tested",
            )
        made = {whose(path)[0] for path in self.training_paths()}
        for stream in streams:
            if stream not in made:
                raise UserError(file="features", problem=f"no shard of the stream {stream}", expected="one per subject")
        keys = [key for key in self.videos if self.sides.is_training(key[:2])]
        found = self._videos(keys, streams, self.training_paths(), files)
        if not found:
            raise UserError(file="features", problem="no usable training video", expected="at least one")
        return found

    def test_videos(
        self, streams: Sequence[str], files: Files, *, like: Sequence[SpottingVideo]
    ) -> list[SpottingVideo]:
        """Videos of those who are held out; their features must be laid out as those of `like`."""
        keys = [key for key in self.videos if self.sides.is_held_out(key[:2])]
        paths = [p for subject, own in sorted(self.shards.items()) if self.sides.is_held_out(subject) for p in own]
        found = self._videos(keys, streams, paths, files)
        check_layout([*like[:1], *found], streams)
        if self.sides.train_on:
            check_rates(found, like, streams)
        return found

    def _videos(
        self, keys: Sequence[Key], streams: Sequence[str], paths: Sequence[Path], files: Files
    ) -> list[SpottingVideo]:
        features: dict[Key, dict[str, Features]] = {}
        for item in list_features([p for p in paths if whose(p)[0] in streams], files):
            features.setdefault(item.key, {})[item.stream] = item
        videos = []
        for key in sorted(keys):
            own = features.get(key, {})
            if set(own) == set(streams):
                videos.append(SpottingVideo(*key, self.videos[key].n_frames, self.videos[key].fps, own))
        check_layout(videos, streams)
        return videos


def check_layout(videos: Sequence[SpottingVideo], streams: Sequence[str]) -> None:
    """Every stream must be laid out the same way in all videos.

    Raises:
        UserError: naming the first shard that differs.
    """
    for stream in streams:
        of_stream = [v.streams[stream] for v in videos]
        for item in of_stream:
            like = of_stream[0]
            got, expected = ((f.step_frame, f.clip_frame, f.n_channels) for f in (item, like))
            if got != expected:
                raise UserError(
                    file=item.path, where="step, clip, channels", got=got, expected=f"{expected} as in {like.path}"
                )
            if item.channels != like.channels:
                name, other = next((a, b) for a, b in zip(item.channels, like.channels, strict=True) if a != b)
                raise UserError(
                    file=item.path, where="channels", got=repr(name), expected=f"{other!r} as in {like.path}"
                )


def check_rates(videos: Sequence[SpottingVideo], like: Sequence[SpottingVideo], streams: Sequence[str]) -> None:
    """Data sets that are tested must be seen at a rate of those that are trained on.

    Raises:
        UserError: naming the first shard of another rate.
    """
    for stream in streams:
        rates = sorted({v.streams[stream].fps for v in like})
        for item in (v.streams[stream] for v in videos):
            if not np.isclose(item.fps, rates, rtol=RATE_TOLERANCE).any():
                expected = f"{', '.join(f'{rate:g}' for rate in rates)}, as in training"
                raise UserError(
                    file=item.path, where="fps", got=item.fps, expected=expected, hint="datasets.NAME.fps resamples"
                )


@dataclass(frozen=True)
class Fold:
    """What all fits of a fold share."""

    method: Method
    settings: Params
    options: FoldParams
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
            [storage.input_hash(p) for p in paths], self.start and self.start.sha256,
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


def checked(found: object, video: SpottingVideo, method: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What a method proposes: kind -> intervals (n, 2) and scores (n,) as float64; a kind that is missing has none.

    Raises:
        UserError: naming the method and the video, when it is anything else than the contract says.
    """
    if not isinstance(found, Mapping) or set(found) - set(KINDS):
        got = f"kinds {', '.join(map(str, found))}" if isinstance(found, Mapping) else type(found).__name__
        raise _nonsense(got, video, method)
    return {kind: _checked(found.get(kind, NOTHING), video, method) for kind in KINDS}


def _checked(part: Any, video: SpottingVideo, method: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        intervals, scores = (np.asarray(values, np.float64) for values in part)
    except (TypeError, ValueError) as error:
        raise _nonsense(f"{error}", video, method) from error
    if not intervals.size and not scores.size:
        return NOTHING
    if scores.ndim != 1 or intervals.shape != (len(scores), 2):
        raise _nonsense(f"intervals {intervals.shape} with scores {scores.shape}", video, method)
    onset, offset = intervals.T
    inside = (onset >= 0) & (onset <= offset) & (offset <= video.n_frames - 1)  # not so where a value is no number
    wrong = np.flatnonzero(~(inside & np.isfinite(scores)))
    if len(wrong):
        first = int(wrong[0])
        raise _nonsense(f"[{onset[first]:g}, {offset[first]:g}] with score {scores[first]:g}", video, method)
    return intervals, scores


def _nonsense(problem: str, video: SpottingVideo, method: str) -> UserError:
    return UserError(
        file=method,
        where="/".join(video.key),
        problem=f"proposed {problem}",
        expected=f"micro and macro: intervals (n, 2) inside frames 0 to {video.n_frames - 1} with finite scores (n,)",
    )


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
