"""The stage `detect`: proposals to detections, with limits, thresholds and top-k chosen on training subjects only.

Methods in the output:

* `aemnet`: the model's row.
* `aemnet_oracle`: the same proposals, with threshold and top-k chosen on the held-out subject itself. It is no result:
  it shows how much a figure gains when the choice is made on test data, as most published ones were.
* `aemnet_permuted`: the control that was trained on displaced expressions (when it was trained); its threshold is
  chosen on true annotations, which favours it.
* `flow_magnitude`: peaks of the flow's magnitude; only the threshold is learnt.
* `random`: random intervals of the training lengths and frequency.

`selection.json` holds nothing that depends on the held-out subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.proposals import Proposal, group_by_video, read_proposals
from microexp.methods.spotting.baselines import MotionVideo, flow_peaks, random_intervals, read_motion
from microexp.methods.spotting.params import DetectParams
from microexp.methods.spotting.postprocess import clean, confidence_order
from microexp.methods.spotting.selection import Candidates, Choice, choose, duration_limits, take
from microexp.metrics.spotting import KINDS
from microexp.records.index import Expression, Video, read_expressions, read_videos
from microexp.run import storage
from microexp.run.names import split_fold
from microexp.run.stage import Job, Stage

VideoKey = tuple[str, str, str]
Subject = tuple[str, str]
VideoCandidates = Mapping[VideoKey, Mapping[str, Candidates]]


@dataclass(frozen=True)
class Detection:
    """One detected expression: the closed interval [onset, offset] of source frames."""

    method: str
    seed: int
    dataset: str
    subject: str
    video: str
    onset: int
    offset: int
    kind: str
    score: float


COLUMNS = tuple(f.name for f in fields(Detection))


@dataclass(frozen=True)
class Annotations:
    """What the index knows, with the held-out subject told apart.

    Attributes:
        videos: of all subjects.
        truths: expressions by video.
        held_out: data set and subject.
    """

    videos: Mapping[VideoKey, Video]
    truths: Mapping[VideoKey, Sequence[Expression]]
    held_out: Subject

    def lengths_s(self) -> dict[str, list[float]]:
        """Lengths of the training expressions by kind, s."""
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for key, items in self.truths.items():
            if key[:2] != self.held_out:
                for item in items:
                    found[item.kind].append((item.offset - item.onset + 1) / self.videos[key].fps)
        return found

    def training_s(self) -> float:
        """Seconds of training video."""
        return sum(v.n_frames / v.fps for key, v in self.videos.items() if key[:2] != self.held_out)

    def intervals(self, key: VideoKey, kind: str) -> np.ndarray:
        """(m, 2) annotated intervals of a video."""
        rows = [(e.onset, e.offset) for e in self.truths.get(key, ()) if e.kind == kind]
        return np.array(rows, np.float64).reshape(-1, 2)


def read_annotations(expressions: Sequence[Path], videos: Sequence[Path], held_out: Subject) -> Annotations:
    """Read the index of all data sets of the experiment.

    Raises:
        UserError: when an expression belongs to no listed video.
    """
    known = {v.key: v for path in videos for v in read_videos(path)}
    truths: dict[VideoKey, list[Expression]] = {}
    for path in expressions:
        for item in read_expressions(path, known.values()):
            truths.setdefault(item.video_key, []).append(item)
    return Annotations(known, truths, held_out)


def candidates(
    proposals: Sequence[Proposal],
    annotations: Annotations,
    limits_s: Mapping[str, Sequence[float]],
    options: DetectParams,
) -> dict[VideoKey, dict[str, Candidates]]:
    """Cleaned proposals by video and kind."""
    found: dict[VideoKey, dict[str, Candidates]] = {}
    for key, items in sorted(group_by_video(proposals).items()):
        fps = annotations.videos[key].fps
        found[key] = {}
        for kind in KINDS:
            own = [p for p in items if p.kind == kind]
            intervals = np.array([(p.onset, p.offset) for p in own], np.float64).reshape(-1, 2)
            scores = np.array([p.score for p in own], np.float64)
            low, high = limits_s[kind]
            cleaned = clean(intervals, scores, (low * fps - 1e-6, high * fps + 1e-6), options)
            found[key][kind] = Candidates(*cleaned, annotations.intervals(key, kind))
    return found


def motion_candidates(videos: Sequence[MotionVideo], annotations: Annotations) -> dict[VideoKey, dict[str, Candidates]]:
    """Peaks of the flow's magnitude by video and kind, looked for at the kind's median training length."""
    lengths_s = {kind: float(np.median(v)) if v else 0.0 for kind, v in annotations.lengths_s().items()}
    found: dict[VideoKey, dict[str, Candidates]] = {}
    for video in videos:
        key = (video.dataset, video.subject, video.video)
        found[key] = {}
        for kind in KINDS:
            intervals, scores = flow_peaks(video, lengths_s[kind])
            order = confidence_order(intervals, scores)
            found[key][kind] = Candidates(intervals[order], scores[order], annotations.intervals(key, kind))
    return found


def choose_on(videos: VideoCandidates, options: DetectParams) -> dict[str, Choice]:
    """Threshold and top-k per kind on these videos."""
    return choose({kind: [v[kind] for v in videos.values()] for kind in KINDS}, options)


def detections(method: str, seed: int, videos: VideoCandidates, choices: Mapping[str, Choice]) -> list[Detection]:
    """What threshold and top-k leave of the candidates."""
    found = []
    for key, kinds in videos.items():
        for kind in KINDS:
            intervals, scores = take(kinds[kind].intervals, kinds[kind].scores, choices[kind])
            found += [
                Detection(method, seed, *key, int(a), int(b), kind, round(float(s), 6))
                for (a, b), s in zip(intervals, scores, strict=True)
            ]
    return found


def random_detections(annotations: Annotations, seed: int, repetition: int) -> list[Detection]:
    """The random baseline on the held-out subject's videos."""
    lengths_s, training_s = annotations.lengths_s(), annotations.training_s()
    rates = {kind: len(values) / training_s if training_s else 0.0 for kind, values in lengths_s.items()}
    own = sorted(key for key in annotations.videos if key[:2] == annotations.held_out)
    found = []
    for number, key in enumerate(own):
        generator = np.random.default_rng([seed, repetition, number, 4])
        video = annotations.videos[key]
        for kind, (intervals, scores) in random_intervals(
            video.n_frames, video.fps, lengths_s, rates, generator
        ).items():
            rows = zip(intervals, scores, strict=True)
            found += [
                Detection("random", repetition, *key, int(a), int(b), kind, round(float(s), 6)) for (a, b), s in rows
            ]
    return found


def run(job: Job[DetectParams]) -> Mapping[str, Any] | None:
    """Choose on training subjects, then detect on the held-out one."""
    options, held_out = job.params, split_fold(job.keys["fold"])
    annotations = read_annotations(job.inputs["expressions"], job.inputs["videos"], held_out)
    limits_s = duration_limits(annotations.lengths_s(), options.duration_quantile, options.duration_margin)
    proposals = read_proposals(job.input("proposals"))
    found: list[Detection] = []
    methods: dict[str, Any] = {}
    for model, seed in sorted({(p.model, p.seed) for p in proposals}):
        own = [p for p in proposals if (p.model, p.seed) == (model, seed)]
        calibration = candidates([p for p in own if p.role == "calibration"], annotations, limits_s, options)
        _check_honest(calibration, held_out, job.input("proposals"))
        choices = choose_on(calibration, options)
        method = "aemnet" if model == "aemnet" else f"aemnet_{model}"
        methods.setdefault(method, {})[str(seed)] = _described(choices, calibration)
        test = candidates([p for p in own if p.role == "test"], annotations, limits_s, options)
        found += detections(method, seed, test, choices)
        if model == "aemnet":
            found += detections("aemnet_oracle", seed, test, choose_on(test, options))
    if job.inputs["motion"]:
        motion = motion_candidates(read_motion(job.inputs["motion"]), annotations)
        training = {key: v for key, v in motion.items() if key[:2] != held_out}
        choices = choose_on(training, options)
        methods["flow_magnitude"] = {"0": _described(choices, training)}
        found += detections("flow_magnitude", 0, {k: v for k, v in motion.items() if k[:2] == held_out}, choices)
    for repetition in sorted({p.seed for p in proposals}):
        found += random_detections(annotations, options.seed or 0, repetition)
    storage.write_csv(job.output("detections"), COLUMNS, map(astuple, found))
    selection = {"fold": job.keys["fold"], "duration_s": limits_s, "methods": methods}
    storage.write_json(job.output("selection"), selection)
    return None


def _check_honest(calibration: VideoCandidates, held_out: Subject, path: Path) -> None:
    if any(key[:2] == held_out for key in calibration):
        raise UserError(
            file=path,
            where="role",
            problem="the held-out subject among the calibration proposals",
            expected="training subjects only",
        )


def _described(choices: Mapping[str, Choice], videos: VideoCandidates) -> dict[str, Any]:
    chosen_on = sorted({f"{dataset}/{subject}" for dataset, subject, _ in videos})
    return {"chosen_on": chosen_on, **{kind: asdict(choice) for kind, choice in choices.items()}}


def read_detections(path: Path) -> list[Detection]:
    """Read `detections.csv`.

    Raises:
        UserError: naming the row that does not fit.
    """
    found = []
    for number, row in enumerate(storage.read_csv(path, COLUMNS), 2):
        try:
            found.append(
                Detection(
                    row["method"], int(row["seed"]), row["dataset"], row["subject"], row["video"],
                    int(row["onset"]), int(row["offset"]), row["kind"], float(row["score"]),
                )
            )  # fmt: skip
        except ValueError as error:
            raise UserError(
                file=path, where=f"row {number}", problem=error, expected="whole numbers in seed, onset and offset"
            ) from error
    return found


STAGE = Stage(
    name="detect",
    summary="turn proposals into detections",
    params=DetectParams,
    inputs={
        "proposals": "proposals.csv of the fold",
        "expressions*": "expressions.csv of the data sets or subjects",
        "videos*": "videos.csv of the data sets or subjects",
        "motion*": "motion shards …/{dataset}/{subject}.h5 of all subjects; none leaves flow_magnitude out",
    },
    outputs={
        "detections": "detections of every method, CSV",
        "selection": "limits, thresholds and top-k, and on whom they were chosen, JSON",
    },
    run=run,
    keys={"fold": "data set and held-out subject, as casme2-sub05"},
)
