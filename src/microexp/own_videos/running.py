"""Runs the workflow as a process of its own, and shows what of its words tells a user how far it is."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from microexp.errors import UserError
from microexp.run.workflow_files import snakefile

LOG = "workflow.log"
PROGRESS = re.compile(r"\d+ of \d+ steps \(\d+%\) done")
ERROR = re.compile(r"microexp: error: .*|.*Error in rule (\w+).*|.*LockException.*")


def run_workflow(
    folder: Path, config: Path, targets: Sequence[str], *, cores: int, show: Callable[[str], None] = print
) -> int:
    """Make `targets` in `folder`; what can be made is made, whatever fails.

    Args:
        folder: working folder of the run.
        config: its configuration.
        targets: files, relative to `folder`.
        cores: CPU cores.
        show: takes a line for the user.

    Returns:
        Snakemake's exit status; its whole output is in `folder`/workflow.log.

    Raises:
        UserError: when Snakemake is not installed.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise UserError(file="snakemake", problem="not installed", hint="pip install 'microexp[workflow]'")
    folder.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-P", "-m", "snakemake", "-s", str(snakefile()), "--directory", str(folder.resolve())]
    line += ["--configfile", str(config.resolve()), "--cores", str(cores), "--keep-going", "--rerun-incomplete"]
    line += ["--nocolor", "--", *targets]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        (folder / LOG).open("w", encoding="utf-8") as log,
        subprocess.Popen(
            line, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for text in process.stdout:
            log.write(text)
            if PROGRESS.search(text) or ERROR.match(text.strip()):
                show("  " + text.strip())
    return process.returncode
