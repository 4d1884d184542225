"""One run at a time in a folder, and a clean start after a run that was killed.

A run holds `flock` on `.snakemake/microexp-run.lock`; the system releases it when the process ends, however it ends.
Whoever gets it knows that what a former run on this machine left (Snakemake's locks, temporary files) is stale.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from microexp.errors import UserError
from microexp.run.devices import visible_gpus
from microexp.run.watchdog import DELETED, JOBS_LOCK, RUN, token

USER_PATH = "MICROEXP_PYTHONPATH"
"""Environment variable: what PYTHONPATH was when the user started the run."""
RUN_LOCK = Path(".snakemake/microexp-run.lock")
LOGGED = 'logged() { log="$1"; shift; [ ! -s "$log" ] || mv -f "$log" "$log.before"; exec "$@" > "$log" 2>&1; }'
DELETED_LATER = f"export {DELETED}=1; "
"""What stands before the command of a job with results that the run deletes when all that reads them is done."""
SNAKEMAKE_LOCKS = Path(".snakemake/locks")
LOOKING = (
    "dryrun", "lint", "list_rules", "list_target_rules", "print_compilation", "containerize", "report",
    "generate_unit_tests", "dag", "rulegraph", "filegraph", "d3dag", "unlock", "cleanup_metadata",
    "conda_cleanup_envs", "conda_create_envs_only", "list_conda_envs", "cleanup_shadow", "container_cleanup_images",
    "list_changes", "list_input_changes", "list_params_changes", "list_untracked", "summary", "detailed_summary",
    "archive",
)  # fmt: skip
"""Snakemake's options with which it runs no job and deletes no result."""


def runs_jobs(options: Any) -> bool:
    """Whether Snakemake with these options (as its own parser read them) will run jobs, or only look."""
    chosen = [name for name in LOOKING if getattr(options, name) not in (None, False)]
    return not chosen or (chosen == ["report"] and options.report_after_run)


def begin(folder: Path) -> IO[str]:
    """Take the run lock of `folder` and clear what a killed run left; the lock holds while the returned file is open.

    On a file system without such locks there is a warning, and Snakemake's own lock alone keeps a second run away.

    Raises:
        UserError: when another run works in `folder`.
    """
    path = folder / RUN_LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")  # noqa: SIM115  stays open with the lock
    except OSError as error:
        raise UserError(file=path, problem=error.strerror, expected="a working folder that can be written") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        host, pid = [*file.read().split(), "?", "?"][:2]
        file.close()
        raise UserError(
            file=folder.resolve(),
            problem=f"another run in this folder (process {pid} on {host})",
            hint="wait for it or stop it",
        ) from None
    except OSError as error:
        reason = error.strerror or error
        print(f"microexp: warning: {path}: no lock ({reason}): only Snakemake's own lock is used", file=sys.stderr)
        return file
    file.seek(0)
    former = file.read().split()
    if former and former[0] == socket.gethostname():  # a former run on this machine: it is gone
        shutil.rmtree(folder / SNAKEMAKE_LOCKS, ignore_errors=True)
    file.seek(0)
    file.truncate()
    file.write(f"{socket.gethostname()} {os.getpid()}\n")
    file.flush()
    return file


@contextmanager
def no_run(folder: Path) -> Iterator[bool]:
    """Keep runs out of `folder` for a while; yields whether that is certain, which it is not without locks.

    Raises:
        UserError: when a run, or a job that a killed run left on another machine, works there.
    """
    if not (folder / RUN_LOCK).exists():
        yield True
        return
    with begin(folder):
        alive = _jobs_alive(folder)
        if alive:
            raise UserError(
                file=folder, problem="jobs of a run that are still at work", hint="wait for them or cancel them"
            )
        yield alive is False


def clear_leftovers(folder: Path) -> list[Path]:
    """Remove temporary files of killed jobs under `folder`/results and `folder`/weights; returns them.

    Nothing is removed while a job of a former run is still alive (on a cluster it may be, on another machine), or where
    the file system has no locks to tell.
    """
    found = sorted(leftovers(folder))
    if not found or _jobs_alive(folder) is not False:
        return []
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return found


def leftovers(folder: Path) -> Iterator[Path]:
    """Temporary files and folders under results and weights; not in a linked folder, which may serve other runs."""
    from microexp.run.storage import TEMPORARY  # not at the top: it needs numpy, which the workflow itself does not

    for name in ("results", "weights"):
        if not (folder / name).is_symlink():
            yield from (folder / name).rglob(f"{TEMPORARY}*")


def _jobs_alive(folder: Path) -> bool | None:
    """Whether a job works in `folder`; None where the file system has no locks, so that nobody knows."""
    path = folder / JOBS_LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
        return False


def environment_for_gpu(environment: Mapping[str, str] = os.environ) -> str:
    """Name of the conda environment for rules that can use a GPU: `gpu`, or `cpu` where there is none.

    On a login node without a GPU, `CONDA_OVERRIDE_CUDA` says that the jobs will have one; conda needs it anyway.
    """
    return "gpu" if "CONDA_OVERRIDE_CUDA" in environment or visible_gpus(environment) else "cpu"


def user_path(environment: Mapping[str, str] = os.environ) -> str:
    """Folders of the user's PYTHONPATH, absolute: jobs may start in another folder than the run did."""
    given = [*environment.get("PYTHONPATH", "").split(os.pathsep), *environment.get(USER_PATH, "").split(os.pathsep)]
    return os.pathsep.join(dict.fromkeys(_absolute(folder) for folder in given if folder))


def _absolute(folder: str) -> str:
    """As Python itself found it when it started, for Snakemake may have changed the folder since."""
    ends = os.sep + os.path.normpath(folder)
    started = (p for p in sys.path if Path(p).is_absolute() and p.endswith(ends))
    return folder if Path(folder).is_absolute() else next(started, str(Path(folder).absolute()))


def shell_prefix(source: Path | None, conda: bool) -> str:
    """What stands before each shell command of our own rules: the package's path, the run that the job belongs to, and
    `logged LOG COMMAND`, which keeps what the attempt before printed as `LOG.before`.

    The user's own PYTHONPATH does not come before the libraries of the job's environment, but it is kept as `USER_PATH`
    for methods of somebody else (`microexp.methods.find`). It ends in `exec`, so that the job is a direct child of the
    run: signals reach it, no shell is in between. Without conda, `python` is the interpreter that runs Snakemake.
    The commands say `python -P`: what lies in the working folder is not imported.

    Args:
        source: folder that holds the package; None where it is installed beside the libraries.
        conda: whether rules run in environments of their own, which do not hold the package.

    Raises:
        UserError: with `conda` and without `source`.
    """
    if conda and source is None:
        raise UserError(
            where="--use-conda", problem="environments need the package's source", hint="use a clone of the repository"
        )
    path = "" if source is None else shlex.quote(str(source))
    lines = [f"export PYTHONPATH={path} PYTHONSAFEPATH=1", f"export {RUN}={token()}"]
    lines.append(f"export {USER_PATH}={shlex.quote(user_path())}")
    if not conda:
        lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    lines.append(LOGGED)
    return "; ".join(lines) + "; "
