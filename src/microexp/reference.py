"""What the documentation lists from the code: every option of the configuration, and every kind of file of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from microexp.config import Config
from microexp.methods.find import SHIPPED, find_method
from microexp.records import features
from microexp.records.shard import Array, Attribute, Kind, shape_text
from microexp.records.verify import KINDS


def options_page() -> str:
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


# The page of file formats in the documentation, made from what the records declare.

HEAD = """# Files that stages exchange

Written by `python tools/docs_pages.py` from what `src/microexp/records/` declares; a test fails when it is not current.

Each is an HDF5 file `results/{stage}/{dataset}/{subject}.h5` (features: `results/features/{stream}/…`). Beside it lies
a record of what it was made from, `….h5.prov.json`. The file says of which data set, subject and stage it is. Whoever
opens it compares that with the path, checks what is listed here, and refuses what differs. So does `microexp verify`.

A file has a group per video (`apexdiff`: a row per expression instead). A group's attribute `excluded` is empty, or the
reason why the video cannot be used. In that case it holds no arrays, and only the attributes marked *always*.
In shapes equal names are equal numbers; a name of an attribute is its value. Frames are 0-based indices into the
decoded video.
"""


def formats_page() -> str:
    """The page, Markdown."""
    return HEAD + "".join(_section(kind) for kind in (*KINDS.values(), features.KIND))


def _section(kind: Kind) -> str:
    arrays = [_array_row(name, array) for name, array in kind.arrays.items()]
    inner = [_attribute_row(f"{n}.{a}", v) for n, array in kind.arrays.items() for a, v in array.attributes.items()]
    attributes = [_attribute_row(name, attribute) for name, attribute in kind.attributes.items()]
    return (
        f"\n## {kind.stage}: {kind.about}\n"
        + _rows(("array", "shape", "type", "what"), arrays)
        + _rows(("attribute", "type", "", "what"), [*attributes, *inner])
    )


def _array_row(name: str, array: Array) -> tuple[str, ...]:
    about = array.about + (" (not in every file)" if array.optional else "")
    return f"`{name}`", f"`{shape_text(array.shape)}`", array.dtype, about


def _attribute_row(name: str, attribute: Attribute) -> tuple[str, ...]:
    needed = "" if attribute.needed == "usable" else attribute.needed
    return f"`{name}`", attribute.type, needed, attribute.about


def _rows(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
