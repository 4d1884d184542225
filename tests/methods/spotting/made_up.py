"""Made-up shards in the pipeline's formats, with signals planted where the expressions are, and folds run on them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from microexp.methods.find import find_method
from microexp.methods.spotting import detect, fold
from microexp.methods.spotting.params import DetectParams, SpottingFoldParams
from microexp.pipeline import STAGES
from microexp.records import features as records
from microexp.records.index import Expression, Video, read_expressions, read_videos, write_expressions, write_videos
from microexp.records.shard import Subject
from microexp.run.stage import Job
from tests.shards import recorded

LENGTHS = {"micro": (9, 14), "macro": (22, 46)}
PLACES = ("brow_inner_left_v", "mouth_corner_left_v")
"""Channels of places, which networks read; the regions are the rule's."""
SPANS = ("brow_inner_left.span6", "cheek_left.span6", "mouth_corner_left.span6", "lid_upper_left.span6")
"""Displacement over six frames, which candidates and flags look at; the same numbers as of the first channels."""
REGIONS = ("region_brows", "region_eyes", "region_cheeks", "region_mouth", "region_chin")
JUNK = 520
"""Frames of the video that stands in the held-out subject's place in a canary's data."""


@dataclass(frozen=True)
class MadeUp:
    """Paths of a made-up data set."""

    folder: Path
    features: list[Path]
    expressions: Path
    videos: Path


def draw_expressions(
    dataset: str, subject: str, video: str, n_frames: int, generator: np.random.Generator, rate: int = 1
) -> list[Expression]:
    """Expressions of both kinds that do not overlap, `rate` times as long as at 30 frames/s."""
    found: list[Expression] = []
    position = int(generator.integers(5, 30))
    while True:
        kind = "micro" if generator.random() < 0.5 else "macro"
        length = rate * int(generator.integers(*LENGTHS[kind]))
        if position + length >= n_frames - 5:
            return found
        end = position + length - 1
        found.append(
            Expression(dataset, subject, video, len(found) + 1, position, (position + end) // 2, end, kind, "x", "")
        )
        position = end + int(generator.integers(30, 90))


def write_data(
    folder: Path,
    *,
    subjects: int = 5,
    n_frames: int = 400,
    channels: int = 16,
    step: int = 4,
    clip: int = 8,
    noise: float = 0.5,
    seed: int = 0,
    dataset: str = "fake",
    videos_per_subject: int = 1,
    rate: int = 1,
    index: np.ndarray | None = None,
) -> MadeUp:
    """Shards of the streams `i3d_rgb` and `motion`, and the index of a data set; its last video has no expression.

    Videos have `n_frames` frames, `rate` times 30 a second, of which `index` are kept (none: all).
    """
    index = np.arange(n_frames) if index is None else index
    generator = np.random.default_rng(seed)
    expressions: list[Expression] = []
    videos: list[Video] = []
    for s in range(subjects):
        subject = f"s{s:02d}"
        paths = [folder / "features" / stream / dataset / f"{subject}.h5" for stream in ("i3d_rgb", "motion")]
        with create(paths[0]) as rgb, create(paths[1]) as motion:
            for v in range(videos_per_subject):
                name = f"{subject}_{v}"
                still = (s, v) == (subjects - 1, videos_per_subject - 1) and subjects * videos_per_subject > 3
                planted = [] if still else draw_expressions(dataset, subject, name, n_frames, generator, rate)
                expressions += planted
                videos.append(Video(dataset, subject, name, "-", n_frames, 30.0 * rate, 64, 64))
                layout = records.Layout(step, clip, 30.0)
                write_features(rgb, name, planted, layout, index, channels=channels, noise=noise, generator=generator)
                write_motion(motion, name, planted, n_frames, 30.0 * rate, generator)
    write_expressions(folder / "index" / dataset / "expressions.csv", expressions, videos)
    write_videos(folder / "index" / dataset / "videos.csv", videos)
    return found_in(folder, dataset)


@contextmanager
def create(path: Path) -> Iterator[records.FeaturesWriter]:
    """A shard of features with its record; the path says of which subject it is."""
    stream = records.unit_of(path)[0]
    with records.create_features(path, stream, Subject.of_path(path)) as shard:
        yield shard
    recorded(path, stream)


@contextmanager
def edit(path: Path) -> Iterator[h5py.File]:
    """A shard of features to be changed, with a new record afterwards."""
    with h5py.File(path, "r+") as file:
        yield file
    recorded(path, records.unit_of(path)[0])


def found_in(folder: Path, dataset: str = "fake") -> MadeUp:
    """What `write_data` wrote below a folder."""
    return MadeUp(
        folder,
        sorted((folder / "features").glob(f"*/{dataset}/*.h5")),
        folder / "index" / dataset / "expressions.csv",
        folder / "index" / dataset / "videos.csv",
    )


def write_features(
    shard: records.FeaturesWriter,
    name: str,
    planted: Sequence[Expression],
    layout: records.Layout,
    index: np.ndarray,
    *,
    channels: int,
    noise: float,
    generator: np.random.Generator,
) -> None:
    """Features of which the first channels rise with micro-, the next ones with macro-expressions."""
    activity = np.zeros((int(index[-1]) + 1, 2))
    for item in planted:
        activity[item.onset : item.offset + 1, 0 if item.kind == "micro" else 1] = 1
    activity = activity[index]
    step, clip = layout.step_frame, layout.clip_frame
    n_steps = (len(index) - clip) // step + 1
    signal = np.stack([activity[step * i : step * i + clip].mean(0) for i in range(n_steps)])
    data = noise * generator.standard_normal((n_steps, channels))
    quarter = channels // 4
    for half in (0, channels // 2):
        data[:, half : half + quarter] += signal[:, :1] * 2
        data[:, half + quarter : half + 2 * quarter] += signal[:, 1:] * 2
    shard.add(name, data.astype(np.float32), layout, frame_index=index)


def write_motion(
    shard: records.FeaturesWriter,
    name: str,
    planted: Sequence[Expression],
    n_frames: int,
    fps: float,
    generator: np.random.Generator,
) -> None:
    """Magnitudes that are large while an expression comes and goes."""
    magnitude = 0.05 + 0.02 * generator.random((n_frames - 1, len(PLACES) + len(REGIONS)))
    for item in planted:
        third = max(2, (item.offset - item.onset) // 3)
        magnitude[item.onset : item.onset + third] += 0.3
        magnitude[item.offset - third : item.offset] += 0.3
    magnitude = np.concatenate([magnitude, magnitude[:, : len(SPANS)]], 1)
    layout = records.Layout(1, 2, fps, (*PLACES, *REGIONS, *SPANS))
    shard.add(name, magnitude.astype(np.float32), layout, frame_index=np.arange(n_frames))


def garble(data: MadeUp, folder: Path, dataset: str = "fake", subject: str = "s00", noise: float = 100.0) -> MadeUp:
    """A copy of the data in which one subject's features, motion and annotations are garbage."""
    shutil.copytree(data.folder, folder)
    generator = np.random.default_rng(99)
    copy = found_in(folder, dataset)
    with h5py.File(data.folder / "features/i3d_rgb" / dataset / f"{subject}.h5") as file:
        like = next(iter(file.values()))
        channels = like["features"].shape[1]
        layout = records.Layout(int(like.attrs["step_frames"]), int(like.attrs["clip_frames"]), 30.0)
    for path in copy.features:
        if path.stem != subject:
            continue
        with create(path) as shard:
            if records.unit_of(path)[0] == "motion":
                write_motion(shard, "other", [], JUNK, 30.0, generator)
            else:
                index = np.arange(JUNK)
                write_features(
                    shard, "other", [], layout, index, channels=channels, noise=noise, generator=generator
                )  # fmt: skip
    known = read_videos(data.videos)
    others = [e for e in read_expressions(data.expressions, known) if e.subject != subject]
    junk = [Expression(dataset, subject, "other", n, n, n + 1, 400 + n, "micro", "junk", "99") for n in range(1, 4)]
    videos = [Video(dataset, subject, "other", "-", JUNK, 30.0, 64, 64), *(v for v in known if v.subject != subject)]
    write_expressions(copy.expressions, [*junk, *others], videos)
    write_videos(copy.videos, videos)
    return copy


def run_fold(
    data: MadeUp | Sequence[MadeUp],
    out: Path,
    fold_name: str = "fake-s00",
    *,
    method: str = "aemnet",
    options: Mapping[str, Any] | None = None,
    detecting: Mapping[str, Any] | None = None,
    **protocol: Any,
) -> Path:
    """Run the stages `spotting-fold` and `detect` of one fold into the folder `out`.

    Args:
        data: data sets of the experiment.
        out: folder of the results.
        fold_name: who is held out.
        method: as the configuration names it; `made-up` is its row in the tables.
        options: of the method.
        detecting: of the stage `detect`.
        protocol: further options of the stage `spotting-fold`, such as `calibrate`.
    """
    sets = [data] if isinstance(data, MadeUp) else list(data)
    index = {"expressions": [d.expressions for d in sets], "videos": [d.videos for d in sets]}
    files = {
        name: out / Path(o.path).name for s in ("spotting-fold", "detect") for name, o in STAGES[s].outputs.items()
    }
    params = SpottingFoldParams(
        experiment="made", name="made_up", method=method, method_version=find_method("spotting", method).version,
        options=dict(options or {}), **protocol,
    )  # fmt: skip
    features = [path for d in sets for path in d.features]
    outputs = {n: files[n] for n in STAGES["spotting-fold"].outputs}
    fold.run(Job({"features": features, **index}, outputs, params, {"fold": fold_name}, device="cpu"))
    shared = {"people": params.people, "train_on": params.train_on}
    choosing = {"experiment": "made", "name": "made_up", **shared, **(detecting or {})}
    outputs = {n: files[n] for n in STAGES["detect"].outputs}
    detect.run(
        Job(
            {"proposals": [files["proposals"]], **index}, outputs, DetectParams.model_validate(choosing),
            {"fold": fold_name},
        )
    )  # fmt: skip
    return out
