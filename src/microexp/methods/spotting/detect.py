"""Stage `detect`: proposals to detections, with limits, thresholds and top-k chosen on training subjects only.

Rows of the output, for a method NAME:

* `NAME`: the method's result.
* `NAME_oracle`: the same proposals, with threshold and top-k chosen on the held-out subject itself. It is no result: it
  shows how much a figure gains when the choice is made on test data, as most published ones were.
* `NAME_permuted`: the control that was trained on displaced expressions (when it was trained); its threshold is chosen
  on true annotations, which favours it.

`selection.json` holds nothing that depends on the held-out subject. For the fold `all` there is nobody to detect in:
what was chosen goes into the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.methods.people import Sides
from microexp.methods.spotting.fits import Subject, held_out_subject
from microexp.methods.spotting.params import ChoiceParams, DetectParams
from microexp.methods.spotting.selection import Candidates, Choice, choose, clean, duration_limits, take
from microexp.records.detections import FOLD_RECORD, Detection, write_detections
from microexp.records.features import Key
from microexp.records.index import KINDS, Expression, Video, read_expressions, read_videos
from microexp.records.proposals import CALIBRATION, METHOD, TEST, Proposals, read_proposals
from microexp.run import provenance, storage
from microexp.run.stage import Job

VideoCandidates = Mapping[Key, Mapping[str, Candidates]]
EMPTY = (np.empty((0, 2)), np.empty(0))


@dataclass(frozen=True)
class Annotations:
    """What the index knows, with those who are held out told apart.

    Attributes:
        videos: of all subjects.
        truths: expressions by video.
        sides: who is trained on and who is held out.
    """

    videos: Mapping[Key, Video]
    truths: Mapping[Key, Sequence[Expression]]
    sides: Sides

    def is_training(self, key: Key) -> bool:
        """Whether the video shows somebody who may be chosen on: nobody who is held out."""
        return self.sides.is_training(key[:2])

    def lengths_s(self) -> dict[str, list[float]]:
        """Lengths of the training expressions by kind, s."""
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for key, items in self.truths.items():
            if self.is_training(key):
                for item in items:
                    found[item.kind].append((item.offset - item.onset + 1) / self.videos[key].fps)
        return found

    def intervals(self, key: Key, kind: str) -> np.ndarray:
        """(m, 2) annotated intervals of a video."""
        rows = [(e.onset, e.offset) for e in self.truths.get(key, ()) if e.kind == kind]
        return np.array(rows, np.float64).reshape(-1, 2)


def read_annotations(
    expressions: Sequence[Path], videos: Sequence[Path], held_out: Subject | None, *, options: DetectParams
) -> Annotations:
    """Read the index of all data sets of the experiment.

    Raises:
        UserError: when an expression belongs to no listed video.
    """
    listed = [v for path in videos for v in read_videos(path)]
    known = {(v.dataset, v.subject, v.video): v for v in listed}
    truths: dict[Key, list[Expression]] = {}
    for path in expressions:
        for item in read_expressions(path, listed):
            truths.setdefault((item.dataset, item.subject, item.video), []).append(item)
    return Annotations(
        known, truths, Sides.of(held_out, {k[:2] for k in known}, options.people, train_on=options.train_on)
    )


def candidates(
    proposals: Sequence[Proposals],
    annotations: Annotations,
    limits_s: Mapping[str, Sequence[float]],
    *,
    options: DetectParams,
) -> dict[Key, dict[str, Candidates]]:
    """Cleaned proposals by video and kind."""
    found: dict[Key, dict[str, Candidates]] = {}
    given = {(p.key, p.kind): (p.intervals, p.scores) for p in proposals}
    for key in sorted({p.key for p in proposals}):
        fps = annotations.videos[key].fps
        found[key] = {}
        for kind in KINDS:
            low, high = limits_s[kind]
            intervals, scores = given.get((key, kind), EMPTY)
            cleaned = clean(intervals, scores, (low * fps - 1e-6, high * fps + 1e-6), options=options)
            found[key][kind] = Candidates(*cleaned, annotations.intervals(key, kind))
    return found


def choose_on(videos: VideoCandidates, options: DetectParams) -> dict[str, Choice]:
    """Threshold and top-k per kind on these videos."""
    return choose({kind: [v[kind] for v in videos.values()] for kind in KINDS}, options)


def detections(method: str, seed: int, videos: VideoCandidates, *, choices: Mapping[str, Choice]) -> list[Detection]:
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


def run(job: Job[DetectParams]) -> Mapping[str, Any] | None:
    """Choose on training subjects, then detect on the held-out one."""
    options, held_out = job.params, held_out_subject(job.keys["fold"])
    annotations = read_annotations(job.inputs["expressions"], job.inputs["videos"], held_out, options=options)
    limits_s = duration_limits(annotations.lengths_s(), options.duration_quantile, options.duration_margin)
    proposals = read_proposals(job.input("proposals"))
    _check_known(proposals, annotations, job.input("proposals"))
    found: list[Detection] = []
    chosen: dict[str, Any] = {}
    for variant, seed in sorted({(p.variant, p.seed) for p in proposals}):
        own = [p for p in proposals if (p.variant, p.seed) == (variant, seed)]
        calibration = candidates([p for p in own if p.role == CALIBRATION], annotations, limits_s, options=options)
        _check_honest(calibration, annotations, job.input("proposals"))
        choices = choose_on(calibration, options)
        name = options.name if variant == METHOD else f"{options.name}_{variant}"
        chosen.setdefault(name, {})[str(seed)] = _described(choices, calibration)
        test = candidates([p for p in own if p.role == TEST], annotations, limits_s, options=options)
        found += detections(name, seed, test, choices=choices)
        if variant == METHOD:
            found += detections(f"{options.name}_oracle", seed, test, choices=choose_on(test, options))
    write_detections(job.output("detections"), found, annotations.videos.values())
    selection = {
        "experiment": options.experiment,
        "method": options.name,
        "fold": job.keys["fold"],
        "duration_s": limits_s,
        "methods": chosen,
        "oracle": f"{options.name}_oracle",
        "options": options.model_dump(mode="json", include=set(ChoiceParams.model_fields)),
    }
    storage.write_json(job.output("selection"), selection)
    return {FOLD_RECORD: _fold_record(job.input("proposals"))}


def _fold_record(proposals: Path) -> dict[str, Any]:
    """Options of the fold, and one hash of all that it read, as its record says; empty without a record."""
    if not provenance.provenance_path(proposals).exists():
        return {}
    record = provenance.read_provenance(proposals)
    read = sorted((name, i["file"], i["sha256"]) for name, own in record["inputs"].items() for i in own)
    digest = hashlib.sha256(storage.json_text(read).encode()).hexdigest()
    return {"options": record["parameters"], "inputs_sha256": digest}


def _check_known(proposals: Sequence[Proposals], annotations: Annotations, path: Path) -> None:
    for item in proposals:
        if item.key not in annotations.videos:
            raise UserError(file=path, problem=f"{'/'.join(item.key)}: a video that the index does not list")


def _check_honest(calibration: VideoCandidates, annotations: Annotations, path: Path) -> None:
    if not all(map(annotations.is_training, calibration)):
        raise UserError(
            file=path,
            where="role",
            problem="the held-out subject among the calibration proposals",
            expected="training subjects only",
        )


def _described(choices: Mapping[str, Choice], videos: VideoCandidates) -> dict[str, Any]:
    chosen_on = sorted({f"{dataset}/{subject}" for dataset, subject, _ in videos})
    return {"chosen_on": chosen_on, **{kind: asdict(choice) for kind, choice in choices.items()}}
