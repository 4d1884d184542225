"""The scripts in `benchmarks/` and `tools/` as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


def load_script(name: str, monkeypatch: pytest.MonkeyPatch, folder: str = "benchmarks") -> ModuleType:
    """`benchmarks/NAME.py`, or of another folder, run anew; it is forgotten with the other patches."""
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module
