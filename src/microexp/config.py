"""The one door for configuration: `config.yaml` becomes a checked, frozen `Config`, or one line says what is wrong."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from microexp.apexdiff.params import ApexdiffParams
from microexp.datasets.params import DatasetParams, DemoParams, DemoSheetParams, DemoVideoParams, index_options
from microexp.errors import UserError
from microexp.faces.params import CropsParams, FacesParams
from microexp.features.params import I3dParams
from microexp.flow.params import FlowParams
from microexp.methods.recognition.params import RecognitionExperiment, RecognitionTask
from microexp.methods.spotting.params import MotionParams, SpottingExperiment
from microexp.report.params import FrontParams, PageParams, ReportParams
from microexp.report.table_params import TablesParams
from microexp.run.names import check_name
from microexp.run.stage import Params

M = TypeVar("M", bound=BaseModel)

PARTS: dict[str, tuple[str, type[Params]]] = {
    # stages that read a part of a section: the section, and the options that they read
    "demo-sheet": ("demo", DemoSheetParams),
    "demo": ("demo", DemoVideoParams),
    "report-subject": ("report", PageParams),
    "report": ("report", FrontParams),
}


class Config(Params):
    """The whole run."""

    seed: int = Field(0, ge=0, description="The one random seed.")
    allow_exclusions: bool = Field(False, description="Whether a run with excluded videos counts as complete.")
    datasets: dict[str, DatasetParams] = Field(min_length=1, description="Name -> data set.")
    demo: DemoParams = DemoParams()
    faces: FacesParams = FacesParams()
    crops: CropsParams = CropsParams()
    flow: FlowParams = FlowParams()
    apexdiff: ApexdiffParams = ApexdiffParams()
    i3d: I3dParams = I3dParams()
    motion: MotionParams = MotionParams()
    spotting: dict[str, SpottingExperiment] = Field({}, description="Name -> spotting experiment.")
    recognition: dict[str, RecognitionExperiment] = Field({}, description="Name -> recognition experiment.")
    tables: TablesParams = TablesParams()
    report: ReportParams = ReportParams()

    def is_rendered(self, dataset: str) -> bool:
        """Whether the run makes the data set itself."""
        return (self.datasets[dataset].adapter or dataset) == "demo"


def load(path: str | Path) -> Config:
    """Read and check a configuration file.

    Raises:
        UserError: in one line, naming file and key.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(file=path, problem=error.strerror, expected="a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(file=path, problem=" ".join(str(error).split()), expected="valid YAML") from error
    return parse(data, path)


def parse(data: object, file: object) -> Config:
    """Check a configuration that is already in memory (Snakemake merges `--config` into it)."""
    if not isinstance(data, Mapping):
        raise UserError(file=file, got=type(data).__name__, expected="a mapping of options")
    config = validate(Config, data, file)
    for name in (*config.datasets, *config.spotting, *config.recognition):
        check_name(name, "name", file)
    for kind, experiments in (("spotting", config.spotting), ("recognition", config.recognition)):
        for name, experiment in experiments.items():
            sources = experiment.source_datasets() if isinstance(experiment, RecognitionExperiment) else []
            for dataset in (*experiment.datasets, *sources):
                if dataset not in config.datasets:
                    raise UserError(
                        file=file,
                        where=f"{kind}.{name}.datasets",
                        got=repr(dataset),
                        expected="one of datasets: " + ", ".join(config.datasets),
                    )
    _check_together(config, file)
    return config


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


def validate(model: type[M], data: Mapping[str, Any], file: object, where: str = "") -> M:
    """`data` as `model`; the first problem becomes a `UserError` naming the key and, for a typo, the nearest one."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = [str(p) for p in first["loc"]]
        key = ".".join(([where] if where else []) + path)
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, path[:-1])
            close = difflib.get_close_matches(path[-1], known, 1)
            hint = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(sorted(known))
            raise UserError(file=file, where=key, problem="an unknown option", hint=hint) from error
        message = first["msg"].removeprefix("Value error, ")
        got = None if first["type"] == "missing" else repr(first["input"])
        raise UserError(file=file, where=key, got=got, expected=message[0].lower() + message[1:]) from error


def _known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    current: Any = model
    for step in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(step)
            current = field.annotation if field else None
        else:  # dict[str, Model] or list[Model]: the last type argument is the member
            current = get_args(current)[-1] if get_args(current) else None
        models = [a for a in get_args(current) if isinstance(a, type) and issubclass(a, BaseModel)]
        if models and not str(current).startswith(("dict", "list")):
            current = models[0]  # Model | None
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def stage_options(config: Config, stage: str, experiment: str | None = None) -> dict[str, Any]:
    """The options that `stage` reads, and no others, as plain JSON values; `seed: None` becomes the run's seed.

    `experiment` is the name of the experiment, or for `index` and `crops` that of the data set.
    """
    if stage == "index":
        return index_options(str(experiment), config.datasets[str(experiment)])
    if stage == "crops":
        fps = config.datasets[str(experiment)].fps if experiment else None
        return config.crops.model_dump(mode="json") | {"fps": fps or config.crops.fps}
    if stage == "complete":
        return {"allow_exclusions": config.allow_exclusions}
    if stage in ("tables-spotting", "tables-recognition"):
        return _tables_options(config, stage.partition("-")[2], str(experiment))
    if stage in ("aemnet", "detect"):
        options: dict[str, Any] = getattr(config.spotting[str(experiment)], stage).model_dump(mode="json")
    elif stage == "mdml":
        options = _recognition(config, str(experiment)).model_dump(mode="json")
        if options["mdml"]["seed"] is None:
            options["mdml"]["seed"] = config.seed
    elif stage in PARTS:
        section, read = PARTS[stage]
        options = getattr(config, section).model_dump(mode="json", include=set(read.model_fields))
    else:
        options = getattr(config, stage).model_dump(mode="json")
    if "seed" in options and options["seed"] is None:
        options["seed"] = config.seed
    return options


def _recognition(config: Config, experiment: str) -> RecognitionExperiment:
    """A recognition experiment that knows the adapters of its data sets."""
    adapters = {name: dataset.adapter for name, dataset in config.datasets.items()}
    return config.recognition[experiment].with_adapters(adapters)


def _tables_options(config: Config, kind: str, experiment: str) -> dict[str, Any]:
    options = {
        **config.tables.model_dump(mode="json"),
        "seed": config.seed if config.tables.seed is None else config.tables.seed,
        "allow_exclusions": config.allow_exclusions,
    }
    if kind == "spotting":
        names = config.spotting[experiment].datasets
        return options | {"releases": [config.datasets[name].adapter or name for name in names]}
    read = set(RecognitionTask.model_fields)
    return options | {"task": _recognition(config, experiment).model_dump(mode="json", include=read)}


def reference() -> str:
    """Every option with type, default and meaning, as the Markdown page `docs/configuration.md`."""
    lines = [
        "# Every option of `config.yaml`",
        "",
        "Written by `microexp config --reference`; a test fails when it is stale.",
        "",
    ]
    lines += ["| option | default | meaning |", "|---|---|---|"]
    for path, field in _options(Config, ""):
        default = (
            "required"
            if field.is_required()
            else f"`{json.dumps(_json(field.get_default(call_default_factory=True)))}`"
        )
        lines.append(f"| `{path}` | {default} | {(field.description or '').replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def _options(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = [a for a in (field.annotation, *get_args(field.annotation)) if _is_model(a)]
        if not inner:
            yield prefix + name, field
            continue
        many = get_origin(field.annotation) is dict
        yield from _options(inner[-1], f"{prefix}{name}.{'NAME.' if many else ''}")


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _json(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp config`."""
    parser.add_argument("file", nargs="?", type=Path, help="configuration to check; its full form is printed")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    parser.add_argument("--reference", action="store_true", help="print every option with its default instead")


def main(args: argparse.Namespace) -> int:
    """`microexp config [FILE] [--schema] [--reference]`."""
    if args.reference:
        print(reference(), end="")
        return 0
    if args.schema:
        print(json.dumps(Config.model_json_schema(), indent=1))
        return 0
    if args.file is None:
        raise UserError(file="command line", problem="no file", expected="a configuration, --schema or --reference")
    print(yaml.safe_dump(load(args.file).model_dump(mode="json"), sort_keys=False), end="")
    return 0
