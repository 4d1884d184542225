"""Stage `model`: one file that holds everything that applying a method to other data takes.

It is made of the fold `all`: what was trained on every subject, limits, thresholds and top-k that inner folds chose,
the options of the method, the feature streams that it reads and how they were computed, the names of the classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from microexp import __version__
from microexp.errors import UserError
from microexp.methods.find import Method, find_method
from microexp.methods.spotting.params import ChoiceParams
from microexp.methods.spotting.selection import Choice
from microexp.records.index import KINDS
from microexp.run import bundle
from microexp.run.names import check_identity
from microexp.run.stage import LARGEST, Job, Params, validate

FORMAT = 1
TRAINED = "{experiment}/{method}/{fold}/trained.safetensors"
MODEL = "{experiment}/{method}/all/model.safetensors"


class ModelParams(Params):
    """What the stage `model` reads: the options of the stages that made what the method was trained on."""

    preprocessing: dict[str, dict[str, Any]] = Field(
        {}, description="Stage -> its options: what data that the model is applied to must be made with."
    )


@dataclass(frozen=True)
class NamedMethod:
    """Which method a model file holds.

    Attributes:
        path: of the file.
        kind: `spotting` or `recognition`.
        name: row of the table that it comes from.
        method: what it is.
    """

    path: Path
    kind: str
    name: str
    method: Method

    @property
    def label(self) -> str:
        """What tells the model in a table: `demo/aemnet`."""
        return self.name


@dataclass(frozen=True)
class Model(NamedMethod):
    """A model file, ready to be applied.

    Attributes:
        fitted: the method's own model.
        streams: stream -> step, clip, channels and rate of its features (spotting).
        limits_s: kind -> shortest and longest length of a detection, s (spotting).
        choices: kind -> threshold and top-k (spotting).
        choice: how overlapping proposals are resolved (spotting).
        classes: names of the classes (recognition).
        size_px: side of the onset-apex maps that it was trained on (recognition).
        preprocessing: stage -> options.
    """

    fitted: Any
    streams: Mapping[str, Mapping[str, Any]]
    limits_s: Mapping[str, tuple[float, float]]
    choices: Mapping[str, Choice]
    choice: ChoiceParams
    classes: tuple[str, ...]
    size_px: int
    preprocessing: Mapping[str, Mapping[str, Any]]


class _Trained(BaseModel):
    """What is taken from the description of a recogniser that a fold trained, in the form that the stage writes."""

    experiment: str
    method: str
    classes: tuple[str, ...]
    size_px: int = Field(ge=0, le=LARGEST)


class _Described(BaseModel):
    """What is taken from the description of a model, in the form that the stage `model` writes."""

    experiment: str
    method: str
    preprocessing: dict[str, dict[str, Any]]
    streams: dict[str, dict[str, Any]] = {}
    selection: dict[str, Choice] = {}
    duration_s: dict[str, tuple[float, float]] = {}
    classes: tuple[str, ...] = ()
    size_px: int = Field(0, ge=0, le=LARGEST)


def run(job: Job[ModelParams]) -> None:
    """Put what was trained and what was chosen into one file.

    Raises:
        UserError: when nothing was trained, or what was chosen belongs to something else.
    """
    path = job.input("trained")
    trained = bundle.read(path)
    _check_identity(path, trained.about, TRAINED)
    about = {**trained.about, "format": FORMAT, "microexp": __version__, "preprocessing": job.params.preprocessing}
    parts = {name: data for name, data in trained.parts.items() if name == "method.0"}
    if not parts:
        raise UserError(file=path, problem="nothing was trained", expected="a fold with training clips")
    if about.get("kind") == "spotting":
        if not job.inputs.get("selection"):
            raise UserError(file="command line", where="--selection", problem="missing", expected="that of the fold")
        about |= _chosen(job.input("selection"), trained.about)
    bundle.write(job.output("model"), bundle.Bundle(about, parts))


def _check_identity(path: Path, about: Mapping[str, Any], layout: str) -> None:
    for kind in ("spotting", "recognition"):
        check_identity(path, about, f"{kind}/{layout}")


def _chosen(path: Path, trained: Mapping[str, Any]) -> dict[str, Any]:
    """What a fold's `selection.json` adds to its model."""
    try:
        selection = json.loads(path.read_text(encoding="utf-8"))
        for name in ("experiment", "method", "fold"):
            if selection[name] != trained[name]:
                raise UserError(file=path, where=name, got=repr(selection[name]), expected=repr(trained[name]))
        chosen = selection["methods"][selection["method"]]["0"]
        return {
            "selection": {kind: chosen[kind] for kind in KINDS},
            "choice": selection["options"],
            "duration_s": {kind: selection["duration_s"][kind] for kind in KINDS},
            "chosen_on": chosen["chosen_on"],
        }
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            file=path, problem=f"{type(error).__name__}: {error}", expected="a selection.json of the stage detect"
        ) from error


def streams_of(path: Path) -> list[str]:
    """The feature streams that a spotting model reads.

    Raises:
        UserError: when it is no model.
    """
    return list(bundle.read(path).about.get("streams", {}))


def read_method(path: Path, kind: str) -> NamedMethod:
    """Which method a model file holds, without what it has learnt: no network is built.

    Raises:
        UserError: as `read_model`, as far as the method and its options go.
    """
    return _method_of(path, kind, bundle.read(path))[0]


def read_model(path: Path, kind: str) -> Model:
    """Read a model file; the class of a method of somebody else must be importable, and is trusted as any code is.

    Raises:
        UserError: when it is no model of this kind, or another one than its path says.
    """
    found = bundle.read(path)
    trained, settings, told = _method_of(path, kind, found)
    with _one_line(path, kind):
        kinds = KINDS if kind == "spotting" else ()
        choices, limits = {k: told.selection[k] for k in kinds}, {k: told.duration_s[k] for k in kinds}
        choice = validate(ChoiceParams, found.about.get("choice", {}), path, where="choice")
        fitted = trained.method.from_bytes(found.parts["method.0"], settings)
    return Model(
        path, kind, trained.name, trained.method, fitted, told.streams, limits, choices, choice, told.classes,
        told.size_px, told.preprocessing,
    )  # fmt: skip


def _method_of(path: Path, kind: str, found: bundle.Bundle) -> tuple[NamedMethod, Any, _Described]:
    """The method, its options and the description that came with it, checked."""
    about = found.about
    _check_identity(path, about, MODEL)
    if about.get("kind") != kind or about.get("format") != FORMAT or "method.0" not in found.parts:
        raise UserError(file=path, problem="another kind of file", expected=f"a {kind} model of the stage model")
    with _one_line(path, kind):
        method = find_method(kind, str(about["reference"]))
        if method.version != about["version"]:
            raise UserError(
                file=path, where="version", got=about["version"], expected=f"{method.version}, as the method is now"
            )
        settings = validate(method.Options, about["options"], path, where="options")
        told = validate(_Described, about, path)
    return NamedMethod(path, kind, f"{told.experiment}/{told.method}", method), settings, told


@contextmanager
def _one_line(path: Path, kind: str) -> Iterator[None]:
    """What a file of another form raises, as one line about the file."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            file=path, problem=f"{type(error).__name__}: {error}", expected=f"a {kind} model of the stage model"
        ) from error


def check_preprocessing(model: Model, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Data must be made as those were that the model was trained on.

    Args:
        model: to be applied.
        found: stage -> options that the data were made with.

    Raises:
        UserError: naming the first option that differs.
    """
    for stage, options in model.preprocessing.items():
        for name, value in options.items():
            got = found.get(stage, {}).get(name, value)
            if got != value:
                raise UserError(
                    file=model.path, where=f"{stage}.{name}", got=repr(got), expected=f"{value!r}, as in training"
                )


def read_trained(path: Path) -> Model | None:
    """The recognition method that a fold trained, to be applied to what was spotted; None where nothing was trained.

    Raises:
        UserError: when it is no file of the stage `recognition-fold`, or the method has another version now.
    """
    found = bundle.read(path)
    about = found.about
    try:
        if about["stage"] != "recognition-fold":
            raise ValueError(f"made by the stage {about['stage']}")
        if "method.0" not in found.parts:
            return None
        method = find_method("recognition", str(about["reference"]))
        if method.version != about["version"]:
            raise UserError(
                file=path, where="version", got=about["version"], expected=f"{method.version}, as the method is now"
            )
        told = validate(_Trained, about, path)
        fitted = method.from_bytes(
            found.parts["method.0"], validate(method.Options, about["options"], path, where="options")
        )
        return Model(
            path, "recognition", f"{told.experiment}/{told.method}", method=method, fitted=fitted, streams={},
            limits_s={}, choices={}, choice=ChoiceParams(), classes=told.classes, size_px=told.size_px,
            preprocessing={},
        )  # fmt: skip
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            file=path, problem=f"{type(error).__name__}: {error}", expected="what the stage recognition-fold trained"
        ) from error
