"""Training AEM-Net's fits side by side against one after the other: CPU time per step and fit, and the ratio.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/spotting_training.py           # the demo's narrow network, 4 fits
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/spotting_training.py --full    # the authors' widths; minutes, 4 GB

Both ways train the same networks on the same made-up windows. "One after the other" is `AemNet` through torch.nn's
convolutions with the same loss and Adam, as fits were trained before they were stacked. The ways take turns of a
few steps, so that what else the machine does meets all of them; the smallest and the median of all steps are shown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from microexp.methods.spotting.aemnet.geometry import Geometry, make_geometry
from microexp.methods.spotting.aemnet.network import AemNet
from microexp.methods.spotting.aemnet.params import NetworkParams
from microexp.methods.spotting.aemnet.stacked import Masks, StackedAemNet
from microexp.methods.spotting.aemnet.targets import loss_parts, make_targets
from microexp.methods.training import StackedAdam, reproducible

DEMO = NetworkParams(
    input_channels=32, stem_channels=(16, 16, 16), channels=48, attention_channels=24, head_channels=24
)
CPU = torch.device("cpu")
ALPHA, GAMMA, FREE, BASED, RATE = 0.25, 2.0, 0.8, 1.2, 1e-3
TURN = 5
Truth = tuple[torch.Tensor, ...]


def made_up(fits: int, batch: int, channels: int, geometry: Geometry) -> tuple[torch.Tensor, Truth]:
    """Noise (G, B, W, C) and the targets of windows that hold a micro- and a macro-expression, or nothing."""
    generator = np.random.default_rng(0)
    tables = []
    for k in range(fits * batch):
        start = int(generator.integers(5, 40))
        full = np.array([[start, start + 12, 1.0], [start + 30, start + 62, 2.0]])
        tables.append(full if k % 2 else np.empty((0, 3)))
    t = make_targets(tables, geometry, 0.5, background_iou=0.4)
    parts = (t.point_label, t.point_distance, t.anchor_label, t.anchor_offset)
    x = generator.standard_normal((fits, batch, geometry.window_steps, channels), np.float32)
    return torch.from_numpy(x), tuple(torch.from_numpy(p).unflatten(0, (fits, batch)) for p in parts)


def one_by_one(networks: list[AemNet], x: torch.Tensor, truth: Truth) -> Callable[[], None]:
    """A step of every network, through torch.nn; their parameters become views of one vector each, as before."""
    optimizers, flat = [], []
    for network in networks:
        parameters = list(network.train().parameters())
        values = torch.cat([p.detach().reshape(-1) for p in parameters])[None]
        gradients, first = torch.zeros_like(values), 0
        for parameter in parameters:
            last = first + parameter.numel()
            parameter.data = values[0, first:last].view_as(parameter)
            parameter.grad = gradients[0, first:last].view_as(parameter)
            first = last
        optimizers.append(StackedAdam([values], [0.0]))
        flat.append(gradients)

    def step() -> None:
        for k, network in enumerate(networks):
            predictions = tuple(p[None] for p in network(x[k]))
            parts = loss_parts(predictions, tuple(t[k : k + 1] for t in truth), ALPHA, gamma=GAMMA)  # type: ignore[arg-type]
            flat[k].zero_()
            parts.total(FREE, BASED).sum().backward()
            optimizers[k].step([flat[k]], RATE)

    return step


def side_by_side(stack: StackedAemNet, dropout: float, x: torch.Tensor, truth: Truth, size: int) -> Callable[[], None]:
    """A step of every network, `size` of them together."""
    optimizer = StackedAdam([stack.values], [0.0])
    generators = [np.random.default_rng(k) for k in range(len(x))]

    def step() -> None:
        for first in range(0, len(x), size):
            rows = slice(first, min(first + size, len(x)))
            masks = Masks(generators[rows], dropout, CPU)
            predictions = stack.forward(x[rows], rows, masks)
            parts = loss_parts(predictions, tuple(t[rows] for t in truth), ALPHA, gamma=GAMMA)  # type: ignore[arg-type]
            optimizer.step([stack.gradients(parts.total(FREE, BASED).sum(), rows)], RATE, rows)

    return step


def in_turns(ways: dict[str, Callable[[], None]], turns: int) -> dict[str, np.ndarray]:
    """CPU milliseconds of each step; a turn of each way is one step to warm the caches, and TURN that count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, step in ways.items():
            step()
            for _ in range(TURN):
                start = time.process_time()
                step()
                found[name].append(1e3 * (time.process_time() - start))
    return {name: np.array(values) for name, values in found.items()}


def compare(
    options: NetworkParams, *, fits: int, channels: int, batch: int, sizes: tuple[int, ...], turns: int
) -> None:
    """Print the table of one setting."""
    geometry = make_geometry(128, 2, options.stem_stride, levels=options.levels, ratios=options.anchor_ratios)
    x, truth = made_up(fits, batch, channels, geometry)
    networks = []
    for seed in range(fits):
        torch.manual_seed(seed)
        networks.append(AemNet(channels, geometry, options))
    ways = {
        f"side by side, {size} together": side_by_side(
            StackedAemNet(networks, geometry, options), options.dropout, x, truth, size
        )
        for size in sizes
    }
    found = in_turns({"one by one, torch.nn": one_by_one(networks, x, truth), **ways}, turns)
    print(
        f"\n{channels} features, {options.channels} channels, {fits} fits, {batch} windows of {geometry.window_steps}"
    )
    print("| way | least ms per step and fit | median | ratio of least | ratio of medians |\n|---|---|---|---|---|")
    base = found["one by one, torch.nn"]
    for name, values in found.items():
        ratios = base.min() / values.min(), np.median(base) / np.median(values)
        least, middle = values.min() / fits, np.median(values) / fits
        print(f"| {name} | {least:.2f} | {middle:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the authors' widths, both I3D streams, batches of 32")
    parser.add_argument("--turns", type=int, help=f"turns of {TURN} steps (8; full width: 1)")
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread, CPU time")
    with reproducible(CPU):
        if args.full:
            compare(NetworkParams(), fits=2, channels=2048, batch=32, sizes=(1, 2), turns=args.turns or 1)
        else:
            for channels in (192, 2048):
                compare(DEMO, fits=4, channels=channels, batch=16, sizes=(1, 2, 4), turns=args.turns or 8)


if __name__ == "__main__":
    main()
