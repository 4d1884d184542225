"""AEM-Net on a made-up data set of real size: seconds of a step, memory, and CPU-hours of a whole experiment.

    python benchmarks/spotting.py                      # CAS(ME)^2, recommended settings; a minute on one core
    python benchmarks/spotting.py --settings authors   # the authors' streams and widths; two minutes, 4 GB
    python benchmarks/spotting.py --set samm_lv --device cuda --steps 100

Features are noise of the right size, expressions as many as in the real data. Every step costs the same, so an epoch of
a few steps is timed, after one to warm up, and scaled up; so are the proposals of one video. The hours are those of one
seed: the trainings of every fold, and the proposals for its calibration and its held-out subject. Preprocessing is what
`microexp check` estimates. Of SAMM Long Videos 30 frames/s are kept.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from microexp.commands.check import cost
from microexp.config import parse
from microexp.methods.spotting.aemnet.features import FeatureStore, FeatureVideo
from microexp.methods.spotting.aemnet.geometry import Geometry, Window, training_windows
from microexp.methods.spotting.aemnet.method import geometry_of
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.aemnet.proposals import propose
from microexp.methods.spotting.aemnet.training import WindowFeatures, batches, start_fit, train_many
from microexp.methods.spotting.base import SpottingVideo
from microexp.methods.spotting.params import SpottingFoldParams
from microexp.methods.training import reproducible
from microexp.records.features import Features, Files, Key, Layout, create_features, list_features
from microexp.records.index import Expression, Video
from microexp.records.shard import Subject
from microexp.run import provenance, yaml_file
from microexp.run.devices import pick_device

CONFIG = Path(__file__).resolve().parents[1] / "config.yaml"
STEP, FPS = 2, 30.0


@dataclass(frozen=True)
class DataSet:
    """Sizes of a data set.

    Attributes:
        frames: that are kept.
        source: frames and frames/s of the release.
        expressions: kind -> their number, and their shortest and longest length in frames that are kept.
    """

    subjects: int
    videos: int
    frames: int
    source: tuple[int, float]
    expressions: Mapping[str, tuple[int, tuple[int, int]]]


SETS = {
    "cas_me2": DataSet(
        22, 98, 254_094, (254_094, 30.0), {"macro": (300, (16, 118)), "micro": (57, (8, 16))}
    ),
    "samm_lv": DataSet(
        30, 147, 72_420, (482_797, 200.0), {"macro": (343, (16, 118)), "micro": (159, (8, 16))}
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is trained.

    Attributes:
        streams: stream -> its channels.
        options: of the method.
        calibrate: as in `select`.
    """

    streams: Mapping[str, int]
    options: dict[str, Any]
    calibrate: str


def settings_of(name: str) -> Settings:
    """The authors' settings with a held-out share of the subjects, or those that `config.yaml` recommends."""
    if name == "authors":
        return Settings({"i3d_rgb": 1024, "i3d_flow": 1024}, {}, "held_out")
    method = yaml_file.read(CONFIG)["spotting"]["demo"]["methods"]["aemnet_motion"]
    options = {key: value for key, value in method.items() if key != "method"}
    return Settings({"motion": 165}, options, "inner_folds")


def write_shards(folder: Path, data: DataSet, settings: Settings, generator: np.random.Generator) -> list[Path]:
    """Shards of noise for the training subjects of a fold."""
    subjects = data.subjects - 1
    per_video = data.frames // data.videos
    names = [f"s{subject:02d}" for subject in range(subjects)]
    paths = [folder / stream / "made_up" / f"{name}.h5" for stream in settings.streams for name in names]
    for path in paths:
        channels = settings.streams[path.parent.parent.name]
        with create_features(path, path.parent.parent.name, Subject.of_path(path)) as shard:
            for video in range(int(path.stem[1:]), data.videos * subjects // data.subjects, subjects):
                features = generator.random(((per_video - 8) // STEP + 1, channels), np.float32)
                shard.add(f"v{video:03d}", features, Layout(STEP, 8, FPS), frame_index=np.arange(per_video))
        provenance.write_provenance(path, {"stage": path.parent.parent.name})
    return paths


def read_videos(paths: list[Path], files: Files, streams: tuple[str, ...]) -> list[FeatureVideo]:
    """The streams of every video, side by side."""
    found: dict[Key, dict[str, Features]] = {}
    for item in list_features(paths, files):
        found.setdefault(item.key, {})[item.stream] = item
    return [
        FeatureVideo.of(SpottingVideo(*key, own[streams[0]].n_frames, FPS, own), streams) for key, own in found.items()
    ]


def draw_expressions(
    data: DataSet, videos: list[FeatureVideo], generator: np.random.Generator
) -> dict[Key, list[Expression]]:
    """As many expressions of either kind as the training subjects have, at random places."""
    found: dict[Key, list[Expression]] = {}
    for kind, (number, lengths) in data.expressions.items():
        for k in range(number * (data.subjects - 1) // data.subjects):
            video = videos[int(generator.integers(len(videos)))]
            key = video.dataset, video.subject, video.video
            length = int(generator.integers(*lengths))
            onset = int(generator.integers(0, video.n_frames - length))
            item = Expression(*key, k, onset, onset, onset + length - 1, kind, "", "")
            found.setdefault(key, []).append(item)
    return found


def clock(device: torch.device) -> float:
    """Seconds: of the CPU where it computes (other jobs do not count), of the wall where a GPU does."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


@dataclass(frozen=True)
class Timed:
    """Seconds of one step of one fit outside of the network and inside it, and of the proposals for a frame."""

    outside: float
    inside: float
    frame: float


def time_parts(
    store: FeatureStore,
    windows: list[Window],
    geometry: Geometry,
    options: AemnetParams,
    device: torch.device,
    *,
    fits: int,
) -> Timed:
    """An epoch of `fits` trainings side by side on `windows`, and what one of them proposes for a video."""
    steps = batches(np.arange(len(windows)), options.batch_size)
    features = WindowFeatures(windows, store, geometry.window_steps, device=device)
    start = clock(device)
    for chosen in steps:
        features(chosen[None])
    read = clock(device) - start
    video = windows[0].video
    trained = [
        start_fit(k, in_channels=video.n_channels, geometry=geometry, options=options, device=device)
        for k in range(fits)
    ]
    ends: list[float] = []
    train_many(
        trained, [windows] * fits, store, geometry=geometry, options=options, device=device,
        after_epoch=lambda done: ends.append(clock(device)),
    )  # fmt: skip
    per_fit = (ends[1] - ends[0]) / len(steps) / (fits if len(ends) == 2 else 1)
    start = clock(device)
    propose([trained[0].network], video, store, geometry=geometry, options=options, device=device)
    return Timed(read / len(steps), per_fit - read / len(steps), (clock(device) - start) / video.n_frames)


def hours_of(data: DataSet, settings: Settings, options: AemnetParams, timed: Timed, steps: int) -> tuple[float, float]:
    """Hours that the trainings of all folds take, and those that their proposals take, for one seed."""
    params = SpottingFoldParams.model_fields
    if settings.calibrate == "held_out":
        share = calibrated = float(params["held_out_share"].default)
        epochs = options.epochs * (1 - share)
    else:
        folds = int(params["inner_folds"].default)
        epochs, calibrated = options.epochs * (folds * (1 - 1 / folds) + 1), 1.0
    training = data.subjects * epochs * steps * (timed.outside + timed.inside)
    part = data.frames / data.subjects
    proposals = data.subjects * timed.frame * part * (calibrated * (data.subjects - 1) + 1)
    return training / 3600, proposals / 3600


def preprocessing_hours(name: str, data: DataSet, settings: Settings) -> float:
    """What `microexp check` estimates, from frames to features."""
    methods = {"aemnet": settings.options}
    config = parse(
        {
            "datasets": {name: {"root": "x", "fps": FPS}},
            "spotting": {"x": {"datasets": [name], "methods": methods}},
        },
        "benchmark",
    )
    frames, fps = data.source
    videos = [
        Video(name, f"s{k % data.subjects:02d}", f"v{k}", "-", frames // data.videos, fps, 1, 1)
        for k in range(data.videos)
    ]
    return cost(config, name, videos).hours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="cas_me2")
    parser.add_argument("--settings", choices=("recommended", "authors"), default="recommended")
    parser.add_argument("--frames", type=int, help="frames of the made-up data set, for a quick look")
    parser.add_argument("--steps", type=int, default=4, help="steps of the epoch that is timed")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    settings, device, data = settings_of(args.settings), pick_device(args.device), SETS[args.set]
    if args.frames:
        data = DataSet(data.subjects, data.videos, args.frames, (args.frames, FPS), data.expressions)
    whole = AemnetParams.model_validate(settings.options)
    options = whole.model_copy(update={"epochs": 2, "warmup_epochs": 0})
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="microexp-spotting-") as folder, reproducible(device), Files() as files:
        paths = write_shards(Path(folder), data, settings, generator)
        videos = read_videos(paths, files, tuple(settings.streams))
        geometry = geometry_of(options, STEP)
        windows = training_windows(
            videos, draw_expressions(data, videos, generator), geometry, stride_frames=options.train_stride_frames,
            inside=options.inside_share, empty_ratio=options.empty_ratio, seed=0,
        )  # fmt: skip
        some = generator.permutation(len(windows))[: args.steps * options.batch_size]
        store = FeatureStore(videos, centre=options.centre == "video")
        fits = 1 if settings.calibrate == "held_out" else 4
        timed = time_parts(store, [windows[i] for i in some], geometry, options, device, fits=fits)
    steps = len(batches(np.arange(len(windows)), options.batch_size))
    size = sum(v.n_steps * v.n_channels for v in videos) * 4 / 1e9
    training, proposals = hours_of(data, settings, whole, timed, steps)
    before = preprocessing_hours(args.set, data, settings)
    share = 100 * timed.outside / (timed.outside + timed.inside)
    print(f"{args.set}, {args.settings}: {sum(v.n_frames for v in videos)} frames, {size:.2f} GB of features in a fold")
    print(f"{len(windows)} windows, {steps} steps per epoch, device {device}, 1 CPU thread, torch {torch.__version__}")
    print(f"step of one of {fits} fits: {1e3 * timed.outside:.1f} ms outside the network ({share:.1f} %), ", end="")
    print(f"{1e3 * timed.inside:.1f} ms inside it; proposals {1e3 * timed.frame:.2f} ms a frame")
    print(f"hours for one seed, {data.subjects} folds: preprocessing {before:.1f} (estimate of check), ", end="")
    print(f"training {training:.1f}, proposals {proposals:.1f}; in all {before + training + proposals:.1f}")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if device.type == "cuda":
        print(f"peak GPU memory: {torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
