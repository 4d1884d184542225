"""Reading clips from shards: the project's storage against the usual gzip, side by side in one run.

    python benchmarks/storage.py [--frames 512] [--size 224]

Writes int16 flow of a textured, slowly moving picture both ways, and reads clips of 16 frames at random places, the two
taking turns; CPU time of this process, medians.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from microexp.run import shard_files

CLIP = 16


def make_flow(frames: int, size: int) -> np.ndarray:
    """(frames, size, size, 2) int16 in units of 1/512 px: smooth motion of up to 1 px with noise of .02 px."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    phase = np.linspace(0, 6, frames)[:, None, None]
    moves = [np.sin(3 * x + phase) * np.cos(2 * y), np.cos(3 * y - phase) * np.sin(2 * x)]
    flow = np.stack(moves, -1) + rng.normal(0, 0.02, (frames, size, size, 2))
    return np.asarray(np.rint(512 * flow), np.int16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--clips", type=int, default=40)
    args = parser.parse_args()
    flow = make_flow(args.frames, args.size)
    starts = np.random.default_rng(1).integers(0, args.frames - CLIP, args.clips)
    with tempfile.TemporaryDirectory() as folder:
        paths = {"gzip 4": Path(folder) / "gzip.h5", "microexp": Path(folder) / "microexp.h5"}
        with h5py.File(paths["gzip 4"], "w") as file:
            file.create_dataset("flow", data=flow, chunks=(1, *flow.shape[1:]), compression="gzip", compression_opts=4)
        with shard_files.create_shard(paths["microexp"]) as shard:
            shard_files.add_array(shard, "flow", flow)
        seconds: dict[str, list[float]] = {name: [] for name in paths}
        for start in starts:
            for name, path in paths.items():
                with shard_files.open_shard(path) as file:
                    before = time.process_time()
                    clip = file["flow"][start : start + CLIP]
                    seconds[name].append(time.process_time() - before)
                assert np.array_equal(clip, flow[start : start + CLIP])
        median = {name: float(np.median(values)) for name, values in seconds.items()}
        for name, path in paths.items():
            share = flow.nbytes / path.stat().st_size
            print(
                f"{name:9s} {1e3 * median[name]:6.1f} ms a clip, {1 / median[name]:6.0f} clips/s, {share:.2f} x smaller"
            )
    print(f"ratio: {median['gzip 4'] / median['microexp']:.1f} x")


if __name__ == "__main__":
    main()
