"""Stages that compute no network do not load one: torch alone takes seconds, once for every job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from microexp.pipeline import STAGES

WITHOUT_TORCH = (
    "demo-sheet", "index", "index-subject", "shards", "detect", "tables", "report-subject", "report", "complete",
)  # fmt: skip


CODE = """
import importlib, sys
from microexp.pipeline import STAGES
for name in sys.argv[1:]:
    if name in STAGES:
        STAGES[name].params
    importlib.import_module(STAGES[name].module if name in STAGES else name)
    if "torch" in sys.modules:
        sys.exit(f"{name} loads torch")
"""


def loads(*names: str, path: Path | None = None) -> str:
    """What a new Python says that imports these stages or modules, one after the other; `path` is searched first."""
    found = [str(path), os.environ["PYTHONPATH"]] if path and "PYTHONPATH" in os.environ else [str(path)]
    environment = os.environ if path is None else {**os.environ, "PYTHONPATH": os.pathsep.join(found)}
    done = subprocess.run([sys.executable, "-c", CODE, *names], env=environment, capture_output=True, text=True)
    return done.stderr


def test_no_torch() -> None:
    assert set(WITHOUT_TORCH) <= set(STAGES)
    assert loads(*WITHOUT_TORCH) == ""


def test_which_method_a_model_holds_is_read_without_its_network() -> None:
    code = "import sys; from microexp.models import __path__; from pathlib import Path; "
    code += "from microexp.methods.model import read_method; "
    code += "found = read_method(Path(__path__[0], 'spotting_motion.safetensors'), 'spotting'); "
    code += "sys.exit('torch' in sys.modules or not (found.label and found.method.learns))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_network_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "torch.py").touch()
    (tmp_path / "net_of_mine.py").write_text("import torch\n")
    assert loads("index", "net_of_mine", path=tmp_path) == "net_of_mine loads torch\n"


def test_help_and_completion_of_all_commands_load_no_network() -> None:
    code = "from microexp.commands.completion import _parsers; import sys; names = [name for name, _ in _parsers()]; "
    code += "sys.exit('torch' in sys.modules or len(names) < 40)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
