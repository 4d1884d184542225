"""The workflow as a process: what a user sees of its words, and what is kept."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.own_videos import workflow
from microexp.own_videos.workflow import LOG, run_workflow

SCRIPT = """#!/bin/sh
printf '%s\\n' "$@" > arguments.txt
cat <<'END'
Building DAG of jobs...
rule flow:
    output: results/flow/video/a.h5
3 of 12 steps (25%) done
microexp: error: a.mp4: no face found
Error in rule faces:
    jobid: 4
LockException:
12 of 12 steps (100%) done
END
printf 'on standard error \\377\\n' >&2
exit 3
"""


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An interpreter that says what Snakemake says, and ends with status 3."""
    path = tmp_path / "python"
    path.write_text(SCRIPT)
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return path


def test_progress_and_errors_are_shown_and_everything_is_kept(python: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    folder = tmp_path / "new" / "run"
    assert run_workflow(folder, tmp_path / "c.yaml", ["results/a.h5"], cores=3, show=seen.append) == 3
    assert seen == [
        "  3 of 12 steps (25%) done",
        "  microexp: error: a.mp4: no face found",
        "  Error in rule faces:",
        "  LockException:",
        "  12 of 12 steps (100%) done",
    ]
    kept = (folder / LOG).read_text(encoding="utf-8")
    assert kept.startswith("Building DAG of jobs...\n") and "    jobid: 4\n" in kept
    assert "on standard error \ufffd\n" in kept, "bytes that are no text stop nothing"


def test_what_fails_for_one_video_does_not_stop_the_others(python: Path, tmp_path: Path) -> None:
    """`--keep-going`, and targets that cannot be taken for options."""
    folder = tmp_path / "run"
    run_workflow(folder, tmp_path / "c.yaml", ["--odd", "results/b.h5"], cores=2, show=lambda _: None)
    arguments = (folder / "arguments.txt").read_text().splitlines()
    assert arguments[:3] == ["-P", "-m", "snakemake"]
    assert {"--keep-going", "--rerun-incomplete", "--nocolor"} <= set(arguments)
    assert arguments[arguments.index("--cores") + 1] == "2"
    assert arguments[arguments.index("--directory") + 1] == str(folder)
    assert arguments[arguments.index("--configfile") + 1] == str(tmp_path / "c.yaml")
    assert arguments[-3:] == ["--", "--odd", "results/b.h5"]


def test_a_log_of_an_earlier_run_is_replaced(python: Path, tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("of yesterday\n" * 999)
    run_workflow(tmp_path, tmp_path / "c.yaml", ["x"], cores=1, show=lambda _: None)
    assert "of yesterday" not in (tmp_path / LOG).read_text()


def test_without_snakemake_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"snakemake: not installed.*microexp\[workflow\]"):
        run_workflow(tmp_path / "run", tmp_path / "c.yaml", ["x"], cores=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("1 of 2 steps (50%) done", True), ("[Sun] Error in rule crops, jobid: 3", True), ("rule crops:", False),
        ("microexp: warning: slow", False), ("snakemake.exceptions.LockException: x", True),
        ("2 of 3 steps done", False),
    ],
)  # fmt: skip
def test_which_lines_say_how_far_it_is(line: str, shown: bool) -> None:
    assert bool(workflow.PROGRESS.search(line) or workflow.ERROR.match(line)) == shown
