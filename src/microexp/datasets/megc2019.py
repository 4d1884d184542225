"""The MEGC2019 composite as other people's files spell it."""

from __future__ import annotations

import re

from microexp.datasets.protocols import MEGC2019

CLASSES = tuple(MEGC2019.classes)
"""0, 1 and 2 of the field's files: negative, positive, surprise."""

ALIASES = {
    "casme2": ("casmeii", "casme2raw", "casmeiiraw"),
    "smic": ("smichs", "smicehs", "smichse"),
    "samm": ("sammme", "sammmicro"),
}
"""Data set -> how others call it, in lower case without anything but letters and digits."""

_NAMES = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}
_SUBJECTS = {"casme2": re.compile(r"sub\d+", re.I), "smic": re.compile(r"s\d+", re.I), "samm": re.compile(r"\d{3}")}


def dataset_name(name: str) -> str:
    """`casme2`, `smic` or `samm` for any usual spelling (`CASME_II`, `SMIC-HS`); any other name as it is."""
    return _NAMES.get(re.sub(r"[^a-z0-9]", "", name.lower()), name)


def dataset_of_subject(subject: str) -> str | None:
    """The data set that spells its subjects so (`sub01`, `s1`, `006`); None when it is none of the three."""
    return next((name for name, pattern in _SUBJECTS.items() if pattern.fullmatch(subject)), None)
