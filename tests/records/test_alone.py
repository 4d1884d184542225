"""Nobody but the records (and what checks and opens files) looks into an HDF5 file."""

from __future__ import annotations

import re
from pathlib import Path

import microexp

SOURCE = Path(microexp.__file__).parent
DOORS = re.compile(r"\b(h5py|open_shard|create_shard|add_array|set_attributes)\b")


def test_only_the_records_look_into_shards() -> None:
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] not in ("records", "run") and DOORS.search(path.read_text())
    }
    assert found == set()
