"""`benchmarks/faces.py` on a small clip."""

from __future__ import annotations

import re

import pytest

from tests.scripts import load_script


@pytest.mark.long
def test_both_ways_are_timed_in_one_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    load_script("faces", monkeypatch).speed(320, 240, 110, False, n_frames=6, usual_frames=1)
    line = r"320x240 colour, 6 frames: usual [\d.]+ ms a frame, ours [\d.]+ \(faces [\d.]+, crops [\d.]+\): [\d.]+x"
    assert re.search(line, capsys.readouterr().out)
