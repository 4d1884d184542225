"""The plan of a run: which data sets have which subjects, which experiments have which folds, which files they make.

Everything here is read while Snakemake builds its graph, so it must cost next to nothing per subject.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from microexp.config import Config, parse, stage_options
from microexp.errors import UserError
from microexp.features.params import I3dParams
from microexp.flow.params import GPU_BACKENDS
from microexp.rendered.layout import demo_subjects, video_path
from microexp.run.names import NAME, WHOLE_DATASET, check_name, fold_name

TABLE_FORMATS = ("csv", "md", "tex", "json")
KINDS = ("spotting", "recognition")
READER = {"apexdiff": "recognition", "flow": "spotting", "motion": "spotting", "i3d": "spotting"}
"""Kind of experiment for which alone a stage is run."""
GPU_STAGES = ("i3d", "aemnet", "mdml")
"""Stages that use a GPU wherever there is one; others only with certain backends."""
INDEX = ("videos", "expressions", "issues", "counts", "left_out")
"""Tables of a data set's index."""
REPORTED = ("detections", "training", "faces", "crops", "flow", "apexdiff", "records", "pages")
"""What the report reads of every subject or fold, as lists: a command that named it all would soon be too long."""
NOTHING = "(?!)"
"""Regular expression that matches no name."""


class Plan:
    """Subjects, folds and files of a configuration.

    Args:
        config: the checked configuration.
        subjects: data set -> its subjects, in order.
        digests: data set -> a hash of the list of its videos: when it changes, `index` runs again.

    Raises:
        UserError: when a data set has no subject, or a name is unsafe.
    """

    def __init__(
        self, config: Config, subjects: Mapping[str, Iterable[str]], digests: Mapping[str, str] | None = None
    ) -> None:
        self.config = config
        self.digests = digests or {}
        self._options: dict[tuple[str, str | None], str] = {}
        self.subjects = {d: tuple(check_name(s, "subject", d) for s in names) for d, names in subjects.items()}
        for dataset, names in self.subjects.items():
            if not names:
                raise UserError(
                    file=f"datasets.{dataset}", problem="no subject", expected="a data set with at least one subject"
                )
        self._known_folds = {(kind, e): frozenset(self.folds(kind, e)) for kind in KINDS for e in getattr(config, kind)}

    def shards(self, stage: str, datasets: Iterable[str]) -> list[str]:
        """The file of `stage` for every subject of `datasets`."""
        return [f"results/{stage}/{d}/{s}.h5" for d in datasets for s in self.subjects[d]]

    def inputs(self, kind: str, experiment: str, stage: str) -> list[str]:
        """Files of `stage` that a fold of an experiment reads: those of all its subjects."""
        return self.shards(stage, self.datasets(kind, experiment))

    def datasets(self, kind: str, experiment: str) -> list[str]:
        """Data sets of an experiment, with those that only guide it."""
        options = getattr(self.config, kind)[experiment]
        sources = options.source_datasets() if kind == "recognition" else []
        return list(dict.fromkeys([*options.datasets, *sources]))

    def index(self, name: str, kind: str, experiment: str) -> list[str]:
        """Table `name` (videos, expressions) of the data sets of an experiment."""
        return [f"results/index/{d}/{name}.csv" for d in self.datasets(kind, experiment)]

    def last_shards(self) -> list[str]:
        """The last shards of preprocessing, which know of every video that was excluded on the way."""
        spotting = {f for e in self.config.spotting for f in self.inputs("spotting", e, "i3d")}
        recognition = {f for e in self.config.recognition for f in self.inputs("recognition", e, "apexdiff")}
        return sorted(spotting | recognition) or self.shards("faces", self.subjects)

    def left_out(self) -> list[str]:
        """What the indexes of the data sets that some experiment uses could not take in; of all where there is none."""
        used = {d for kind in KINDS for e in getattr(self.config, kind) for d in self.datasets(kind, e)}
        return [f"results/index/{d}/left_out.csv" for d in self.subjects if d in used or not used]

    def excluding(self, kind: str, experiment: str) -> str:
        """The list of the shards that know what an experiment had to leave out."""
        stage = {"spotting": "i3d", "recognition": "apexdiff"}[kind]
        return f"results/{kind}/{experiment}/{stage}.list"

    def flow_weights(self) -> list[str]:
        """The user's own weights of I3D's flow stream, if any."""
        return [w for w in [self.config.i3d.flow_weights] if w]

    def scored(self, kind: str, experiment: str) -> list[str]:
        """What the folds of an experiment are scored by."""
        return self.fold_files(kind, experiment, {"spotting": "detections.csv", "recognition": "predictions.csv"}[kind])

    def selections(self, kind: str, experiment: str) -> list[str]:
        """What the folds of a spotting experiment ran."""
        return self.fold_files(kind, experiment, "selection.json") if kind == "spotting" else []

    def folds(self, kind: str, experiment: str) -> list[str]:
        """Folds of a `spotting` or `recognition` experiment, one per subject (or data set): `casme2-sub05`."""
        options = getattr(self.config, kind)[experiment]
        if getattr(options, "leave", "subject") == "dataset":
            return [fold_name(d, WHOLE_DATASET) for d in options.datasets]
        return [fold_name(d, s) for d in options.datasets for s in self.subjects[d]]

    def fold_files(self, kind: str, experiment: str, name: str) -> list[str]:
        """File `name` of every fold of an experiment."""
        return [f"results/{kind}/{experiment}/{fold}/{name}" for fold in self.folds(kind, experiment)]

    def tables(self, *formats: str) -> list[str]:
        """Tables of all experiments."""
        names = [f"{kind}_{e}" for kind in KINDS for e in getattr(self.config, kind)]
        return [f"results/tables/{n}.{f}" for n in names for f in formats or TABLE_FORMATS]

    def sources(self, dataset: str) -> list[str]:
        """Files that the index of `dataset` is made from: sheets, and the demo's videos, which this run renders."""
        if not self.config.is_rendered(dataset):
            from microexp.datasets.index import files

            return [str(path) for path in files(dataset, self.config.datasets[dataset])]
        return ["results/demo/annotations.csv", *(v for s in self.subjects[dataset] for v in self.rendered(dataset, s))]

    def digest(self, dataset: str) -> str:
        """Hash of the list of videos of a release on disk; empty for what this run renders."""
        return self.digests.get(dataset, "")

    def rendered(self, dataset: str, subject: str) -> list[str]:
        """Videos of a subject that this run renders itself; a release's own are found by its index."""
        if not self.config.is_rendered(dataset):
            return []
        takes = range(1, self.config.demo.videos + 1)
        return [f"results/demo/{video_path(subject, f'{subject}_{take}')}" for take in takes]

    def options(self, stage: str, name: str | None = None) -> str:
        """Exactly the options that `stage` reads, of experiment or data set `name` where it has one, as JSON."""
        key = stage, name
        if key not in self._options:
            self._options[key] = json.dumps(stage_options(self.config, stage, name), sort_keys=True)
        return self._options[key]

    def made(self, stage: str, datasets: Iterable[str] | None = None) -> list[str]:
        """Shards of `stage` that some experiment needs, of all data sets or of `datasets`."""
        wanted = self.subjects if datasets is None else datasets
        return self.shards(stage, [d for d in wanted if self.needs(d, stage)])

    def needs(self, dataset: str, stage: str) -> bool:
        """Whether some experiment, or every subject's page, reads what `stage` makes of `dataset`."""
        kind = READER.get(stage)
        return kind is None or any(dataset in self.datasets(kind, e) for e in getattr(self.config, kind))

    def made_for(self, stage: str, dataset: str, subject: str) -> list[str]:
        """The shard of `stage` of one subject, if some experiment needs it."""
        return [f"results/{stage}/{dataset}/{subject}.h5"] if self.needs(dataset, stage) else []

    def uses_gpu(self, stage: str) -> bool:
        """Whether `stage`, as configured, uses a GPU where there is one."""
        chosen = {
            "faces": self.config.faces.backend == "face_alignment",
            "flow": self.config.flow.backend in GPU_BACKENDS,
            "apexdiff": self.config.apexdiff.flow.backend in GPU_BACKENDS,
        }
        return chosen.get(stage, stage in GPU_STAGES)

    def all_folds(self, kind: str, name: str) -> list[str]:
        """File `name` of every fold of every experiment of `kind`."""
        return [f for e in getattr(self.config, kind) for f in self.fold_files(kind, e, name)]

    def training(self) -> list[str]:
        """Training logs of every fold of every experiment."""
        return [f for kind in KINDS for f in self.all_folds(kind, "training.csv")]

    def records(self) -> list[str]:
        """Files that the report shows nothing of but what they were made with."""
        rendered = [f for d in self.subjects if self.config.is_rendered(d) for f in self.sources(d)]
        return [*rendered, *self.made("i3d"), *self.made("motion")]

    def reported(self, what: str) -> list[str]:
        """The files of one of the report's lists."""
        match what:
            case "detections":
                return self.all_folds("spotting", "detections.csv")
            case "training":
                return self.training()
            case "records":
                return self.records()
            case "pages":
                return self.pages()
        return self.made(what)

    def held_out(self, kind: str, name: str, dataset: str, subject: str) -> list[str]:
        """File `name` of every fold of `kind` that holds out this subject (or its data set)."""
        folds = (fold_name(dataset, subject), fold_name(dataset, WHOLE_DATASET))
        return [
            f"results/{kind}/{e}/{fold}/{name}"
            for e in getattr(self.config, kind)
            for fold in folds
            if fold in self._known_folds[kind, e]
        ]

    def everything(self) -> list[str]:
        """All results. They are all targets, so that a file that was deleted is made again, whoever still needs it."""
        stages = ("faces", "crops", "flow", "motion", "apexdiff", "i3d")
        folds = {
            "spotting": ("model.safetensors", "training.csv", "proposals.csv", "detections.csv", "selection.json"),
            "recognition": ("model.safetensors", "training.csv", "predictions.csv"),
        }
        lists = {"spotting": ("i3d.list", "motion.list"), "recognition": ("apexdiff.list",)}
        return [
            *(f for d in self.subjects if self.config.is_rendered(d) for f in self.sources(d)),
            *(f for name in INDEX for f in self.indexes(name)),
            *(
                f"results/index/{d}/subjects/{s}/{name}.csv"
                for d, names in self.subjects.items()
                for s in names
                for name in ("videos", "expressions")
            ),
            *(f for stage in stages for f in self.made(stage)),
            *(f for kind in KINDS for name in folds[kind] for f in self.all_folds(kind, name)),
            *(f"results/{k}/{e}/{name}" for k in KINDS for name in lists[k] for e in getattr(self.config, k)),
            *self.tables(),
            *self.pages(),
            *(f"results/report/{what}.list" for what in REPORTED),
            "results/report.html",
            "results/complete.csv",
        ]

    def indexes(self, name: str) -> list[str]:
        """Table `name` (videos, expressions, issues) of every data set."""
        return [f"results/index/{d}/{name}.csv" for d in self.subjects]

    def pages(self) -> list[str]:
        """The report's page of every subject."""
        return [f"results/report/{d}/{s}.html" for d, names in self.subjects.items() for s in names]

    def constraints(self) -> dict[str, str]:
        """Regular expressions that only names of this run match, per wildcard."""
        experiments = [(kind, e) for kind in KINDS for e in getattr(self.config, kind)]
        folds = [fold for kind, e in experiments for fold in self.folds(kind, e)]
        return {
            "dataset": closed(self.subjects),
            "subject": closed(s for names in self.subjects.values() for s in names),
            "fold": closed(folds),
            "stage": "i3d|motion|apexdiff",
            "reported": "|".join(REPORTED),
            "kind": "|".join(KINDS),
            "video": NAME,
            "experiment": closed([*self.config.spotting, *self.config.recognition]),
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
    found = {name: list_release(config, name) for name in config.datasets}
    return Plan(config, {name: who for name, (who, _) in found.items()}, {name: d for name, (_, d) in found.items()})


def _check_weights(config: Config, file: object) -> None:
    """Snakemake would quietly keep old features when weights of the user's own are not there."""
    made = I3dParams().rgb_weights
    for name in ("rgb_weights", "flow_weights"):
        path = getattr(config.i3d, name)
        if path is not None and path != made and not Path(path).is_file():
            raise UserError(file=file, where=f"i3d.{name}", got=repr(path), expected="an existing file")


def list_release(config: Config, dataset: str) -> tuple[Sequence[str], str]:
    """Subjects of a data set and the hash of its list of videos: the demo's follow from the options, a release's from
    the names of its folders."""
    if config.is_rendered(dataset):
        return demo_subjects(config.demo), ""
    from microexp.datasets.index import listing

    found = listing(dataset, config.datasets[dataset], config.demo)
    return found.subjects, found.digest
