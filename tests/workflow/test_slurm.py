"""Folds of the miniature through a real SLURM: slurmctld and slurmd on this machine, started and stopped here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow import runs

pytestmark = [pytest.mark.slurm, pytest.mark.long]

SCRIPTS = Path(__file__).with_name("slurm")
FOLDS = [f"results/recognition/demo/mdml/demo-s0{n}/predictions.csv" for n in (1, 2, 3)]
FOLDS += ["results/spotting/demo/aemnet/demo-s01/proposals.h5"]
DETECTIONS = [f"results/spotting/demo/aemnet/demo-s0{n}/detections.csv" for n in (1, 2, 3)]
FAST = ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5", "--verbose")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """State folder of a running SLURM."""
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"SLURM is not installed (no {', '.join(missing)}): apt-get install slurm-wlm munge")
    if os.getuid() != 0:
        pytest.skip("starting SLURM's daemons needs root")
    if os.path.lexists("/etc/slurm/slurm.conf"):
        pytest.skip("this machine has a SLURM of its own: /etc/slurm/slurm.conf")
    state = tmp_path_factory.mktemp("slurm")
    try:
        subprocess.run([SCRIPTS / "start.sh", state], check=True, timeout=60)
        yield state
    finally:
        subprocess.run([SCRIPTS / "stop.sh", state], check=True, timeout=60)


def submit(folder: Path, *arguments: str, timeout_s: float = 200) -> runs.Outcome:
    """Run with profiles/slurm as it is shipped, but with quicker looks at the queue."""
    profile = str(runs.ROOT / "profiles/slurm")
    command = runs.command(*arguments, "--workflow-profile", profile, *FAST)
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s
    )
    return runs.Outcome(done.returncode, done.stdout)


def sbatch_calls(outcome: runs.Outcome) -> list[str]:
    return re.findall(r"sbatch call: (.*)", outcome.text)


def queue() -> list[str]:
    """Job states, partitions and GPUs of all jobs, finished ones too."""
    listed = subprocess.run(
        ["squeue", "--states=all", "-h", "-o", "%T %P %b"], capture_output=True, text=True, check=True
    )
    return listed.stdout.splitlines()


def test_folds_run_through_slurm(slurm: Path, finished: Path, copy: Path) -> None:
    """Folds of both kinds as jobs with a GPU, in their partition; the same bytes as without SLURM."""
    for fold in FOLDS:
        shutil.rmtree((copy / fold).parent)
    start = time.monotonic()
    outcome = submit(copy, *FOLDS)
    assert outcome.status == 0, outcome.text[-6000:]
    calls = sbatch_calls(outcome)
    assert len(calls) == len(FOLDS)
    assert all("--gpus=1" in call and "-p gpu" in call for call in calls)
    assert sum("--mem 3000" in call and "-t 240" in call for call in calls) == 3, "recognition"
    assert sum("--mem 4000" in call and "-t 480" in call for call in calls) == 1, "spotting"
    assert [line.split()[:2] for line in queue()] == [["COMPLETED", "gpu"]] * len(FOLDS)
    assert runs.run(copy).status == 0  # the detections of the spotting fold were not asked for
    assert runs.differing(finished, copy) == []
    runs.note(f"SLURM, folds: {len(calls)} jobs, 0 retries, {time.monotonic() - start:.0f} s")


def test_short_jobs_of_one_rule_are_one_array(slurm: Path, finished: Path, copy: Path) -> None:
    """The detections of all folds, which are ready together."""
    for target in DETECTIONS:
        (copy / target).unlink()
    start = time.monotonic()
    outcome = submit(copy, *DETECTIONS)
    assert outcome.status == 0, outcome.text[-6000:]
    calls = sbatch_calls(outcome)
    assert len(calls) == 1 and "--array=1-3" in calls[0] and "-p cpu" in calls[0], calls
    assert "--gpus" not in calls[0]
    assert runs.differing(finished, copy) == []
    runs.note(f"SLURM, array: 3 jobs in {len(calls)} submission, 0 retries, {time.monotonic() - start:.0f} s")


def test_a_failing_job_is_retried_with_more_memory(slurm: Path, finished: Path, copy: Path) -> None:
    """The job's shell is killed at the first attempt, as the kernel does for want of memory."""
    target = "results/apexdiff/demo/s01.h5"
    (copy / target).unlink()
    guard = copy / "guard.sh"
    guard.write_text(
        'case "$BASH_EXECUTION_STRING" in *"microexp apexdiff "*)\n'
        f'  [ -e "{copy}/tried" ] || {{ touch "{copy}/tried"; kill -9 $$; }}\nesac\n'
    )
    environment = {**os.environ, "BASH_ENV": str(guard)}
    command = runs.command(target, "--workflow-profile", str(runs.ROOT / "profiles/slurm"), *FAST)
    start = time.monotonic()
    done = subprocess.run(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200
    )
    outcome = runs.Outcome(done.returncode, done.stdout)
    assert outcome.status == 0, outcome.text[-6000:]
    asked = [re.search(r"-t (\d+) --mem (\d+)", call) for call in sbatch_calls(outcome)]
    assert [m and m.groups() for m in asked] == [("60", "2000"), ("120", "4000")]
    assert runs.differing(finished, copy) == []
    runs.note(f"SLURM, killed job: {len(asked)} jobs, 1 retry with twice the memory, {time.monotonic() - start:.0f} s")


def test_a_cancelled_job_leaves_nothing_wrong(slurm: Path, finished: Path, copy: Path) -> None:
    fold = Path(FOLDS[0])
    shutil.rmtree(copy / fold.parent)
    log = copy / "logs/recognition/demo/mdml/demo-s01.log"
    log.unlink()
    slow = runs.mini(copy, "slow.yaml", [("mdml: {epochs: 2", "mdml: {epochs: 20000")])
    profile = str(runs.ROOT / "profiles/slurm")
    run = runs.Running(copy, str(fold), "--workflow-profile", profile, *FAST, "--retries", "0", config=slow)
    end = time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < end and run.process.poll() is None, run.log.read_text()
        time.sleep(0.1)
    subprocess.run(["scancel", "--state=RUNNING", "-u", "root"], check=True)
    outcome = run.wait(120)
    assert outcome.status != 0
    assert not (copy / fold).exists()
    assert runs.jobs_in(copy) == []
    again = runs.run(copy)
    assert again.status == 0, again.text
    assert runs.differing(finished, copy) == []
