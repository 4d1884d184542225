"""Snakemake's main process looks for jobs when one has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import microexp
from microexp.run.workflow import look_at_events_alone

JOBS = 12
SNAKEFILE = """
from microexp.run.workflow import look_at_events_alone
rule all:
    input: expand("{i}.txt", i=range(JOBS))
rule one:
    output: "{i}.txt"
    shell: "sleep 0.4; touch {output}"
onstart:
    look_at_events_alone(workflow.scheduler)
"""


def looks(folder: Path, text: str, *options: str) -> int:
    """How often a run of so many jobs chose among them."""
    (folder / "Snakefile").write_text(text.replace("JOBS", str(JOBS)))
    line = [sys.executable, "-m", "snakemake", "--cores", "1", "--verbose", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(microexp.__file__).parents[1])}
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and len(list(folder.glob("*.txt"))) == JOBS
    return (done.stdout + done.stderr).count("Resources before job selection")


@pytest.mark.long
def test_a_run_looks_once_for_each_job_that_ends(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("ours", "usual", "limited")]
    for folder in folders:
        folder.mkdir()
    assert looks(folders[0], SNAKEFILE) <= JOBS + 2
    assert looks(folders[1], SNAKEFILE.partition("onstart")[0]) > JOBS + 2, "Snakemake no longer needs this"
    assert looks(folders[2], SNAKEFILE, "--max-jobs-per-timespan", "50/1s") > JOBS + 2


@pytest.mark.parametrize(("limit", "stays"), [((100, 1), False), ((50, 1), True), ((100, 60), True)])
def test_a_limit_of_the_users_stays(limit: tuple[int, int], stays: bool) -> None:
    scheduler = SimpleNamespace(job_rate_limiter=SimpleNamespace(max_jobs=limit[0], timespan=limit[1]))
    look_at_events_alone(scheduler)
    assert (scheduler.job_rate_limiter is not None) == stays


def test_other_versions_of_snakemake_are_left_as_they_are() -> None:
    scheduler = SimpleNamespace()
    look_at_events_alone(scheduler)
    assert vars(scheduler) == {}
