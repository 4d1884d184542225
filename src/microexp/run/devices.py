"""The device that `--device` means, the same for every stage."""

from __future__ import annotations

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
