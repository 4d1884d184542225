"""The reference of all options, `docs/configuration.md`, made from the models of the configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from microexp.config import Config
from microexp.methods.find import SHIPPED, find_method


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
