from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microexp.reading.rows import ActionUnit, format_aus, parse_aus


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("4+7+L10", "4+7+L10"),
        ("T12", "T12"), (4, "4"), (14.0, "14"), ("14.0", "14"), ("AU4", "4"), ("AU1 + AU2", "1+2"),
        ("12B", "12B"), ("r14a", "R14A"), ("4 +7", "4+7"), ("1,2;4", "1+2+4"), ("1 and 2", "1+2"), ("4(k)+L7", "4+L7"),
        ("12(L)", "L12"), ("10l", "L10"), ("12B(R)", "R12B"), ("4、7", "4+7"), ("４＋7", "4+7"),
        ("4+7+10（L）", "4+7+L10"),
        ("A12", "A12"), ("L10B", "L10B"), ("A12B + R10", "A12B+R10"), ("AL12C", "AL12C"), ("AU12A", "12A"),
        ("12?", "12"), ("", ""), (None, ""), ("/", ""), (0, ""), (float("nan"), ""),
    ],
)  # fmt: skip
def test_cells(cell: object, expected: str) -> None:
    units, rest = parse_aus(cell)
    assert format_aus(units) == expected
    assert rest == []


def test_what_is_no_action_unit_is_handed_back() -> None:
    assert parse_aus("4+smile") == ((ActionUnit(4),), ["smile"])
    assert parse_aus("2024-04-07 00:00:00")[0] == ()


@pytest.mark.long
@given(
    st.lists(
        st.builds(
            ActionUnit, st.integers(1, 99), st.sampled_from(["", *"LRTBA", "AL", "AR"]), st.sampled_from(["", *"ABCDE"])
        )
    )
)
def test_round_trip(units: list[ActionUnit]) -> None:
    assert parse_aus(format_aus(tuple(units))) == (tuple(units), [])
