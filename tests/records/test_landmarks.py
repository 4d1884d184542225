"""`landmarks.csv`: the columns that OpenFace writes, and what comes back of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.records.landmarks import COLUMNS, DECIMALS, Look, read_landmarks, write_landmarks

POINTS = np.random.default_rng(0).uniform(0, 900, (68, 2))


def test_points_come_back_to_a_hundredth_of_a_pixel(tmp_path: Path) -> None:
    looks = [Look(7, 0.2, 0.8, POINTS), Look(8, 0.2333, 0.0, None), Look(12, 0.4, 2.5, POINTS + 3)]
    write_landmarks(tmp_path / "l.csv", looks)
    found = read_landmarks(tmp_path / "l.csv")
    assert [(f.number, f.time_s) for f in found] == [(7, 0.2), (8, 0.2333), (12, 0.4)]
    assert found[1].points is None
    for mine, its in ((looks[0], found[0]), (looks[2], found[2])):
        assert its.points is not None and mine.points is not None
        np.testing.assert_array_equal(its.points, np.round(mine.points, DECIMALS))


def test_where_there_is_no_face_success_is_0_and_all_points_lie_at_0(tmp_path: Path) -> None:
    write_landmarks(tmp_path / "l.csv", [Look(1, 0.0, 3.0, None)])
    with (tmp_path / "l.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["success"], float(row["confidence"])) == ("0", 0)
    assert {float(row[f"{axis}_{n}"]) for axis in "xy" for n in range(68)} == {0}


@pytest.mark.parametrize(("score", "confidence"), [(0.5, 0.5), (1.0, 1.0), (7.0, 1.0), (0.0, 0.05), (-2.0, 0.05)])
def test_confidence_is_from_0_to_1(score: float, confidence: float) -> None:
    assert Look(1, 0.0, score, POINTS).confidence == confidence
    assert Look(1, 0.0, score, None).confidence == 0


def test_columns_are_those_of_openface() -> None:
    assert COLUMNS[:5] == ("frame", "face_id", "timestamp", "confidence", "success")
    assert COLUMNS[5:73] == tuple(f"x_{n}" for n in range(68)) and COLUMNS[73:] == tuple(f"y_{n}" for n in range(68))


def test_a_video_without_looks_is_a_header(tmp_path: Path) -> None:
    write_landmarks(tmp_path / "l.csv", [])
    assert (tmp_path / "l.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert read_landmarks(tmp_path / "l.csv") == []


@pytest.mark.parametrize("column", ["frame", "timestamp", "confidence", "success", "x_0", "y_67"])
def test_what_is_no_number_is_named_with_its_row(tmp_path: Path, column: str) -> None:
    write_landmarks(tmp_path / "l.csv", [Look(1, 0.0, 1.0, POINTS), Look(2, 0.1, 1.0, POINTS)])
    lines = (tmp_path / "l.csv").read_text().splitlines()
    cells = lines[2].split(",")
    cells[COLUMNS.index(column)] = "left"
    (tmp_path / "l.csv").write_text("\n".join([*lines[:2], ",".join(cells)]) + "\n")
    with pytest.raises(UserError, match=r"l\.csv: row 3: .*'left'.*expected numbers"):
        read_landmarks(tmp_path / "l.csv")


def test_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("frame,x_0\n1,2\n")
    with pytest.raises(UserError, match=r"l\.csv"):
        read_landmarks(tmp_path / "l.csv")
