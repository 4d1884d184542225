"""The plan of a run, as Snakemake asks for it: jobs, their inputs and options, and the names that it may match.

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

from microexp.config import Config, guides, parse
from microexp.errors import UserError
from microexp.features.params import I3dParams
from microexp.flow.params import GPU_BACKENDS
from microexp.models import SHIPPED
from microexp.pipeline import STAGES, STREAMS, pattern
from microexp.plan_data import FOLD_STAGES, KINDS, STREAM_STAGES, own_model
from microexp.plan_files import PlanFiles
from microexp.run.names import NAME, WHOLE_DATASET
from microexp.stage_options import stage_options

if TYPE_CHECKING:
    from microexp.datasets.index import Listing

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


class Plan(PlanFiles):
    """The files of a run with all that Snakemake asks: jobs, inputs, options, and the names that it may match."""

    def json_tables(self) -> list[str]:
        """Tables of all experiments, for the report."""
        return [pattern("tables.json").format(**unit) for unit in self.units("tables")]

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
                        if made := own_model(self.config, path):
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
            self._options[key] = json.dumps(stage_options(self.config, stage, name, method=method), sort_keys=True)
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
    _check_landmarks(config, file)
    for missing in missing_models(config, file):
        raise missing
    from microexp.datasets.index import listing
    from microexp.reading.fingerprint import Fingerprints

    known = Fingerprints(FINGERPRINTS)
    found = {name: listing(name, options, config.demo, known=known) for name, options in config.datasets.items()}
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
            check_emotions(frozenset().union(*known), experiment, file, where=f"recognition.{name}")


def _check_landmarks(config: Config, file: object) -> None:
    """What the stage `faces` would find out in the middle of the run."""
    pattern = config.faces.landmarks or ""
    if config.faces.backend == "given" and not any(name in pattern for name in ("{video}", "{subject}")):
        expected = "the path of a landmark file with {video} in place of the video's name"
        raise UserError(file=file, where="faces.landmarks", got=repr(config.faces.landmarks), expected=expected)


def missing_models(config: Config, file: object) -> Iterator[UserError]:
    """Models to apply that are neither there nor trained by the run itself, or are of another kind.

    Args:
        config: the configuration.
        file: where it stands.
    """
    for name, application in config.apply.items():
        for kind in (*KINDS, "action_units"):
            path = getattr(application, kind)
            if not path or (kind == "action_units" and path == SHIPPED):
                continue
            own = own_model(config, path)
            if own[0] != kind if own else not Path(path).is_file():
                expected = f"a {kind} model that is there, or that this run trains"
                yield UserError(file=file, where=f"apply.{name}.{kind}", got=repr(path), expected=expected)


def _check_weights(config: Config, file: object) -> None:
    """Snakemake would quietly keep old features when weights of the user's own are not there."""
    made = I3dParams().rgb_weights
    for name in ("rgb_weights", "flow_weights"):
        path = getattr(config.i3d, name)
        if path is not None and path != made and not Path(path).is_file():
            raise UserError(file=file, where=f"i3d.{name}", got=repr(path), expected="an existing file")
