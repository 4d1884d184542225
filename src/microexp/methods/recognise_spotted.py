"""Stage `events`: what a fold spotted, each with its apex, what else may have moved, and as what it is recognised.

Nested honestly: the recogniser of a held-out subject's detections is that of the recognition fold that holds out the
same subject (or the data set), so neither model has seen whom it is applied to. Detections of the first seed alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from microexp.apexdiff.params import ApexdiffParams
from microexp.errors import UserError
from microexp.methods.apply import described, with_flags
from microexp.methods.model import Model, read_trained
from microexp.methods.spotting.candidates import moving
from microexp.records.crops import open_crops
from microexp.records.detections import Detection, read_detections
from microexp.records.events import Event, write_events
from microexp.records.features import Features, Files, list_features
from microexp.records.index import read_videos
from microexp.records.shard import Subject
from microexp.run import bundle
from microexp.run.log import log
from microexp.run.names import WHOLE_DATASET, fold_name
from microexp.run.stage import Job, Params


class EventsParams(Params):
    """What the stage `events` reads."""

    experiment: str = Field(description="Name of the spotting experiment.")
    name: str = Field(description="The method's row in the table.")
    first_seed: int = Field(0, ge=0, description="Number of the repetition that gives the detections.")
    apexdiff: ApexdiffParams = Field(ApexdiffParams(), description="How the maps of an event are made.")


def run(job: Job[EventsParams]) -> Mapping[str, Any]:
    """Write `events.csv` of a fold."""
    options = job.params
    videos = [v for path in job.inputs["videos"] for v in read_videos(path)]
    found = [
        d for d in read_detections(job.input("detections"), videos)
        if d.method == options.name and d.seed == options.first_seed
    ]  # fmt: skip
    recognisers = Recognisers(job.inputs["recognisers"])
    crops = {Subject.of_path(path): path for path in job.inputs["crops"]}
    events: list[Event] = []
    with Files() as files:
        motion = {f.key: f for f in list_features(job.inputs.get("motion", []), files)}
        for subject in sorted({(d.dataset, d.subject) for d in found}):
            own = [d for d in found if (d.dataset, d.subject) == subject]
            path = crops.get(Subject(*subject))
            if path is None:
                problem = f"no crops of {'/'.join(subject)}"
                raise UserError(file="command line", where="--crops", problem=problem, expected="those of the fold")
            events += describe(own, recognisers.of(*subject), path, motion=motion, job=job)
    write_events(job.output("events"), events, videos, classes=recognisers.classes)
    return {"events": len(events), "recognised": sum(bool(e.probabilities) for e in events)}


def describe(
    found: Sequence[Detection],
    model: Model | None,
    path: Path,
    *,
    motion: Mapping[tuple[str, str, str], Features],
    job: Job[EventsParams],
) -> list[Event]:
    """The detections of a subject as events, in the order of their onsets, with all that can be told of them."""
    label = f"{job.params.experiment}/{job.params.name}"
    events = []
    seen = {key: moving(motion[key]) for key in {d.key for d in found} & motion.keys()}
    with open_crops(path) as crops:
        for d in sorted(found, key=lambda d: (d.video, d.onset, d.offset, d.kind)):
            video = crops.need(d.video)
            event = with_flags(Event(d.key, d.onset, d.offset, d.kind, d.score, label), seen.get(d.key), video)
            how: dict[str, Any] = {"threads": job.threads, "device": job.device}
            events.append(described(event, video, job.params.apexdiff, recogniser=model, **how))
    return events


class Recognisers:
    """What recognition folds trained, by whom they hold out.

    Attributes:
        classes: that all of them tell apart.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = {str(bundle.read(path).about.get("fold")): path for path in paths}
        names = {tuple(bundle.read(path).about.get("classes", ())) for path in paths}
        if len(names) != 1:
            raise UserError(
                file="command line",
                where="--recognisers",
                got=f"{len(names)} sets of classes",
                expected="folds of one method",
            )
        (self.classes,) = names

    def of(self, dataset: str, subject: str) -> Model | None:
        """The one that has not seen this subject; None where that fold trained nothing.

        Raises:
            UserError: when no fold holds the subject out.
        """
        for fold in (fold_name(dataset, subject), fold_name(dataset, WHOLE_DATASET)):
            if fold in self._paths:
                model = read_trained(self._paths[fold])
                if model is None:
                    log(f"{fold}: no recogniser was trained: what was spotted there has no class")
                return model
        problem = f"no fold that holds out {dataset}/{subject}"
        raise UserError(file="command line", where="--recognisers", problem=problem, expected="one of every subject")
