"""One run at a time in a folder, and a clean start after a run that was killed.

A run holds `flock` on `.snakemake/microexp-run.lock`; the system releases it when the process ends, however it ends.
Whoever gets it knows that what a former run on this machine left (Snakemake's locks, temporary files) is stale.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from microexp.errors import UserError
from microexp.gpu_pool import visible_gpus
from microexp.workflow.watchdog import JOBS_LOCK, RUN, token

RUN_LOCK = Path(".snakemake/microexp-run.lock")
SNAKEMAKE_LOCKS = Path(".snakemake/locks")
_LOOKS = re.compile(
    r"-[a-zA-Z]*n[a-zA-Z]*|--(dry-?run|lint|list.*|summary|detailed-summary|unlock|dag|rulegraph|filegraph|d3dag|report"
    r"|print-compilation|cleanup-.*|archive|delete-.*|conda-(list|cleanup|create)-envs.*|generate-unit-tests"
    r"|containerize|export-cwl|version|help)(=.*)?"
)
"""Command-line arguments with which Snakemake runs no job."""


def runs_jobs(arguments: Sequence[str]) -> bool:
    """Whether Snakemake with these arguments will run jobs, or only look."""
    return "--report-after-run" in arguments or not any(_LOOKS.fullmatch(a) for a in arguments)


def begin(folder: Path) -> IO[str]:
    """Take the run lock of `folder` and clear what a killed run left; the lock holds while the returned file is open.

    Raises:
        UserError: when another run works in `folder`.
    """
    path = folder / RUN_LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")  # noqa: SIM115  stays open with the lock
    except OSError as error:
        raise UserError(path, None, error.strerror, "a working folder that can be written") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        host, pid = [*file.read().split(), "?", "?"][:2]
        file.close()
        raise UserError(
            folder.resolve(),
            None,
            f"another run in this folder (process {pid} on {host})",
            None,
            "wait for it or stop it",
        ) from None
    file.seek(0)
    former = file.read().split()
    if former and former[0] == socket.gethostname():  # a former run on this machine: it is gone
        shutil.rmtree(folder / SNAKEMAKE_LOCKS, ignore_errors=True)
    file.seek(0)
    file.truncate()
    file.write(f"{socket.gethostname()} {os.getpid()}\n")
    file.flush()
    return file


def clear_leftovers(folder: Path) -> list[Path]:
    """Remove temporary files of killed jobs under `folder`/results; returns them.

    Nothing is removed while a job of a former run is still alive (on a cluster it may be, on another machine).
    """
    found = sorted(leftovers(folder / "results"))
    if not found or _jobs_alive(folder):
        return []
    for path in found:
        path.unlink(missing_ok=True)
    return found


def leftovers(results: Path) -> Iterator[Path]:
    """Temporary files under `results`."""
    from microexp.storage import TEMPORARY  # not at the top: it needs numpy, which the workflow itself does not

    return results.rglob(f"{TEMPORARY}*")


def _jobs_alive(folder: Path) -> bool:
    path = folder / JOBS_LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or a file system without locks: then nobody knows
            return True
        return False


def environment_for_gpu(environment: Mapping[str, str] = os.environ) -> str:
    """Name of the conda environment for rules that can use a GPU: `gpu`, or `cpu` where there is none.

    On a login node without a GPU, `CONDA_OVERRIDE_CUDA` says that the jobs will have one; conda needs it anyway.
    """
    return "gpu" if "CONDA_OVERRIDE_CUDA" in environment or visible_gpus(environment) else "cpu"


def shell_prefix(source: Path, conda: bool) -> str:
    """What stands before every shell command of the workflow: the package's path, the run that the job belongs to.

    It ends in `exec`, so that the job is the direct child of the run: signals reach it, no shell stands in between.
    Without conda, `python` is the interpreter that runs Snakemake.
    """
    lines = [f"export PYTHONPATH={shlex.quote(str(source))}", f"export {RUN}={token()}"]
    if not conda:
        lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    # Snakemake fills in braces, also here
    return "; ".join(lines).replace("{", "{{").replace("}", "}}") + "; exec "
