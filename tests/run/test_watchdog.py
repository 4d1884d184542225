"""Jobs end with their run, however it ends."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from microexp.run import watchdog

JOB = """
import os, signal, sys, time
from microexp.run import watchdog
{before}
with watchdog.job_of_run(os.environ):
    try:
        print("ready", flush=True)
        {work}
    finally:
        print("cleaned", flush=True)
"""
RUN = """
import os, subprocess, sys, time
from microexp.run import watchdog
os.environ["MICROEXP_RUN"] = watchdog.token()
job = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(job.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int, within_s: float = 5) -> bool:
    end = time.monotonic() + within_s
    while watchdog.start_time(pid) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("before", "work"),
    [
        ("", "time.sleep(60)"),
        ("", "while True: pass"),
        ("watchdog.die_with_parent = lambda: None  # as on systems without prctl", "time.sleep(60)"),
        ("watchdog._watch = lambda run: None  # by the kernel alone", "time.sleep(60)"),
        ("watchdog._watch = lambda run: None", "while True: pass"),
        # long in compiled code, which no handler of Python interrupts
        ("watchdog._watch = lambda run: None; signal.pthread_sigmask(signal.SIG_BLOCK, {15})", "time.sleep(60)"),
    ],
)
def test_a_job_dies_with_its_run(before: str, work: str) -> None:
    job = JOB.format(before=before, work=work)
    with subprocess.Popen([sys.executable, "-c", RUN, job], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        assert run.stdout.readline() == "ready\n"
        run.kill()
        assert gone(pid)


@pytest.mark.parametrize("before", ["", "watchdog._watch = lambda run: None  # who looks later is too late"])
def test_a_job_whose_run_is_already_gone_does_not_start(before: str) -> None:
    code = JOB.format(before=before, work="pass")
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MICROEXP_RUN": "1:0"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (watchdog.STATUS, "")


def test_sigterm_lets_a_job_clean_up() -> None:
    code = JOB.format(before="", work="time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "ready\n"
        job.terminate()
        assert job.stdout.read() == "cleaned\n"
    assert job.returncode == watchdog.STATUS


def test_start_times_tell_processes_with_one_number_apart() -> None:
    pid, _, start = watchdog.token().partition(":")
    assert watchdog.is_alive(f"{pid}:{start}")
    assert not watchdog.is_alive(f"{pid}:{int(start) - 1}")


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as child:
        assert gone(child.pid)


def test_without_proc_a_process_is_known_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "Path", lambda _: tmp_path / "no proc here")
    assert watchdog.start_time(os.getpid()) == ""
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert watchdog.start_time(child.pid) is None


def test_jobs_hold_a_shared_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from microexp.run.lock import _jobs_alive

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    previous = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(watchdog, "die_with_parent", lambda: None)
    try:
        with watchdog.job_of_run({"MICROEXP_RUN": watchdog.token()}):
            assert _jobs_alive(tmp_path)
            with watchdog.JOBS_LOCK.open("a") as file:  # another job of the run does not wait
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            assert any(t.daemon for t in threading.enumerate())
        assert not _jobs_alive(tmp_path)
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_without_a_run_there_is_nothing_to_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    previous = signal.getsignal(signal.SIGTERM)
    try:
        with watchdog.job_of_run({}):
            assert not (tmp_path / ".snakemake").exists()
        with pytest.raises(SystemExit) as exit_info:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        assert exit_info.value.code == watchdog.STATUS
    finally:
        signal.signal(signal.SIGTERM, previous)
