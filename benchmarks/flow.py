"""Speed and accuracy of optical flow, side by side in one run on one core: `python benchmarks/flow.py [--quick]`.

Two kinds of pairs, both with exactly known flow: textures moved as a whole, and rendered faces with an expression of
known size, head sway, a blink and sensor noise. Prints Markdown tables; docs/flow.md holds the latest.

    python benchmarks/flow.py --quick         the essential rows, within a minute
    python benchmarks/flow.py                 everything
    python benchmarks/flow.py --cores         many pairs on one core and on two
    python benchmarks/flow.py --memory        a stream of 10,000 small frames
    python benchmarks/flow.py --device cuda   pairs per second on a GPU for batches of 1, 32 and 256
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from microexp.flow.params import FlowParams
from microexp.flow.tvl1 import compute_flow, device_name, make_solver, stream_flow

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
AMPLITUDES_PX = (0.1, 0.3, 0.5, 1.0, 3.0)
REFERENCE = "OpenCV TV-L1"


@dataclass(frozen=True)
class Sample:
    """Two grey images (H, W), the flow between them, and where it is looked at."""

    first: np.ndarray
    second: np.ndarray
    flow: np.ndarray
    moving: np.ndarray
    elsewhere: np.ndarray


def translation(size: int, amplitude: float, seed: int) -> Sample:
    """A texture moved by `amplitude` px in some direction, with sensor noise."""
    rng = np.random.default_rng([seed, 1])
    texture = np.zeros((size + 32, size + 32))
    for sigma in (1.2, 5.0):
        layer = gaussian_filter(rng.standard_normal(texture.shape), sigma, mode="wrap")
        texture += 18 * layer / layer.std()
    angle = rng.uniform(0, 2 * np.pi)
    motion = amplitude * np.array([np.cos(angle), np.sin(angle)])
    k = np.fft.fftfreq(len(texture))
    turn = np.exp(-2j * np.pi * (k * motion[0] + k[:, None] * motion[1]))
    moved = np.fft.ifft2(np.fft.fft2(texture) * turn).real

    def camera(image: np.ndarray) -> np.ndarray:
        noisy = 128 + image + 0.7 * rng.standard_normal(image.shape)
        return np.ascontiguousarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)[16:-16, 16:-16])

    inside = np.zeros((size, size), bool)
    inside[6:-6, 6:-6] = True
    return Sample(camera(texture), camera(moved), np.broadcast_to(motion, (size, size, 2)), inside, ~inside & False)


def face(size: int, amplitude: float, seed: int) -> Sample:
    """A rendered face with an expression of `amplitude` px; some heads sway, some blink. The presets saw others."""
    from microexp.rendered.flow import scene_pair

    subject = 20 + seed
    sway_px, blink = (0.0, 0.3, 0.6)[seed % 3], (0.0, 0.3)[seed % 2]
    pair = scene_pair(subject, amplitude, size, seed=seed, sway_px=sway_px, blink=blink, noise=0.7)
    first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (pair.before, pair.after))
    return Sample(first, second, pair.flow, pair.active, pair.valid & ~pair.active)


def tvl1(**options: Any) -> Method:
    params = FlowParams(**options)
    return lambda a, b: compute_flow(a[None], b[None], params)[0]


def dis(finest: int | None = None, refinements: int | None = None) -> Method:
    def run(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        method: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        if finest is not None:
            method.setFinestScale(finest)
        if refinements is not None:
            method.setVariationalRefinementIterations(refinements)
        return np.asarray(method.calc(a, b, None))

    return run


def skimage_tvl1(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from skimage.registration import optical_flow_tvl1

    v, u = optical_flow_tvl1(a / np.float32(255), b / np.float32(255))
    return np.stack([u, v], -1)


METHODS: dict[str, Method] = {
    REFERENCE: tvl1(preset="opencv", backend="opencv"),
    "OpenCV TV-L1, no median": tvl1(preset="opencv", backend="opencv", median_px=1),
    "opencv": tvl1(preset="opencv"),
    "opencv, no median": tvl1(preset="opencv", median_px=1),
    "classic": tvl1(preset="classic"),
    "micro": tvl1(preset="micro"),
    "DIS medium": dis(),
    "DIS, finest scale 0, 10 refinements": dis(0, 10),
    "Farnebäck": lambda a, b: cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0),
    "scikit-image TV-L1": skimage_tvl1,
}
QUICK = (REFERENCE, "OpenCV TV-L1, no median", "opencv, no median", "classic", "micro", "DIS medium", "Farnebäck")


def score(found: np.ndarray, sample: Sample) -> tuple[float, float, float]:
    """End-point error in the moving area and elsewhere (px), and gain (recovered over true motion)."""
    error = np.linalg.norm(found - sample.flow, axis=2)
    true, seen = sample.flow[sample.moving], found[sample.moving]
    elsewhere = float(error[sample.elsewhere].mean()) if sample.elsewhere.any() else np.nan
    return float(error[sample.moving].mean()), elsewhere, float((true * seen).sum() / (true * true).sum())


def measure(names: tuple[str, ...], groups: dict[float, list[Sample]]) -> dict[str, tuple[float, list[Any]]]:
    """Name -> median CPU ms per pair, and the mean scores per amplitude. Methods take turns on each pair."""
    times: dict[str, list[float]] = {n: [] for n in names}
    scores: dict[str, list[Any]] = {n: [] for n in names}
    for samples in groups.values():
        found: dict[str, list[Any]] = {n: [] for n in names}
        for sample in samples:
            for name in names:
                start = time.process_time()
                flow = METHODS[name](sample.first, sample.second)
                times[name].append(1e3 * (time.process_time() - start))
                found[name].append(score(flow, sample))
        for name in names:
            scores[name].append(np.mean(found[name], 0))
    return {n: (float(np.median(times[n])), scores[n]) for n in names}


def table(names: tuple[str, ...], kind: str, size: int, amplitudes: tuple[float, ...], count: int) -> None:
    make = face if kind == "faces" else translation
    groups = {a: [make(size, a, seed) for seed in range(count)] for a in amplitudes}
    result = measure(names, groups)
    base, plain = result[REFERENCE][0], result["OpenCV TV-L1, no median"][0]
    what = "error where it moves / elsewhere / gain" if kind == "faces" else "error / gain"
    print(f"\n**{kind}, {size} px, {count} pairs per amplitude; {what}**\n")
    print("| method | ms | x OpenCV | " + " | ".join(f"{a} px" for a in amplitudes) + " |")
    print("|---" * (3 + len(amplitudes)) + "|")
    for name in names:
        ms, rows = result[name]
        cells = [f"{e:.4f} / {r:.3f} / {g:.2f}" if kind == "faces" else f"{e:.4f} / {g:.3f}" for e, r, g in rows]
        print(f"| {name} | {ms:.1f} | {base / ms:.1f} | " + " | ".join(cells) + " |")
    print(f"\nSame schedule without median: {plain / result['opencv, no median'][0]:.1f} x OpenCV.", flush=True)


def accuracy(quick: bool) -> None:
    core = sorted(os.sched_getaffinity(0))[0]
    os.sched_setaffinity(0, {core})
    cv2.setNumThreads(1)
    names = QUICK if quick else tuple(METHODS)
    warm = translation(64, 0.1, 0)
    for name in names:  # compile and load
        METHODS[name](warm.first, warm.second)
    for size in (224,) if quick else (224, 256):
        amplitudes = (0.1, 0.3, 1.0) if quick else AMPLITUDES_PX
        table(names, "translation", size, amplitudes, 1 if quick else 2)
        table(names, "faces", size, amplitudes, 2 if quick else 6)


def cores() -> None:
    """Many pairs on one core and on two."""
    sample = translation(224, 0.5, 0)
    a, b = (np.repeat(image[None], 64, 0) for image in (sample.first, sample.second))
    compute_flow(a[:2], b[:2], threads=2)
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(7):
        for threads, seen in walls.items():
            start = time.perf_counter()
            compute_flow(a, b, threads=threads)
            seen.append(time.perf_counter() - start)
    one, two = (min(w) / len(a) * 1e3 for w in walls.values())
    print(f"\nmicro, 64 pairs of 224 px: one thread {one:.2f} ms a pair, two threads {two:.2f} ms: {one / two:.2f} x")


def memory(count: int = 10_000) -> None:
    """Peak memory after a tenth of a long stream, and after all of it."""
    image = translation(64, 0.0, 0).first

    def frames() -> Iterator[np.ndarray]:
        for k in range(count):
            yield np.roll(image, k, 1)

    for done, _ in enumerate(stream_flow(frames(), FlowParams(iterations=5)), 1):
        if done in (count // 10, count - 1):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"after {done} pairs of 64 px: peak memory {peak:.1f} MiB", flush=True)


def gpu(device: str, size: int = 224, batches: tuple[int, ...] = (1, 32, 256)) -> None:
    """Pairs per second on a GPU, beside numba on one core: the solver alone, and all of it, from images to flow."""
    sample = translation(size, 0.5, 0)
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    print(f"\n**{device_name(device)}, {size} px, pairs/s (x numba on one core)**\n")
    print("| method | " + " | ".join(f"batch {n}" for n in batches) + " |")
    print("|---" * (1 + len(batches)) + "|")
    for preset in ("classic", "micro"):
        images = {n: [np.repeat(i[None], n, 0) for i in (sample.first, sample.second)] for n in (16, *batches)}
        numba = _rate(whole(images[16], FlowParams(preset=preset, backend="numba"), "cpu"), 16, "cpu")
        params = FlowParams(preset=preset, backend="torch")
        alone = [_rate(solve_alone(images[n], params, device), n, device) for n in batches]
        full = [_rate(whole(images[n], params, device), n, device) for n in batches]
        for name, rates in (
            ("numba, one core", [numba] * len(batches)),
            ("torch, solver alone", alone),
            ("torch, images to flow", full),
        ):
            cells = " | ".join(f"{r:.0f} ({r / numba:.1f})" for r in rates)
            print(f"| {preset}, {name} | {cells} |", flush=True)


def whole(images: list[np.ndarray], params: FlowParams, device: str) -> Callable[[], Any]:
    """A call that does all: upload, pyramids, flow, download."""
    return lambda: compute_flow(images[0], images[1], params, device=device)


def solve_alone(images: list[np.ndarray], params: FlowParams, device: str) -> Callable[[], Any]:
    """A call that computes the flow of pyramids which are there, as one batch, and leaves it there."""
    solver = make_solver(*images[0].shape[1:], params, device=device)
    solver.batch = len(images[0])
    first, second = (solver.prepare(i) for i in images)
    return lambda: solver.solve(first, second)


def _rate(call: Callable[[], Any], count: int, device: str) -> float:
    """Pairs per second of a call that works on `count` pairs: the median of 7, after one that compiles."""
    import torch

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize(device)

    call()
    seconds = []
    for _ in range(7):
        wait()
        start = time.perf_counter()
        call()
        wait()
        seconds.append(time.perf_counter() - start)
    return count / float(np.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the essential rows, within a minute")
    parser.add_argument("--cores", action="store_true", help="two cores over one")
    parser.add_argument("--memory", action="store_true", help="memory over a stream of 10,000 frames")
    parser.add_argument("--device", default="cpu", help="cuda or cuda:N: pairs per second there")
    args = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {processor()}, Python {platform.python_version()}, OpenCV {cv2.__version__}")
    if args.device != "cpu":
        gpu(args.device)
    elif args.cores:
        cores()
    elif args.memory:
        memory()
    else:
        accuracy(args.quick)


def processor() -> str:
    """What the machine calls its processor, and its vector units."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines())
    except (OSError, ValueError):
        return platform.processor() or platform.machine()
    fields = {k.strip(): v.strip() for k, v in lines.items()}
    flags = fields.get("flags", "").split()
    vectors = next((f for f in ("avx512f", "avx2", "avx") if f in flags), "no AVX")
    return f"{fields.get('model name', platform.machine())} ({vectors})"


if __name__ == "__main__":
    main()
