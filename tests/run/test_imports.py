"""Stages that compute no network do not load one: torch alone takes seconds, once for every job."""

from __future__ import annotations

import subprocess
import sys

import pytest

from microexp.pipeline import STAGES

WITHOUT_TORCH = (
    "demo-sheet", "index", "index-subject", "shards", "detect", "tables", "report-subject", "report", "complete",
)  # fmt: skip


@pytest.mark.parametrize("stage", WITHOUT_TORCH)
def test_no_torch(stage: str) -> None:
    code = f"from microexp.pipeline import STAGES; import importlib, sys; stage = STAGES[{stage!r}]; stage.params; "
    code += "importlib.import_module(stage.module); sys.exit('torch' in sys.modules)"
    assert STAGES[stage].name == stage
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_help_and_completion_of_all_commands_load_no_network() -> None:
    code = "from microexp.commands.completion import _parsers; import sys; names = [name for name, _ in _parsers()]; "
    code += "sys.exit('torch' in sys.modules or len(names) < 40)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
