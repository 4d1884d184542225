"""The device that `--device` means, the same for every stage, and a pool of the GPUs of one machine."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from microexp.errors import UserError
from microexp.run.log import log

if TYPE_CHECKING:
    import torch

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As Linux names them (the last on ARM)."""


def pick_device(name: str) -> torch.device:
    """The torch device called `name`; `auto` is a GPU where torch sees one, else the CPU.

    Raises:
        UserError: when there is no such device here.
    """
    import torch

    gpus = [f"cuda:{n}" for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    if name not in ("cpu", *gpus, *(["cuda"] if gpus else [])):
        hint = f"torch sees {', '.join(gpus) or 'no GPU'} here"
        raise UserError(
            file="command line",
            where="--device",
            got=repr(name),
            expected="auto, cpu, or a GPU that torch sees",
            hint=hint,
        )
    return torch.device(name)


def warn_if_slow(who: str, instead: str) -> None:
    """Say so when bfloat16 is asked of a CPU that has no instructions for it: it computes it, but slowly."""
    if not (BF16_FLAGS & cpu_flags()):
        log(f"{who}: this CPU has no instructions for bfloat16 (AMX, AVX512-BF16): `{instead}` is faster")


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the first CPU says that it can do; nothing where the system does not tell."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return frozenset()
    names = ("flags", "Features")  # x86, ARM
    return next((frozenset(line.split(":", 1)[1].split()) for line in lines if line.startswith(names)), frozenset())


# A pool of GPUs on one machine: each job takes a free one, by lock files, so that two jobs never share one.
#
# Snakemake counts GPUs (`--resources gpu=4`) but hands out no device ids. Inside a SLURM job SLURM has done it.

PERIOD_S = 0.2


def visible_gpus(environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> list[str]:
    """Ids of this machine's NVIDIA GPUs: those in `CUDA_VISIBLE_DEVICES` when it is set, else by device file."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [d.strip() for d in chosen.split(",") if d.strip() and d.strip() != "-1"]
    found = (re.fullmatch(r"nvidia(\d+)", p.name) for p in devices.glob("nvidia*"))
    return sorted((m[1] for m in found if m), key=int)


@contextmanager
def claim(
    count: int,
    environment: MutableMapping[str, str] = os.environ,
    folder: Path | None = None,
    *,
    patience_s: float = 60.0,
) -> Iterator[list[str]]:
    """Hold `count` GPUs and set `CUDA_VISIBLE_DEVICES` to them; waits up to `patience_s` for free ones.

    With 0 the job sees no GPU. Under SLURM nothing is done. Locks go with the process, however it ends.

    Raises:
        UserError: when not enough GPUs become free, which means that more jobs run than `--resources gpu=N` allows.
    """
    if "SLURM_JOB_ID" in environment:
        yield visible_gpus(environment)
        return
    with ExitStack() as locks:
        held = _take(count, visible_gpus(environment), folder or _default_folder(), patience_s, locks) if count else []
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(held)
        yield held


def _take(count: int, gpus: list[str], folder: Path, patience_s: float, locks: ExitStack) -> list[str]:
    if count > len(gpus):
        raise UserError(
            file="GPUs",
            problem=f"{len(gpus)} on this machine",
            expected=f"{count}",
            hint="lower --resources gpu=N, or gpu: 0 in the profile",
        )
    folder.mkdir(parents=True, exist_ok=True)
    held: list[str] = []
    end = time.monotonic() + patience_s
    if not _has_locks(folder):  # then jobs at least begin at different ones
        start = os.getpid() % len(gpus)
        gpus = [*gpus[start:], *gpus[:start]]
    while True:
        for gpu in gpus:
            if (
                len(held) < count
                and gpu not in held
                and _try_lock(folder / f"gpu{re.sub(r'[^A-Za-z0-9-]', '_', gpu)}.lock", locks)
            ):
                held.append(gpu)
        if len(held) == count:
            return held
        if time.monotonic() > end:
            raise UserError(
                file="GPUs",
                problem=f"{len(held)} of {len(gpus)} free",
                expected=f"{count}",
                hint="is --resources gpu=N too high?",
            )
        time.sleep(PERIOD_S)


def _has_locks(folder: Path) -> bool:
    with open(folder / "probe.lock", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            log(f"microexp: warning: {folder}: no lock ({error.strerror}): two jobs may share a GPU")
            return False
    return True


def _try_lock(path: Path, locks: ExitStack) -> bool:
    file = open(path, "a")  # noqa: SIM115  stays open with the lock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    except OSError:  # no locks here: `_has_locks` said so
        pass
    locks.enter_context(file)
    return True


def _default_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"microexp-gpus-{os.getuid()}"
