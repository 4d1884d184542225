"""The adapters by name; a module is imported only when its data set is used."""

from __future__ import annotations

import difflib
import importlib

from microexp.errors import UserError
from microexp.reading.release import Adapter

ADAPTERS = {
    "cas_me2": "microexp.datasets.cas_me2",
    "samm_lv": "microexp.datasets.samm_lv",
    "casme2": "microexp.datasets.casme2",
    "samm": "microexp.datasets.samm",
    "smic": "microexp.datasets.smic",
    "cas_me3": "microexp.datasets.cas_me3",
    "mmew": "microexp.datasets.mmew",
    "ck_plus": "microexp.datasets.ck_plus",
    "folder": "microexp.datasets.folder",
    "listed": "microexp.datasets.listed",
    "demo": "microexp.datasets.demo",
}


def load_adapter(name: str, dataset: str) -> Adapter:
    """The adapter `name`, as data set `dataset` asks for it.

    Raises:
        UserError: when there is no such adapter.
    """
    if name not in ADAPTERS:
        close = difflib.get_close_matches(name, ADAPTERS, 1)
        hint = f"did you mean {close[0]!r}?" if close else None
        raise UserError(
            file="config",
            where=f"datasets.{dataset}.adapter",
            got=repr(name),
            expected="one of " + ", ".join(ADAPTERS),
            hint=hint,
        )
    adapter: Adapter = importlib.import_module(ADAPTERS[name]).ADAPTER
    return adapter
