"""Training AEM-Net at full width on a made-up CAS(ME)^2-sized fold: time per epoch, share outside the
network, memory.

    python benchmarks/spotting.py            # 21 subjects, 250,000 frames, a few steps; about two minutes on one core
    python benchmarks/spotting.py --device cuda --steps 100

Features are noise of the right size (1 GB on disk, more than is kept in memory), expressions as many as in the real
data. An epoch has some 55 steps of 32 windows and every step costs the same, so a few steps are timed and scaled up.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from microexp.methods.spotting.aemnet.features import FeatureStore, list_videos
from microexp.methods.spotting.aemnet.geometry import make_geometry
from microexp.methods.spotting.aemnet.losses import loss_parts
from microexp.methods.spotting.aemnet.targets import make_targets
from microexp.methods.spotting.aemnet.training import batches, reproducible, stack_windows, start_fit, tensors
from microexp.methods.spotting.aemnet.windows import VideoKey, training_windows
from microexp.methods.spotting.params import AemnetParams
from microexp.records.index import Expression
from microexp.run.devices import pick_device
from microexp.run.storage import add_array, create_shard, set_attributes

SUBJECTS, VIDEOS = 21, 93
EXPRESSIONS = {"macro": (285, (16, 118)), "micro": (54, (8, 16))}


def write_shards(folder: Path, frames: int, generator: np.random.Generator) -> list[Path]:
    """Shards of noise: 21 subjects, 93 videos, `frames` frames in all, a feature of 2048 every other frame."""
    per_video = frames // VIDEOS
    paths = []
    for subject in range(SUBJECTS):
        path = folder / "cas_me2" / f"s{subject:02d}.h5"
        paths.append(path)
        with create_shard(path) as file:
            for video in range(subject, VIDEOS, SUBJECTS):
                group = file.create_group(f"v{video:02d}")
                steps = (per_video - 8) // 2 + 1
                add_array(group, "features", generator.random((steps, 2048), np.float32))
                add_array(group, "frame_index", np.arange(per_video, dtype=np.int32))
                attributes = {"clip_frames": 8, "step_frames": 2, "n_frames": per_video, "fps": 30.0, "excluded": ""}
                set_attributes(group, attributes)
    return paths


def draw_expressions(videos: list[VideoKey], n_frames: int, generator: np.random.Generator) -> dict[VideoKey, list]:
    """As many expressions of either kind as 21 subjects of CAS(ME)^2 have, at random places."""
    found: dict[VideoKey, list[Expression]] = {}
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


def time_steps(store: FeatureStore, windows: list, geometry, options: AemnetParams, device: torch.device, steps: int):
    """(seconds outside the network, seconds inside) of each step, and seconds for the targets of all windows."""
    start = clock(device)
    targets = make_targets([w.expressions for w in windows], geometry, options.foreground_iou, options.background_iou)
    targets_s = clock(device) - start
    fit = start_fit(("aemnet", 0, "main"), 0, 2048, geometry, options, device)
    order = np.random.default_rng(0).permutation(len(windows))
    rows = []
    for chosen in batches(order, options.batch_size)[:steps]:
        start = clock(device)
        x = stack_windows([windows[i] for i in chosen], store, geometry.window_steps, device)
        truth = tensors(targets, chosen, device)
        read = clock(device)
        parts = loss_parts(fit.network(x), truth, options.focal_alpha, options.focal_gamma)
        loss = parts.total(options.anchor_free_weight, options.anchor_based_weight)
        fit.optimizer.zero()
        loss.backward()
        fit.optimizer.step(options.learning_rate)
        rows.append((read - start, clock(device) - read))
    return np.array(rows), targets_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=250_000)
    parser.add_argument("--steps", type=int, default=4, help="steps to time after one to warm up")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    options, device = AemnetParams(), pick_device(args.device)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="microexp-spotting-") as folder, reproducible(device):
        start = time.perf_counter()
        paths = write_shards(Path(folder), args.frames, generator)
        written_s = time.perf_counter() - start
        videos = list_videos(paths)
        expressions = draw_expressions([(v.dataset, v.subject, v.video) for v in videos], videos[0].n_frames, generator)
        geometry = make_geometry(options.window_frames, 2, 2, None, options.network.anchor_ratios)
        windows = training_windows(
            videos, expressions, geometry, options.train_stride_frames, options.inside_share, options.empty_ratio, 0
        )
        with FeatureStore(videos, slice(0, 2048), False) as store:
            rows, targets_s = time_steps(store, windows, geometry, options, device, args.steps + 1)
    outside, inside = np.median(rows[1:], axis=0)
    steps = len(batches(np.arange(len(windows)), options.batch_size))
    epoch_s = steps * (outside + inside)
    size = sum(v.n_steps for v in videos) * 2048 * 4 / 1e9
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
