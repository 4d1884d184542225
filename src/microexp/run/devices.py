"""The device that `--device` means, the same for every stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microexp.errors import UserError

if TYPE_CHECKING:
    import torch


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
