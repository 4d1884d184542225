from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.faces.given import COLUMNS, landmark_file, read_landmarks
from microexp.records.index import Video

VIDEO = Video("set", "s1", "v1", "v1.mp4", 10, 30.0, 320, 240)
POINTS = np.random.default_rng(0).uniform(0, 300, (3, 68, 2)).round(3)


def write_csv(path: Path, frames: list[object], points: np.ndarray = POINTS, confidence: object = None) -> Path:
    header = [*COLUMNS] + ([" confidence"] if confidence is not None else [])
    lines = [", ".join(header)]  # with the blanks that OpenFace writes
    for frame, face in zip(frames, points, strict=False):
        values = [frame, *face.T.ravel()] + ([confidence] if confidence is not None else [])
        lines.append(", ".join(map(str, values)))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_csv_and_npz_give_the_same(tmp_path: Path) -> None:
    one = read_landmarks(write_csv(tmp_path / "a.csv", [5, 2, 7]), 0, 10)
    np.savez(tmp_path / "a.npz", frames=[5, 2, 7], landmarks=POINTS)
    one, two = one.observations(), read_landmarks(tmp_path / "a.npz", 0, 10).observations()
    np.testing.assert_array_equal(one.frames, [2, 5, 7])
    np.testing.assert_allclose(one.landmarks, POINTS[[1, 0, 2]], rtol=1e-6)
    for name in ("frames", "landmarks", "boxes", "score"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_numbers_may_start_at_one(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [1, 2, 10])
    np.testing.assert_array_equal(read_landmarks(path, 1, 10).frames, [0, 1, 9])
    with pytest.raises(UserError, match=r"got 10, expected 0 to 9.*landmarks_first_frame"):
        read_landmarks(path, 0, 10)


def test_rows_without_a_face_are_misses(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[1, 3, 0] = np.nan
    seen = read_landmarks(write_csv(tmp_path / "a.csv", [0, 1, 2], points), 0, 10).observations()
    assert seen.frames.tolist() == [0, 2] and seen.misses == 1
    assert read_landmarks(write_csv(tmp_path / "b.csv", [0, 1, 2], confidence=0), 0, 10).observations().misses == 3
    assert read_landmarks(write_csv(tmp_path / "c.csv", [0, 1, 2], confidence=0.9), 0, 10).faces[0].score == 0.9


def test_rows_that_openface_has_failed_in_are_misses(tmp_path: Path) -> None:
    """It then repeats older points, or writes zeros, with any confidence."""
    path = write_csv(tmp_path / "a.csv", [0, 1, 2], confidence=0.7)
    header, *rows = path.read_text().splitlines()
    rows = [f"{row}, {ok}" for row, ok in zip(rows, (1, 0, 1), strict=True)]
    path.write_text("\n".join([f"{header}, success", *rows]) + "\n")
    assert [face is not None for face in read_landmarks(path, 0, 10).faces] == [True, False, True]
    points = POINTS.copy()
    points[2] = 0
    seen = read_landmarks(write_csv(tmp_path / "b.csv", [0, 1, 2], points), 0, 10)
    assert seen.seen.tolist() == [True, True, False]


def test_pattern() -> None:
    assert landmark_file("x/{dataset}/{subject}_{video}.csv", VIDEO) == Path("x/set/s1_v1.csv")


@pytest.mark.parametrize("pattern", ["x/{folder}.csv", "x/{}.csv", "x/{video.csv", "x/{video}.txt"])
def test_wrong_patterns(pattern: str) -> None:
    with pytest.raises(UserError, match=r"faces.landmarks"):
        landmark_file(pattern, VIDEO)


def test_wrong_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame,x_0\n1,2\n")
    (tmp_path / "b.csv").write_text(",".join(COLUMNS) + "\n")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(UserError, match="header"):
            read_landmarks(tmp_path / name, 0, 10)
    with pytest.raises(UserError, match=r"row 2.*could not convert"):
        read_landmarks(write_csv(tmp_path / "c.csv", ["one"]), 0, 10)
    with pytest.raises(UserError, match="a frame twice"):
        read_landmarks(write_csv(tmp_path / "d.csv", [3, 3]), 0, 10)
    with pytest.raises(UserError, match="whole numbers"):
        read_landmarks(write_csv(tmp_path / "e.csv", [3.5]), 0, 10)
    with pytest.raises(UserError, match=r"no_such.csv"):
        read_landmarks(tmp_path / "no_such.csv", 0, 10)


def test_wrong_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", frames=[0, 1], landmarks=POINTS)
    with pytest.raises(UserError, match="shapes"):
        read_landmarks(tmp_path / "a.npz", 0, 10)
    np.savez(tmp_path / "b.npz", frames=[0, 1])
    (tmp_path / "c.npz").write_bytes(b"junk")
    for name in ("b.npz", "c.npz", "missing.npz"):
        with pytest.raises(UserError, match="frames and landmarks"):
            read_landmarks(tmp_path / name, 0, 10)


def test_shares_of_the_picture_are_no_pixels(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"landmarks: faces of 0\.\d+ px; expected px of the picture"):
        read_landmarks(write_csv(tmp_path / "a.csv", [0, 1, 2], POINTS / 320), 0, 3)
