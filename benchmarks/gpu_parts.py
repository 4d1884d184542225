"""What `gpu.py` measures, one part per process: `python benchmarks/gpu_parts.py PART --device cuda`.

Prints a line `ROW` and JSON for every row. On a CPU the sizes are small: that is a rehearsal and says nothing of speed.
Agreement is with the same work on the CPU, and each bound stands beside the difference.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FLOW_BOUND_PX = 1e-3
"""Mean over all pixels: TV-L1 amplifies what a GPU rounds otherwise."""
I3D_BOUNDS = {"float32": 1e-4, "bfloat16": 3e-2, "float16": 2e-2}
"""Norm of the difference by that of the features; 7 and 10 bits of mantissa through 60 layers."""
AEMNET_BOUNDS = {"float32": 1e-3, "bfloat16": 1e-1}
"""Norm of the difference of all gradients by their norm."""
MDML_BOUND = 1e-3
"""Relative difference of the loss over the first steps."""


def emit(what: str, here: str, *, beside: str = "", memory: str = "", error: tuple[float, float] | None = None) -> None:
    """Print a row; `error` is the difference to the CPU and its bound."""
    ok = error is None or error[0] <= error[1]
    difference = "" if error is None else f"{error[0]:.1e} ({'' if ok else '**not** '}within {error[1]:.0e})"
    row = {"what": what, "here": here, "beside": beside, "difference": difference, "memory": memory, "ok": ok}
    print("ROW\t" + json.dumps(row), flush=True)


def on_cpu(device: str) -> bool:
    return device == "cpu"


def wait(device: str) -> None:
    import torch

    if not on_cpu(device):
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], Any], device: str, repeats: int = 5) -> float:
    """Wall seconds of a call: the median of some (on a CPU of one), after one that compiles and warms up."""
    call()
    wait(device)
    found = []
    for _ in range(1 if on_cpu(device) else repeats):
        start = time.perf_counter()
        call()
        wait(device)
        found.append(time.perf_counter() - start)
    return float(np.median(found))


def fresh_memory(device: str) -> None:
    import torch

    if not on_cpu(device):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> str:
    """Of the GPU since `fresh_memory`; of the whole process on a CPU."""
    import torch

    if on_cpu(device):
        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB (process)"
    return f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f} MiB"


def machine(device: str) -> None:
    import torch

    if on_cpu(device):
        print("ROW\t" + json.dumps({"what": "machine", "here": "CPU: a rehearsal with small sizes, no measurement"}))
    elif not torch.cuda.is_available():
        row = {"what": "device", "here": f"torch {torch.__version__} sees no GPU", "ok": False}
        print("ROW\t" + json.dumps(row))
    else:
        found = torch.cuda.get_device_properties(device)
        text = f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
        print("ROW\t" + json.dumps({"what": "machine", "here": text}))


def tests(device: str) -> None:
    files = ["tests/gpu", *([] if on_cpu(device) else ["tests/flow/test_backends.py", "tests/features/test_i3d.py"])]
    command = [sys.executable, "-m", "pytest", *files, "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout[-3000:], done.stderr[-1000:])
    summary = done.stdout.strip().splitlines()[-1].strip("= ") if done.stdout.strip() else "pytest printed nothing"
    emit("tests marked `gpu`", summary)
    if done.returncode:
        sys.exit(done.returncode)


def waves(count: int, size: int, shift: tuple[float, float]) -> np.ndarray:
    """`count` textures (N, size, size) uint8, sums of plane waves, moved by exactly `shift` px."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size].astype(np.float64)
    x, y = x - shift[0], y - shift[1]
    images = []
    for _ in range(count):
        frequency, phase = rng.uniform(-0.7, 0.7, (40, 2)), rng.uniform(0, 2 * np.pi, 40)
        images.append(sum(np.sin(f[0] * x + f[1] * y + p) for f, p in zip(frequency, phase, strict=True)))
    return np.clip(np.rint(128 + 9 * np.stack(images)), 0, 255).astype(np.uint8)


def flow(device: str) -> None:
    from microexp.flow.params import FlowParams
    from microexp.flow.tvl1 import compute_flow

    size, sizes = (32, (1, 2, 4)) if on_cpu(device) else (224, (1, 32, 256))
    first, second = (waves(8, size, shift) for shift in ((0, 0), (0.4, -0.3)))
    for preset in ("micro", "classic"):
        params = {name: FlowParams(preset=preset, backend=name) for name in ("numba", "torch")}
        expected = compute_flow(first, second, params["numba"])
        numba_s = seconds_of(lambda p=params["numba"]: compute_flow(first, second, p), "cpu") / len(first)
        emit(f"TV-L1 `{preset}`, {size} px, numba on one core", f"{1 / numba_s:.0f} pairs/s")
        found = compute_flow(first, second, params["torch"], device=device)
        error = float(np.abs(found - expected).mean())
        for batch in sizes if preset == "micro" else sizes[1:2]:
            _flow_row(preset, size, batch, numba_s, device, error)


def _flow_row(preset: str, size: int, batch: int, numba_s: float, device: str, error: float) -> None:
    """Solver alone, and everything from images to flow."""
    from microexp.flow.params import FlowParams
    from microexp.flow.tvl1 import compute_flow, make_solver

    params = FlowParams(preset=preset, backend="torch")
    first, second = (np.resize(waves(8, size, s), (batch, size, size)) for s in ((0, 0), (0.4, -0.3)))
    fresh_memory(device)
    solver = make_solver(size, size, params, threads=1, device=device)
    solver.batch = batch  # so that nothing is filled up
    one, two = solver.prepare(first), solver.prepare(second)
    start = time.perf_counter()
    solver.solve(one, two)
    wait(device)
    compiled_s = time.perf_counter() - start
    alone = seconds_of(lambda: solver.solve(one, two), device) / batch
    whole = seconds_of(lambda: compute_flow(first, second, params, device=device), device) / batch
    emit(
        f"TV-L1 `{preset}`, {size} px, torch, batch {batch}",
        f"{1 / alone:.0f} pairs/s solver alone, {1 / whole:.0f} from images to flow (first call {compiled_s:.0f} s)",
        beside=f"{numba_s / alone:.1f} x and {numba_s / whole:.1f} x numba on one core",
        memory=peak_memory(device),
        error=(error, FLOW_BOUND_PX),
    )


def opencv_cuda(device: str) -> None:
    """OpenCV's own class, one pair at a time, where it is built; what it says where it is not."""
    from microexp.errors import UserError
    from microexp.flow.params import FlowParams
    from microexp.flow.tvl1 import compute_flow

    size = 32 if on_cpu(device) else 224
    first, second = (waves(8, size, shift) for shift in ((0, 0), (0.4, -0.3)))
    where = "cuda" if on_cpu(device) else device
    what = f"TV-L1 `classic`, {size} px, OpenCV on CUDA, one pair at a time"
    try:
        params = FlowParams(preset="classic", backend="opencv_cuda")
        each = seconds_of(lambda: compute_flow(first, second, params, device=where), "cpu") / len(first)
    except UserError as error:
        emit(what, f"not there: {error}")
        return
    emit(what, f"{1 / each:.0f} pairs/s", beside="compare with batch 32 of `classic` above")


def i3d(device: str) -> None:
    import torch

    from microexp.features.i3d_network import FastI3d, InceptionI3d

    size, clips, few = (32, 2, 2) if on_cpu(device) else (224, 32, 4)
    torch.manual_seed(0)
    state = InceptionI3d().eval().state_dict()
    frames = torch.rand(2 * (clips - 1) + 8, 3, size, size) * 2 - 1
    part = frames[: 2 * (few - 1) + 8]
    with torch.inference_mode():
        cpu = FastI3d(state)
        cpu_s = seconds_of(lambda: cpu.features(part, 8, 2), "cpu") / few
        expected = cpu.features(part, 8, 2)
    emit(f"I3D, {size} px, clips of 8 frames, float32 on the CPU", f"{1 / cpu_s:.1f} clips/s")
    network, frames = FastI3d(state, device), frames.to(device)
    for name, bound in I3D_BOUNDS.items():
        fresh_memory(device)

        def compute(x: torch.Tensor, dtype: str = name) -> torch.Tensor:
            low = dtype != "float32"
            kind = torch.device(device).type
            with (
                torch.backends.cudnn.flags(allow_tf32=False),
                torch.autocast(kind, getattr(torch, dtype if low else "bfloat16"), enabled=low),
            ):
                return network.features(x, 8, 2)

        each = seconds_of(lambda run=compute: run(frames), device) / clips
        found = compute(frames[: len(part)]).float().cpu()
        emit(
            f"I3D, {size} px, clips of 8 frames, {name}, {clips} at once",
            f"{1 / each:.1f} clips/s",
            beside=f"{cpu_s / each:.1f} x float32 on the CPU",
            memory=peak_memory(device),
            error=(float((found - expected).norm() / expected.norm()), bound),
        )


def aemnet(device: str) -> None:
    """Steps of training, forward and back and Adam, of fits side by side."""
    import torch

    from microexp.methods.training import reproducible

    with reproducible(torch.device(device)):
        for fits in (1, 2) if on_cpu(device) else (1, 8):
            for dtype, bound in AEMNET_BOUNDS.items():
                _aemnet_row(device, fits, dtype, bound)


def _aemnet_row(device: str, fits: int, dtype: str, bound: float) -> None:
    from spotting_training import DEMO

    from microexp.methods.spotting.aemnet.params import NetworkParams

    small = on_cpu(device)
    options, channels, batch = (DEMO, 64, 4) if small else (NetworkParams(), 2048, 32)
    few = aemnet_step("cpu", 1, 2, channels, options, "float32")[1]
    same = aemnet_step(device, 1, 2, channels, options, dtype)[1]
    fresh_memory(device)
    step, _ = aemnet_step(device, fits, batch, channels, options, dtype)
    each = seconds_of(step, device)
    emit(
        f"AEM-Net, {'narrow' if small else 'full width'}, {fits} fits, batch {batch}, {dtype}",
        f"{1e3 * each:.0f} ms a step of all, {fits / each:.1f} fit-steps/s",
        memory=peak_memory(device),
        error=(float((same - few).norm() / few.norm()), bound),
    )


def aemnet_step(
    device: str, fits: int, batch: int, channels: int, options: Any, dtype: str
) -> tuple[Callable[[], None], Any]:
    """A call that does a training step of `fits` networks, and the gradients of the first step, on the CPU."""
    import torch
    from spotting_training import ALPHA, BASED, FREE, GAMMA, RATE, made_up

    from microexp.methods.spotting.aemnet.geometry import make_geometry
    from microexp.methods.spotting.aemnet.network import AemNet
    from microexp.methods.spotting.aemnet.stacked import Masks, StackedAemNet
    from microexp.methods.spotting.aemnet.targets import loss_parts
    from microexp.methods.training import StackedAdam

    geometry = make_geometry(128, 2, options.stem_stride, levels=options.levels, ratios=options.anchor_ratios)
    x, truth = made_up(fits, batch, channels, geometry)
    x, truth = x.to(device), tuple(t.to(device) for t in truth)
    networks = []
    for seed in range(fits):
        torch.manual_seed(seed)
        networks.append(AemNet(channels, geometry, options).to(device))
    stack = StackedAemNet(networks, geometry, options, dtype=getattr(torch, dtype))
    optimizer, rows = StackedAdam([stack.values], [0.0]), slice(0, fits)
    masks = Masks([np.random.default_rng(k) for k in range(fits)], options.dropout, torch.device(device))

    def gradients() -> Any:
        parts = loss_parts(stack.forward(x, rows, masks), truth, ALPHA, gamma=GAMMA)
        return stack.gradients(parts.total(FREE, BASED).sum(), rows)

    first = gradients().float().cpu()
    return lambda: optimizer.step([gradients()], RATE, rows), first


def mdml(device: str) -> None:
    """Training of many folds side by side, and the loss beside that on the CPU."""
    small = on_cpu(device)
    few, many, steps = (2, 4, 3) if small else (4, 68, 30)
    expected, cpu_s = mdml_loss("cpu", few, steps)
    found, _ = mdml_loss(device, few, steps)
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    mdml_loss(device, many, 2)  # warms up
    fresh_memory(device)
    _, each = mdml_loss(device, many, steps)
    emit(f"MDML, {few} folds side by side on the CPU", f"{few / cpu_s:.0f} fold-steps/s")
    emit(
        f"MDML, {many} folds side by side",
        f"{many / each:.0f} fold-steps/s",
        beside=f"{many / each / (few / cpu_s):.1f} x the CPU",
        memory=peak_memory(device),
        error=(error, MDML_BOUND),
    )


def mdml_loss(device: str, folds: int, steps: int) -> tuple[np.ndarray, float]:
    """Mean loss of each fold's training over `steps` steps on made-up clips, and wall seconds per step."""
    import torch

    from microexp.methods.recognition.mdml.batches import Member, Pool
    from microexp.methods.recognition.mdml.params import MdmlParams
    from microexp.methods.recognition.mdml.training import train

    clips, side = 320, 14
    rng = np.random.default_rng(0)
    options = MdmlParams(epochs=1, batch_size=max(2, clips // steps))
    maps = torch.from_numpy(rng.standard_normal((clips, 3, side, side), np.float32))
    pool = Pool(maps, torch.arange(clips) % 3, ("difference", "u", "v"))
    members = []
    for seed in range(folds):
        everyone, none = np.zeros(clips, np.int64), np.empty(0, np.int64)
        members.append(Member(seed, everyone, np.ones(clips, np.float32), np.zeros(clips, bool), none))
    count = members[0].steps(options)
    start = time.perf_counter()
    trained = train(pool, members, options, classes=3, device=device)
    wait(device)
    return trained.log[:, 0, 1], (time.perf_counter() - start) / count


PARTS: dict[str, Callable[[str], None]] = {
    "machine": machine,
    "tests": tests,
    "flow": flow,
    "opencv_cuda": opencv_cuda,
    "i3d": i3d,
    "aemnet": aemnet,
    "mdml": mdml,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    PARTS[args.part](args.device)


if __name__ == "__main__":
    main()
