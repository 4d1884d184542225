"""Flow maps that others published, as clips and as `apexdiff` shards: real features where the videos are not at hand.

Two forms are read; names of keys and columns in any case, `os` (optical strain) for `strain`. An npz with `flow`
(N, h, w, C) or (N, C, h, w), `label`, `subject`, `dataset`, `sample` and, unless they are u, v, strain, `channels`. Or
an index CSV `dataset,subject,sample,label,u,v,strain`; the last three columns name grey images relative to the CSV.
`strain` may be missing. One column `image` may name colour images instead, where red is u, green v and blue strain
(`order="bgr"`: the other way round). A further key or column `aus` may hold action units (`4+7+L10`).

What the numbers mean is found in them, see `rest`. The maps hold no grey-level difference, so MDML's second view is a
surrogate; say so wherever a number from them is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microexp.apexdiff.rest_level import Scale, Zero, centred
from microexp.datasets import protocols
from microexp.errors import UserError
from microexp.records.apexdiff import write_apexdiff
from microexp.records.clips import ALL_CHANNELS, Clips, split
from microexp.run import provenance, storage
from microexp.run.names import check_name

CHANNELS = ("u", "v", "strain")
COLUMNS = ("dataset", "subject", "sample", "label")
UNITS = "aus"
Order = Literal["rgb", "bgr"]
SecondView = Literal["strain", "v_minus_u"]


def read_maps(
    path: Path,
    classes: Sequence[str] = protocols.CLASSES,
    zero: Zero | None = None,
    *,
    scale: Scale | None = None,
    order: Order = "rgb",
) -> Clips:
    """Read an npz or an index CSV.

    Args:
        path: the file.
        classes: what labels 0, 1, ... mean; labels that are words stay as they are. They become the clips' emotions.
        zero: how the level of zero motion is found, see `rest.centred`.
        scale: what an image is divided by, see `rest.centred`.
        order: of the channels in colour images.

    Raises:
        UserError: naming what is missing, does not fit, or occurs twice.
    """
    maps, channels, columns = _npz(path) if path.suffix.lower() == ".npz" else _index(path, order)
    if len({len(maps), *map(len, columns.values())}) > 1:
        raise UserError(file=path, problem="parts of different length", expected="one entry per clip in each")
    if maps.shape[-1] != maps.shape[-2]:
        raise UserError(
            file=path, where="flow", problem=f"maps of {maps.shape[-2]} x {maps.shape[-1]} px", expected="square ones"
        )
    kept = [c for c in CHANNELS if c in channels]
    ordered = maps[:, [channels.index(c) for c in kept]]
    names = {n: np.array([clean_name(str(v), n, path) for v in columns[n]], dtype=str) for n in COLUMNS[1:3]}
    dataset = [clean_name(protocols.dataset_name(str(v)), "dataset", path) for v in columns["dataset"]]
    clips = Clips(
        maps=centred(ordered, zero, scale, file=path),
        dataset=np.array(dataset, dtype=str),
        subject=names["subject"],
        video=names["sample"],
        expression=np.ones(len(maps), dtype=np.int64),
        kind=np.full(len(maps), "micro"),
        emotion=np.array([_label(v, classes, path, row) for row, v in enumerate(columns["label"], 1)], dtype=str),
        channels=tuple(kept),
        aus=np.array([str(v) for v in columns.get(UNITS, [])], dtype=str),
    )
    _check_once(clips, path)
    return clips


def clean_name(name: str, what: str, file: object) -> str:
    """`name` with anything but letters, digits, `_` and `.` (folders, spaces, dashes) turned into `_`.

    Raises:
        UserError: when nothing is left that can be a name.
    """
    return check_name(re.sub(r"[^A-Za-z0-9_.]+|\.{2,}", "_", name).strip("_."), what, file)


def _label(value: object, classes: Sequence[str], file: Path, row: int) -> str:
    """The name of a class from its number, as an integer, a float or text; a word in lower case."""
    word = str(value).strip().lower()
    if re.fullmatch(r"-?\d+(\.0*)?", word):
        number = int(float(word))
        if 0 <= number < len(classes):
            return classes[number].lower()
    elif re.search("[a-z]", word) and word != "nan":
        return word
    raise UserError(
        file=file,
        where=f"clip {row}, label",
        got=repr(word),
        expected=f"a class's name, or a number from 0 to {len(classes) - 1}",
    )


def _check_once(clips: Clips, file: Path) -> None:
    seen: set[tuple[object, ...]] = set()
    for row in range(len(clips)):
        if clips.key(row) in seen:
            raise UserError(
                file=file, where="/".join(clips.key(row)[:3]), problem="this clip twice", expected="each clip once"
            )
        seen.add(clips.key(row))


def _npz(path: Path) -> tuple[np.ndarray, list[str], Mapping[str, Any]]:
    """Maps (N, C, h, w), the names of the C channels, and the columns of an npz."""
    try:
        with np.load(path, allow_pickle=False) as data:
            keys = {name.lower(): name for name in data.files}
            flow = data[keys["flow"]]
            columns = {name: _text(data[keys[name]]) for name in (*COLUMNS, *([UNITS] if UNITS in keys else []))}
            given = data[keys["channels"]].astype(str).tolist() if "channels" in keys else []
    except KeyError as error:
        raise UserError(
            file=path, problem=f"no {error}", expected="flow, label, subject, dataset and sample"
        ) from error
    except (OSError, ValueError) as error:
        hint = "save text with .astype(str)" if "pickle" in str(error) else None
        raise UserError(file=path, problem=error, expected="an npz of plain arrays", hint=hint) from error
    channels = [_channel(name) for name in given or CHANNELS]
    if flow.ndim == 4 and flow.shape[-1] == len(channels):
        flow = np.moveaxis(flow, -1, 1)
    if flow.ndim != 4 or flow.shape[1] != len(channels) or not {"u", "v"} <= set(channels) <= set(CHANNELS):
        raise UserError(
            file=path,
            where="flow",
            problem=f"{flow.shape} of {channels}",
            expected="(N, h, w, 3) of u, v and strain (os)",
        )
    return flow, channels, columns


def _text(values: np.ndarray) -> np.ndarray:
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values.astype(str)


def _channel(name: str) -> str:
    return {"os": "strain"}.get(name.strip().lower(), name.strip().lower())


def _index(path: Path, order: Order) -> tuple[np.ndarray, list[str], Mapping[str, Any]]:
    """Maps (N, C, h, w), the names of the C channels, and the columns of an index CSV."""
    rows = [{_channel(k): v for k, v in row.items()} for row in storage.read_csv(path, ())]
    if not rows:
        raise UserError(file=path, problem="no row", expected="one row per clip")
    images = [c for c in CHANNELS if c in rows[0]]
    for column in (*COLUMNS, *(("image",) if "image" in rows[0] else ("u", "v"))):
        if column not in rows[0]:
            raise UserError(file=path, where="header", problem=",".join(rows[0]), expected=f"a column {column!r}")
    maps = []
    for number, row in enumerate(rows, 2):
        if "image" in row:
            colours = _image(path, number, row, "image", colour=True)  # blue, green, red
            maps.append(np.moveaxis(colours if order == "bgr" else colours[..., ::-1], -1, 0))
        else:
            maps.append(_stacked(path, number, [_image(path, number, row, c) for c in images]))
        if maps[-1].shape != maps[0].shape:
            raise UserError(file=path, where=f"row {number}", got=maps[-1].shape, expected=f"images of {maps[0].shape}")
    columns = {c: [row[c] for row in rows] for c in (*COLUMNS, *([UNITS] if UNITS in rows[0] else []))}
    return np.array(maps), list(CHANNELS) if "image" in rows[0] else images, columns


def _image(path: Path, number: int, row: Mapping[str, str], column: str, colour: bool = False) -> np.ndarray:
    import cv2

    read = cv2.imread(str(path.parent / row[column]), cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE)
    if read is None:
        raise UserError(
            file=path,
            where=f"row {number}, {column}",
            got=repr(row[column]),
            expected="an image, relative to the index",
        )
    return np.asarray(read)


def _stacked(path: Path, number: int, images: Sequence[np.ndarray]) -> np.ndarray:
    if len({i.shape for i in images}) > 1:
        raise UserError(file=path, where=f"row {number}", got=[i.shape for i in images], expected="images of one size")
    return np.stack(images)


def with_second_view(clips: Clips, surrogate: SecondView) -> Clips:
    """Clips with all channels of an `apexdiff` shard: `difference` holds the surrogate, and the onset is zero.

    Raises:
        UserError: when there is no strain.
    """
    if "strain" not in clips.channels:
        raise UserError(
            file="flow maps",
            where="channels",
            problem=", ".join(clips.channels),
            expected="u, v and strain, which a shard needs",
        )
    u, v, strain = (clips.maps[:, clips.channels.index(c)] for c in CHANNELS)
    second = strain if surrogate == "strain" else np.abs(v) - np.abs(u)
    return replace(clips, maps=np.stack([second, u, v, strain, np.zeros_like(u)], 1), channels=ALL_CHANNELS)


def write_shards(clips: Clips, folder: Path, surrogate: SecondView = "strain") -> list[Path]:
    """Write `{folder}/{dataset}/{subject}.h5` in the form of the stage `apexdiff`.

    `difference` holds the surrogate of the second view (attribute `difference_is` says which); the onset is zero, and
    frames are unknown (-1).

    Raises:
        UserError: when there is no strain.
    """
    paths = []
    for who, record in split(with_second_view(clips, surrogate)).items():
        path = folder / who.dataset / f"{who.subject}.h5"
        write_apexdiff(path, who, replace(record, difference_is=f"{surrogate} (surrogate)"))
        provenance.write_provenance(path, {"stage": "flowmaps", "surrogate": surrogate, "clips": len(record)})
        paths.append(path)
    return paths


def count_lines(clips: Clips) -> list[str]:
    """A line per data set: subjects, clips, and clips of each emotion."""
    lines = []
    for dataset in np.unique(clips.dataset):
        part = clips.take(clips.dataset == dataset)
        emotions, numbers = np.unique(part.emotion, return_counts=True)
        of_each = ", ".join(f"{n} {e}" for e, n in zip(emotions, numbers, strict=True))
        lines.append(f"{dataset}: {len(np.unique(part.subject))} subjects, {len(part)} clips: {of_each}")
    return lines
