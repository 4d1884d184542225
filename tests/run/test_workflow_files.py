"""The workflow is found in a source tree and in an installed wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.run import lock, workflow

ROOT = Path(__file__).parents[2]


def test_a_source_tree_uses_its_own_workflow() -> None:
    assert workflow.snakefile() == ROOT / "Snakefile"
    assert workflow.profile("slurm") == ROOT / "profiles" / "slurm"


def test_a_profile_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UserError, match="got 'cloud', expected one of default, slurm"):
        workflow.profile("cloud")


def test_an_installed_package_uses_the_workflow_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lib" / "site-packages" / "microexp"
    monkeypatch.setattr(workflow, "__file__", str(package / "run" / "workflow.py"))
    with pytest.raises(UserError, match="the workflow is not there"):
        workflow.snakefile()
    for name in ("workflow/rules", "profiles"):
        shutil.copytree(ROOT / name, package / "shipped" / name)
    shutil.copy(ROOT / "Snakefile", package / "shipped")
    assert workflow.snakefile() == package / "shipped" / "Snakefile"
    assert workflow.profile("default") == package / "shipped" / "profiles" / "default"


def test_jobs_of_an_installed_package_need_no_path_of_a_source_tree() -> None:
    assert lock.shell_prefix(None, conda=False).startswith("export PYTHONPATH= PYTHONSAFEPATH=1")
    with pytest.raises(UserError, match="use a clone of the repository"):
        lock.shell_prefix(None, conda=True)
