"""Progress in the log of a job."""

from __future__ import annotations

import time

import pytest

from microexp.methods.context import Context
from microexp.run.log import Pace


def test_progress_is_said_every_so_often(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    context = Context(0, label="mine demo-s01, seed 0", pace=Pace(30))
    for epoch in range(1, 101):
        now[0] += 1
        context.progress(epoch, 100)
    assert capsys.readouterr().err.splitlines() == [
        f"mine demo-s01, seed 0: {n}/100 ({n} s)" for n in (30, 60, 90)
    ]  # fmt: skip
