"""What a stage is: a step of the pipeline, which is at once a module, a sub-command and a Snakemake rule.

A stage's module holds pure functions and `run(job)`; its options are a frozen pydantic model in the package's
`params.py`. Everything else about it (files, units, help) is in one row of the table in `microexp.pipeline`.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails

from microexp.errors import UserError

LARGEST = 2**53
"""Options travel as JSON, which is exact up to here; sums of seeds stay far below what generators take."""


class Params(BaseModel):
    """Base of all options: frozen, a key that is not known is an error, and so is a number that is none or is vast."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_numbers(cls, value: Any) -> Any:
        parts = value if isinstance(value, (list, tuple)) else (value,)
        if any(isinstance(part, int) and abs(part) > LARGEST for part in parts):
            raise ValueError(f"a whole number of at most {LARGEST} (2^53)")
        return value


class NoParams(Params):
    """Options of a stage that has none."""


P = TypeVar("P", bound=Params)

Count = Literal["one", "optional", "many", "list"]
"""How many files an input takes; `list`: a file that lists them (`--name X.list`), as a stage `shards` wrote it."""
Unit = Literal["run", "dataset", "subject", "video", "list", "experiment", "fold", "model", "apply", "own video"]
"""What one job of a stage is about."""


@dataclass(frozen=True)
class Input:
    """A kind of file that a stage reads.

    Attributes:
        help: what it is.
        source: `stage.output` of the stage that writes it for the same unit, `plan.NAME` for what the plan of the run
            lists for the unit, or "" where only a user names it.
        count: how many files.
        passed: whether the command line names it; otherwise it only makes the stage run again when it changes.
        after: stages that write what the plan lists.
        tracked: whether another path makes the stage run again; otherwise only the command line names it.
    """

    help: str
    source: str = ""
    count: Count = "one"
    passed: bool = True
    after: tuple[str, ...] = ()
    tracked: bool = True

    @property
    def writers(self) -> tuple[str, ...]:
        """Stages that write it."""
        own = self.source.partition(".")[0]
        return self.after if own in ("plan", "") else (own,)


@dataclass(frozen=True)
class Output:
    """A file that a stage writes: its path, with a wildcard for each part of the unit, and what it is."""

    path: str
    help: str


@dataclass(frozen=True)
class Job(Generic[P]):
    """One run of a stage: what may change the result is in `inputs`, `params` and `keys`, not in threads and device."""

    inputs: Mapping[str, list[Path]]
    outputs: Mapping[str, Path]
    params: P
    keys: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    device: str = "auto"

    def input(self, name: str) -> Path:
        """The one file of input `name`."""
        (path,) = self.inputs[name]
        return path

    def output(self, name: str) -> Path:
        """The file to write for output `name`."""
        return self.outputs[name]


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline: one row of the table in `microexp.pipeline`.

    Attributes:
        name: sub-command; the rule has the same name with `_` for `-`.
        module: module with `run(job)`; imported only when the stage runs.
        help: one line.
        unit: what one job is about.
        inputs: name -> what it reads.
        outputs: name -> what it writes.
        options: `module:Class` of its options.
        keys: name -> help of plain strings that say which unit is worked on; wildcards of the same name give them.
        version: raised by whoever changes the stage's results, so that finished runs make them again.
        gpu: `always` (where there is one), `backend` (with certain backends, which the plan knows), `never`.
        drawn: whether diagrams show it.
    """

    name: str
    module: str
    help: str
    unit: Unit
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    options: str = "microexp.run.stage:NoParams"
    keys: Mapping[str, str] = field(default_factory=dict)
    version: int = 1
    gpu: Literal["always", "backend", "never"] = "never"
    drawn: bool = True

    @property
    def rule(self) -> str:
        """Name of its Snakemake rule."""
        return self.name.replace("-", "_")

    @property
    def params(self) -> type[Params]:
        """Class of its options (imports the module that holds it)."""
        found: type[Params] = named(self.options)
        return found

    @property
    def run(self) -> Callable[[Job[Any]], Mapping[str, Any] | None]:
        """Does the work; returns what else belongs into the provenance (device, weights …), or None."""
        found: Callable[[Job[Any]], Mapping[str, Any] | None] = importlib.import_module(self.module).run
        return found


def named(reference: str) -> Any:
    """The object that `module:Name` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


# Checks options against a model: the first problem becomes one line that names the key.

M = TypeVar("M", bound=BaseModel)
MEMBER = re.compile(r"[\[\]-]|^(int|float|str|bool|none)$|^[A-Z]")
"""What pydantic calls the members of a union: `constrained-int`, `literal['a','b']`, `list[str]`, `Options`."""


def validate(model: type[M], data: Mapping[str, Any], file: object, *, where: str = "") -> M:
    """`data` as `model`.

    Raises:
        UserError: for the first problem, naming `file` and the key; unknown keys come first.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
        path = _place(first, data)
        key = ".".join(([where] if where else []) + path)
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, path[:-1])
            close = difflib.get_close_matches(path[-1], known, 1)
            hint = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(sorted(known))
            raise UserError(file=file, where=key, problem="an unknown option", hint=hint) from error
        if first["type"] == "missing":
            raise UserError(file=file, where=key, problem="missing", expected="a value") from error
        expected = dict.fromkeys(_expected(e["msg"]) for e in errors if _place(e, data) == path)
        raise UserError(file=file, where=key, got=repr(first["input"]), expected=", or ".join(expected)) from error


def _place(error: ErrorDetails, data: Any) -> list[str]:
    """The keys and numbers that lead to an error, without the members of unions that pydantic puts between them."""
    found = []
    for part in error["loc"]:
        keys = data if isinstance(data, Mapping) else range(len(data)) if isinstance(data, list | tuple) else ()
        inside = part in keys
        if inside or isinstance(part, int) or not MEMBER.search(part):
            found.append(str(part))
        data = data[part] if inside else data
    return found


def _expected(message: str) -> str:
    """What pydantic's message expects, without its own words around it: `a value greater than or equal to 16`."""
    text = re.sub(r"^Value error, |, unable to (parse|interpret).*| or instance of \w+| after validation", "", message)
    text = re.sub(r"^Input should be (?!an? |')", "a value ", text)
    text = re.sub(r"^(Input should be|\w+ should have) ", "", text)
    return text[0].lower() + text[1:]


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
