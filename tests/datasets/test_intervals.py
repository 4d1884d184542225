from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.reading.intervals import Interval, as_frame, as_interval, to_indices


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
    found = as_interval(onset, apex, offset, np.arange(first, 101), rule, lambda *n: notes.append(": ".join(n)))
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


@given(
    numbers=NUMBERS, onset=CELLS, apex=CELLS, offset=CELLS, rule=st.sampled_from(["apex", "apex+20", "2*apex-onset"])
)
def test_whatever_the_cells_say_the_interval_is_one(numbers, onset, apex, offset, rule) -> None:
    notes: list[tuple[str, ...]] = []
    found = as_interval(onset, apex, offset, numbers, rule, lambda *n: notes.append(n))
    indices = to_indices(found, numbers, lambda *n: notes.append(n)) if found else None
    if indices is None:
        assert any(action == "row left out" for _, _, action in notes)
        return
    assert 0 <= indices.onset <= indices.offset < len(numbers)
    assert indices.apex is None or indices.onset <= indices.apex <= indices.offset
    exact = all(isinstance(c, int) and c in numbers for c in (onset, apex, offset)) and onset < apex <= offset
    if exact and offset > 0:
        assert (numbers[indices.onset], numbers[indices.apex], numbers[indices.offset]) == (onset, apex, offset)
        assert not notes


def test_numbers_map_through_gaps() -> None:
    numbers = np.array([46, 47, 49, 50, 60])
    notes: list[tuple[str, ...]] = []
    assert to_indices(Interval(46, 48, 55), numbers, lambda *n: notes.append(n)) == Interval(0, 1, 3)
    assert [n[0] for n in notes] == ["offset", "apex"]
    assert to_indices(Interval(51, None, 59), numbers, lambda *n: notes.append(n)) is None
    assert to_indices(Interval(61, None, 70), numbers, lambda *n: notes.append(n)) is None
    assert [n[2] for n in notes[-2:]] == ["row left out"] * 2
