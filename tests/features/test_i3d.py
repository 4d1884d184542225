"""Both streams of I3D: stages on made-up crops and flow, and what goes into the network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from microexp.errors import UserError
from microexp.features import i3d
from microexp.features.i3d import batches, clip_count, prepare_flow, prepare_rgb, seen_clips
from microexp.features.i3d_load import flow_from_rgb
from microexp.features.i3d_network import FastI3d
from microexp.pipeline import STAGES
from microexp.records.features import Files, list_features
from microexp.records.validity import Reason
from microexp.run import provenance, shard_files, storage
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests.features.conftest import Shards
from tests.shards import recorded

STREAMS = ("rgb", "flow")
both_streams = pytest.mark.parametrize("stream", ["rgb", pytest.param("flow", marks=pytest.mark.long)])
"""Both read and write alike, and hold the same network, which takes its time."""


def run(
    paths: tuple[Path, Path], weights: Path, stream: str, threads: int = 1, device: str = "auto", **options: Any
) -> Path:
    """The shard of one stream, by its stage."""
    stage = STAGES[f"i3d-{stream}"]
    options = {"size_px": 32, "rgb_weights_sha256": storage.file_sha256(weights), **options}
    out = paths[0].parents[2] / f"threads{threads}" / f"i3d_{stream}" / "set" / "s1.h5"
    inputs = {"crops": [paths[0]], "weights": [weights]}
    if stream == "flow":
        inputs |= {"flow": [paths[1]], "flow_weights": []}
    run_stage(stage, Job(inputs, {"features": out}, stage.params.model_validate(options), {}, threads, device))
    return out


def features_of(path: Path, video: str = "v1") -> np.ndarray:
    with shard_files.open_shard(path) as file:
        return np.asarray(file[video]["features"][:])


def network_inputs(paths: tuple[Path, Path], stream: str, frames: slice) -> np.ndarray:
    """(T, C, 32, 32) of stored frames, as the network should see them."""
    with shard_files.open_shard(paths[0]) as crops, shard_files.open_shard(paths[1]) as flow:
        if stream == "rgb":
            return prepare_rgb(crops["v1/frames"][frames], 32)
        moves = flow["v1/flow"]
        return prepare_flow(moves[frames] * np.float32(moves.attrs["scale"]), 32, 2.0)


def state_of(stream: str, rgb_state: dict[str, Tensor]) -> dict[str, Tensor]:
    return rgb_state if stream == "rgb" else flow_from_rgb(rgb_state)


@pytest.mark.parametrize(("frames", "clips"), [(9, 1), (10, 1), (11, 2), (12, 2), (13, 3), (8, 1), (2, 1), (720, 356)])
def test_number_of_features(frames: int, clips: int) -> None:
    assert clip_count(frames, 8, 2) == clips


@given(st.integers(1, 400), st.integers(1, 17), st.integers(1, 9), st.sampled_from([32, 64, 224, 1024]))
def test_batches_cover_every_clip_once(frames: int, clip: int, step: int, size: int) -> None:
    clips = clip_count(frames, clip, step)
    parts = list(batches(clips, clip, step, size_px=size))
    assert sum(count for _, _, count in parts) == clips
    starts = [start + step * i for start, _, count in parts for i in range(count)]
    assert starts == [step * i for i in range(clips)]
    assert all(stop - start == step * (count - 1) + clip for start, stop, count in parts)
    assert parts[-1][1] <= max(clip, frames - 1)


@both_streams
def test_features_of_known_windows(shards: Shards, weights: Path, rgb_state: dict[str, Tensor], stream: str) -> None:
    paths = shards({"v1": 44})
    path = run(paths, weights, stream)
    with shard_files.open_shard(path) as file:
        group = file["v1"]
        features = group["features"][:]
        assert features.shape == (18, 1024) and features.dtype == np.float32
        assert dict(group.attrs) == {
            "excluded": "",
            "fps": 30.0,
            "clip_frames": 8,
            "step_frames": 2,
            "n_frames": 44,
            "channels": "",
        }
        assert group["frame_index"][:].tolist() == [7 * i for i in range(44)]
        assert (file.attrs["stream"], file.attrs["dataset"], file.attrs["subject"]) == (f"i3d_{stream}", "set", "s1")
        source = {"rgb": "user's file rgb.safetensors", "flow": "averaged over the colours"}
        assert source[stream] in file.attrs["weights"] and file.attrs["size_px"] == 32
    network = FastI3d(state_of(stream, rgb_state))
    for i in (0, 5, 16, 17):  # 16 and 17 are of the second batch
        images = network_inputs(paths, stream, slice(2 * i, 2 * i + 8))
        expected = network.features(torch.from_numpy(images.copy()), 8, 8)[0].numpy()
        np.testing.assert_allclose(features[i], expected, rtol=0, atol=1e-5 * expected.max())


@pytest.mark.long
@both_streams
def test_the_shard_is_read_as_a_stream_of_features(shards: Shards, weights: Path, stream: str) -> None:
    path = run(shards({"bad": "no face found", "v1": 20}), weights, stream)
    with Files() as files:
        (found,) = list_features([path], files)
        assert (found.stream, found.key) == (f"i3d_{stream}", ("set", "s1", "v1"))
        assert (found.step_frame, found.clip_frame, found.n_steps, found.n_channels) == (2, 8, 6, 1024)
        assert found.origin_frame == 3  # feature 0 stands for the middle of frames 0 to 7
        assert np.array_equal(found.read(2, 4), features_of(path)[2:4])


@pytest.mark.long
@both_streams
def test_the_last_crop_is_not_seen(shards: Shards, weights: Path, stream: str) -> None:
    """Both streams span the frames that have a flow to the next one."""
    paths = shards({"v1": 9})
    before = features_of(run(paths, weights, stream))
    with h5py.File(paths[0], "r+") as file:
        file["v1/frames"][8] = 0
    recorded(paths[0], "crops")
    assert np.array_equal(features_of(run(paths, weights, stream)), before)
    with h5py.File(paths[0], "r+") as crops, h5py.File(paths[1], "r+") as flow:
        crops["v1/frames"][7] = 0
        flow["v1/flow"][7] = 0
    recorded(paths[0], "crops")
    recorded(paths[1], "flow")
    assert not np.array_equal(features_of(run(paths, weights, stream)), before)


@pytest.mark.long
@both_streams
def test_threads_change_nothing(shards: Shards, weights: Path, stream: str) -> None:
    paths = shards({"v1": 45, "v2": 9})
    assert run(paths, weights, stream, 1).read_bytes() == run(paths, weights, stream, 3).read_bytes()


@pytest.mark.long
@both_streams
@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_a_short_video_is_padded(
    shards: Shards, weights: Path, rgb_state: dict[str, Tensor], stream: str, frames: int
) -> None:
    """The last common frame stands still: repeated in RGB, no motion in flow."""
    paths = shards({"v1": frames})
    path = run(paths, weights, stream)
    with shard_files.open_shard(path) as file:
        assert file["v1"].attrs["n_frames"] == frames
    found = features_of(path)
    assert found.shape == (1, 1024)
    if stream == "rgb":
        x = network_inputs(paths, stream, slice(0, max(1, frames - 1)))
        x = np.concatenate([x, np.repeat(x[-1:], 8 - len(x), 0)])
    else:
        x = np.zeros((8, 2, 32, 32), np.float32)
        if frames > 1:
            x[: frames - 1] = network_inputs(paths, stream, slice(None))
    expected = FastI3d(state_of(stream, rgb_state)).features(torch.from_numpy(x.copy()), 8, 2).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.max())


@pytest.mark.long
@both_streams
def test_an_excluded_video_keeps_its_reason(shards: Shards, weights: Path, stream: str) -> None:
    with shard_files.open_shard(run(shards({"bad": "no face found", "v1": 9}), weights, stream)) as file:
        assert file["bad"].attrs["excluded"] == "no face found" and not len(file["bad"])
        assert file["v1"].attrs["excluded"] == "" and "features" in file["v1"]


@pytest.mark.long
def test_grey_crops_equal_grey_colours(shards: Shards, weights: Path) -> None:
    grey = shards({"v1": 9}, channels=1)
    first = features_of(run(grey, weights, "rgb"))
    with h5py.File(grey[0], "r+") as file:
        frames = np.repeat(file["v1/frames"][:], 3, 3)
        del file["v1/frames"]
        file["v1/frames"] = frames
    recorded(grey[0], "crops")
    assert np.array_equal(features_of(run(grey, weights, "rgb")), first)


def test_rgb_range_and_order() -> None:
    crops = np.zeros((2, 4, 4, 3), np.uint8)
    crops[1, 1, 2] = (255, 0, 51)
    found = prepare_rgb(crops, 4)
    assert found.shape == (2, 3, 4, 4) and found.dtype == np.float32 and found[0].max() == -1
    np.testing.assert_allclose(found[1, :, 1, 2], [1, -1, -0.6], atol=1e-6)
    np.testing.assert_allclose(prepare_rgb(np.full((1, 8, 8, 1), 51, np.uint8), 4), -0.6, atol=1e-6)


@pytest.mark.parametrize(("side", "size"), [(224, 224), (112, 112), (56, 112), (96, 32)])
def test_flow_means_the_same_at_every_size(side: int, size: int) -> None:
    """A motion by 1 % of the face is the same number whatever the crop and the input."""
    flow = np.zeros((1, side, side, 2), np.float32)
    flow[..., 0], flow[..., 1] = 0.01 * side, -0.5 * side
    found = prepare_flow(flow, size, 4.0)
    np.testing.assert_allclose(found[0, 0], 2.24 / 4, rtol=1e-5)
    np.testing.assert_array_equal(found[0, 1], -1)


@pytest.mark.long
def test_flow_that_does_not_belong(shards: Shards, weights: Path) -> None:
    with pytest.raises(UserError, match=r"v1: flow of shape \(8, 24, 24, 2\); expected \(8, 40, 40, 2\)"):
        run(shards({"v1": 9}, flow_side=24), weights, "flow")
    paths = shards({"v1": 9})
    with h5py.File(paths[1], "r+") as file:
        file.move("v1", "v2")
    recorded(paths[1], "flow")
    with pytest.raises(UserError, match="video v1: no such video"):
        run(paths, weights, "flow")
    assert not list(paths[0].parents[2].glob("threads*/*/*/*.h5"))


@pytest.mark.long
@both_streams
def test_devices(shards: Shards, weights: Path, stream: str) -> None:
    paths = shards({"v1": 9})
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="torch sees no GPU"):
            run(paths, weights, stream, device="cuda:0")
    for device in ("tpu", "cuda:99"):
        with pytest.raises(UserError, match="a GPU that torch sees"):
            run(paths, weights, stream, device=device)
    record = provenance.read_provenance(run(paths, weights, stream, device="cpu"))
    assert record["device"] == "cpu" and record["weights"]["state_sha256"]


@pytest.mark.long
@both_streams
def test_an_error_in_a_batch_reaches_the_caller(
    shards: Shards, weights: Path, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    def fail(*_: object) -> np.ndarray:
        raise MemoryError("no room")

    monkeypatch.setattr(i3d, "batch_features", fail)
    paths = shards({"v1": 60})
    with pytest.raises(MemoryError):
        run(paths, weights, stream, 2)
    assert not list(paths[0].parents[2].glob("threads*/*/*/*.h5"))


@both_streams
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu(shards: Shards, weights: Path, stream: str) -> None:
    paths = shards({"v1": 30})
    cpu = features_of(run(paths, weights, stream, device="cpu"))
    gpu = features_of(run(paths, weights, stream, device="cuda"))
    np.testing.assert_allclose(gpu, cpu, rtol=0, atol=1e-4 * cpu.max())


@pytest.mark.parametrize(
    ("changes", "unseen"),
    [
        ({}, []),
        ({5: Reason.NO_FACE}, [0, 1]),
        ({5: Reason.REPEATED}, []),
        ({8: Reason.CUT}, [1]),
        ({8: Reason.GAP}, [1]),
    ],
)
def test_snippets_that_rest_on_unusable_frames_are_marked(changes: dict[int, Reason], unseen: list[int]) -> None:
    """Snippets of 8 frames, four apart; a break before the first frame of one is none within it."""
    reason = np.zeros(17, np.uint8)
    for frame, what in changes.items():
        reason[frame] = what
    valid = ~np.isin(reason, [Reason.NO_FACE, Reason.REPEATED])
    crops = SimpleNamespace(valid=valid, reason=reason)
    assert np.flatnonzero(~seen_clips(crops, 3, 8, step_frames=4)).tolist() == unseen  # type: ignore[arg-type]


@pytest.mark.long
def test_the_shard_says_which_snippets_are_unusable(shards: Shards, weights: Path) -> None:
    paths = shards({"v1": 17})
    with h5py.File(paths[0], "r+") as file:
        file["v1/valid"] = np.arange(17) != 2
        file["v1/reason"] = np.where(np.arange(17) == 2, Reason.NO_FACE, Reason.NONE).astype(np.uint8)
    recorded(paths[0], "crops")
    with Files() as files:
        (video,) = list_features([run(paths, weights, "rgb")], files)
        assert video.valid().tolist() == [False, False, True, True, True]


@pytest.mark.long
@both_streams
def test_a_cpu_computes_in_bfloat16_if_asked(shards: Shards, weights: Path, stream: str) -> None:
    """Near the features in float32, not the same, and the same bytes for any number of threads."""
    paths = shards({"v1": 30})
    plain = features_of(run(paths, weights, stream, device="cpu"))
    first = run(paths, weights, stream, device="cpu", mixed_precision=True)
    found, record = features_of(first), provenance.read_provenance(first)
    assert found.dtype == np.float32 and record["parameters"]["mixed_precision"] is True
    assert 0 < np.linalg.norm(found - plain) < 0.03 * np.linalg.norm(plain)
    again = run(paths, weights, stream, threads=2, device="cpu", mixed_precision=True)
    assert np.array_equal(found, features_of(again))
