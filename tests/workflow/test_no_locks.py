"""A run on a file system that refuses locks: the same bytes, nothing called damaged, nothing deleted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import no_locks
from tests.workflow import runs

pytestmark = [pytest.mark.long]


def test_a_run_without_locks(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage and fold of one subject, with the tables: its processes meet one number after the other."""
    for name, value in no_locks.environment(tmp_path, *no_locks.ERRNOS).items():
        monkeypatch.setenv(name, value)
    folder = runs.copy_run(finished, tmp_path / "run")
    targets = runs.forget_subject(folder, "s02")
    outcome = runs.run(folder, *targets)
    assert outcome.status == 0, outcome.text[-4000:]
    assert len(outcome.rules()) >= 11, "not every stage ran"
    runs.forget(folder, "tables")
    assert runs.run(folder, "results/tables/spotting_demo.csv", "results/tables/recognition_demo.csv").status == 0
    assert "no lock" in outcome.text, "the stub does not work"
    before = runs.hashes(folder)
    environment = {**os.environ, "PYTHONPATH": str(runs.ROOT / "src")}
    command = [sys.executable, "-P", "-m", "microexp", "verify", "results", "--delete"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert runs.hashes(folder) == before
    assert runs.differing(finished, folder) == []
    runs.note(f"a run without locks (errno {no_locks.ERRNOS}): {len(before)} files, the same bytes, 0 deleted")
