"""The benchmark of false candidates: what counts as one, as a hit, and as flagged."""

from __future__ import annotations

import pytest

from microexp.records.events import Event, write_events
from microexp.records.index import Expression, Video, write_expressions, write_videos
from tests.scripts import load_script

KEY = ("rendered_fresh", "s01", "s01_1")
VIDEO = Video(*KEY, "a.mp4", 900, 30.0, 64, 64)
TRUTHS = [Expression(*KEY, k + 1, a, a + 1, b, kind, "x", "") for k, (a, b, kind) in enumerate(
    [(100, 109, "micro"), (200, 209, "micro"), (300, 359, "macro"), (500, 559, "macro")]
)]  # fmt: skip
SHOWN = [
    Event(KEY, 100, 109, "micro", 0.9, "m"),  # a hit of its kind
    Event(KEY, 200, 214, "macro", 0.8, "m", flags=("speech",)),  # a hit of another kind, flagged
    Event(KEY, 300, 320, "macro", 0.7, "m"),  # too short to be one
    Event(KEY, 700, 720, "macro", 0.6, "m", flags=("blink", "head_turn")),
]
STILL = [Event(KEY, 10, 20, "micro", 0.9, "m"), Event(KEY, 50, 90, "macro", 0.9, "m", flags=("gap",))]


@pytest.fixture
def benchmark(monkeypatch):
    return load_script("false_alarms", monkeypatch)


def folder(path, truths, events):
    index = path / "results/index/rendered_fresh"
    write_videos(index / "videos.csv", [VIDEO])
    write_expressions(index / "expressions.csv", truths, [VIDEO])
    write_events(path / "results/apply/model/rendered_fresh/s01/events.csv", events, [VIDEO], classes=())
    return path


def test_hits_false_candidates_and_flags_are_counted(benchmark, tmp_path):
    found = benchmark.figures(folder(tmp_path / "a", [], STILL), folder(tmp_path / "b", TRUTHS, SHOWN), "model")
    assert (found.minutes, found.expressions) == (0.5, 4)
    assert (found.false_a_minute, found.unflagged_a_minute) == (4, 2)
    assert (found.recall_any_kind, found.recall_unflagged, found.precision_any_kind) == (0.5, 0.25, 0.5)
    assert found.recall == {"micro": 0.5, "macro": 0}
    assert found.f1 == {"micro": pytest.approx(2 / 3), "macro": 0, "overall": pytest.approx(2 / 8)}
    row = benchmark.table({"model": found}).splitlines()[-1]
    assert row == "| model | 4.0 | 2.0 | 0.50 | 0.25 | 0.50 / 0.00 | 0.50 | 0.25 |"
