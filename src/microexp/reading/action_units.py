"""Action units of the Facial Action Coding System (Ekman, Friesen & Hager 2002) as sheets write them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_UNIT = re.compile(
    r"(?:AU|AD)?\s*(A[LR]|[ALRTBMU]?)\s*(?:AU)?(\d{1,2})\s*([A-E]?)\s*(?:\(([ALRTMU])\)|([LRTMU])|\(\w\))?",
    re.IGNORECASE,
)
"""`L12`, `12L` and `12(L)` are the left side, `A12` asymmetric; A to E behind the number is an intensity."""
_BETWEEN = re.compile(r"\s*[+,;/&、]\s*|\s+and\s+|\s+or\s+|\s{2,}", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class ActionUnit:
    """One action unit.

    Attributes:
        number: such as 12, the lip corner puller.
        side: L or R (one half of the face), A (both, unequally; AL and AR: more of one), T or B (top or bottom lip), ''
            for both.
        intensity: A (trace) to E (maximum), '' where it is not coded.
    """

    number: int
    side: str = ""
    intensity: str = ""

    def __str__(self) -> str:
        return f"{self.side}{self.number}{self.intensity}"


def parse_aus(cell: object) -> tuple[tuple[ActionUnit, ...], list[str]]:
    """Action units of a cell, in its order, and the parts that are none.

    `4+7+L10`, `T12`, `12(L)`, `AU1 + AU2`, `12B`, 14 and 14.0 are understood; `/`, `0` and an empty cell hold none.
    """
    text = re.sub(r"^(\d+)\.0+$", r"\1", "" if cell is None else str(cell).strip())
    units, rest = [], []
    for part in _BETWEEN.split(unicodedata.normalize("NFKC", text)):
        clean = part.strip(" ?.*'\"[]")
        match = _UNIT.fullmatch(clean)
        if match and int(match[2]):
            units.append(ActionUnit(int(match[2]), (match[1] or match[4] or match[5] or "").upper(), match[3].upper()))
        elif clean not in ("", "/", "-", "0") and clean.casefold() not in ("nan", "none"):
            rest.append(part.strip())
    return tuple(units), rest


def format_aus(units: tuple[ActionUnit, ...]) -> str:
    """`4+7+L10`."""
    return "+".join(map(str, units))
