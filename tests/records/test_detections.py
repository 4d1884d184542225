"""`detections.csv`: in the release's numbers and in seconds, back to indices exactly."""

from __future__ import annotations

import csv

import pytest

from microexp.errors import UserError
from microexp.records.detections import COLUMNS, Detection, read_detections, write_detections
from microexp.records.index import Video

VIDEOS = [
    Video("d", "s1", "v", "-", 200, 25.0, 64, 64, numbers="101-300"),
    Video("d", "s1", "w", "-", 6, 200.0, 64, 64, numbers="1-3,7-9"),
]
ITEMS = [
    Detection("m", 0, "d", "s1", "v", 0, 50, "micro", 0.25),
    Detection("m_oracle", 3, "d", "s1", "w", 2, 3, "macro", -1.5),
]


def test_frames_are_the_releases_numbers_and_seconds_stand_beside(tmp_path):
    write_detections(tmp_path / "d.csv", ITEMS, VIDEOS)
    with (tmp_path / "d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(r["onset"], r["offset"], r["onset_s"], r["offset_s"]) for r in rows] == [
        ("101", "151", "0.0", "2.0"), ("3", "7", "0.01", "0.015"),
    ]  # fmt: skip
    assert read_detections(tmp_path / "d.csv", VIDEOS) == ITEMS


def test_none_at_all(tmp_path):
    write_detections(tmp_path / "d.csv", [], VIDEOS)
    assert read_detections(tmp_path / "d.csv", VIDEOS) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ((",101,", ",1o1,"), "row 2"),
        ((",101,", ",100,"), "row 2, frame number: got 100"),  # no frame has this number
        ((",3,7,", ",4,7,"), "row 3, frame number: got 4"),  # a number in a gap
        (("s1,w", "s1,x"), "row 3: d/s1/x: a video that the index does not list"),
        ((",-1.5", ",x"), "row 3"),
        (("m_oracle,3", "m_oracle,"), "row 3"),
        ((",macro,", ",makro,"), "row 3: got makro"),
        ((",-1.5", ",nan"), "row 3: .* score nan"),
        ((",101,151,", ",151,101,"), "row 2: .* 151 to 101"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, change, named):
    path = tmp_path / "d.csv"
    write_detections(path, ITEMS, VIDEOS)
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(UserError, match=rf"d\.csv: {named}"):
        read_detections(path, VIDEOS)


def test_a_file_without_a_column_is_refused(tmp_path):
    (tmp_path / "d.csv").write_text("method,seed\nm,0\n")
    with pytest.raises(UserError, match=r"d\.csv"):
        read_detections(tmp_path / "d.csv", VIDEOS)


def test_a_file_of_another_fold_is_refused_by_name(tmp_path):
    for fold in ("d-s1", "d-s2", "e-s1"):
        write_detections(tmp_path / fold / "detections.csv", ITEMS, VIDEOS)
    assert read_detections(tmp_path / "d-s1" / "detections.csv", VIDEOS) == ITEMS
    with pytest.raises(UserError, match=r"d-s2/detections\.csv: subject: 's1' inside a file .* expected 's2'"):
        read_detections(tmp_path / "d-s2" / "detections.csv", VIDEOS)
    with pytest.raises(UserError, match=r"e-s1/detections\.csv: dataset: 'd' inside a file .* expected 'e'"):
        read_detections(tmp_path / "e-s1" / "detections.csv", VIDEOS)
