"""Flow maps that others published, as clips and as `apexdiff` shards: real features where the videos are not at hand.

Two forms are read. An npz with `flow` (N, h, w, 3) uint8, `channels` (the names u, v and os or strain), `label`,
`subject`, `dataset`, `sample`. Or an index CSV `dataset,subject,sample,label,u,v,strain`, whose last three columns name
grey images relative to the CSV (`strain` may be missing).

Such maps are usually min-maxed per image: the magnitude is lost for good, and zero motion has another grey level in
each. That level is estimated as the most frequent value of the image (most of a face rests), or taken as the middle of
the range; and an image may be divided by its root mean square, which depends less on two extreme pixels than its range.
They hold no grey-level difference, so MDML's second view is a surrogate; say so wherever a number from them is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from microexp import storage
from microexp.errors import UserError
from microexp.names import check_name
from microexp.recognition.clips import Clips

CHANNELS = ("u", "v", "strain")
MEGC_CLASSES = ("negative", "positive", "surprise")
Zero = Literal["mode", "middle"]
Scale = Literal["rms", "range"]


def read_npz(path: Path, classes: Sequence[str] = MEGC_CLASSES, zero: Zero = "mode", scale: Scale = "rms") -> Clips:
    """Read an npz of flow maps.

    Args:
        path: the file.
        classes: names of labels 0, 1, ...; they become the clips' emotions.
        zero: how the level of zero motion is found.
        scale: what an image is divided by.

    Raises:
        UserError: when a key is missing or the parts do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            flow, label = data["flow"], data["label"]
            subject, dataset, sample = (data[n].astype(str) for n in ("subject", "dataset", "sample"))
            names = [str(c) for c in data["channels"]]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(path, None, error, "an npz with flow, label, subject, dataset, sample, channels") from error
    names = ["strain" if n == "os" else n for n in names]
    if flow.ndim != 4 or flow.shape[-1] != len(names) or sorted(names) != sorted(CHANNELS):
        raise UserError(path, "flow", f"{flow.shape} of {names}", "(N, h, w, 3) of u, v, os")
    if len({len(a) for a in (flow, label, subject, dataset, sample)}) > 1:
        raise UserError(path, None, "parts of different length", "one entry per clip in each")
    if len(label) and not 0 <= label.min() <= label.max() < len(classes):
        raise UserError(path, "label", int(label.max()), f"0 to {len(classes) - 1}")
    maps = np.moveaxis(flow[..., [names.index(c) for c in CHANNELS]], -1, 1)
    emotions = np.array([classes[k] for k in label], dtype=str)
    return _clips(centred(maps, zero, scale), dataset, subject, sample, emotions)


def read_index(path: Path, zero: Zero = "mode", scale: Scale = "rms") -> Clips:
    """Read a folder of grey images through its index CSV; labels there are the emotions' or classes' names.

    Raises:
        UserError: when the CSV lacks a column, or an image is missing or of another size than the first.
    """
    import cv2

    rows = storage.read_csv(path, ("dataset", "subject", "sample", "label", "u", "v"))
    maps = []
    for number, row in enumerate(rows, 2):
        images = []
        for channel in (c for c in CHANNELS if c in row):
            image = cv2.imread(str(path.parent / row[channel]), cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise UserError(path, f"row {number}, {channel}", repr(row[channel]), "an image beside the index")
            images.append(image)
        if len(images) < len(CHANNELS):
            images.append(np.zeros_like(images[0]))
        maps.append(images)
        if {i.shape for i in images} != {maps[0][0].shape}:
            raise UserError(path, f"row {number}", [i.shape for i in images], f"images of {maps[0][0].shape}")
    if not rows:
        raise UserError(path, None, "no row", "one row per clip")
    dataset, subject, sample, label = (
        np.array([row[c] for row in rows], dtype=str) for c in ("dataset", "subject", "sample", "label")
    )
    return _clips(centred(np.array(maps), zero, scale), dataset, subject, sample, label)


def _clips(
    maps: np.ndarray, dataset: np.ndarray, subject: np.ndarray, sample: np.ndarray, emotion: np.ndarray
) -> Clips:
    for name, values in (("dataset", dataset), ("subject", subject), ("sample", sample)):
        for value in np.unique(values):
            check_name(str(value), name, "flow maps")
    count = len(maps)
    return Clips(
        maps=maps,
        dataset=dataset,
        subject=subject,
        video=sample,
        expression=np.ones(count, dtype=np.int64),
        kind=np.full(count, "micro"),
        emotion=np.char.lower(emotion),
        channels=CHANNELS,
    )


def centred(maps: np.ndarray, zero: Zero, scale: Scale) -> np.ndarray:
    """(N, 3, h, w) uint8 -> float32: u and v minus their level of zero motion, strain from 0; then by `scale`."""
    values = maps.astype(np.float32) / 255
    for clip, out in zip(maps, values, strict=True):
        for c in (0, 1):
            level = np.bincount(clip[c].ravel(), minlength=256).argmax() / 255 if zero == "mode" else 0.5
            out[c] -= np.float32(level)
    if scale == "rms":
        values /= np.sqrt(np.square(values).mean((2, 3), keepdims=True) + 1e-6)
    return values


def write_shards(clips: Clips, folder: Path, surrogate: Literal["strain", "v_minus_u"] = "strain") -> list[Path]:
    """Write `{folder}/{dataset}/{subject}.h5` in the form of the stage `apexdiff`.

    `difference` holds the surrogate of the second view (attribute `difference_is` says which); the onset is zero, and
    frames are unknown (-1).
    """
    u, v, strain = (clips.maps[:, clips.channels.index(c)] for c in CHANNELS)
    second = strain if surrogate == "strain" else np.abs(v) - np.abs(u)
    paths = []
    for name in np.unique(np.char.add(np.char.add(clips.dataset, "/"), clips.subject)):
        dataset, subject = str(name).split("/")
        rows = np.flatnonzero((clips.dataset == dataset) & (clips.subject == subject))
        path = folder / dataset / f"{subject}.h5"
        with storage.create_shard(path) as shard:
            storage.add_array(shard, "difference", second[rows])
            storage.add_array(shard, "flow", np.stack([u[rows], v[rows]], -1))
            storage.add_array(shard, "strain", strain[rows])
            storage.add_array(shard, "onset_grey", np.zeros_like(strain[rows]))
            for column in ("video", "kind", "emotion"):
                shard[column] = getattr(clips, column)[rows].astype(object)
            shard["aus"] = np.full(len(rows), "", dtype=object)
            shard["expression"] = clips.expression[rows].astype(np.int32)
            for column in ("onset", "apex", "offset"):
                shard[column] = np.full(len(rows), -1, dtype=np.int32)
            about = {"dataset": dataset, "subject": subject, "size": strain.shape[-1], "excluded": "[]"}
            storage.set_attributes(shard, {**about, "difference_is": f"{surrogate} (surrogate)"})
        record = {"stage": "flowmaps", "surrogate": surrogate, "clips": len(rows)}
        storage.write_provenance(path, record)
        paths.append(path)
    return paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp flowmaps`."""
    parser.add_argument("maps", type=Path, help="npz of flow maps, or index CSV of a folder of images")
    parser.add_argument("folder", type=Path, help="where the shards go: results/apexdiff")
    parser.add_argument("--zero", choices=("mode", "middle"), default="mode", help="level of zero motion")
    parser.add_argument("--scale", choices=("rms", "range"), default="rms", help="what an image is divided by")
    parser.add_argument("--second-view", choices=("strain", "v_minus_u"), default="strain", help="surrogate")


def main(args: argparse.Namespace) -> int:
    """`microexp flowmaps MAPS FOLDER`: write apexdiff shards."""
    how = {"zero": args.zero, "scale": args.scale}
    read = read_npz(args.maps, **how) if args.maps.suffix == ".npz" else read_index(args.maps, **how)
    paths = write_shards(read, args.folder, args.second_view)
    print(f"{len(read)} clips of {len(paths)} subjects written to {args.folder}")
    return 0
