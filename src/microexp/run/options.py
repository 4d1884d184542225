"""Checks options against a model: the first problem becomes one line that names the key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from microexp.errors import UserError

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
