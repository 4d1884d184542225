"""Jobs end with the run that started them: no orphan goes on computing or writing after a killed run.

The workflow puts its process id and start time into `MICROEXP_RUN`. On Linux the kernel kills the job when its parent
dies; in addition, and elsewhere alone, a thread looks twice a second whether the run is still there.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

DELETED = "MICROEXP_DELETED_LATER"
"""Environment variable of a job with results that the run deletes when all that reads them is done."""
RUN = "MICROEXP_RUN"
"""Environment variable `PID:START`, START as in `start_time`."""
JOBS_LOCK = Path(".snakemake/microexp-jobs.lock")
"""Every job of a run holds a shared lock on this file; who gets an exclusive one knows that no job is alive."""
PR_SET_PDEATHSIG = 1
STATUS = 128 + signal.SIGTERM
PERIOD_S = 0.5


def start_time(pid: int) -> str | None:
    """When process `pid` started, in clock ticks; None when there is none (a zombie counts as none), "" if unknown."""
    if not Path("/proc/self/stat").exists():  # not Linux
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def token() -> str:
    """What `MICROEXP_RUN` holds for jobs of this process."""
    return f"{os.getpid()}:{start_time(os.getpid())}"


def is_alive(run: str) -> bool:
    """Whether the process of a `token` still runs (another process with its number does not count)."""
    pid, _, start = run.partition(":")
    return start_time(int(pid)) == start


@contextmanager
def job_of_run(environment: Mapping[str, str]) -> Iterator[None]:
    """Make this process a job of the run that `MICROEXP_RUN` names, if any: it ends when the run ends.

    SIGTERM becomes an orderly exit, which removes temporary files.
    """
    signal.signal(signal.SIGTERM, _exit_orderly)
    run = environment.get(RUN)
    if not run:
        yield
        return
    with _shared_lock():
        die_with_parent()
        if not is_alive(run):  # it ended before we asked the kernel
            os._exit(STATUS)
        threading.Thread(target=_watch, args=(run,), daemon=True).start()
        yield


def _exit_orderly(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _watch(run: str) -> None:
    while is_alive(run):
        time.sleep(PERIOD_S)
    os._exit(STATUS)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@contextmanager
def _shared_lock() -> Iterator[None]:
    try:
        file = open(JOBS_LOCK, "a")  # noqa: SIM115
    except OSError:  # not in the folder of a run, or read-only: then there is nothing to tell
        yield
        return
    with file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_SH)
        yield
