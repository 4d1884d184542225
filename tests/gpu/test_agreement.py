"""On a GPU the same comes out as on the CPU, within stated bounds; `benchmarks/gpu.py` runs these where one is.

They import little, since a machine with a GPU may have nothing installed but torch, numba and pytest.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from benchmarks.gpu_parts import (  # noqa: E402
    AEMNET_BOUNDS,
    FLOW_BOUND_PX,
    I3D_BOUNDS,
    MDML_BOUND,
    aemnet_step,
    mdml_loss,
    waves,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


def video() -> list[np.ndarray]:
    return [waves(1, 64, (0.2 * k, -0.1 * k))[0] for k in range(9)]


@pytest.mark.parametrize(
    "options",
    [{"preset": "micro"}, {"preset": "micro", "warm_start_pairs": 4}, {"preset": "opencv"}, {"preset": "classic"}],
    ids=str,
)
def test_flow_of_a_video(options: dict) -> None:
    from microexp.flow.params import FlowParams
    from microexp.flow.tvl1 import stream_flow

    expected = np.stack(list(stream_flow(video(), FlowParams(backend="numba", **options))))
    found = np.stack(list(stream_flow(video(), FlowParams(backend="torch", **options), device="cuda")))
    assert np.abs(found - expected).mean() < FLOW_BOUND_PX


def test_flow_does_not_depend_on_the_batch() -> None:
    from microexp.flow.params import FlowParams
    from microexp.flow.tvl1 import stream_flow

    params = FlowParams(backend="torch")
    one, eight = (np.stack(list(stream_flow(video(), params, device="cuda", batch=n))) for n in (1, 8))
    assert np.abs(one - eight).mean() < FLOW_BOUND_PX


@pytest.mark.parametrize("mixed", [False, True])
def test_i3d_features(mixed: bool) -> None:
    i3d = pytest.importorskip("microexp.features.i3d", reason="needs h5py")
    from microexp.features.i3d_network import FastI3d, InceptionI3d
    from microexp.features.params import I3dClipParams

    torch.manual_seed(0)
    state = InceptionI3d().eval().state_dict()
    frames = np.random.default_rng(0).uniform(-1, 1, (12, 3, 64, 64)).astype(np.float32)
    options = I3dClipParams(size_px=64)
    expected = i3d.batch_features(frames, FastI3d(state), options)
    options = options.model_copy(update={"mixed_precision": mixed})
    found = i3d.batch_features(frames, FastI3d(state, "cuda"), options)
    bound = I3D_BOUNDS["float16" if mixed else "float32"]
    assert np.linalg.norm(found - expected) < bound * np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_of_aemnet(dtype: str) -> None:
    from spotting_training import DEMO

    expected = aemnet_step("cpu", 2, 4, 64, DEMO, "float32")[1]
    found = aemnet_step("cuda", 2, 4, 64, DEMO, dtype)[1]
    assert (found - expected).norm() < AEMNET_BOUNDS[dtype] * expected.norm()


def test_training_of_mdml() -> None:
    expected, found = (mdml_loss(device, 3, 4)[0] for device in ("cpu", "cuda"))
    assert np.abs(found - expected).max() < MDML_BOUND * np.abs(expected).max()
