"""What `microexp video` costs, the whole command: frames a second, CPU time and peak memory, by the video's length.

    python benchmarks/own_video.py [--work own_video] [--seconds 60 600] [--cores 2]

Films one rendered person at 640x480 and 30 frames/s for `--piece` seconds. A longer video shows the piece forwards and
backwards in turn, so that nothing jumps. Memory is that of the largest process; it should not grow with the length.
Expression or not does not matter here: the same frames are read, followed and measured.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from microexp.reading.params import DemoVideoParams
from microexp.rendered.scene import make_scene, render
from microexp.rendered.video import write_video

FPS, WIDTH, HEIGHT, SEED = 30, 640, 480, 9101


LAUNCHER = """
import resource, subprocess, sys
status = subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(status)
"""
"""A small Python between: the peak that a process is told of begins with that of whoever started it."""


@dataclass(frozen=True)
class Cost:
    """Of one run of the command.

    Attributes:
        seconds: of the video; wall_s and cpu_s: of the command with all that it started.
        peak_mb: of its largest process.
    """

    seconds: float
    wall_s: float
    cpu_s: float
    peak_mb: float


def film(path: Path, seconds: float) -> None:
    """A rendered person who shows two micro- and one macro-expression, or fewer where the video is short."""
    shown = {"micro": min(2, int(seconds // 3)), "macro": int(seconds >= 8)}
    params = DemoVideoParams(seed=SEED, seconds=seconds, width=WIDTH, height=HEIGHT, fps=FPS, **shown)
    scene = make_scene(params, "s01_1")
    write_video(path, (render(scene, frame) for frame in range(scene.n_frames)), FPS)


def frames(path: Path) -> list[np.ndarray]:
    """Frames (H, W, 3) uint8 RGB of a video."""
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def there_and_back(piece: list[np.ndarray]) -> Iterator[np.ndarray]:
    """A piece forwards, backwards, forwards and so on, without end and without a frame twice in a row."""
    return itertools.cycle(piece + piece[-2:0:-1])


def measure(video: Path, out: Path, seconds: float, cores: int) -> Cost:
    """Run the command on a video; nothing of an earlier run is used again."""
    start = time.monotonic()
    command = ["-m", "microexp", "video", str(video), "--out", str(out), "--cores", str(cores)]
    with (out.parent / f"{out.name}.log").open("wb") as log:
        done = subprocess.run([sys.executable, "-c", LAUNCHER, *command], stdout=subprocess.PIPE, stderr=log)
    if done.returncode:
        raise SystemExit(f"microexp video ended with {done.returncode}: see {out}.log")
    cpu_s, peak_kb = map(float, done.stdout.split())
    return Cost(seconds, time.monotonic() - start, cpu_s, peak_kb / 1024)


def table(costs: list[Cost]) -> str:
    """The costs as a Markdown table."""
    lines = ["| video, s | frames/s | CPU-s per s of video | peak memory, MB |", "|---:|---:|---:|---:|"]
    for c in costs:
        rate, share = c.seconds * FPS / c.wall_s, c.cpu_s / c.seconds
        lines.append(f"| {c.seconds:g} | {rate:.1f} | {share:.2f} | {c.peak_mb:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Film, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("own_video"), help="a new folder for videos and results")
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 600.0])
    parser.add_argument("--piece", type=float, default=20.0, help="seconds that are rendered")
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    args.work.mkdir(parents=True)
    film(args.work / "piece.mp4", args.piece)
    piece, costs = frames(args.work / "piece.mp4"), []
    for seconds in args.seconds:
        video = args.work / f"{seconds:g}s.mp4"
        write_video(video, itertools.islice(there_and_back(piece), round(seconds * FPS)), FPS)
        costs.append(measure(video, args.work / f"results_{seconds:g}s", seconds, args.cores))
        print(table(costs[-1:]), flush=True)
    print(table(costs))


if __name__ == "__main__":
    main()
