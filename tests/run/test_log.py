"""Commands show notes on standard error; a library shows nothing, and leaves the choice to whoever imports it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import pytest

from microexp.methods.context import Context
from microexp.run import log
from microexp.run.log import Pace

SCRIPT = "from microexp.run.log import log, track; log('a note'); print(list(track([1, 2], 'work')))"


def test_a_library_prints_nothing_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2]\n", "")


def test_whoever_imports_it_may_listen(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "microexp"):
        assert list(log.track([1, 2], "work")) == [1, 2]
        log.log("100 % of it")
    assert [r.name for r in caplog.records] == ["microexp"] * 3
    assert caplog.messages[0].startswith("work: 1/2 (") and caplog.messages[-1] == "100 % of it"


def test_commands_show_each_note_once(capsys: pytest.CaptureFixture[str]) -> None:
    log.to_stderr()
    log.to_stderr()
    log.log("a note")
    assert capsys.readouterr().err == "a note\n"


def test_progress_is_said_every_so_often(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    log.to_stderr()
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    context = Context(0, label="mine demo-s01, seed 0", pace=Pace(30))
    for epoch in range(1, 101):
        now[0] += 1
        context.progress(epoch, 100)
    assert capsys.readouterr().err.splitlines() == [
        f"mine demo-s01, seed 0: {n}/100 ({n} s)" for n in (30, 60, 90)
    ]  # fmt: skip
