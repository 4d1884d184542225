"""`benchmarks/gpu.py`, rehearsed on the CPU: a table comes out whatever fails, hangs or is missing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import load_script

PARTS_SCRIPT = """
import sys, time, json
print("ROW\\t" + json.dumps({"what": "first row", "here": "12 pairs/s", "ok": True}), flush=True)
if sys.argv[1] == "i3d": time.sleep(600)
if sys.argv[1] == "mdml": raise MemoryError("out of memory")
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_script("gpu", monkeypatch)


@pytest.mark.long
def test_what_fails_or_hangs_or_is_missing_is_a_row_and_the_others_go_on(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "gpu_parts.py").write_text(PARTS_SCRIPT)
    monkeypatch.setattr(script, "ROOT", tmp_path)
    hang, lacking = script.Part("a part that hangs", 5, ()), script.Part("a part", 9, ("torch", "no-such-package"))
    monkeypatch.setattr(script, "PARTS", {**script.PARTS, "i3d": hang, "aemnet": lacking})
    out = tmp_path / "gpu.md"
    assert script.main(["--device", "cuda", "--only", "i3d", "aemnet", "mdml", "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert printed.strip() == out.read_text().strip()
    assert printed.count("| first row | 12 pairs/s |") == 2  # of the part that hangs, and of the one that fails
    assert "| a part that hangs | stopped after 5 s |" in printed
    assert "| a part | not run, missing: no-such-package |" in printed
    assert "failed (exit status 1): MemoryError: out of memory" in printed
    assert "3 rows failed, were not run, or disagree" in printed


def test_the_time_that_is_over_is_said(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--device", "cpu", "--seconds", "2", "--only", "flow"]) == 1
    assert "| TV-L1 | not run: the 2 s are over |" in capsys.readouterr().out


@pytest.mark.long
def test_the_rehearsal_runs_whole_and_agrees(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--device", "cpu"]) == 0, capsys.readouterr().out
    printed = capsys.readouterr().out
    assert "**CPU: a rehearsal with small sizes, no measurement**" in printed
    for title in ("tests marked `gpu`", "torch, batch 4", "OpenCV on CUDA", "bfloat16", "AEM-Net, narrow", "MDML, 4"):
        assert title in printed
    assert "**not** within" not in printed
