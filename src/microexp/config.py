"""The one door for configuration: `config.yaml` becomes a checked, frozen `Config`, or one line says what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic.fields import FieldInfo

from microexp.apexdiff.params import ApexdiffOptions, ApexdiffParams
from microexp.datasets.task import RecognitionTask
from microexp.errors import UserError
from microexp.faces.params import CropsOptions, FacesParams
from microexp.features.params import GivenParams, GivenSource, I3dFlowParams, I3dParams, I3dRgbParams, MotionParams
from microexp.flow.params import FlowParams, Tvl1Params
from microexp.methods.find import SHIPPED, Method, find_method
from microexp.methods.people import groups_of
from microexp.methods.recognition.params import RecognitionExperiment
from microexp.methods.spotting.params import CalibrationParams, ChoiceParams, SpottingExperiment
from microexp.pipeline import STAGES, STREAM_STAGES
from microexp.reading.params import DatasetParams, DemoParams, DemoSheetParams, DemoVideoParams, index_options
from microexp.report.params import FrontParams, PageParams, ReportParams
from microexp.report.table_params import TablesParams
from microexp.run import yaml_file
from microexp.run.names import check_name, each_once
from microexp.run.options import validate
from microexp.run.stage import Params, Stage

PARTS: dict[str, tuple[str, type[Params]]] = {
    # stages that read a part of a section: the section, and the options that they read
    "demo-sheet": ("demo", DemoSheetParams),
    "demo": ("demo", DemoVideoParams),
    "i3d-rgb": ("i3d", I3dRgbParams),
    "i3d-flow": ("i3d", I3dFlowParams),
    "given": ("given", GivenParams),
    "landmarks": ("faces", FacesParams),
    "report-subject": ("report", PageParams),
    "report": ("report", FrontParams),
}
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
        return method, validate(method.Options, entry, "config", f"{kind}.{experiment}.methods.{name}")


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

        check_length(DemoSheetParams.model_validate(stage_options(config, "demo-sheet")), file)


def stage_options(config: Config, stage: str, name: str | None = None, method: str | None = None) -> dict[str, Any]:
    """The options that `stage` reads, and no others, as plain JSON values; `seed: None` becomes the run's seed.

    Args:
        config: the configuration.
        stage: its name; `tables-spotting` and `tables-recognition` for the two kinds of tables.
        name: of the experiment, or for `index` and `crops` of the data set.
        method: row of the table, for the stages of a fold.
    """
    if stage == "events":
        return {"experiment": str(name), "name": str(method), "apexdiff": _apexdiff_options(config)}
    if stage in ("spotting-fold", "detect", "recognition-fold"):
        return _fold_options(config, stage, str(name), str(method))
    if stage == "model":
        return {"preprocessing": preprocessing(config, str(name), str(method))}
    if stage == "apply":
        return {
            "preprocessing": preprocessing(config, "spotting") | preprocessing(config, "recognition"),
            "apexdiff": _apexdiff_options(config),
        }
    if stage in ("video-tables", "video-page"):
        return {"apexdiff": _apexdiff_options(config)}
    if stage in ("tables-spotting", "tables-recognition"):
        return _tables_options(config, stage.partition("-")[2], str(name))
    if stage == "index":
        return index_options(str(name), config.datasets[str(name)])
    if stage == "crops":
        fps = config.datasets[str(name)].fps if name else None
        return config.crops.model_dump(mode="json") | {"fps": fps}
    if stage == "apexdiff":
        return _apexdiff_options(config)
    if stage == "complete":
        return {"allow_exclusions": config.allow_exclusions}
    if stage == "weights" or STAGES[stage].options == Stage.options:
        return {}
    section, read = PARTS.get(stage, (stage, None))
    fields = set(read.model_fields) if read else None
    options: dict[str, Any] = getattr(config, section).model_dump(mode="json", include=fields)
    if "seed" in options and options["seed"] is None:
        options["seed"] = config.seed
    return options


def _apexdiff_options(config: Config) -> dict[str, Any]:
    maps = config.apexdiff
    flow = Tvl1Params(preset=maps.preset, backend=config.flow.backend)
    return ApexdiffParams(size=maps.size, registration=maps.registration, flow=flow).model_dump(mode="json")


def _fold_options(config: Config, stage: str, experiment: str, name: str) -> dict[str, Any]:
    kind = "recognition" if stage == "recognition-fold" else "spotting"
    found = config.experiments(kind)[experiment]
    options: dict[str, Any] = {"experiment": experiment, "name": name, "people": people(config, found)}
    if isinstance(found, SpottingExperiment):
        options["train_on"] = found.train_on
    if stage == "detect":
        assert isinstance(found, SpottingExperiment)
        return options | found.select.model_dump(mode="json", include=set(ChoiceParams.model_fields))
    method, settings = config.method(kind, experiment, name)
    entry = found.methods[name]
    options |= {
        "method": str(entry.get("method", name)),
        "method_version": method.version,
        "options": settings.model_dump(mode="json"),
        "seeds": found.seeds,
        "seed": config.seed if found.seed is None else found.seed,
    }
    if isinstance(found, SpottingExperiment):
        return options | found.select.model_dump(mode="json", include=set(CalibrationParams.model_fields))
    applied = f"{experiment}/{name}" in {e.recognise_with for e in config.spotting.values()}
    return options | _task(config, found) | {"sources": found.sources, "leave": found.leave, "applied": applied}


def preprocessing(config: Config, kind: str, streams: str | None = None) -> dict[str, Any]:
    """Stage -> options of what a method of `kind` reads; `streams`: names of a spotting method's, joined by commas."""
    names = [s.replace("_", "-") for s in (streams.split(",") if streams else STREAM_STAGES)]
    stages = ["crops", "apexdiff"] if kind == "recognition" else ["crops", "flow", *(s for s in names if s)]
    found = {stage: stage_options(config, stage) for stage in stages}
    for options in found.values():
        for name in ("rgb_weights", "flow_weights", "fps", "backend", "cores"):
            options.pop(name, None)  # where a file lies, and what a data set's rate is, is not the model's
    return found


def guides(experiment: SpottingExperiment | RecognitionExperiment) -> list[str]:
    """Data sets that an experiment reads beside those that it tests: sources, or those that it trains on."""
    return experiment.train_on if isinstance(experiment, SpottingExperiment) else experiment.source_datasets()


def people(config: Config, experiment: SpottingExperiment | RecognitionExperiment) -> list[list[str]]:
    """Groups of an experiment's data sets in which one subject name is one person."""
    adapters = {name: dataset.adapter for name, dataset in config.datasets.items()}
    return groups_of([*experiment.datasets, *guides(experiment)], adapters, experiment.same_people)


def _task(config: Config, experiment: RecognitionExperiment) -> dict[str, Any]:
    """What an experiment recognises, with the adapters of its data sets where a protocol asks for them."""
    used = dict.fromkeys((*experiment.datasets, *experiment.source_datasets()))
    adapters = {name: config.datasets[name].adapter or name for name in used} if experiment.protocol else {}
    return experiment.model_dump(mode="json", include=set(RecognitionTask.model_fields)) | {"adapters": adapters}


def _tables_options(config: Config, kind: str, experiment: str) -> dict[str, Any]:
    found = config.experiments(kind)[experiment]
    options = {
        **config.tables.model_dump(mode="json"),
        "seed": config.seed if config.tables.seed is None else config.tables.seed,
        "allow_exclusions": config.allow_exclusions,
        "methods": list(found.methods),
    }
    if isinstance(found, SpottingExperiment):
        tested = found.datasets if found.train_on else []
        releases = [config.datasets[name].adapter or name for name in found.datasets]
        options |= {"releases": releases, "tested": tested}
        named = found.recognise_with and config.recognition[found.recognise_with.partition("/")[0]]
        return options | ({"task": _task(config, named)} if named else {})
    return options | {"task": _task(config, found)}


def reference() -> str:
    """Every option with type, default and meaning, as the Markdown page `docs/configuration.md`."""
    lines = [
        "# Every option of `config.yaml`",
        "",
        "Written by `microexp config --reference`; a test fails when it is stale.",
        "",
        *_table(Config, ""),
    ]
    for kind, methods in SHIPPED.items():
        for name in methods:
            lines += ["", f"## Method `{name}`: `{kind}.NAME.methods.{name}`", ""]
            rows = _table(find_method(kind, name).Options, "")
            lines += rows if len(rows) > 2 else ["It has no options."]
    return "\n".join(lines) + "\n"


def _table(model: type[BaseModel], prefix: str) -> list[str]:
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for path, field in options_of(model, prefix):
        lines.append(f"| `{path}` | {default_of(field)} | {(field.description or '').replace('|', '/')} |")
    return lines


def default_of(field: FieldInfo) -> str:
    """The default of an option as Markdown."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return f"`{json.dumps(value.model_dump(mode='json') if isinstance(value, BaseModel) else value)}`"


def options_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """(dotted name, field) of every option of a model, nested ones too."""
    for name, field in model.model_fields.items():
        inner = [a for a in (field.annotation, *get_args(field.annotation)) if _is_model(a)]
        if not inner:
            yield prefix + name, field
            continue
        many = get_origin(field.annotation) is dict
        yield from options_of(inner[-1], f"{prefix}{name}.{'NAME.' if many else ''}")


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
