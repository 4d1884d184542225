"""The plan of a run: which data sets have which subjects, which experiments have which folds, which files they make.

File names come from the table of stages (`microexp.pipeline`). Everything here is read while Snakemake builds its
graph, so it must cost next to nothing per subject.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microexp.config import Config, guides, parse, stage_options
from microexp.errors import UserError
from microexp.features.params import I3dParams
from microexp.flow.params import GPU_BACKENDS
from microexp.methods.spotting.base import SpottingMethod
from microexp.models import ACTION_UNITS, SHIPPED, shipped
from microexp.pipeline import STAGES, STREAMS, pattern
from microexp.rendered.layout import video_path
from microexp.run.names import NAME, WHOLE_DATASET, check_name, fold_name, split_fold

if TYPE_CHECKING:
    from microexp.datasets.index import Listing

KINDS = ("spotting", "recognition")
FOLD_STAGES = {"spotting": ("spotting-fold", "detect"), "recognition": ("recognition-fold",)}
STREAM_STAGES = {stream: stream.replace("_", "-") for stream in STREAMS}
REPORTED = ("detections", "training", "faces", "crops", "flow", "apexdiff", "records", "pages")
"""What the report reads of every subject or fold, as lists: a command that named it all would soon be too long."""
FINGERPRINTS = Path(".snakemake/microexp-fingerprints.json")
NOTHING = "(?!)"
"""Regular expression that matches no name."""
Unit = Mapping[str, str]
"""Wildcards and their values."""


class Untracked:
    """A text for a shell line that may change without making a job run again: Snakemake compares what `repr` says."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return "Untracked()"


class Plan:
    """Subjects, folds and files of a configuration.

    Args:
        config: the checked configuration.
        subjects: data set -> its subjects, in order.
        listings: data set -> its videos and rows as hashes, subject by subject: what changes runs again.

    Raises:
        UserError: when a data set has no subject, or a name is unsafe.
    """

    def __init__(
        self, config: Config, subjects: Mapping[str, Iterable[str]], listings: Mapping[str, Listing] | None = None
    ) -> None:
        self.config = config
        self.listings = listings or {}
        self._options: dict[tuple[str, str | None, str | None], str] = {}
        self.subjects = {d: tuple(check_name(s, "subject", d) for s in names) for d, names in subjects.items()}
        for dataset, names in self.subjects.items():
            if not names:
                raise UserError(
                    file=f"datasets.{dataset}", problem="no subject", expected="a data set with at least one subject"
                )
        self._streams = {
            (e, m): config.method("spotting", e, m)[0].streams(config.method("spotting", e, m)[1])  # type: ignore[union-attr]
            for e, experiment in config.spotting.items()
            for m in experiment.methods
        }
        self._applied = {name: self._model_streams(a.spotting) for name, a in config.apply.items()}
        self._needed = self._stages_needed()
        self._folds = {(kind, e): self.folds(kind, e) for kind in KINDS for e in config.experiments(kind)}

    # --- what is needed -----------------------------------------------------------------------------------------------

    def datasets(self, kind: str, experiment: str) -> list[str]:
        """Data sets of an experiment, with those that only guide it."""
        options = self.config.experiments(kind)[experiment]
        return list(dict.fromkeys([*options.datasets, *guides(options)]))

    def streams(self, experiment: str, method: str | None = None) -> list[str]:
        """Feature streams that a spotting method, or any method of the experiment, reads."""
        read = [s for (e, m), names in self._streams.items() if e == experiment and method in (None, m) for s in names]
        return [s for s in STREAMS if s in read]

    def _stages_needed(self) -> dict[str, frozenset[str]]:
        """Stage -> data sets for which some experiment needs its shards; faces and crops make every subject's page."""
        needed: dict[str, set[str]] = {name: set() for name in (*STREAM_STAGES.values(), "flow", "apexdiff")}
        for e in self.config.spotting:
            for stream in self.streams(e):
                needed[STREAM_STAGES[stream]] |= set(self.datasets("spotting", e))
        for name, application in self.config.apply.items():
            for stream in self._applied[name]:
                needed[STREAM_STAGES[stream]] |= set(application.datasets)
            if application.each_video:
                needed["motion"] |= set(application.datasets)
        for stage in ("i3d-flow", "motion"):
            needed["flow"] |= needed[stage]
        for e in self.config.recognition:
            needed["apexdiff"] |= set(self.datasets("recognition", e))
        for stage in ("faces", "crops"):
            needed[stage] = {d for d in self.subjects if self.config.has_videos(d)}
        self._check_without_videos(needed)
        if self.config.crops.grey and needed["i3d-rgb"]:
            expected = "false where a method reads i3d_rgb, which sees colours"
            raise UserError(file="config", where="crops.grey", got="true", expected=expected)
        return {stage: frozenset(names) for stage, names in needed.items()}

    def _check_without_videos(self, needed: Mapping[str, set[str]]) -> None:
        """A data set that is a list of lengths has the features that are given, and nothing else.

        Raises:
            UserError: naming what reads more, or an experiment that reads nothing of it.
        """
        for dataset in (d for d in self.subjects if not self.config.has_videos(d)):
            reading = [stage for stage, names in needed.items() if dataset in names and stage != "given"]
            reading += [f"apply.{name}" for name, a in self.config.apply.items() if dataset in a.datasets]
            silent = [e for e, x in self.config.spotting.items() if dataset in x.datasets and not self.streams(e)]
            problem = f"no videos, but {reading[0]} reads some" if reading else ""
            if not reading and silent:
                problem = f"no method of spotting.{silent[0]} reads its features"
            if problem:
                expected = "methods that read the stream given, and no others"
                raise UserError(file="config", where=f"datasets.{dataset}", problem=problem, expected=expected)

    def needs(self, dataset: str, stage: str) -> bool:
        """Whether the run makes what `stage` makes of `dataset`."""
        return dataset in self._needed.get(stage, self.subjects)

    def temporary(self, stage: str) -> bool:
        """Whether the run deletes what `stage` makes when everything that reads it is done."""
        if getattr(self.config.keep, stage, True) or stage == "pictures":
            return False
        return stage not in {self.last_stage(kind, e) for kind in KINDS for e in self.config.experiments(kind)}

    # --- files --------------------------------------------------------------------------------------------------------

    def shards(self, stage: str, datasets: Iterable[str]) -> list[str]:
        """The file of `stage` for every subject of `datasets`."""
        (output,) = STAGES[stage].outputs.values()
        return [output.path.format(dataset=d, subject=s) for d in datasets for s in self.subjects[d]]

    def made(self, stage: str) -> list[str]:
        """Shards of `stage` that the run makes."""
        return self.shards(stage, [d for d in self.subjects if self.needs(d, stage)])

    def last_stage(self, kind: str, experiment: str) -> str:
        """The stage whose shards know of everything that an experiment had to exclude on the way."""
        if kind == "recognition":
            return "apexdiff"
        streams = self.streams(experiment)
        return STREAM_STAGES[streams[0]] if streams else "crops"

    def listed(self, kind: str, experiment: str, stage: str) -> list[str]:
        """Shards of a stage for all subjects of an experiment; a stream is named as its folder is."""
        return self.shards(STREAM_STAGES.get(stage, stage), self.datasets(kind, experiment))

    def _list(self, kind: str, experiment: str, stage: str) -> str:
        return pattern("shards.list").format(kind=kind, experiment=experiment, stage=stage)

    def feature_lists(self, experiment: str, method: str) -> list[str]:
        """The lists of the streams that a method reads."""
        return [self._list("spotting", experiment, s) for s in self.streams(experiment, method)]

    def started_from(self, experiment: str, method: str) -> list[str]:
        """The model file that a method's training starts from, if any."""
        found, options = self.config.method("spotting", experiment, method)
        path = found.starts_from(options) if isinstance(found, SpottingMethod) else None
        return [str(path)] if path else []

    def apexdiff_list(self, experiment: str) -> str:
        """The list of the onset-apex maps of all subjects."""
        return self._list("recognition", experiment, "apexdiff")

    def last_lists(self, kind: str, experiment: str) -> str:
        """The list of the shards that know what an experiment had to exclude."""
        return self._list(kind, experiment, self.last_stage(kind, experiment).replace("-", "_"))

    def last_shards(self) -> list[str]:
        """The last shards of preprocessing, which know of every video that was excluded on the way."""
        found = {
            f
            for kind in KINDS
            for e in self.config.experiments(kind)
            for f in self.shards(self.last_stage(kind, e), self.datasets(kind, e))
        }
        return sorted(found) or self.made("crops")

    def index(self, name: str, datasets: Iterable[str]) -> list[str]:
        """Table `name` of the index of data sets."""
        return [pattern(f"index.{name}").format(dataset=d) for d in datasets]

    def expressions(self, experiment: str, kind: str = "spotting") -> list[str]:
        """expressions.csv of an experiment's data sets."""
        return self.index("expressions", self.datasets(kind, experiment))

    def videos(self, experiment: str, kind: str = "spotting") -> list[str]:
        """videos.csv of an experiment's data sets."""
        return self.index("videos", self.datasets(kind, experiment))

    def excluded(self, experiment: str, kind: str) -> list[str]:
        """excluded.csv of an experiment's data sets."""
        return self.index("excluded", self.datasets(kind, experiment))

    def all_videos(self) -> list[str]:
        """videos.csv of every data set."""
        return self.index("videos", self.subjects)

    def all_expressions(self) -> list[str]:
        """expressions.csv of every data set."""
        return self.index("expressions", self.subjects)

    def all_issues(self) -> list[str]:
        """issues.csv of every data set."""
        return self.index("issues", self.subjects)

    def all_counts(self) -> list[str]:
        """counts.csv of every data set."""
        return self.index("counts", self.subjects)

    def all_excluded(self) -> list[str]:
        """excluded.csv of the data sets that some experiment uses; of all where there is no experiment."""
        used = {d for kind in KINDS for e in self.config.experiments(kind) for d in self.datasets(kind, e)}
        return self.index("excluded", [d for d in self.subjects if d in used or not used])

    def rgb_weights(self) -> str:
        """I3D's RGB weights."""
        return self.config.i3d.rgb_weights

    def flow_weights(self) -> list[str]:
        """The user's own weights of I3D's flow stream, if any."""
        return [w for w in [self.config.i3d.flow_weights] if w]

    def given_files(self, dataset: str, subject: str) -> list[str]:
        """Files of another program that the stream `given` takes for a subject."""
        from microexp.features.given import files_of

        alone = len(self.config.datasets) == 1
        return [str(path) for path in files_of(self.config.given, dataset, subject, alone=alone)]

    def sources(self, dataset: str) -> list[str]:
        """Files of this run that the index of `dataset` is made from: the demo's sheet and videos, which it renders."""
        if not self.config.is_rendered(dataset):
            return []
        videos = (v for s in self.subjects[dataset] for v in self.rendered(dataset, s))
        return [pattern("demo-sheet.sheet"), *videos]

    def sources_of(self, dataset: str, subject: str) -> list[str]:
        """Those that one subject's part of the index is made from."""
        rendered = self.rendered(dataset, subject)
        return [pattern("demo-sheet.sheet"), *rendered] if rendered else []

    def sheets(self, dataset: str) -> list[str]:
        """Files that a release's annotations come from; `digest` follows their content, wherever they lie."""
        if self.config.is_rendered(dataset):
            return []
        from microexp.datasets.index import files

        return [str(path) for path in files(dataset, self.config.datasets[dataset])]

    def digest(self, dataset: str, subject: str | None = None) -> str:
        """Hash of what a data set on disk, or one subject of it, holds; empty for what this run renders."""
        known = self.listings.get(dataset)
        if known is None:
            return ""
        return known.digest if subject is None else known.digests.get(subject, "")

    def root(self, dataset: str) -> list[str]:
        """Folder that the paths of a data set's videos are relative to."""
        known = self.listings.get(dataset)
        return [known.root] if known else []

    def rendered(self, dataset: str, subject: str) -> list[str]:
        """Videos of a subject that this run renders itself; a release's own are found by its index."""
        if not self.config.is_rendered(dataset):
            return []
        takes = range(1, self.config.demo.videos + 1)
        return [f"results/demo/{video_path(subject, f'{subject}_{take}')}" for take in takes]

    # --- folds --------------------------------------------------------------------------------------------------------

    def folds(self, kind: str, experiment: str) -> list[str]:
        """Folds of an experiment, one per subject (or data set): `casme2-sub05`."""
        options = self.config.experiments(kind)[experiment]
        if getattr(options, "leave", "subject") == "dataset" or getattr(options, "train_on", ()):
            return [fold_name(d, WHOLE_DATASET) for d in options.datasets]
        return [fold_name(d, s) for d in options.datasets for s in self.subjects[d]]

    def fold_files(self, kind: str, experiment: str, output: str, folds: Sequence[str] | None = None) -> list[str]:
        """The file `stage.output` of every method and fold of an experiment."""
        path = pattern(output)
        return [
            path.format(experiment=experiment, method=m, fold=fold)
            for m in self.config.experiments(kind)[experiment].methods
            for fold in (self._folds[kind, experiment] if folds is None else folds)
        ]

    def all_folds(self, kind: str, output: str) -> list[str]:
        """The file `stage.output` of every method and fold of every experiment of `kind`."""
        return [f for e in self.config.experiments(kind) for f in self.fold_files(kind, e, output)]

    def scored(self, kind: str, experiment: str) -> list[str]:
        """What the folds of an experiment are scored by."""
        output = {"spotting": "detect.detections", "recognition": "recognition-fold.predictions"}[kind]
        return self.fold_files(kind, experiment, output)

    def selections(self, kind: str, experiment: str) -> list[str]:
        """What the folds of a spotting experiment ran."""
        return self.fold_files(kind, experiment, "detect.selection") if kind == "spotting" else []

    def _held_out(self, kind: str, output: str, dataset: str, subject: str) -> list[str]:
        found = []
        for e in self.config.experiments(kind):
            known = {fold_name(dataset, subject), fold_name(dataset, WHOLE_DATASET)} & set(self._folds[kind, e])
            found += self.fold_files(kind, e, output, sorted(known))
        return found

    def _recognised(self, experiment: str) -> tuple[str, str] | None:
        """Recognition experiment and method that recognise what a spotting experiment finds, if any do."""
        name = self.config.spotting[experiment].recognise_with
        return tuple(name.split("/")) if name else None  # type: ignore[return-value]

    def recognisers(self, experiment: str, fold: str) -> list[str]:
        """What the recognition folds trained that hold out whom a spotting fold holds out."""
        named = self._recognised(experiment)
        if named is None or fold == WHOLE_DATASET:
            return []
        dataset, subject = split_fold(fold)
        subjects = self.subjects[dataset] if subject == WHOLE_DATASET else (subject,)
        wanted = {fold_name(dataset, s) for s in (*subjects, WHOLE_DATASET)}
        path = pattern("recognition-fold.trained")
        known = [f for f in self._folds["recognition", named[0]] if f in wanted]
        return [path.format(experiment=named[0], method=named[1], fold=f) for f in known]

    def crops_of_fold(self, fold: str) -> list[str]:
        """Crops of whom a fold holds out."""
        return [f for d, s in self._people_of(fold) for f in self._shard_of("crops", d, s)]

    def motion_of_fold(self, fold: str) -> list[str]:
        """Motion of whom a fold holds out, if the run computes it."""
        return [f for d, s in self._people_of(fold) for f in self.motion_of(d, s)]

    def _people_of(self, fold: str) -> list[tuple[str, str]]:
        if fold == WHOLE_DATASET:
            return []
        dataset, subject = split_fold(fold)
        return [(dataset, s) for s in self.subjects[dataset] if subject in (s, WHOLE_DATASET)]

    def events(self, kind: str, experiment: str) -> list[str]:
        """Events of every fold of an experiment that spots, then recognises."""
        known = kind == "spotting" and self._recognised(experiment)
        return self.fold_files(kind, experiment, "events.events") if known else []

    def events_of(self, dataset: str, subject: str) -> list[str]:
        """Events of every fold that holds out this subject."""
        found = self._held_out("spotting", "events.events", dataset, subject)
        made = {path for e in self.config.spotting for path in self.events("spotting", e)}
        return [path for path in found if path in made]

    def detections_of(self, dataset: str, subject: str) -> list[str]:
        """Detections of every fold that holds out this subject."""
        return self._held_out("spotting", "detect.detections", dataset, subject)

    def predictions_of(self, dataset: str, subject: str) -> list[str]:
        """Predictions of every fold that holds out this subject, or its data set."""
        return self._held_out("recognition", "recognition-fold.predictions", dataset, subject)

    # --- models -------------------------------------------------------------------------------------------------------

    def _own_model(self, path: str) -> tuple[str, str, str] | None:
        """(kind, experiment, method) of a model that this run trains; None for a file of somebody else."""
        for kind in KINDS:
            for e, experiment in self.config.experiments(kind).items():
                for m in experiment.methods:
                    if path == pattern("model.model").format(kind=kind, experiment=e, method=m):
                        return kind, e, m
        return None

    def _model_streams(self, path: str) -> list[str]:
        own = self._own_model(path)
        if own is not None:
            return self.streams(own[1], own[2])
        from microexp.methods.model import streams_of

        return streams_of(Path(path))

    def trained_on_all(self, kind: str, experiment: str, method: str) -> str:
        """What the fold `all` of a method trained."""
        path = pattern(f"{FOLD_STAGES[kind][0]}.trained")
        return path.format(experiment=experiment, method=method, fold=WHOLE_DATASET)

    def selection_of_all(self, kind: str, experiment: str, method: str) -> list[str]:
        """What the fold `all` of a spotting method chose."""
        path = pattern("detect.selection").format(experiment=experiment, method=method, fold=WHOLE_DATASET)
        return [path] if kind == "spotting" else []

    def applied_features(self, application: str, dataset: str, subject: str) -> list[str]:
        """Features of a subject that the application's spotting model reads."""
        stages = [STREAM_STAGES[s] for s in self._applied[application]]
        return [pattern(f"{stage}.features").format(dataset=dataset, subject=subject) for stage in stages]

    def applied_spotting(self, application: str) -> str:
        """The spotting model of an application."""
        return self.config.apply[application].spotting

    def applied_recognition(self, application: str) -> list[str]:
        """The recognition model of an application, if it has one."""
        return [m for m in [self.config.apply[application].recognition] if m]

    def applied_units(self, application: str) -> list[str]:
        """The model of action units of an application, if it has one."""
        asked = self.config.apply[application].action_units
        return [str(shipped(ACTION_UNITS)) if asked == SHIPPED else asked] if asked else []

    # --- tables and report --------------------------------------------------------------------------------------------

    def json_tables(self) -> list[str]:
        """Tables of all experiments, for the report."""
        return [pattern("tables.json").format(**unit) for unit in self.units("tables")]

    def _shard_of(self, stage: str, dataset: str, subject: str) -> list[str]:
        (output,) = STAGES[stage].outputs.values()
        return [output.path.format(dataset=dataset, subject=subject)] if self.needs(dataset, stage) else []

    def _shown(self, stage: str, dataset: str, subject: str) -> list[str]:
        gone = self.temporary(stage) and not self.config.keep.pictures
        return [] if gone else self._shard_of(stage, dataset, subject)

    def faces_of(self, dataset: str, subject: str) -> list[str]:
        """The faces of a subject, if the run has its videos."""
        return self._shard_of("faces", dataset, subject)

    def crops_of(self, dataset: str, subject: str) -> list[str]:
        """The crops of a subject for its page, if the run has its videos and keeps them for that long."""
        return self._shown("crops", dataset, subject)

    def flow_of(self, dataset: str, subject: str) -> list[str]:
        """The flow of a subject for its page, if the run computes it and keeps it for that long."""
        return self._shown("flow", dataset, subject)

    def motion_of(self, dataset: str, subject: str) -> list[str]:
        """The motion of a subject, if the run computes it."""
        return self._shard_of("motion", dataset, subject)

    def apexdiff_of(self, dataset: str, subject: str) -> list[str]:
        """The onset-apex maps of a subject, if the run computes them."""
        return self._shard_of("apexdiff", dataset, subject)

    def reported(self, reported: str) -> list[str]:
        """The files of one of the report's lists."""
        match reported:
            case "detections":
                return self.all_folds("spotting", "detect.detections")
            case "training":
                return [f for kind in KINDS for f in self.all_folds(kind, f"{FOLD_STAGES[kind][0]}.training")]
            case "records":
                rendered = [f for d in self.subjects if self.config.is_rendered(d) for f in self.sources(d)]
                return [*rendered, *(f for stage in STREAM_STAGES.values() for f in self.made(stage))]
            case "pages":
                return [pattern("report-subject.page").format(**unit) for unit in self.units("report-subject")]
        return [] if self.temporary(reported) else self.made(reported)

    def __getattr__(self, name: str) -> Callable[[], str]:
        """`report_faces()` and its like: the list of the report's files of that kind."""
        what = name.removeprefix("report_")
        if name == what or what not in REPORTED:
            raise AttributeError(name)
        return lambda: pattern("report-list.list").format(reported=what)

    # --- for Snakemake ------------------------------------------------------------------------------------------------

    def units(self, stage: str) -> Iterator[dict[str, str]]:
        """Wildcards of every job of `stage` that belongs to the run."""
        match STAGES[stage].unit:
            case "run":
                if stage != "demo-sheet" or any(map(self.config.is_rendered, self.subjects)):
                    yield {}
            case "dataset":
                yield from ({"dataset": d} for d in self.subjects)
            case "subject":
                own = (d for d in self.subjects if self.needs(d, stage))
                yield from ({"dataset": d, "subject": s} for d in own for s in self.subjects[d])
            case "video":
                for dataset in filter(self.config.is_rendered, self.subjects):
                    for s in self.subjects[dataset]:
                        takes = range(1, self.config.demo.videos + 1)
                        yield from ({"subject": s, "video": f"{s}_{take}"} for take in takes)
            case "list":
                yield from self._lists(stage)
            case "experiment":
                yield from ({"kind": k, "experiment": e} for k in KINDS for e in self.config.experiments(k))
            case "model":
                for application in self.config.apply.values():
                    for path in (application.spotting, application.recognition or ""):
                        if made := self._own_model(path):
                            yield dict(zip(("kind", "experiment", "method"), made, strict=True))
            case "apply" | "own video" as unit:
                for name, application in self.config.apply.items():
                    if unit == "apply" or (application.each_video and (stage != "annotated" or application.annotated)):
                        for d in application.datasets:
                            yield from ({"application": name, "dataset": d, "subject": s} for s in self.subjects[d])
            case "fold":
                kind = "recognition" if stage in FOLD_STAGES["recognition"] else "spotting"
                for e, experiment in self.config.experiments(kind).items():
                    if stage == "events" and not self._recognised(e):
                        continue
                    for m in experiment.methods:
                        yield from ({"experiment": e, "method": m, "fold": f} for f in self._folds[kind, e])

    def _lists(self, stage: str) -> Iterator[dict[str, str]]:
        if stage == "report-list":
            yield from ({"reported": what} for what in REPORTED)
            return
        for kind in KINDS:
            for e in self.config.experiments(kind):
                last = self.last_stage(kind, e).replace("-", "_")
                names = self.streams(e) if kind == "spotting" else []
                yield from ({"kind": kind, "experiment": e, "stage": s} for s in dict.fromkeys([*names, last]))

    def everything(self) -> list[str]:
        """All results that stay. They are all targets, so that a file that was deleted is made again, whoever still
        needs it."""
        return list(
            dict.fromkeys(
                output.path.format(**unit)
                for stage in STAGES.values()
                if stage.name != "weights" and not self.temporary(stage.name)
                for unit in self.units(stage.name)
                for output in stage.outputs.values()
            )
        )

    def input(self, stage: str, name: str) -> Any:
        """What Snakemake takes for an input: a path with wildcards, a list, or a function of the wildcards."""
        source = STAGES[stage].inputs[name].source
        if not source.startswith("plan."):
            return pattern(source)
        listing = getattr(self, source.removeprefix("plan."))
        asked = list(inspect.signature(listing).parameters)
        if not asked:
            return listing()
        known = re.findall(r"{(\w+)}", " ".join(o.path for o in STAGES[stage].outputs.values()))
        given = [p for p in asked if p in known]
        return lambda wildcards: listing(**{p: wildcards[p] for p in given})

    def options(self, stage: str, name: str | None = None, method: str | None = None) -> str:
        """Exactly the options that `stage` reads, of an experiment, method or data set where it has one, as JSON."""
        key = stage, name, method
        if key not in self._options:
            self._options[key] = json.dumps(stage_options(self.config, stage, name, method), sort_keys=True)
        return self._options[key]

    def options_for(self, stage: str, wildcards: Unit) -> str:
        """The options of one job of `stage`."""
        if stage == "tables":
            return self.options(f"tables-{wildcards['kind']}", wildcards["experiment"])
        if STAGES[stage].unit == "fold":
            return self.options(stage, wildcards["experiment"], wildcards["method"])
        if stage == "model":
            streams = self.streams(wildcards["experiment"], wildcards["method"])
            return self.options(stage, wildcards["kind"], ",".join(streams) if wildcards["kind"] == "spotting" else "")
        if stage in ("index", "index-subject"):
            content = self.digest(wildcards["dataset"], wildcards["subject"] if stage == "index-subject" else None)
            own = json.loads(self.options("index", wildcards["dataset"]))
            return json.dumps({**own, "content": content}, sort_keys=True)
        return self.options(stage, wildcards["dataset"] if stage == "crops" else None)

    def uses_gpu(self, stage: str, wildcards: Unit | None = None) -> bool:
        """Whether a job of `stage` (any, without wildcards), as configured, uses a GPU where there is one."""
        if STAGES[stage].gpu == "backend":
            backends = {"faces": self.config.faces.backend == "face_alignment"}
            backends["flow"] = self.config.flow.backend in GPU_BACKENDS
            backends["apexdiff"] = self.config.flow.backend in GPU_BACKENDS
            return backends[stage]
        if STAGES[stage].unit == "fold" and STAGES[stage].gpu == "always":
            kind = "recognition" if stage in FOLD_STAGES["recognition"] else "spotting"
            units = [wildcards] if wildcards else list(self.units(stage))
            return any(self.config.method(kind, u["experiment"], u["method"])[0].gpu for u in units)
        return STAGES[stage].gpu == "always"

    def constraints(self) -> dict[str, str]:
        """Regular expressions that only names of this run match, per wildcard."""
        methods = [m for kind in KINDS for e in self.config.experiments(kind).values() for m in e.methods]
        return {
            "dataset": closed(self.subjects),
            "subject": closed(s for names in self.subjects.values() for s in names),
            "fold": closed([WHOLE_DATASET, *(fold for folds in self._folds.values() for fold in folds)]),
            "method": closed(methods),
            "stage": "|".join((*STREAMS, "apexdiff", "crops")),
            "reported": "|".join(REPORTED),
            "kind": "|".join(KINDS),
            "video": NAME,
            "experiment": closed([*self.config.spotting, *self.config.recognition]),
            "application": closed(self.config.apply),
        }


def closed(names: Iterable[str]) -> str:
    """A regular expression that matches exactly `names`."""
    return _branches(sorted(set(names))) or NOTHING


def _branches(names: Sequence[str]) -> str:
    """Distinct names as a regular expression that branches at each character: with a thousand, trying one after the
    other would take a seventh of the time in which a run is planned."""
    rests: dict[str, list[str]] = {}
    for name in names:
        if name:
            rests.setdefault(name[0], []).append(name[1:])
    text = "|".join(re.escape(first) + _branches(rest) for first, rest in rests.items())
    if text and "" in names:
        return f"(?:{text})?"
    return f"(?:{text})" if len(rests) > 1 else text


def read_plan(options: object, file: object) -> Plan:
    """The plan of a configuration as Snakemake merged it from `file` and `--config`.

    Raises:
        UserError: in one line, naming file and key.
    """
    config = parse(options, file)
    _check_weights(config, file)
    from microexp.datasets.index import listing
    from microexp.reading.fingerprint import Fingerprints

    known = Fingerprints(FINGERPRINTS)
    found = {name: listing(name, options, config.demo, known) for name, options in config.datasets.items()}
    known.save()
    _check_classes(config, found, file)
    return Plan(config, {name: one.subjects for name, one in found.items()}, found)


def _check_classes(config: Config, found: Mapping[str, Listing], file: object) -> None:
    """An emotion that occurs in no sheet is an error; one of people who are not on disk is not."""
    from microexp.datasets.classes import check_emotions

    for name, experiment in config.recognition.items():
        listed = [found[d].emotions for d in (*experiment.datasets, *guides(experiment))]
        known = [emotions for emotions in listed if emotions is not None]
        if len(known) == len(listed):
            check_emotions(frozenset().union(*known), experiment, file, f"recognition.{name}")


def _check_weights(config: Config, file: object) -> None:
    """Snakemake would quietly keep old features when weights of the user's own are not there."""
    made = I3dParams().rgb_weights
    for name in ("rgb_weights", "flow_weights"):
        path = getattr(config.i3d, name)
        if path is not None and path != made and not Path(path).is_file():
            raise UserError(file=file, where=f"i3d.{name}", got=repr(path), expected="an existing file")
