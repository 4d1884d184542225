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
