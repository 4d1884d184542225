"""Results that change under the same version of their stage are an error; corrected words are nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microexp.pipeline import STAGES
from tests.workflow import runs, versions

SLOW = {
    "demo", "faces", "crops", "flow", "apexdiff", "i3d-rgb", "i3d-flow", "spotting-fold aemnet",
    "spotting-fold flow_magnitude", "recognition-fold mdml",
}  # fmt: skip
NAMES = [pytest.param(n, marks=pytest.mark.long) if n in SLOW else n for n in versions.CASES]


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(versions.STORED.read_text(encoding="utf-8"))
    return found


def problem(name: str) -> str | None:
    return versions.problem(name, stored().get(name), versions.measure(name), versions.CASES[name].tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_makes_what_was_stored_for_its_version(name: str) -> None:
    assert problem(name) is None


def test_every_stage_has_stored_values_or_a_reason() -> None:
    covered = {stage for case in versions.CASES.values() for stage in case.stages}
    assert covered.isdisjoint(versions.EXEMPT) and covered | set(versions.EXEMPT) == set(STAGES)
    assert list(stored()) == sorted(versions.CASES)


def test_a_changed_constant_of_a_kernel_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from microexp.features import motion_tracking

    monkeypatch.setattr(motion_tracking, "HEAD_WINDOW_EYES", motion_tracking.HEAD_WINDOW_EYES * 3)
    found = problem("motion")
    assert found is not None and found.startswith("motion: s1.h5, v/features differs from the stored values")
    assert "under the same version: raise it" in found


def test_a_changed_rule_of_a_method_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from microexp.methods.recognition import logistic_regression

    monkeypatch.setattr(logistic_regression, "LOGISTIC_C", logistic_regression.LOGISTIC_C * 10)
    found = problem("recognition-fold logistic_regression")
    assert found is not None and "under the same version" in found


def test_a_raised_version_asks_for_new_values() -> None:
    known = stored()["given"]
    raised = {**known, "versions": {"given": known["versions"]["given"] + 1}}
    assert "run tools/store_values.py" in str(versions.problem("given", known, raised, versions.TOLERANCE))
    assert versions.problem("given", known, known, versions.TOLERANCE) is None
    assert "no stored values" in str(versions.problem("given", None, known, versions.TOLERANCE))


def test_rounding_of_another_cpu_is_no_change() -> None:
    values = np.random.default_rng(0).normal(3, 2, 5000)
    one = {"versions": {"s": 1}, "values": {"x.h5": {"a": versions.numbers(values)}}}
    for change, same in ((1e-6, True), (1e-2, False)):
        moved = {"versions": {"s": 1}, "values": {"x.h5": {"a": versions.numbers(values * (1 + change))}}}
        assert (versions.problem("s", one, moved, versions.TOLERANCE) is None) == same
    swapped = {"versions": {"s": 1}, "values": {"x.h5": {"a": versions.numbers(values[::-1])}}}
    assert versions.problem("s", one, swapped, versions.TOLERANCE) is not None


@pytest.mark.long
def test_a_corrected_word_runs_nothing_again(finished: Path, tmp_path: Path) -> None:
    """A copy of the sources in which an error message of `run/shard_files.py` has another word."""
    own = tmp_path / "own"
    own.mkdir()
    for part in ("Snakefile", "src", "workflow", "profiles", "envs"):
        source = runs.ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, own / part)
    module = own / "src/microexp/run/shard_files.py"
    text = module.read_text(encoding="utf-8")
    assert text.count("no such file") == 1
    module.write_text(text.replace("no such file", "no such shard"), encoding="utf-8")
    line = [*runs.SNAKEMAKE, "-s", str(own / "Snakefile"), "--configfile", str(runs.MINI), "--cores", "1", "-n"]
    done = subprocess.run(line, cwd=finished, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.long
def test_the_tool_checks_and_stores(tmp_path: Path) -> None:
    """On a copy of the repository in which a kernel was changed."""
    for part in ("src", "tests", "tools", "pyproject.toml"):
        source = runs.ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / part)
    module = tmp_path / "src/microexp/features/motion_tracking.py"
    text = module.read_text()
    assert text.count("HEAD_WINDOW_EYES = 0.2, 0.06") == 1
    module.write_text(text.replace("HEAD_WINDOW_EYES = 0.2, 0.06", "HEAD_WINDOW_EYES = 0.2, 0.18"))
    tool = [sys.executable, str(tmp_path / "tools/store_values.py"), "motion"]
    environment = {"PYTHONPATH": str(tmp_path / "src"), "PATH": "/usr/bin:/bin"}
    for more, status, words in ((["--check"], 1, "under the same version"), ([], 0, ""), (["--check"], 0, "as stored")):
        done = subprocess.run([*tool, *more], env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == status and words in done.stdout, done.stdout + done.stderr[-2000:]
