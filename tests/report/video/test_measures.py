"""What landmarks say of a head, on faces whose place, turn and eyes are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.records.landmarks import Look
from microexp.report.video.measures import BLINK_LONGEST_S, blinks, measure, stretches
from tests.report.video.made import points

RATE = 30.0


def looks(*faces: np.ndarray | None) -> list[Look]:
    return [Look(n + 1, n / RATE, 1.0, face) for n, face in enumerate(faces)]


def rotated(face: np.ndarray, degrees: float) -> np.ndarray:
    """A face turned in the picture about the middle between its eyes."""
    middle = (face[36:42].mean(0) + face[42:48].mean(0)) / 2
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned: np.ndarray = (face - middle) @ np.array([[c, s], [-s, c]]) + middle
    return turned


@pytest.mark.parametrize("degrees", [-30.0, -5.0, 0.0, 4.0, 25.0])
def test_roll_is_the_turn_in_the_picture(degrees: float) -> None:
    found = measure(looks(*[rotated(points(), degrees)] * 3))
    np.testing.assert_allclose(found.roll_deg, degrees, atol=1e-9)


@pytest.mark.parametrize("degrees", [-20.0, 15.0])
def test_a_turn_in_the_picture_does_not_move_the_nose_against_the_eyes(degrees: float) -> None:
    found = measure(looks(points(), points(), rotated(points(), degrees)))
    np.testing.assert_allclose(found.nose[2], found.nose[0], atol=1e-9)


def test_the_nose_tells_a_turn_to_the_side() -> None:
    aside = points()
    aside[33] += (8, 0)
    found = measure(looks(points(), points(), aside))
    eyes = np.linalg.norm(points()[42:48].mean(0) - points()[36:42].mean(0))
    np.testing.assert_allclose(found.nose, [[0, 0], [0, 0], [8 / eyes, 0]], atol=1e-9)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_measures_hold_for_any_camera(scale: float) -> None:
    """A picture that is larger by a factor, of the same people, gives the same."""
    faces = [points(), points(0.1, 5), points(0.3, -9)]
    one, other = measure(looks(*faces)), measure(looks(*[scale * face for face in faces]))
    for name in ("shift", "roll_deg", "nose", "opening", "blink"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-9)
    np.testing.assert_allclose(other.box, scale * one.box)


@pytest.mark.parametrize("opening", [0.05, 0.2, 0.35])
def test_eyes_are_open_by_their_height_against_their_width(opening: float) -> None:
    np.testing.assert_allclose(measure(looks(points(opening))).opening, opening, rtol=1e-6)


def test_where_nobody_is_seen_nothing_is_known() -> None:
    found = measure(looks(points(), None, points()))
    assert found.numbers.tolist() == [1, 2, 3]
    for name in ("shift", "roll_deg", "nose", "opening", "box"):
        values = getattr(found, name)
        assert np.isnan(values[1]).all() and np.isfinite(values[[0, 2]]).all(), name
    assert not found.blink.any()


@pytest.mark.parametrize("faces", [(), (None,), (None, None)])
def test_videos_without_any_face_have_measures_too(faces: tuple[None, ...]) -> None:
    found = measure(looks(*faces))
    assert len(found.numbers) == len(found.shift) == len(found.blink) == len(faces)
    assert not np.isfinite(found.opening).any()


def seconds(n: int) -> np.ndarray:
    return np.arange(n) / RATE


@pytest.mark.parametrize("frames", [1, 4, int(BLINK_LONGEST_S * RATE)])
def test_a_blink_is_short(frames: int) -> None:
    opening = np.full(90, 0.3)
    opening[40 : 40 + frames] = 0.1
    assert np.flatnonzero(blinks(opening, seconds(90))).tolist() == list(range(40, 40 + frames))
    opening[40 : 40 + int(BLINK_LONGEST_S * RATE) + 2] = 0.1
    assert not blinks(opening, seconds(90)).any()


def test_a_blink_is_short_in_seconds_and_not_in_frames() -> None:
    opening = np.full(300, 0.3)
    opening[100:160] = 0.1
    assert blinks(opening, np.arange(300) / 200).sum() == 60
    assert not blinks(opening, np.arange(300) / 30).any()


def test_eyes_are_compared_with_how_they_are_most_of_the_time() -> None:
    """Narrow eyes are not closed eyes."""
    assert not blinks(np.full(60, 0.12), seconds(60)).any()
    narrowed = np.full(60, 0.3)
    narrowed[20:25] = 0.24
    assert not blinks(narrowed, seconds(60)).any()


@given(st.lists(st.booleans(), max_size=40))
def test_stretches_are_the_runs_of_what_is_marked(marked: list[bool]) -> None:
    found = stretches(np.array(marked, bool))
    inside = [n for first, last in found for n in range(first, last + 1)]
    assert inside == [n for n, m in enumerate(marked) if m]
    assert all(b + 1 < a for (_, b), (a, _) in itertools.pairwise(found))
