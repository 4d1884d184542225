"""The benchmark of `microexp video`: its long video, its table, and a command that fails."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.scripts import load_script


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    return load_script("own_video", monkeypatch)


def test_a_long_video_never_jumps_and_never_stands_still(benchmark) -> None:
    piece = [np.full((2, 2, 3), k, np.uint8) for k in range(5)]
    shown = [int(f[0, 0, 0]) for f in itertools.islice(benchmark.there_and_back(piece), 30)]
    assert shown[:10] == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1]
    assert set(np.abs(np.diff(shown)).tolist()) == {1}


def test_the_table_is_of_the_whole_command(benchmark) -> None:
    row = benchmark.table([benchmark.Cost(seconds=60, wall_s=30, cpu_s=45, peak_mb=410.4)]).splitlines()[-1]
    assert row == "| 60 | 60.0 | 0.75 | 410 |"


def test_a_command_that_fails_is_no_figure(benchmark, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 2: see"):
        benchmark.measure(tmp_path / "nothing.mp4", tmp_path / "out", 4, 1)
