"""`events.csv`: what comes back is what was written, and what does not fit is named."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.records.events import COLUMNS, Event, read_events, write_events
from microexp.records.index import Video

KEY = ("d", "ann", "v")
VIDEO = Video(*KEY, "v.mp4", 100, 25.0, 64, 48)
PLAIN = Event(KEY, 10, 20, "micro", 0.75, "x/aemnet")
WHOLE = Event(
    KEY, 30, 45, "macro", 1.5, "x/aemnet", 36, {"positive": 0.7, "negative": 0.3}, "y/mdml", ("blink", "cut"),
    "L12+25?", {"AU12": 0.9, "AU25": 0.45}, "units/linear",
)  # fmt: skip
CLASSES, UNITS = ("negative", "positive"), ("AU12", "AU25")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_everything_comes_back(tmp_path: Path) -> None:
    write_events(tmp_path / "e.csv", [PLAIN, WHOLE], [VIDEO], classes=CLASSES, units=UNITS)
    assert read_events(tmp_path / "e.csv", [VIDEO]) == [PLAIN, WHOLE]


def test_no_events_are_a_file_too(tmp_path: Path) -> None:
    write_events(tmp_path / "e.csv", [], [VIDEO], classes=())
    assert (tmp_path / "e.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert read_events(tmp_path / "e.csv", [VIDEO]) == []


def test_frames_are_the_releases_numbers_with_seconds_beside(tmp_path: Path) -> None:
    late = replace(VIDEO, numbers="201-300")
    write_events(tmp_path / "e.csv", [WHOLE], [late], classes=CLASSES)
    (row,) = rows_of(tmp_path / "e.csv")
    assert (row["onset"], row["apex"], row["offset"]) == ("231", "237", "246")
    assert (row["onset_s"], row["apex_s"], row["offset_s"]) == ("1.2", "1.44", "1.8")
    assert read_events(tmp_path / "e.csv", [late])[0].onset == 30


def test_events_are_counted_video_by_video(tmp_path: Path) -> None:
    other = replace(VIDEO, video="w")
    events = [PLAIN, replace(PLAIN, key=other.key), replace(PLAIN, onset=50, offset=60)]
    write_events(tmp_path / "e.csv", events, [VIDEO, other], classes=())
    assert [(r["video"], r["event"]) for r in rows_of(tmp_path / "e.csv")] == [("v", "1"), ("w", "1"), ("v", "2")]


def test_the_emotion_is_the_most_probable_class(tmp_path: Path) -> None:
    assert WHOLE.emotion == "positive" and PLAIN.emotion == ""
    write_events(tmp_path / "e.csv", [PLAIN, WHOLE], [VIDEO], classes=CLASSES, units=UNITS)
    plain, whole = rows_of(tmp_path / "e.csv")
    assert (whole["emotion"], whole["p_positive"], whole["p_negative"]) == ("positive", "0.7", "0.3")
    assert (whole["flags"], whole["action_units"], whole["AU25"]) == ("blink+cut", "L12+25?", "0.45")
    unknown = ("emotion", "apex", "apex_s", "p_positive", "flags", "action_units", "AU12", "recognition_model")
    assert {plain[name] for name in unknown} == {""}


def test_columns_of_units_are_there_only_where_a_model_was_applied(tmp_path: Path) -> None:
    write_events(tmp_path / "e.csv", [PLAIN], [VIDEO], classes=CLASSES)
    assert list(rows_of(tmp_path / "e.csv")[0]) == [*COLUMNS, "p_negative", "p_positive"]


def changed(path: Path, column: str, value: str) -> Path:
    """The file with a value of its last row replaced."""
    rows = rows_of(path)
    rows[-1][column] = value
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("column", ["onset", "offset", "apex", "score", "p_negative", "AU12"])
def test_what_is_no_number_is_named_with_its_row(tmp_path: Path, column: str) -> None:
    write_events(tmp_path / "e.csv", [PLAIN, WHOLE], [VIDEO], classes=CLASSES, units=UNITS)
    with pytest.raises(UserError, match=r"e\.csv: row 3: .*'soon'.*expected numbers"):
        read_events(changed(tmp_path / "e.csv", column, "soon"), [VIDEO])


@pytest.mark.parametrize("column", ["dataset", "subject", "video"])
def test_an_event_of_another_video_is_refused_or_passed_over(tmp_path: Path, column: str) -> None:
    write_events(tmp_path / "e.csv", [PLAIN, WHOLE], [VIDEO], classes=CLASSES, units=UNITS)
    path = changed(tmp_path / "e.csv", column, "other")
    with pytest.raises(UserError, match=r"row 3: got '?.*other.*expected a video of the index"):
        read_events(path, [VIDEO])
    assert read_events(path, [VIDEO], others=True) == [PLAIN]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_file_without_a_column_is_refused(tmp_path: Path, column: str) -> None:
    write_events(tmp_path / "e.csv", [PLAIN], [VIDEO], classes=())
    text = (tmp_path / "e.csv").read_text().split("\n", 1)
    header = ",".join("else" if name == column else name for name in COLUMNS)
    (tmp_path / "e.csv").write_text(header + "\n" + text[1])
    with pytest.raises(UserError, match=rf"e\.csv.*{column}"):
        read_events(tmp_path / "e.csv", [VIDEO])
