"""The files that jobs of a run read: what the table of stages names `plan.NAME` is the method NAME here."""

from __future__ import annotations

from collections.abc import Iterable

from microexp.methods.spotting.base import SpottingMethod
from microexp.models import ACTION_UNITS, SHIPPED, shipped
from microexp.pipeline import STAGES, pattern
from microexp.plan_data import FOLD_STAGES, KINDS, STREAM_STAGES, PlanData
from microexp.rendered.demo import video_path
from microexp.run.names import WHOLE_DATASET, fold_name, split_fold


class PlanFiles(PlanData):
    """Paths of a run's files, by what its jobs ask for."""

    # --- what stages made of every subject ----------------------------------------------------------------------------

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

    # --- the index, and files from outside ----------------------------------------------------------------------------

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
            found += self.fold_files(kind, e, output, folds=sorted(known))
        return found

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

    # --- one subject --------------------------------------------------------------------------------------------------

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
