"""Processes that would compile the same kernels do it one after the other."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

JOBS = """
import os, time
from microexp.run.compiled import one_at_a_time
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        children = []
        break
    children.append(child)
with one_at_a_time():
    start = time.monotonic_ns()
    time.sleep(0.1)
    end = time.monotonic_ns()
print(start, end, flush=True)
for child in children:
    os.waitpid(child, 0)
"""
"""Four processes, which have all imported what they need when they begin."""


@pytest.mark.long
def test_processes_compile_one_after_the_other(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", JOBS], env=environment, capture_output=True, text=True, check=True)
    times = sorted(tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert len(times) == 4
    for (_, end), (start, _) in itertools.pairwise(times):
        assert end <= start
