"""Time of I3D features on one core: plain torch, window by window, against `FastI3d` on the same windows, and that in
bfloat16 (`i3d.mixed_precision`), which is faster only on CPUs that have instructions for it.

    python benchmarks/i3d.py [--size 64 96 224] [--step 2] [--clips 16] [--weights FILE]

Prints, for every size, the median CPU time of a clip, the ratio, and the largest relative difference; for bfloat16 the
ratio to FastI3d in float32, and the difference as a share of the features' norm. All run in turns in one process that
is pinned to one core, so that a busy machine slows them alike. Without `weights/` the weights are random, which costs
the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import torch

from microexp.features.i3d_network import FastI3d, InceptionI3d

WEIGHTS = Path("weights/i3d_rgb_kinetics400.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[64, 96, 224], help="input sides, px")
    parser.add_argument("--step", type=int, default=2, help="frames between the starts of clips")
    parser.add_argument("--clip", type=int, default=8, help="frames of a clip")
    parser.add_argument("--clips", type=int, default=16, help="clips of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    network = InceptionI3d().eval()
    if args.weights.is_file():
        from safetensors.torch import load_file

        network.load_state_dict(load_file(args.weights), strict=False)
    fast, half = (FastI3d(network.state_dict(), dtype=d) for d in (torch.float32, torch.bfloat16))
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, core {core}, ", end="")
    print(f"clips of {args.clip} frames, step {args.step}, {args.clips} clips x {args.rounds} rounds")
    print(f"{'px':>4} {'plain ms':>9} {'fast ms':>8} {'ratio':>6} {'difference':>11}", end="")
    print(f" {'bf16 ms':>8} {'ratio':>6} {'difference':>11}")
    for size in args.size:
        measure(network, fast, half, size, args)


def measure(network: InceptionI3d, fast: FastI3d, half: FastI3d, size: int, args: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(0)
    count = args.clips if size < 200 else max(1, args.clips // 2)
    frames = torch.rand(args.step * (count - 1) + args.clip, 3, size, size, generator=generator) * 2 - 1
    windows = [frames[i * args.step :][: args.clip].transpose(0, 1)[None].contiguous() for i in range(count)]
    plain_s, fast_s, half_s = [], [], []
    network.features(windows[0])  # warm caches
    for other in (fast, half):
        other.features(frames, args.clip, args.step)
    for _ in range(args.rounds):
        start = time.process_time()
        expected = torch.cat([network.features(w) for w in windows])
        middle = time.process_time()
        found = fast.features(frames, args.clip, args.step)
        later = time.process_time()
        rounded = half.features(frames, args.clip, args.step)
        half_s.append((time.process_time() - later) / count)
        fast_s.append((later - middle) / count)
        plain_s.append((middle - start) / count)
    ratio = statistics.median(p / f for p, f in zip(plain_s, fast_s, strict=True))
    difference = float((found - expected).abs().max() / expected.abs().max())
    times = f"{1e3 * statistics.median(plain_s):9.1f} {1e3 * statistics.median(fast_s):8.1f}"
    faster = statistics.median(f / h for f, h in zip(fast_s, half_s, strict=True))
    share = float((rounded - found).norm() / found.norm())
    print(f"{size:4} {times} {ratio:6.2f} {difference:11.1e}", end="")
    print(f" {1e3 * statistics.median(half_s):8.1f} {faster:6.2f} {share:11.1e}", flush=True)


if __name__ == "__main__":
    main()
