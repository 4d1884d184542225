"""Where compiled kernels are kept, and that two processes do not compile them at the same time."""

from __future__ import annotations

import fcntl
import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numba

from microexp.errors import UserError
from microexp.run.log import log

SETTINGS = ".numba_config.yaml"
"""numba takes options from a file of this name in the working folder."""


def _probe() -> None:
    """What numba is asked to keep, to see whether it can."""


def private_folder() -> Path | None:
    """A folder for temporary files of this user alone; None where there is none: code is loaded from it."""
    folder = Path(tempfile.gettempdir()) / f"microexp-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return None
    safe = folder.is_dir() and not folder.is_symlink() and about.st_uid == os.getuid() and not about.st_mode & 0o022
    return folder if safe else None


@functools.cache
def can_keep() -> bool:
    """Whether compiled code can be kept: beside the source, in the user's cache folder, or in one for temporary files.

    numba raises where neither the clone nor a home can be written, even when nothing is compiled yet.

    Raises:
        UserError: when the working folder holds settings of numba, which would change how results come about.
    """
    if Path(SETTINGS).exists():
        raise UserError(
            file=SETTINGS, problem="settings of numba in the working folder", hint="they change results: move it away"
        )
    for folder in (None, private_folder):
        if folder is not None:
            place = folder()
            if place is None:
                continue
            numba.config.CACHE_DIR = str(place)
        try:
            numba.njit(cache=True)(_probe)
        except RuntimeError:
            continue
        return True
    log("microexp: warning: no folder where compiled code can be kept (set NUMBA_CACHE_DIR): each job compiles its own")
    return False


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one process of this user compile at a time: the others then load what it kept, in place of 16 s of work."""
    folder = private_folder()
    if folder is None:
        yield
        return
    with open(folder / "compiling.lock", "a") as file:
        with suppress(OSError):  # a file system without locks: then both compile
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
