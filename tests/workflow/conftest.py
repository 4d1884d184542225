"""One undisturbed run of the miniature, shared by all tests (and by parallel test processes)."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.workflow import runs


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Folder of a finished run of the miniature; copy it before you change anything."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished"
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "outcome.txt").exists():
            outcome = runs.run(runs.prepare(folder))
            assert outcome.status == 0, outcome.text[-4000:]
            (folder / "outcome.txt").write_text(outcome.text)
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run for one test."""
    return runs.copy_run(finished, tmp_path / "copy")
