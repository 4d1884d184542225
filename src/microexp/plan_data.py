"""Which data sets, subjects, streams and folds a run has, and which stages it needs for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from microexp.config import Config, guides
from microexp.errors import UserError
from microexp.pipeline import STAGES, STREAMS, pattern
from microexp.run.names import WHOLE_DATASET, check_name, fold_name

if TYPE_CHECKING:
    from microexp.datasets.index import Listing

KINDS = ("spotting", "recognition")
FOLD_STAGES = {"spotting": ("spotting-fold", "detect"), "recognition": ("recognition-fold",)}
STREAM_STAGES = {stream: stream.replace("_", "-") for stream in STREAMS}


class PlanData:
    """What a configuration makes a run work on.

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
        self._check_given(needed["given"])
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

    def _check_given(self, datasets: Iterable[str]) -> None:
        """A subject without a series is excluded; a data set without any has its series elsewhere.

        Raises:
            UserError: when there is no series of any subject.
        """
        for dataset in datasets:
            if self.subjects[dataset] and not any(self.given_files(dataset, s) for s in self.subjects[dataset]):
                raise UserError(
                    file="config",
                    where="given.root",
                    problem=f"no series of any subject of {dataset} in {self.config.given.root}",
                    expected=f"{dataset}/SUBJECT/VIDEO.npz or .csv below it",
                )

    def given_files(self, dataset: str, subject: str) -> list[str]:
        """Files of another program that the stream `given` takes for a subject; none where there are none."""
        from microexp.features.given import files_of

        alone = len(self.config.datasets) == 1
        return [str(path) for path in files_of(self.config.given, dataset, subject, alone=alone)]

    def needs(self, dataset: str, stage: str) -> bool:
        """Whether the run makes what `stage` makes of `dataset`."""
        return dataset in self._needed.get(stage, self.subjects)

    def temporary(self, stage: str) -> bool:
        """Whether the run deletes what `stage` makes when everything that reads it is done."""
        if getattr(self.config.keep, stage, True):
            return False
        return stage not in {self.last_stage(kind, e) for kind in KINDS for e in self.config.experiments(kind)}

    def _model_streams(self, path: str) -> list[str]:
        own = own_model(self.config, path)
        if own is not None:
            return self.streams(own[1], own[2])
        from microexp.methods.model import streams_of

        return streams_of(Path(path))

    def shards(self, stage: str, datasets: Iterable[str]) -> list[str]:
        """The file of `stage` for every subject of `datasets`."""
        (output,) = STAGES[stage].outputs.values()
        return [output.path.format(dataset=d, subject=s) for d in datasets for s in self.subjects[d]]

    def made(self, stage: str) -> list[str]:
        """Shards of `stage` that the run makes."""
        return self.shards(stage, [d for d in self.subjects if self.needs(d, stage)])

    def last_stage(self, kind: str, experiment: str) -> str:
        """The stage of which the shards know everything that an experiment had to exclude on the way."""
        if kind == "recognition":
            return "apexdiff"
        streams = self.streams(experiment)
        return STREAM_STAGES[streams[0]] if streams else "crops"

    def folds(self, kind: str, experiment: str) -> list[str]:
        """Folds of an experiment, one per subject (or data set): `casme2-sub05`."""
        options = self.config.experiments(kind)[experiment]
        if getattr(options, "leave", "subject") == "dataset" or getattr(options, "train_on", ()):
            return [fold_name(d, WHOLE_DATASET) for d in options.datasets]
        return [fold_name(d, s) for d in options.datasets for s in self.subjects[d]]

    def fold_files(self, kind: str, experiment: str, output: str, *, folds: Sequence[str] | None = None) -> list[str]:
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

    def _recognised(self, experiment: str) -> tuple[str, str] | None:
        """Recognition experiment and method that recognise what a spotting experiment finds, if any do."""
        name = self.config.spotting[experiment].recognise_with
        return tuple(name.split("/")) if name else None  # type: ignore[return-value]


def own_model(config: Config, path: str) -> tuple[str, str, str] | None:
    """(kind, experiment, method) of a model that a run of `config` trains; None for a file of somebody else."""
    for kind in KINDS:
        for e, experiment in config.experiments(kind).items():
            for m in experiment.methods:
                if path == pattern("model.model").format(kind=kind, experiment=e, method=m):
                    return kind, e, m
    return None
