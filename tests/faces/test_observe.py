from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.faces.observe import Face, collect, observe, regular_frames, spread_frames
from microexp.faces.params import FacesParams
from microexp.faces.viewing import count_places


@given(st.integers(1, 500), st.integers(1, 40))
def test_spread_frames_are_pairs_inside_the_video(n_frames: int, places: int) -> None:
    frames = spread_frames(n_frames, places)
    assert (np.diff(frames) > 0).all()
    assert frames[0] >= 0 and frames[-1] < n_frames
    assert len(frames) <= 2 * places
    if n_frames >= 4 * places:
        assert len(frames) == 2 * places
        assert (np.diff(frames)[::2] == 1).all()


def test_spread_frames_cover_the_video_evenly() -> None:
    np.testing.assert_array_equal(spread_frames(100, 4), [12, 13, 37, 38, 62, 63, 87, 88])
    np.testing.assert_array_equal(spread_frames(1, 5), [0])


@given(st.integers(1, 2000), st.floats(1, 250), st.floats(0.01, 2))
def test_regular_frames_hold_both_ends_and_no_long_gap(n_frames: int, fps: float, step_s: float) -> None:
    frames = regular_frames(n_frames, fps, step_s)
    assert frames[0] == 0 and frames[-1] == n_frames - 1
    if len(frames) > 1:
        assert np.diff(frames).min() >= 1 and np.diff(frames).max() <= max(1, step_s * fps) + 1


class Script:
    """A backend that sees no face in dark frames."""

    def __init__(self) -> None:
        self.started = 0

    def start(self) -> None:
        self.started += 1

    def provenance(self) -> dict[str, Any]:
        return {}

    def find_all(self, frame: np.ndarray) -> list[Face]:
        return []

    def count(self, frame: np.ndarray) -> int:
        return len(self.find_all(frame))

    def find(self, frame: np.ndarray) -> Face | None:
        return None if frame.max() == 0 else Face(np.zeros(4), np.full((68, 2), float(frame[0, 0])), 1.5)


def test_observe_puts_frames_and_faces_together() -> None:
    backend = Script()
    frames = np.array([0, 1, 20])
    seen = observe(backend, frames, (np.full((2, 2), f + 1, np.uint8) for f in frames)).observations()
    assert backend.started == 1
    np.testing.assert_array_equal(seen.landmarks[:, 0, 0], frames + 1)
    assert seen.misses == 0 and seen.looked_at == 3


def test_misses_are_counted_and_leave_no_row() -> None:
    images = [np.full((2, 2), v, np.uint8) for v in (1, 0, 3)]
    seen = observe(Script(), np.array([4, 5, 6]), images).observations()
    np.testing.assert_array_equal(seen.frames, [4, 6])
    assert seen.boxes.shape == (2, 4) and seen.score.tolist() == [1.5, 1.5]
    assert seen.misses == 1


def test_nothing_seen_has_the_right_shapes() -> None:
    seen = collect([1, 2], [None, None])
    assert seen.landmarks.shape == (0, 68, 2) and seen.boxes.shape == (0, 4)
    assert seen.misses == 2


def test_as_many_pictures_as_frames() -> None:
    with pytest.raises(ValueError):
        observe(Script(), np.array([1, 2]), [np.ones((2, 2), np.uint8)])


@pytest.mark.parametrize(
    ("n_frames", "most", "places"),
    [(1, 24, 3), (30, 24, 3), (100, 24, 5), (250, 24, 12), (480, 24, 24), (100_000, 24, 24), (30, 2, 2)],
)
def test_short_clips_have_fewer_places(n_frames: int, most: int, places: int) -> None:
    assert FacesParams(landmark_frames=most).places(n_frames) == places


def test_everybody_is_counted_in_the_middle_or_from_the_first_look_to_the_last() -> None:
    assert [count_places(looks, 1).tolist() for looks in (1, 6)] == [[0], [3]]
    assert [count_places(looks, 3).tolist() for looks in (1, 2, 16, 48)] == [[0], [0, 1], [0, 7, 15], [0, 23, 47]]
