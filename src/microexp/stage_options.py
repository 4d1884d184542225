"""The options that each stage reads of a configuration, and no others: a change of one runs again what reads it."""

from __future__ import annotations

from typing import Any

from microexp.apexdiff.params import ApexdiffParams
from microexp.config import Config, guides
from microexp.datasets.classes import RecognitionTask
from microexp.faces.params import FacesParams
from microexp.features.params import GivenParams, I3dFlowParams, I3dRgbParams
from microexp.flow.params import Tvl1Params
from microexp.methods.people import groups_of
from microexp.methods.recognition.params import RecognitionExperiment
from microexp.methods.spotting.params import CalibrationParams, ChoiceParams, SpottingExperiment
from microexp.pipeline import STAGES, STREAM_STAGES
from microexp.reading.params import DemoSheetParams, DemoVideoParams, index_options
from microexp.report.params import FrontParams, PageParams
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


def stage_options(config: Config, stage: str, name: str | None = None, *, method: str | None = None) -> dict[str, Any]:
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
        unknown = set[str]() if config.crops.grey else {"grey"}  # finished runs do not know the option
        return config.crops.model_dump(mode="json", exclude=unknown) | {"fps": fps}
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
        for name in ("rgb_weights", "flow_weights", "fps", "backend", "cores", "grey"):
            options.pop(name, None)  # where a file lies, how it is stored, a data set's rate: that is not the model's
    return found


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
