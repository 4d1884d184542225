"""Training AEM-Net at full width on a made-up CAS(ME)^2-sized fold: time per epoch, share outside the
network, memory.

    python benchmarks/spotting.py            # 21 subjects, 250,000 frames, a few steps; about two minutes on one core
    python benchmarks/spotting.py --device cuda --steps 100

Features are noise of the right size (1 GB on disk, more than is kept in memory), expressions as many as in the real
data. An epoch has some 55 steps of 32 windows and every step costs the same, so an epoch of a few steps is timed, after
one to warm up, and scaled up.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from microexp.methods.reproducible import reproducible
from microexp.methods.spotting.aemnet.features import FeatureStore, FeatureVideo
from microexp.methods.spotting.aemnet.gather import WindowFeatures
from microexp.methods.spotting.aemnet.geometry import Geometry
from microexp.methods.spotting.aemnet.method import geometry_of
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.aemnet.targets import make_targets
from microexp.methods.spotting.aemnet.training import batches, start_fit, train_many
from microexp.methods.spotting.aemnet.windows import Window, training_windows
from microexp.methods.spotting.base import SpottingVideo
from microexp.records.features import Features, Files, Key, Layout, create_features, list_features
from microexp.records.index import Expression
from microexp.records.shard import Subject
from microexp.run import provenance
from microexp.run.devices import pick_device

SUBJECTS, VIDEOS = 21, 93
EXPRESSIONS = {"macro": (285, (16, 118)), "micro": (54, (8, 16))}


STREAMS, CHANNELS, STEP = ("i3d_rgb", "i3d_flow"), 1024, 2


def write_shards(folder: Path, frames: int, generator: np.random.Generator) -> list[Path]:
    """Shards of noise: 21 subjects, 93 videos, `frames` frames in all, two features of 1024 every other frame."""
    per_video = frames // VIDEOS
    paths = [folder / stream / "cas_me2" / f"s{subject:02d}.h5" for stream in STREAMS for subject in range(SUBJECTS)]
    for path in paths:
        with create_features(path, path.parent.parent.name, Subject.of_path(path)) as shard:
            for video in range(int(path.stem[1:]), VIDEOS, SUBJECTS):
                data = generator.random(((per_video - 8) // STEP + 1, CHANNELS), np.float32)
                shard.add(f"v{video:02d}", data, Layout(STEP, 8, 30.0), frame_index=np.arange(per_video))
        provenance.write_provenance(path, {"stage": path.parent.parent.name})
    return paths


def read_videos(paths: list[Path], files: Files) -> list[FeatureVideo]:
    """Both streams of every video, side by side."""
    found: dict[Key, dict[str, Features]] = {}
    for item in list_features(paths, files):
        found.setdefault(item.key, {})[item.stream] = item
    return [
        FeatureVideo.of(SpottingVideo(*key, streams[STREAMS[0]].n_frames, 30.0, streams), STREAMS)
        for key, streams in found.items()
    ]


def draw_expressions(videos: list[Key], n_frames: int, generator: np.random.Generator) -> dict[Key, list]:
    """As many expressions of either kind as 21 subjects of CAS(ME)^2 have, at random places."""
    found: dict[Key, list[Expression]] = {}
    for kind, (number, lengths) in EXPRESSIONS.items():
        for k in range(number):
            key = videos[int(generator.integers(len(videos)))]
            length = int(generator.integers(*lengths))
            onset = int(generator.integers(0, n_frames - length))
            item = Expression(*key, k, onset, onset, onset + length - 1, kind, "", "")
            found.setdefault(key, []).append(item)
    return found


def clock(device: torch.device) -> float:
    """Seconds: of the CPU where it computes (other jobs do not count), of the wall where a GPU does."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def time_steps(
    store: FeatureStore, windows: list[Window], geometry: Geometry, options: AemnetParams, device: torch.device
) -> tuple[float, float]:
    """Seconds per step that reading windows takes, and those that all else takes, of an epoch on `windows`."""
    steps = batches(np.arange(len(windows)), options.batch_size)
    features = WindowFeatures(windows, store, geometry.window_steps, device=device)
    start = clock(device)
    for chosen in steps:
        features(chosen[None])
    read = clock(device) - start
    fit = start_fit(0, in_channels=len(STREAMS) * CHANNELS, geometry=geometry, options=options, device=device)
    ends: list[float] = []
    train_many(
        [fit], [windows], store, geometry=geometry, options=options, device=device,
        after_epoch=lambda _: ends.append(clock(device)),
    )  # fmt: skip
    return read / len(steps), (ends[1] - ends[0] - read) / len(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=250_000)
    parser.add_argument("--steps", type=int, default=4, help="steps of the epoch that is timed")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    options, device = AemnetParams(epochs=2, warmup_epochs=0), pick_device(args.device)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="microexp-spotting-") as folder, reproducible(device), Files() as files:
        start = time.perf_counter()
        paths = write_shards(Path(folder), args.frames, generator)
        written_s = time.perf_counter() - start
        videos = read_videos(paths, files)
        expressions = draw_expressions([v.key for v in videos], videos[0].n_frames, generator)
        geometry = geometry_of(options, STEP)
        windows = training_windows(
            videos,
            expressions,
            geometry,
            stride_frames=options.train_stride_frames,
            inside=options.inside_share,
            empty_ratio=options.empty_ratio,
            seed=0,
        )
        start = clock(device)
        make_targets(
            [w.expressions for w in windows], geometry, options.foreground_iou, background_iou=options.background_iou
        )
        targets_s = clock(device) - start
        some = generator.permutation(len(windows))[: args.steps * options.batch_size]
        store = FeatureStore(videos, centre=False)
        outside, inside = time_steps(store, [windows[i] for i in some], geometry, options, device)
    steps = len(batches(np.arange(len(windows)), options.batch_size))
    epoch_s = steps * (outside + inside)
    size = sum(v.n_steps for v in videos) * len(STREAMS) * CHANNELS * 4 / 1e9
    frames = sum(v.n_frames for v in videos)
    print(f"{frames} frames, {len(videos)} videos, {size:.2f} GB of features ({written_s:.0f} s to write)")
    print(f"{len(windows)} windows, {steps} steps per epoch, device {device}, 1 CPU thread, torch {torch.__version__}")
    print(f"step: {outside * 1e3:.0f} ms outside the network, {inside * 1e3:.0f} ms inside it")
    print(f"targets, once: {targets_s:.1f} s")
    print(f"epoch: {epoch_s:.0f} s, of which outside the network {100 * outside / (outside + inside):.1f} %")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if device.type == "cuda":
        print(f"peak GPU memory: {torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
