"""Shards of the stage `apexdiff`: what happens in the face between onset and apex of every expression of a subject.

They have no group per video, but a row per expression. Other programs write them as well: see `microexp flowmaps` and
`microexp rendered`, which have neither onset nor apex of a video.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.records.shard import Array, Attribute, Kind, Subject, create_file, open_file
from microexp.run.shard_files import add_array, set_attributes

ARRAYS = {
    "difference": Array(("N", "size", "size"), "float32", "apex - onset of each of the N expressions, grey levels"),
    "flow": Array(("N", "size", "size", 2), "float32", "x, y motion from onset to apex, px of the stored grid"),
    "strain": Array(("N", "size", "size"), "float32", "magnitude of the optical strain of that flow, px per px"),
    "onset_grey": Array(("N", "size", "size"), "float32", "the onset itself, grey levels"),
    "video": Array(("N",), "text", "name of the video"),
    "expression": Array(("N",), "int32", "number of the expression within the video, from 1"),
    "onset": Array(("N",), "int32", "0-based index into the decoded video; -1 where it is unknown"),
    "apex": Array(("N",), "int32", "the same"),
    "offset": Array(("N",), "int32", "the same"),
    "kind": Array(("N",), "text", "micro or macro"),
    "emotion": Array(("N",), "text", "the release's own term"),
    "aus": Array(("N",), "text", "action units such as 4+7+L10"),
}
ATTRIBUTES = {
    "size": Attribute("int", "side of the maps, px", "always"),
    "excluded": Attribute("text", "JSON list of [video, reason] for each expression that cannot be used", "always"),
    "difference_is": Attribute("text", "what `difference` holds where it is no difference of images", "sometimes"),
}
KIND = Kind(
    "apexdiff", "difference, flow and strain from onset to apex", ARRAYS, attributes=ATTRIBUTES, per_video=False
)


@dataclass(frozen=True)
class Apexdiff:
    """N expressions of a subject; each array is described in `ARRAYS`.

    Attributes:
        difference, strain, onset_grey: (N, s, s) float32.
        flow: (N, s, s, 2) float32.
        expression, onset, apex, offset: (N,) integers.
        video, kind, emotion, aus: (N,) text.
        excluded: (video, reason) for each expression that cannot be used.
        difference_is: empty, or what `difference` holds instead.
    """

    difference: np.ndarray
    flow: np.ndarray
    strain: np.ndarray
    onset_grey: np.ndarray
    video: Sequence[str] | np.ndarray
    expression: Sequence[int] | np.ndarray
    onset: Sequence[int] | np.ndarray
    apex: Sequence[int] | np.ndarray
    offset: Sequence[int] | np.ndarray
    kind: Sequence[str] | np.ndarray
    emotion: Sequence[str] | np.ndarray
    aus: Sequence[str] | np.ndarray
    excluded: tuple[tuple[str, str], ...] = ()
    difference_is: str = ""

    def __len__(self) -> int:
        return len(self.difference)

    def row(self, video: str, expression: int) -> int | None:
        """The row of an expression, or None."""
        rows = [i for i, key in enumerate(zip(self.video, self.expression, strict=True)) if key == (video, expression)]
        return rows[0] if rows else None


def read_apexdiff(path: Path) -> tuple[Subject, Apexdiff]:
    """Whom a shard is of, and what it holds.

    Raises:
        UserError: see `shard.open_file`.
    """
    with open_file(path, KIND) as (file, subject):
        arrays = {
            name: np.asarray(file[name].asstr()[()], dtype=str) if array.dtype == "text" else file[name][()]
            for name, array in ARRAYS.items()
        }
        listed = json.loads(file.attrs["excluded"])
        about = str(file.attrs.get("difference_is", ""))
    return subject, Apexdiff(**arrays, excluded=tuple((str(v), str(r)) for v, r in listed), difference_is=about)


def write_apexdiff(path: Path, subject: Subject, record: Apexdiff) -> None:
    """Write a shard; without an expression its arrays are empty.

    Raises:
        UserError: see `shard.create_file`.
    """
    import h5py

    with create_file(path, KIND, subject) as file:
        for name, array in ARRAYS.items():
            values = getattr(record, name)
            if array.dtype == "text":
                data = np.array([str(v) for v in values], dtype=object)
                file.create_dataset(name, data=data, dtype=h5py.string_dtype("utf-8"))
            elif array.dtype == "int32":
                file.create_dataset(name, data=np.asarray(values, np.int32))
            else:
                add_array(file, name, np.asarray(values, np.float32))
        listed = json.dumps([list(entry) for entry in record.excluded])
        set_attributes(file, {"size": record.difference.shape[-1], "excluded": listed})
        if record.difference_is:
            set_attributes(file, {"difference_is": record.difference_is})
