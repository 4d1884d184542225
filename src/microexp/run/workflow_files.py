"""Where the workflow lies: at the root of a source tree, or inside the package where a wheel was installed."""

from __future__ import annotations

from pathlib import Path

from microexp.errors import UserError

IN_WHEEL = "shipped"
"""Folder inside the installed package to which `setup.py` copies the workflow when it builds a wheel."""


def workflow_root() -> Path:
    """The folder that holds `Snakefile`, `workflow/`, `profiles/`, `envs/` and the configuration of the demo.

    Raises:
        UserError: neither a source tree nor a wheel with the workflow is installed.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package.parents[1], package / IN_WHEEL):
        if (root / "Snakefile").is_file() and (root / "workflow" / "rules").is_dir():
            return root
    raise UserError(file=package, problem="the workflow is not there", hint="install microexp again, from a wheel")


def snakefile() -> Path:
    """The Snakefile: the workflow of this installation, wherever it is called from.

    Raises:
        UserError: as `workflow_root`.
    """
    return workflow_root() / "Snakefile"


def profile(name: str) -> Path:
    """The folder of a profile for Snakemake that microexp ships.

    Args:
        name: `default` (one machine) or `slurm`.

    Raises:
        UserError: there is no such profile.
    """
    profiles = workflow_root() / "profiles"
    found = profiles / name
    if not (found / "config.yaml").is_file():
        names = sorted(path.parent.name for path in profiles.glob("*/config.yaml"))
        raise UserError(file=profiles, where="profile", got=repr(name), expected=f"one of {', '.join(names)}")
    return found
