"""Which action units a clip shows, for experiments that recognise units: several at once, or none of those known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from microexp.reading.action_units import parse_aus

KNOWN = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 24, 25, 26, 45)
"""Units of an experiment with `target: action_units`: those that the shipped model knows."""


def unit_name(unit: int) -> str:
    """`AU12`."""
    return f"AU{unit}"


NAMES = tuple(map(unit_name, KNOWN))


def numbers(text: str) -> set[int]:
    """Numbers of the units of a cell such as `4+7+L10`, whichever side."""
    return {unit.number for unit in parse_aus(text)[0]}


def shown(cells: Iterable[object], units: Sequence[int] = KNOWN) -> np.ndarray:
    """(N, U) bool: which of `units` each cell names."""
    found = [numbers(str(cell)) for cell in cells]
    return np.array([[unit in own for unit in units] for own in found], dtype=bool).reshape(len(found), len(units))


def shown_sides(cells: Iterable[object], units: Sequence[int] = KNOWN) -> np.ndarray:
    """(N, U, 2) bool: on the face's own left, on its right; a unit without a side is on both, as A, T and B are."""
    found = np.zeros((0, len(units), 2), bool)
    rows = []
    for cell in cells:
        row = np.zeros((len(units), 2), bool)
        for unit in parse_aus(str(cell))[0]:
            if unit.number in units:
                row[units.index(unit.number)] |= [unit.side != "R", unit.side != "L"]
        rows.append(row)
    return np.array(rows) if rows else found
