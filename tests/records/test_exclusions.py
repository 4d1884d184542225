"""What results lack comes together from tables and shards, each entry once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.records.apexdiff import write_apexdiff
from microexp.records.exclusions import Exclusion, all_exclusions, read_exclusions, write_exclusions
from microexp.records.shard import Subject
from tests import shards


def test_tables_come_back(tmp_path: Path) -> None:
    rows = [Exclusion("d", "s1", "v", "a, b\nc"), Exclusion("d", "", "", "row 3: no subject")]
    write_exclusions(tmp_path / "index" / "d" / "excluded.csv", rows)
    assert read_exclusions(tmp_path / "index" / "d" / "excluded.csv") == rows
    (tmp_path / "index" / "d").rename(tmp_path / "index" / "e")
    with pytest.raises(UserError, match=r"excluded\.csv: dataset: 'd' inside"):
        read_exclusions(tmp_path / "index" / "e" / "excluded.csv")


def test_all_of_them(tmp_path: Path) -> None:
    crops = shards.write_crops(tmp_path / "crops/d/s1.h5", {"v": np.zeros((2, 8, 8, 3), np.uint8), "w": "dark"})
    maps, empty = tmp_path / "apexdiff/d/s2.h5", shards.apexdiff_record(0)
    excluded = (("v", "expression 1: dark"), ("v", "expression 2: dark"))
    write_apexdiff(maps, Subject("d", "s2"), type(empty)(**{**vars(empty), "excluded": excluded}))
    shards.recorded(maps, "apexdiff")
    table = tmp_path / "excluded.csv"
    write_exclusions(table, [Exclusion("d", "s1", "w", "dark"), Exclusion("d", "s0", "x", "not on disk")])
    assert all_exclusions([maps, crops], [table]) == [
        Exclusion("d", "s0", "x", "not on disk"),
        Exclusion("d", "s1", "w", "dark"),
        Exclusion("d", "s2", "v", "expression 1: dark"),
        Exclusion("d", "s2", "v", "expression 2: dark"),
    ]
    assert all_exclusions([], []) == []
