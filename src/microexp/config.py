"""The one door for configuration: `config.yaml` becomes a checked, frozen `Config`, or one line says what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from microexp.apexdiff.params import ApexdiffOptions
from microexp.errors import UserError
from microexp.faces.params import CropsOptions, FacesParams
from microexp.features.params import GivenSource, I3dParams, MotionParams
from microexp.flow.params import FlowParams
from microexp.methods.find import Method, find_method
from microexp.methods.recognition.params import RecognitionExperiment
from microexp.methods.spotting.params import SpottingExperiment
from microexp.reading.params import DatasetParams, DemoParams, DemoSheetParams, index_options
from microexp.report.params import ReportParams, TablesParams
from microexp.run import yaml_file
from microexp.run.names import check_name, each_once
from microexp.run.stage import Params, validate

# Where the options of older configurations are now.

MOVED = {
    # option of an older configuration -> where it is now; * stands for the name of an experiment
    "motion.margin": "nothing: motion is measured at places of the face, not in a margin around it",
    "motion.subtract_head_motion": "nothing: the motion of the head is always taken out",
    "crops.fps": "datasets.NAME.fps, of each data set",
    "apexdiff.flow.preset": "apexdiff.preset",
    "apexdiff.flow.backend": "flow.backend, for both",
    "apexdiff.flow": "apexdiff.preset: a named set of parameters, none of which is set alone",
    "i3d.flow_levels": "nothing: flow is never rounded",
    "spotting.*.aemnet": "spotting.*.methods.aemnet",
    "spotting.*.detect": "spotting.*.select",
    "recognition.*.mdml": "recognition.*.methods.mdml",
    "recognition.*.adapters": "nothing: the data sets' own option adapter says it",
    "spotting.*.methods.aemnet.selection": "spotting.*.select.calibrate",
    "spotting.*.methods.aemnet.inner_folds": "spotting.*.select.inner_folds",
    "spotting.*.methods.aemnet.calibration_share": "spotting.*.select.held_out_share",
    "spotting.*.methods.aemnet.permuted_control": "spotting.*.select.permuted_control",
    "spotting.*.methods.aemnet.refit": "nothing: inner_folds train on all training subjects, held_out does not",
    "spotting.*.methods.aemnet.seeds": "spotting.*.seeds (a number)",
    "spotting.*.methods.aemnet.seed": "spotting.*.seed",
    "spotting.*.select.select_for": "spotting.*.select.maximise",
    "spotting.*.select.nms_iou": "spotting.*.select.overlap_iou",
    "spotting.*.select.suppression": "nothing: soft-NMS and box fusion are gone",
    "spotting.*.select.soft_sigma": "nothing: soft-NMS is gone",
    "spotting.*.select.seed": "nothing: choosing has no chance in it",
    "recognition.*.methods.mdml.seeds": "recognition.*.seeds",
    "recognition.*.methods.mdml.seed": "recognition.*.seed",
    "recognition.*.methods.mdml.logistic_share": "nothing: logistic_regression is a method of its own",
    "recognition.*.methods.mdml.stage_weights": "nothing: all stages weigh alike",
    "recognition.*.methods.mdml.label_smoothing": "nothing: it was measured to be no help",
    "recognition.*.methods.mdml.predict": "nothing: the last stage predicts",
    "recognition.*.methods.mdml.domain.model": "nothing: distributions are mean and deviation; MMD made no difference",
    "recognition.*.methods.mdml.domain.learn_weights": "nothing: they are always learned; it made no difference",
    "recognition.*.methods.mdml.domain.entropy": "nothing: a constant, .1",
}


def check_moved(data: Mapping[str, Any], file: object) -> None:
    """Options of older configurations get a line that says where they are now.

    Raises:
        UserError: for the first one.
    """
    for old, new in MOVED.items():
        for path in _matching(data, old.split(".")):
            where = new
            for name in (part for part, star in zip(path, old.split("."), strict=True) if star == "*"):
                where = where.replace("*", name, 1)
            raise UserError(file=file, where=".".join(path), problem=f"this option is now {where}")


def _matching(data: object, pattern: Sequence[str]) -> Iterator[list[str]]:
    if not pattern:
        yield []
    elif isinstance(data, Mapping):
        for key in data if pattern[0] == "*" else [pattern[0]] if pattern[0] in data else []:
            yield from ([str(key), *rest] for rest in _matching(data[key], pattern[1:]))


class Application(Params):
    """Models that are applied to data sets."""

    datasets: Annotated[list[str], AfterValidator(each_once)] = Field(
        min_length=1, description="Data sets; they need no ground truth."
    )
    spotting: str = Field(
        min_length=1,
        description="Spotting model: a file, or results/spotting/EXPERIMENT/METHOD/all/model.safetensors of this run.",
    )
    recognition: str | None = Field(
        None,
        min_length=1,
        description="Recognition model for what was spotted: a file, or results/recognition/…/all/model.safetensors.",
    )
    action_units: str | None = Field(
        None,
        min_length=1,
        description="Model that tells the action units of what was spotted: a file, or `shipped` for the one that the "
        "package brings (trained on rendered flow alone).",
    )
    each_video: bool = Field(
        False,
        description="Also write tables and a page of every video, as `microexp video` does; each video must be a "
        "subject of its own.",
    )
    annotated: bool = Field(False, description="With each_video: also write a copy of every video with what was found.")


class Keep(Params):
    """Which bulky files stay when everything that reads them is done."""

    crops: bool = Field(
        True,
        description="Keep the aligned crops; otherwise they are deleted when all that reads them is done. They stay "
        "where the methods of an experiment read no stream, since its tables look into them.",
    )
    flow: bool = Field(True, description="Keep the optical flow; otherwise it is deleted in the same way.")
    pictures: bool = Field(
        True,
        description="Whether the subjects' pages show pictures of what is deleted: it then waits for them, to the end "
        "of the run. Without, it goes as soon as the subject's features and maps are there.",
    )


class Config(Params):
    """The whole run."""

    seed: int = Field(0, ge=0, lt=2**32, description="Random seed of the run; experiments may have their own.")
    allow_exclusions: bool = Field(False, description="Whether a run with excluded videos counts as complete.")
    datasets: dict[str, DatasetParams] = Field(min_length=1, description="Name -> data set.")
    demo: DemoParams = DemoParams()
    faces: FacesParams = FacesParams()
    crops: CropsOptions = CropsOptions()
    flow: FlowParams = FlowParams()
    apexdiff: ApexdiffOptions = ApexdiffOptions()
    i3d: I3dParams = I3dParams()
    motion: MotionParams = MotionParams()
    given: GivenSource = GivenSource()
    spotting: dict[str, SpottingExperiment] = Field({}, description="Name -> spotting experiment.")
    recognition: dict[str, RecognitionExperiment] = Field({}, description="Name -> recognition experiment.")
    apply: dict[str, Application] = Field({}, description="Name -> models, and data sets without ground truth.")
    tables: TablesParams = TablesParams()
    report: ReportParams = ReportParams()
    keep: Keep = Keep()

    @model_validator(mode="before")
    @classmethod
    def _crops_by_name(cls, data: object) -> object:
        """`crops: published` is short for `faces: {crop: published}`."""
        if isinstance(data, Mapping) and isinstance(data.get("crops"), str):
            faces = data.get("faces") or {}
            return {**data, "crops": {}, "faces": {"crop": data["crops"], **faces}}
        return data

    def is_rendered(self, dataset: str) -> bool:
        """Whether the run makes the data set itself."""
        return (self.datasets[dataset].adapter or dataset) == "demo"

    def has_videos(self, dataset: str) -> bool:
        """Whether the data set has videos; a list of their lengths has none."""
        return (self.datasets[dataset].adapter or dataset) != "listed"

    def experiments(self, kind: str) -> Mapping[str, SpottingExperiment | RecognitionExperiment]:
        """The experiments of `spotting` or `recognition`."""
        found: Mapping[str, SpottingExperiment | RecognitionExperiment] = getattr(self, kind)
        return found

    def method(self, kind: str, experiment: str, name: str) -> tuple[Method, Params]:
        """A method of an experiment and its options."""
        entry = dict(self.experiments(kind)[experiment].methods[name])
        method = find_method(kind, str(entry.pop("method", name)))
        target = getattr(self.experiments(kind)[experiment], "target", None)
        if target is not None and target not in method.targets:  # type: ignore[union-attr]
            raise UserError(
                file="config", where=f"{kind}.{experiment}.methods.{name}", got=f"target: {target}",
                expected=f"target: {' or '.join(method.targets)}, which the method recognises",  # type: ignore[union-attr]
            )  # fmt: skip
        return method, validate(method.Options, entry, "config", where=f"{kind}.{experiment}.methods.{name}")


def load(path: str | Path) -> Config:
    """Read and check a configuration file.

    Raises:
        UserError: in one line, naming file and key.
    """
    return parse(yaml_file.read(path), path)


def parse(data: object, file: object) -> Config:
    """Check a configuration that is already in memory (Snakemake merges `--config` into it).

    Raises:
        UserError: in one line, naming file and key.
    """
    if not isinstance(data, Mapping):
        raise UserError(file=file, got=type(data).__name__, expected="a mapping of options")
    check_moved(data, file)
    config = validate(Config, data, file)
    for name in (*config.datasets, *config.spotting, *config.recognition):
        check_name(name, "name", file)
    for kind in ("spotting", "recognition"):
        for name, experiment in config.experiments(kind).items():
            _check_experiment(config, kind, name, experiment, file)
    for name, application in config.apply.items():
        check_name(name, "name", file)
        _check_datasets(config, f"apply.{name}.datasets", application.datasets, file)
    _check_together(config, file)
    return config


def _check_datasets(config: Config, where: str, names: Sequence[str], file: object) -> None:
    for dataset in names:
        if dataset not in config.datasets:
            raise UserError(
                file=file, where=where, got=repr(dataset), expected="one of datasets: " + ", ".join(config.datasets)
            )


def _check_distinct(config: Config, where: str, names: Sequence[str], file: object) -> None:
    """No two data sets that are the same videos and rows under two names: everything in them would count twice."""
    seen: dict[str, str] = {}
    for name in names:
        dataset = config.datasets[name]
        root = os.path.realpath(dataset.root) if dataset.root else None
        same = seen.setdefault(json.dumps([index_options(name, dataset), root], sort_keys=True), name)
        if same != name:
            raise UserError(
                file=file, where=where, problem=f"{same!r} and {name!r} are the same data", expected="each once"
            )


def _check_experiment(
    config: Config, kind: str, name: str, experiment: SpottingExperiment | RecognitionExperiment, file: object
) -> None:
    names = list(dict.fromkeys((*experiment.datasets, *guides(experiment))))
    _check_datasets(config, f"{kind}.{name}.datasets", names, file)
    _check_distinct(config, f"{kind}.{name}.datasets", names, file)
    if not any(isinstance(e, Mapping) and e.get("start_from") for e in experiment.methods.values()):
        for group in experiment.same_people:  # a model to start from may know data sets of other runs
            _check_datasets(config, f"{kind}.{name}.same_people", group, file)
    if isinstance(experiment, SpottingExperiment) and experiment.recognise_with:
        _check_recogniser(config, f"{kind}.{name}.recognise_with", experiment, file)
    for method, entry in experiment.methods.items():
        check_name(method, f"{kind}.{name}.methods", file)
        if not isinstance(entry, Mapping):
            raise UserError(
                file=file, where=f"{kind}.{name}.methods.{method}", got=repr(entry), expected="a mapping of options"
            )
        try:
            config.method(kind, name, method)
        except UserError as error:
            raise UserError(
                file=file if error.file == "config" else error.file, where=error.where, problem=error.problem,
                got=error.got, expected=error.expected, hint=error.hint,
            ) from error  # fmt: skip


def _check_recogniser(config: Config, where: str, experiment: SpottingExperiment, file: object) -> None:
    """Every detection needs a recogniser that has not seen its subject."""
    name = str(experiment.recognise_with)
    known = [f"{e}/{m}" for e, found in config.recognition.items() for m in found.methods]
    if name not in known:
        raise UserError(file=file, where=where, got=repr(name), expected=f"one of {', '.join(known) or '(none)'}")
    recogniser = config.recognition[name.partition("/")[0]]
    if recogniser.target == "action_units":
        raise UserError(
            file=file, where=where, problem=f"{name} has action units for a target", expected="one with classes"
        )
    missing = sorted(set(experiment.datasets) - set(recogniser.datasets))
    if missing:
        raise UserError(
            file=file, where=where, problem=f"no fold of {name} holds out {missing[0]}",
            expected="a recognition experiment with the data sets that are spotted in",
        )  # fmt: skip


def _check_together(config: Config, file: object) -> None:
    """What no option is wrong about alone, and a job would stumble over later."""
    size = config.apexdiff.size
    if config.recognition and size > config.crops.size:
        raise UserError(
            file=file, where="apexdiff.size", got=size, expected=f"at most crops.size, {config.crops.size} px"
        )
    if any(map(config.is_rendered, config.datasets)):
        from microexp.rendered.schedule import check_length

        asked = config.demo.model_dump(mode="json", include=set(DemoSheetParams.model_fields))
        seed = config.seed if config.demo.seed is None else config.demo.seed
        check_length(DemoSheetParams.model_validate({**asked, "seed": seed}), file)


def guides(experiment: SpottingExperiment | RecognitionExperiment) -> list[str]:
    """Data sets that an experiment reads beside those that it tests: sources, or those that it trains on."""
    return experiment.train_on if isinstance(experiment, SpottingExperiment) else experiment.source_datasets()
