"""What the workflow needs of Python: where it lies, short words of the shell, and a scheduler that does not poll."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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


# Short words of the shell for many files.
#
# A whole command is one argument of the shell, of which Linux takes 128 KiB; a program takes many times that.


def words(paths: Iterable[str]) -> str:
    """Words that bash expands to `paths`, in their order: neighbours that differ in one folder share one word."""
    found: list[str] = []
    group: list[list[str]] = []
    for parts in (str(path).split("/") for path in paths):
        if group and _place([*group[:2], parts]) is None:
            found.append(_word(group))
            group = []
        group.append(parts)
    return " ".join([*found, _word(group)] if group else found)


def _place(group: Sequence[Sequence[str]]) -> int | None:
    """Which part of the paths differs, if it is one alone."""
    first = group[0]
    if any(len(parts) != len(first) for parts in group[-2:]):
        return None
    differ = {k for parts in (group[1], group[-1]) for k, (a, b) in enumerate(zip(first, parts, strict=True)) if a != b}
    return differ.pop() if len(differ) == 1 else None


def _word(group: Sequence[Sequence[str]]) -> str:
    if len(group) == 1:
        return shlex.quote("/".join(group[0]))
    place = _place(group)
    assert place is not None
    before, after = group[0][:place], group[0][place + 1 :]
    choices = ",".join(_choice(parts[place]) for parts in group)
    return "/".join([*map(_quoted, before), f"{{{choices}}}", *map(_quoted, after)])


def _choice(part: str) -> str:
    """One alternative of a brace word, quoted whatever it holds: a bare comma would be one alternative more."""
    return "'" + part.replace("'", "'\"'\"'") + "'"


def _quoted(part: str) -> str:
    return shlex.quote(part) if part else ""


# What Snakemake's scheduler does too often.

USUAL = (100, 1)
"""Jobs, and seconds in which no more may start, unless the user says otherwise (`--max-jobs-per-timespan`)."""


def look_at_events_alone(scheduler: Any) -> None:
    """Have Snakemake choose jobs when one has ended, and not by the clock as well.

    To keep its limit of jobs per second, Snakemake 9 looks at all waiting jobs again a second after each look. Each job
    that ends begins such a chain of looks, and none of them ends before no job waits. So the main process needs ever
    more time: 40 % of a core towards the end of a demo of 230 jobs. A limit that the user sets stays.

    Args:
        scheduler: of the workflow that is about to run.
    """
    limit = getattr(scheduler, "job_rate_limiter", None)
    if limit is not None and (limit.max_jobs, limit.timespan) == USUAL:
        scheduler.job_rate_limiter = None
