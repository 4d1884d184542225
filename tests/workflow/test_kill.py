"""Killed at any moment, a run goes on with the same command and ends with the same bytes.

`MICROEXP_KILLS=50 pytest tests/workflow/test_kill.py -k random_moments` sets the number of moments (4 by default);
`MICROEXP_KILL_SEED` those of a former run, which prints it when it fails.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from microexp.records.verify import check_file
from tests.workflow import runs

pytestmark = [pytest.mark.kill, pytest.mark.long]

KILLS = int(os.environ.get("MICROEXP_KILLS", "4"))
CORES = 2
SEED = int(os.environ.get("MICROEXP_KILL_SEED", secrets.randbelow(2**32)))
LATE = ("features", "apexdiff", "spotting", "recognition", "tables", "report", "report.html", "excluded.csv")
"""What is computed again when a run has finished before its last kill: with everything that depends on it."""


def complete(folder: Path) -> set[str]:
    """Results that are whole and recorded, so that their jobs had done all their work."""
    files = (p for p in (folder / "results").rglob("*") if p.is_file() and not p.name.endswith(".prov.json"))
    return {p.relative_to(folder).as_posix() for p in files if check_file(p) is None}


def leftovers(folder: Path) -> list[Path]:
    return list((folder / "results").rglob(".microexp-tmp-*"))


def test_killed_at_random_moments(finished: Path, tmp_path: Path) -> None:
    """SIGKILL to the whole group, or to Snakemake alone so that its jobs are orphans; then the same command again.

    Of the jobs that had done their work when the run was killed, at most one per core runs again: those that
    Snakemake had not yet noted as done. A job that it had noted never does.
    """
    print(f"MICROEXP_KILL_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    folder = runs.prepare(tmp_path / "killed")
    noted, whole, kills, repeated = set[str](), set[str](), 0, 0
    while True:
        run = runs.Running(folder, cores=CORES)
        try:
            outcome = run.wait(float(rng.uniform(3, 15)) if kills < KILLS else 300)
        except subprocess.TimeoutExpired:
            run.process.kill() if kills % 2 else run.kill_group()
            outcome, kills = run.wait(), kills + 1
            assert runs.orphans(run.process.pid) == []
        started = outcome.started()
        assert not noted & set(started), "a finished job was repeated"
        assert len(whole & set(started)) <= CORES, "more than one job per core was repeated"
        repeated += len(whole & set(started))
        noted |= set(outcome.finished())
        if outcome.status == 0 and kills >= KILLS:
            break
        if outcome.status == 0:
            runs.forget(folder, *LATE)
            noted = {name for name in noted if (folder / name).exists()}
        else:
            assert outcome.status < 0, outcome.text
        whole = complete(folder)
    runs.note(f"kills: {kills}, jobs repeated although their results were whole: {repeated}")
    assert leftovers(folder) == []
    assert runs.differing(finished, folder) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whole_group", [True, False])
def test_asked_to_stop(finished: Path, copy: Path, number: int, whole_group: bool) -> None:
    runs.forget(copy, "recognition", "apexdiff")
    run = runs.Running(copy, cores=CORES)
    run.wait_for_job()
    time.sleep(1)
    run.kill_group(number) if whole_group else run.process.send_signal(number)
    stopped = run.asked_to_end()
    assert stopped.status != 0
    assert runs.orphans(run.process.pid) == []
    again = runs.run(copy)
    assert again.status == 0, again.text
    assert not set(stopped.finished()) & set(again.started())
    assert leftovers(copy) == [] and runs.differing(finished, copy) == []


def test_a_killed_worker(finished: Path, copy: Path) -> None:
    runs.forget(copy, "apexdiff")
    run = runs.Running(copy, cores=CORES)
    os.kill(run.wait_for_job(), signal.SIGKILL)
    failed = run.wait()
    assert failed.status != 0
    assert len([n for n in failed.finished() if n.startswith("results/apexdiff/")]) == 2, "the others go on"
    again = runs.run(copy)
    assert again.status == 0, again.text
    assert leftovers(copy) == [] and runs.differing(finished, copy) == []


@contextmanager
def results_on(folder: Path, size: str) -> Iterator[Path]:
    """The results of a run moved onto a small file system of their own."""
    results = folder / "results"
    aside = folder / "aside"
    results.rename(aside)
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(results)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs root and the right to mount a small file system")
    try:
        shutil.copytree(aside, results, dirs_exist_ok=True, copy_function=shutil.copy2)
        yield results
    finally:
        subprocess.run(["umount", str(results)], check=True)


def remount(results: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(results)], check=True)


def errors(outcome: runs.Outcome) -> list[str]:
    return [line for line in outcome.text.splitlines() if "microexp: error:" in line]


def test_a_full_disk(finished: Path, copy: Path) -> None:
    flow = [f"results/flow/demo/s0{n}.h5" for n in (1, 2, 3)]
    with results_on(copy, "100m") as results:
        runs.forget(copy, "flow")
        used = sum(p.stat().st_blocks * 512 for p in results.rglob("*"))
        remount(results, f"size={used + 200_000}")
        full = runs.run(copy, *flow)
        assert full.status != 0
        assert any("No space left on device" in line for line in errors(full)), full.text
        assert "Traceback" not in full.text
        assert leftovers(copy) == []
        remount(results, "size=100m")
        again = runs.run(copy, *flow)
        assert again.status == 0, again.text
        assert runs.differing(finished, copy) == []


def test_a_read_only_results_folder(finished: Path, copy: Path) -> None:
    """Found so by Snakemake before its first job."""
    with results_on(copy, "100m") as results:
        (results / "excluded.csv").unlink()
        (results / "apexdiff/demo/s02.h5").unlink()
        remount(results, "ro")
        refused = runs.run(copy)
        assert refused.status != 0
        assert "Read-only file system" in refused.text or "Write-protected output files" in refused.text, refused.text
        assert "Traceback" not in refused.text
        remount(results, "rw")
        again = runs.run(copy)
        assert again.status == 0, again.text
        assert runs.differing(finished, copy) == []


def test_results_that_become_read_only_under_a_job(finished: Path, copy: Path) -> None:
    """As file systems do that meet an error."""
    target = "results/apexdiff/demo/s02.h5"
    with results_on(copy, "100m") as results:
        (copy / target).unlink()
        run = runs.Running(copy, target, cores=1)
        run.wait_for_job()
        remount(results, "ro")
        failed = run.wait()
        assert failed.status != 0
        assert errors(failed) and all(f"{target}: Read-only file system" in e for e in errors(failed)), failed.text
        assert "Traceback" not in failed.text
        remount(results, "rw")
        again = runs.run(copy)
        assert again.status == 0, again.text
        assert runs.differing(finished, copy) == []


def test_resume_as_documented(finished: Path, copy: Path) -> None:
    """`make resume`: unlock, then the command; also where the locks of Snakemake were left by another machine."""
    runs.forget(copy, "apexdiff")
    run = runs.Running(copy, cores=CORES)
    run.wait_for_job()
    run.kill_group()
    run.wait()
    (copy / ".snakemake/microexp-run.lock").write_text("another-machine 1\n")
    locked = runs.run(copy)
    assert locked.status != 0 and "--unlock" in locked.text
    (copy / ".snakemake/microexp-run.lock").write_text("another-machine 1\n")
    assert runs.run(copy, "--unlock").status == 0
    again = runs.run(copy)
    assert again.status == 0, again.text
    assert runs.differing(finished, copy) == []
