"""The page of file formats in the documentation, made from what the records declare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from microexp.records import features
from microexp.records.shard import Array, Attribute, Kind, shape_text
from microexp.records.verify import KINDS

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


def page() -> str:
    """The page, Markdown."""
    return HEAD + "".join(_section(kind) for kind in (*KINDS.values(), features.KIND))


def _section(kind: Kind) -> str:
    arrays = [_array_row(name, array) for name, array in kind.arrays.items()]
    inner = [_attribute_row(f"{n}.{a}", v) for n, array in kind.arrays.items() for a, v in array.attributes.items()]
    attributes = [_attribute_row(name, attribute) for name, attribute in kind.attributes.items()]
    return (
        f"\n## {kind.stage}: {kind.about}\n"
        + _table(("array", "shape", "type", "what"), arrays)
        + _table(("attribute", "type", "", "what"), [*attributes, *inner])
    )


def _array_row(name: str, array: Array) -> tuple[str, ...]:
    about = array.about + (" (not in every file)" if array.optional else "")
    return f"`{name}`", f"`{shape_text(array.shape)}`", array.dtype, about


def _attribute_row(name: str, attribute: Attribute) -> tuple[str, ...]:
    needed = "" if attribute.needed == "usable" else attribute.needed
    return f"`{name}`", attribute.type, needed, attribute.about


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
