"""What `benchmarks/preprocessing.py` makes of its measurements."""

from __future__ import annotations

import pytest

from tests.scripts import load_script


def test_costs_of_frames_videos_and_subjects_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = load_script("preprocessing", monkeypatch)

    def used(videos: int, frames: int) -> object:
        return benchmark.Use(videos * frames, 3.0 + videos * (0.5 + 0.01 * frames), 100.0)

    found = benchmark.cost(used(1, 300), used(1, 900), used(2, 300))
    assert (found.frame, found.video, found.subject) == pytest.approx((0.01, 0.5, 3.0))
    both = benchmark.cost(used(1, 300), used(1, 900))
    assert (both.video, both.subject) == pytest.approx((0, 3.5))
    release = benchmark.Release("made up", 1, 1, 1, True, 60, subjects=2, videos=10, frames=2000)
    assert found.hours(release) == pytest.approx((1000 * 0.01 + 10 * 0.5 + 2 * 3.0) / 3600)
