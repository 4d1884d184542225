from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.reading.intervals import FrameInterval, as_frame, as_interval, check_frames
from microexp.records.index import Expression, Video, place_expression
from microexp.records.numbering import Numbering


@pytest.mark.parametrize(
    ("cell", "frame"),
    [
        (5, 5),
        (5.0, 5), ("5", 5), (" 5 ", 5), ("5.0", 5), (10.5, 11), ("11.49", 11), (np.int64(7), 7), ("img46.jpg", 46),
        (None, None),
        ("", None), ("/", None), (-1, None), ("-1", None), ("x", None), (True, None), (float("nan"), None),
        (float("inf"), None), (1e12, None), ("#REF!", None), ("1_0", None), ("2020-01-01", None), ("=5+5", None),
    ],
)  # fmt: skip
def test_cells_as_frames(cell: object, frame: int | None) -> None:
    assert as_frame(cell)[0] == frame


def interval(
    onset: object, apex: object, offset: object, rule: str = "apex", first: int = 1
) -> tuple[object, list[str]]:
    notes: list[str] = []
    found = as_interval(
        onset, apex, offset, numbers=np.arange(first, 101), offset_zero=rule, note=lambda *n: notes.append(": ".join(n))
    )
    return (None if found is None else (found.onset, found.apex, found.offset)), notes


@pytest.mark.parametrize(
    ("cells", "expected", "noted"),
    [
        ((5, 7, 9), (5, 7, 9), 0),
        ((5, 9, 9), (5, 9, 9), 0),  # apex at the end
        ((5, None, 9), (5, None, 9), 0),  # a release without apex
        ((5, "", 9), (5, None, 9), 1),
        ((5, "/", 9), (5, None, 9), 1),
        ((5, 5, 9), (5, None, 9), 1),
        ((5, 5, 5), (5, 5, 5), 0),
        ((5, 4, 9), (5, None, 9), 1),
        ((5, 10, 9), (5, None, 9), 1),
        ((5, 7, 0), (5, 7, 7), 1),
        ((5, 7, ""), (5, 7, 7), 1),
        ((5, 0, 0), (5, None, 5), 2),  # at worst the onset alone, never nothing
        ((5, 7, 3), (5, 7, 7), 1),
        ((5, "/", 3), (5, None, 5), 2),
        (("/", 7, 9), None, 1),
        ((5.5, 7.5, 9.5), (6, 8, 10), 3),
        ((0, -1, 8), (0, None, 8), 1),
    ],
)
def test_rules(cells: tuple[object, object, object], expected: tuple[object, ...] | None, noted: int) -> None:
    found, notes = interval(*cells)
    assert found == expected
    assert len(notes) == noted, notes


def test_frame_zero_is_a_frame_where_it_exists() -> None:
    assert interval(0, 0, 0, first=0)[0] == (0, 0, 0)
    assert interval(0, 3, 0, first=0)[0] == (0, None, 0)


def test_offset_zero_rules() -> None:
    assert interval(5, 7, 0, "apex+20")[0] == (5, 7, 27)
    assert interval(5, 7, 0, "2*apex-onset")[0] == (5, 7, 9)


NUMBERS = st.sets(st.integers(0, 60), min_size=1).map(lambda s: np.array(sorted(s)))
CELLS = st.one_of(st.integers(-2, 70), st.floats(-2, 70), st.sampled_from([None, "", "/", "12", "text"]))


def placed(interval: FrameInterval, numbering: Numbering) -> Expression:
    video = Video("d", "s", "v", "-", len(numbering), 30.0, 9, 9, str(numbering))
    apex = interval.onset if interval.apex is None else interval.apex
    blank = Expression("d", "s", "v", 1, 0, 0, 0, "micro", "", "")
    return place_expression(blank, video, (interval.onset, apex, interval.offset))


@pytest.mark.long
@given(
    numbers=NUMBERS, onset=CELLS, apex=CELLS, offset=CELLS, rule=st.sampled_from(["apex", "apex+20", "2*apex-onset"])
)
def test_whatever_the_cells_say_the_interval_is_one(numbers, onset, apex, offset, rule) -> None:
    notes: list[tuple[str, ...]] = []
    found = as_interval(onset, apex, offset, numbers=numbers, offset_zero=rule, note=lambda *n: notes.append(n))
    if found is None:
        assert any(action == "row excluded" for _, _, action in notes)
        return
    numbering = Numbering.of(numbers)
    check_frames(found, numbering, lambda *n: notes.append(n))
    item = placed(found, numbering)
    assert item.released(numbering)[::2] == (found.onset, found.offset)
    assert item.onset <= item.apex <= item.offset
    if item.is_inside(len(numbers)):
        assert item.onset >= 0 and item.offset < len(numbers)
    exact = all(isinstance(c, int) and c in numbers for c in (onset, apex, offset)) and onset < apex <= offset
    if exact and offset > 0:
        assert (numbers[item.onset], numbers[item.apex], numbers[item.offset]) == (onset, apex, offset)
        assert not item.numbers and not notes


def test_numbers_map_through_gaps() -> None:
    numbering = Numbering.parse("46-47,49-50,60")
    notes: list[tuple[str, ...]] = []
    for onset, apex, offset in ((46, 48, 55), (51, 52, 59), (61, 65, 70)):
        check_frames(FrameInterval(onset, apex, offset), numbering, lambda *n: notes.append(n))
    assert [n[0] for n in notes] == ["offset", "apex", "onset", "onset"]
    assert [n[2] for n in notes[-2:]] == ["kept: a ground truth that no detection can hit"] * 2
    item = placed(FrameInterval(46, 48, 55), numbering)
    assert (item.onset, item.apex, item.offset, item.numbers) == (0, 1, 3, (46, 48, 55))
    outside = placed(FrameInterval(61, 65, 70), numbering)
    assert (outside.onset, outside.offset, outside.is_inside(5)) == (5, 14, False)
