"""A file system that refuses locks, made of a small library that the C compiler at hand builds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ERRNOS = (37, 95, 524)
"""No locks available; not supported; ENOTSUPP, which the kernel hands out by mistake over NFS."""
SOURCE = Path(__file__).with_name("run") / "no_flock.c"


def environment(folder: Path, *numbers: int) -> dict[str, str]:
    """The surroundings of a process in which all locks fail, with one of `numbers` after the other.

    The library is built in `folder`.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler, which builds the stub of a file system without locks")
    library = folder / "no_flock.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return {**os.environ, "LD_PRELOAD": str(library), "NO_FLOCK_ERRNO": ",".join(map(str, numbers))}
