from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from microexp.errors import UserError
from microexp.features import i3d_load as load
from microexp.features.i3d_load import FIRST_KERNEL, check_state, flow_from_rgb, load_flow, load_rgb, read_state
from microexp.features.weights import SOURCE, state_sha256
from microexp.run import storage
from tests.features.conftest import random_state
from tests.features.test_archive import Call


def test_flow_from_rgb_keeps_the_answer_to_equal_channels(rgb_state: dict[str, Tensor]) -> None:
    flow = flow_from_rgb(rgb_state)
    assert flow[FIRST_KERNEL].shape == (64, 2, 7, 7, 7)
    torch.testing.assert_close(flow[FIRST_KERNEL][:, 0], rgb_state[FIRST_KERNEL].mean(1))
    assert torch.equal(flow[FIRST_KERNEL][:, 0], flow[FIRST_KERNEL][:, 1])
    rest = set(flow) - {FIRST_KERNEL}
    assert rest == set(rgb_state) - {FIRST_KERNEL} and all(flow[k] is rgb_state[k] for k in rest)


@pytest.mark.long
def test_streams_from_files_of_the_user(tmp_path: Path, weights: Path) -> None:
    flow_file = tmp_path / "flow_imagenet.pt"
    counters = {"Conv3d_1a_7x7.bn.num_batches_tracked": torch.tensor(7)}
    torch.save({**random_state(2), **counters}, flow_file)
    rgb, about_rgb = load_rgb(weights, storage.file_sha256(weights))
    flow, about_flow = load_flow(weights, flow_file, None, flow_sha256=storage.file_sha256(flow_file))
    assert flow[FIRST_KERNEL].shape[1] == 2 and "logits.conv3d.weight" not in flow
    assert about_flow["source"] == "user's file flow_imagenet.pt"
    assert about_rgb["source"] == "user's file rgb.safetensors"
    assert about_flow["state_sha256"] == state_sha256(flow) != about_rgb["state_sha256"] == state_sha256(rgb)


@pytest.mark.long
def test_without_a_checksum_only_the_pinned_weights(
    weights: Path, rgb_state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    for load_stream in (load_rgb, lambda path: load_flow(path, None)):
        with pytest.raises(UserError, match="rgb_weights_sha256"):
            load_stream(weights)
    monkeypatch.setattr(load, "STATE_SHA256", state_sha256(rgb_state))
    assert load_rgb(weights)[1]["source"] == SOURCE and "averaged" in load_flow(weights, None)[1]["source"]


def test_checksums(weights: Path) -> None:
    assert read_state(weights, storage.file_sha256(weights).upper())
    with pytest.raises(UserError, match="expected 000"):
        read_state(weights, "0" * 64)


def test_hostile_and_damaged_files(tmp_path: Path, weights: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"a": Call(Path.touch, marker)}, tmp_path / "hostile.pt")
    storage.write_bytes(tmp_path / "plain.pt", pickle.dumps(Call(Path.touch, marker), protocol=2))
    storage.write_bytes(tmp_path / "text.pt", b"not a torch file")
    storage.write_bytes(tmp_path / "empty.pt", b"")
    storage.write_bytes(tmp_path / "cut.safetensors", weights.read_bytes()[:1000])
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")
    for name in ("hostile.pt", "plain.pt", "text.pt", "empty.pt", "cut.safetensors", "list.pt", "numbers.pt"):
        with pytest.raises(UserError, match=name):
            read_state(tmp_path / name, None)
    assert not marker.exists()


@pytest.mark.long
def test_the_tensor_that_does_not_fit_is_named(rgb_state: dict[str, Tensor]) -> None:
    path = Path("w.pt")
    with pytest.raises(UserError, match=r"Conv3d_1a_7x7\.conv3d\.weight: shape \(64, 3, 7, 7, 7\)"):
        check_state(rgb_state, 2, path)
    name = "Mixed_4b.b1a.bn.bias"
    with pytest.raises(UserError, match=f"{name}: nothing"):
        check_state({k: v for k, v in rgb_state.items() if k != name}, 3, path)
    with pytest.raises(UserError, match=f"{name}: a value that is no number"):
        check_state({**rgb_state, name: torch.full_like(rgb_state[name], torch.nan)}, 3, path)
    halves = check_state({k: v.half() for k, v in rgb_state.items()}, 3, path)
    assert {v.dtype for v in halves.values()} == {torch.float32}
