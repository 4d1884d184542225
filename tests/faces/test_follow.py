"""Landmarks of one person in every frame: whose face it is, and what lies between two looks of the detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.faces import dlib_backend
from microexp.faces import follow as module
from microexp.faces.follow import DETECT_EVERY, Follower, follow, looked_at, the_one
from microexp.faces.observe import Face
from microexp.records.index import Video

SIDE = 100.0
PICTURE = np.zeros((8, 8), np.uint8)


def face(x: float, score: float = 1.0) -> Face:
    landmarks = np.tile([x, 200.0], (68, 1))
    return Face(np.array([x - SIDE / 2, 150, x + SIDE / 2, 250]), landmarks, score)


class Known:
    """What the stage `faces` has seen: one face at each of these frames."""

    def __init__(self, seen: dict[int, float]) -> None:
        found = [face(x) for x in seen.values()]
        self.parts = {
            "boxes": np.array([f.box for f in found]), "landmarks": np.array([f.landmarks for f in found]),
            "score": np.array([f.score for f in found]), "frames": np.array(list(seen)),
        }  # fmt: skip

    def read(self, name: str) -> np.ndarray:
        return self.parts[name]


class Finder:
    """A backend that finds the next of these faces; it counts how often it begins anew."""

    def __init__(self, found: Sequence[Face | None]) -> None:
        self.found, self.starts, self.last = list(found), 0, None

    def start(self) -> None:
        self.starts += 1

    def find(self, image: np.ndarray) -> Face | None:
        return self.found.pop(0)


class Film:
    """A video of so many pictures, some of them damaged."""

    def __init__(self, count: int, damaged: Sequence[int] = ()) -> None:
        self.images = [None if n in damaged else PICTURE for n in range(count)]

    def read(self, frames: np.ndarray, grey: bool) -> list[np.ndarray | None]:
        assert grey
        return [self.images[n] for n in frames]


def followed(film: Film, known: Known, found: Sequence[Face | None]) -> list[Face | None]:
    frames = np.arange(len(film.images))
    return list(follow(film, frames, known, backend=Finder(found)))  # type: ignore[arg-type]


def places(faces: Sequence[Face | None]) -> list[float | None]:
    return [None if f is None else float(f.landmarks[0, 0]) for f in faces]


@pytest.mark.parametrize(
    ("n_frames", "fps", "expected"),
    [
        (5, 30.0, [0, 1, 2, 3, 4]), (5, 61.9, [0, 1, 2, 3, 4]), (7, 62.0, [0, 2, 4, 6]), (13, 200.0, [0, 6, 12]),
        (3, 5.0, [0, 1, 2]), (1, 200.0, [0]), (0, 30.0, []),
    ],
)  # fmt: skip
def test_fast_videos_are_looked_at_about_thirty_times_a_second(n_frames: int, fps: float, expected: list[int]) -> None:
    assert looked_at(n_frames, fps).tolist() == expected


def test_only_one_video_can_be_followed() -> None:
    videos = [Video("d", "ann", name, "v.mp4", 9, 30.0, 8, 8) for name in ("a", "b")]
    assert the_one([], Path("videos.csv")) is None and the_one(videos[:1], Path("videos.csv")) is videos[0]
    with pytest.raises(UserError, match=r"videos\.csv: video: got 2 videos, expected one"):
        the_one(videos, Path("videos.csv"))


def test_each_picture_is_shown_to_other_backends() -> None:
    """Only dlib's landmarks can go on from those before. Of those that are shown together, the last comes first."""
    shown = [0, 5, 1, 2, 3, 4, 7, 6]
    seen = followed(Film(8), Known({0: 300}), [face(300 + n) for n in shown])
    assert places(seen) == [300 + n for n in range(8)]


def test_every_frame_has_its_answer_in_order() -> None:
    for count in (1, 2, DETECT_EVERY, DETECT_EVERY + 1, 2 * DETECT_EVERY + 3):
        assert len(followed(Film(count), Known({0: 300}), [face(300)] * count)) == count


def test_a_damaged_picture_has_no_face() -> None:
    seen = followed(Film(4, damaged=(1, 3)), Known({0: 300}), [face(300)] * 2)
    assert [f is None for f in seen] == [False, True, False, True]


def test_somebody_else_is_not_taken_and_the_finder_begins_anew() -> None:
    finder = Finder([face(300), face(900), None, face(310)])
    person = Follower(Known({0: 300, 30: 320}), finder)  # type: ignore[arg-type]
    assert finder.starts == 1
    seen = [person.detect(n, PICTURE) for n in range(4)]
    assert places(seen) == [300, None, None, 310]
    assert finder.starts == 2, "after the other person, not where nobody was"


def test_the_person_is_looked_for_near_where_the_stage_faces_saw_them() -> None:
    """Between two of its looks either place counts, after the last one the last."""
    known = Known({0: 300, 100: 900})
    for frame, x, taken in ((50, 300, True), (50, 900, True), (50, 600, False), (500, 900, True), (0, 900, False)):
        person = Follower(known, Finder([face(x)]))  # type: ignore[arg-type]
        assert (person.detect(frame, PICTURE) is not None) == taken, (frame, x)


class Dlib(Finder):
    """Counts as dlib's backend, whose landmarks can be refined."""


def test_between_two_looks_dlib_s_landmarks_go_on_from_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []

    def refined(image: np.ndarray, before: Face) -> Face:
        steps.append(float(before.landmarks[0, 0]))
        return face(before.landmarks[0, 0] + 1)

    monkeypatch.setattr(module, "DlibBackend", Dlib)
    monkeypatch.setattr(module, "refined", refined)
    finder = Dlib([face(300), face(310), None])
    frames = np.arange(11)
    seen = list(follow(Film(11), frames, Known({0: 300}), backend=finder))  # type: ignore[arg-type]
    assert places(seen[:6]) == [300, 301, 302, 303, 304, 310]
    assert places(seen[6:]) == [None] * 5, "nothing goes on towards a look that finds nobody"
    assert steps == [300, 301, 302, 303] and finder.found == []
    assert finder.last is not None and float(finder.last.landmarks[0, 0]) == 300, "of several, this one is meant"


def test_dlib_takes_the_mean_of_two_boxes_in_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = dlib_backend.DlibBackend()
    taken: list[int] = []

    def predicted(frame: np.ndarray, box: np.ndarray, face_px: int, *, shifts: Sequence[object]) -> np.ndarray:
        if face_px == dlib_backend.FINE_PX:
            taken.append(len(shifts))
        return np.asarray(face(300).landmarks + np.random.default_rng(0).uniform(-40, 40, (68, 2)))

    for place in (module, dlib_backend):
        monkeypatch.setattr(place, "predict", predicted)
    monkeypatch.setattr(dlib_backend, "detect_near", lambda frame, box: (face(300).box, 1.0))
    seen = list(follow(Film(11), np.arange(11), Known({0: 300}), backend=backend))  # type: ignore[arg-type]
    assert len(seen) == 11 and None not in seen
    assert taken == [2] * 11
