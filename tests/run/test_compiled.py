"""Processes that would compile the same kernels do it one after the other."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

JOB = """
import sys, time
from microexp.run.compiled import one_at_a_time
with one_at_a_time():
    start = time.monotonic_ns()
    time.sleep(0.3)
    end = time.monotonic_ns()
print(start, end)
"""


def test_processes_compile_one_after_the_other(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", JOB]
    jobs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    times = sorted(tuple(map(int, job.communicate()[0].split())) for job in jobs)
    assert len(times) == 4
    for (_, end), (start, _) in itertools.pairwise(times):
        assert end <= start
