from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microexp.errors import UserError
from microexp.records.index import Expression, Video, place_expression, read_expressions, write_expressions
from microexp.records.numbering import Numbering

NUMBERS = st.sets(st.integers(0, 400), min_size=1, max_size=60).map(lambda s: np.array(sorted(s)))
VIDEO = Video("d", "s", "v", "-", 200, 25.0, 9, 9, "7-206")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (range(7, 207), "7-206"),
        ([*range(1, 101), *range(105, 301)], "1-100,105-300"),
        ([5], "5"),
        ([3, 7, 8, 9], "3,7-9"),
        ([3, 9], "3,9"),
        (range(1, 200, 2), "1-199/2"),
        ([0, 1, 4, 7, 10, 11], "0-1,4-10/3,11"),
    ],
)
def test_numbers_as_text(numbers: list[int], text: str) -> None:
    assert str(Numbering.of(numbers)) == text
    assert Numbering.parse(text).values.tolist() == list(numbers)


@pytest.mark.long
@given(numbers=NUMBERS)
def test_every_list_comes_back_and_indices_are_inverse(numbers: np.ndarray) -> None:
    numbering = Numbering.parse(str(Numbering.of(numbers)))
    assert numbering.values.tolist() == numbers.tolist() and len(numbering) == len(numbers)
    assert numbering.gaps() == numbers[-1] - numbers[0] + 1 - len(numbers)
    indices = np.arange(-5, len(numbers) + 5)
    for side in ("nearest", "first_from", "last_to"):
        assert numbering.to_index(numbering.to_number(indices), side).tolist() == indices.tolist()
    assert numbering.to_index(numbers).tolist() == list(range(len(numbers)))
    assert numbering.to_index(int(numbers[-1])) == len(numbers) - 1


@pytest.mark.long
@given(numbers=NUMBERS, wanted=st.integers(0, 400))
def test_sides_of_a_gap(numbers: np.ndarray, wanted: int) -> None:
    numbering = Numbering.of(numbers)
    if wanted in numbers:
        assert numbering.to_index(wanted) == numbers.tolist().index(wanted)
        return
    with pytest.raises(UserError, match=f"frame number: got {wanted}, expected one of"):
        numbering.to_index(wanted)
    if numbers[0] < wanted < numbers[-1]:
        before, after = numbering.to_index(wanted, "last_to"), numbering.to_index(wanted, "first_from")
        assert numbers[before] < wanted < numbers[after] and after == before + 1
        assert numbering.to_index(wanted, "nearest") == int(np.abs(numbers - wanted).argmin())


@pytest.mark.parametrize("text", ["", "x", "7-", "7-3", "1-5,5-9", "1-5,3", "1-4/2", "1-5/0", "-3", "1;2", "1-5/2,4"])
def test_texts_that_are_no_numbers(text: str) -> None:
    with pytest.raises(UserError, match=r"numbers: got .*expected ranges of frame numbers such as 7-206"):
        Numbering.parse(text)


def test_lists_that_do_not_increase() -> None:
    for numbers in ([], [2, 2], [3, 1], [-1, 4]):
        with pytest.raises(UserError, match="numbers that increase"):
            Numbering.of(numbers)


@pytest.mark.parametrize(
    ("numbers", "indices"),
    [
        ((7, 9, 12), (0, 2, 5)),
        ((3, 9, 12), (0, 2, 5)),  # begins before the video
        ((190, 200, 230), (183, 193, 199)),  # ends after it
        ((300, 310, 320), (293, 303, 313)),  # lies outside: keeps its length
        ((2, 3, 5), (-5, -4, -2)),
    ],
)
def test_ground_truths_that_no_frame_shows_survive(
    tmp_path: Path, numbers: tuple[int, int, int], indices: tuple[int, int, int]
) -> None:
    blank = Expression("d", "s", "v", 1, 0, 0, 0, "micro", "", "")
    item = place_expression(blank, VIDEO, numbers)
    assert (item.onset, item.apex, item.offset) == indices
    write_expressions(tmp_path / "e.csv", [item], [VIDEO])
    assert read_expressions(tmp_path / "e.csv", [VIDEO]) == [item]
    assert item.released(VIDEO.numbering) == numbers
    row = (tmp_path / "e.csv").read_text().splitlines()[1].split(",")
    assert row[4:7] == [str(n) for n in numbers]
    assert row[7:10] == [repr(i / 25.0) for i in indices]


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(numbers=NUMBERS, cells=st.lists(st.integers(0, 450), min_size=3, max_size=3).map(sorted))
def test_the_file_has_the_sheets_numbers_and_comes_back(tmp_path: Path, numbers: np.ndarray, cells: list[int]) -> None:
    video = replace(VIDEO, n_frames=len(numbers), numbers=str(Numbering.of(numbers)))
    blank = Expression("d", "s", "v", 1, 0, 0, 0, "macro", "", "")
    item = place_expression(blank, video, (cells[0], cells[1], cells[2]))
    assert item.onset <= item.apex <= item.offset
    assert not item.is_inside(len(numbers)) or (item.onset >= 0 and item.offset < len(numbers))
    write_expressions(tmp_path / "e.csv", [item], [video])
    assert read_expressions(tmp_path / "e.csv", [video]) == [item]
    assert list(item.released(video.numbering)) == cells


def test_a_video_counts_from_1_unless_told() -> None:
    assert Video("d", "s", "v", "-", 20, 25.0, 9, 9).numbers == "1-20"


def test_an_expression_of_an_unknown_video_is_named(tmp_path: Path) -> None:
    item = Expression("d", "s", "w", 1, 0, 0, 0, "macro", "", "")
    with pytest.raises(UserError, match=r"e\.csv: d/s/w: a video that the index does not list"):
        write_expressions(tmp_path / "e.csv", [item], [VIDEO])
