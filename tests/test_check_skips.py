"""What .ci/run says of skipped tests at its end."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.workflow import runs

SPEC = importlib.util.spec_from_file_location("check_skips", runs.ROOT / ".ci" / "check_skips.py")
assert SPEC is not None and SPEC.loader is not None
check_skips = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_skips)

LOG = """\
....s [100%]
SKIPPED [4] tests/workflow/test_slurm.py:28: SLURM is not installed (no slurmctld): apt-get install slurm-wlm munge
SKIPPED [1] tests/run/test_storage.py:293: root may write anywhere
SKIPPED [2] tests/workflow/test_kill.py:130: needs root and the right to mount a small file system
SKIPPED [6] tests/no_locks.py:20: no C compiler, which builds the stub of a file system without locks
SKIPPED [3] tests/report/test_browser.py:30: needs a browser: Chromium is not installed
"""


@pytest.mark.parametrize("there", [{"SLURM"}, {"mount"}, {"C compiler"}, {"browser"}, set(), {"SLURM", "mount"}])
def test_a_skip_without_need_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: set[str]
) -> None:
    needs = {word: (lambda word=word: word in there) for word in check_skips.NEEDS}
    monkeypatch.setattr(check_skips, "unneeded", lambda skips, real=check_skips.unneeded: real(skips, needs))
    (tmp_path / "log").write_text(LOG)
    assert check_skips.main([str(tmp_path / "log")]) == bool(there)
    printed = capsys.readouterr().out
    assert printed.startswith("skipped: 16 tests:") and "root may write anywhere" in printed
    assert printed.count("FAILED") == len(there)


def test_every_reason_in_the_tests_is_known() -> None:
    """A reason that is written in other words would never fail."""
    reasons = {
        "SLURM": runs.ROOT / "tests/workflow/test_slurm.py",
        "mount": runs.ROOT / "tests/workflow/test_kill.py",
        "C compiler": runs.ROOT / "tests/no_locks.py",
        "browser": runs.ROOT / "tests/browser.py",
    }
    assert set(reasons) == set(check_skips.NEEDS)
    for word, file in reasons.items():
        said = [line for line in file.read_text().splitlines() if "skip(" in line or "skipif(" in line]
        assert any(word in line for line in said), word


def test_no_skip_is_said_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("== 3 passed ==\n")
    assert check_skips.main([str(tmp_path / "log")]) == 0
    assert capsys.readouterr().out == "skipped: 0 tests\n"
