from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from microexp.features.i3d_network import InceptionI3d
from microexp.features.weights import checkpoint_path
from tests.shards import write_crops, write_flow


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_state(channels: int) -> dict[str, Tensor]:
    """Weights under which activations neither die nor explode."""
    generator = torch.Generator().manual_seed(channels)
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in InceptionI3d(channels).state_dict().items() if "num_batches" not in k}
    state = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=generator)
        if name.endswith("conv3d.weight"):
            value *= (2 / np.prod(shape[1:])) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            value = 1 + 0.2 * value.abs()
        else:
            value *= 0.1
        state[name] = value
    return state


@pytest.fixture(scope="session")
def rgb_state() -> dict[str, Tensor]:
    return random_state(3)


@pytest.fixture(scope="session")
def checkpoint() -> dict[tuple[str, ...], np.ndarray]:
    """Arrays as the released checkpoint holds them (kernels as time, row, column, input, output; no scale)."""
    arrays = {}
    for name, value in random_state(3).items():
        if name.endswith("bn.weight"):
            continue
        array = value.numpy()
        if name.endswith("conv3d.weight"):
            array = array.transpose(2, 3, 4, 1, 0)
        elif name.endswith(("running_mean", "running_var")):
            array = array.reshape(1, 1, 1, 1, -1)
        arrays[checkpoint_path(name)] = np.ascontiguousarray(array)
    return arrays


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, rgb_state: dict[str, Tensor]) -> Path:
    path = tmp_path_factory.mktemp("weights") / "rgb.safetensors"
    save_file(rgb_state, path)
    return path


Shards = Callable[..., tuple[Path, Path]]


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """Crops and flow of videos: name -> number of frames, or the reason for its exclusion."""

    def make(videos: dict[str, int | str], side: int = 40, channels: int = 3, flow_side: int = 0) -> tuple[Path, Path]:
        rng = np.random.default_rng(0)
        images: dict[str, np.ndarray | str] = {}
        moves: dict[str, np.ndarray | str] = {}
        for name, frames in videos.items():
            if isinstance(frames, str):
                images[name] = moves[name] = frames
                continue
            images[name] = rng.integers(0, 256, (frames, side, side, channels), dtype=np.uint8)
            wide = flow_side or side
            moves[name] = rng.integers(-800, 800, (frames - 1, wide, wide, 2), dtype=np.int16) / 512
        paths = tmp_path / "crops/set/s1.h5", tmp_path / "flow/set/s1.h5"
        every_seventh = {n: np.arange(len(i), dtype=np.int32) * 7 for n, i in images.items()}
        write_crops(paths[0], images, frame_index=every_seventh, source_fps=200.0, source_n_frames=999)
        write_flow(paths[1], moves)
        return paths

    return make
