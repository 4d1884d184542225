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
from microexp.run import storage


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
        paths = tmp_path / "crops.h5", tmp_path / "flow.h5"
        with storage.create_shard(paths[0]) as crops, storage.create_shard(paths[1]) as flow:
            for name, frames in videos.items():
                groups = crops.create_group(name), flow.create_group(name)
                for group in groups:
                    excluded = frames if isinstance(frames, str) else ""
                    storage.set_attributes(group, {"fps": 30.0, "excluded": excluded})
                storage.set_attributes(groups[0], {"source_fps": 200.0, "source_n_frames": 999})
                if isinstance(frames, str):
                    continue
                images = rng.integers(0, 256, (frames, side, side, channels), dtype=np.uint8)
                storage.add_array(groups[0], "frames", images)
                storage.add_array(groups[0], "frame_index", np.arange(frames, dtype=np.int32) * 7)
                moves = rng.integers(-800, 800, (frames - 1, flow_side or side, flow_side or side, 2), dtype=np.int16)
                storage.add_array(groups[1], "flow", moves).attrs["scale"] = 1 / 512
        return paths

    return make
