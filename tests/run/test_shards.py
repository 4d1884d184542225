"""Lists of files with their hashes: what changes a list, and what does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.run import provenance, shards, storage
from microexp.run.shards import read_list
from microexp.run.stage import Job, NoParams


def written(folder: Path, *names: str) -> list[Path]:
    found = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
        provenance.write_provenance(path, {"stage": "flow"})
        found.append(path)
    return found


def listed(paths: list[Path], out: Path) -> str:
    shards.run(Job({"shards": paths}, {"list": out}, NoParams()))
    return out.read_text(encoding="utf-8")


def test_a_list_names_files_in_their_order_with_their_hashes(tmp_path: Path) -> None:
    paths = written(tmp_path, "b/s02.h5", "a/s01.h5", "a/é ß.h5")
    text = listed(paths, tmp_path / "x.list")
    assert text == "".join(f"{p}\t{storage.file_sha256(p)}\n" for p in paths)
    assert read_list(tmp_path / "x.list") == paths


def test_no_file_is_a_list_too(tmp_path: Path) -> None:
    assert listed([], tmp_path / "x.list") == "" and read_list(tmp_path / "x.list") == []


def test_the_same_bytes_written_again_change_nothing(tmp_path: Path) -> None:
    paths = written(tmp_path, "s01.h5", "s02.h5")
    before = listed(paths, tmp_path / "x.list")
    written(tmp_path, "s01.h5")
    os.utime(paths[1], (1, 1))
    assert listed(paths, tmp_path / "x.list") == before


def test_one_other_byte_changes_its_line_alone(tmp_path: Path) -> None:
    paths = written(tmp_path, "s01.h5", "s02.h5")
    before = listed(paths, tmp_path / "x.list").splitlines()
    paths[1].write_text("content of s03.h5")
    provenance.write_provenance(paths[1], {"stage": "flow"})
    after = listed(paths, tmp_path / "x.list").splitlines()
    assert after[0] == before[0] and after[1] != before[1]


@pytest.mark.parametrize("data", [None, b"\xff\xfe\x00"])
def test_what_is_no_list_is_named(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "x.list").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.list: .*expected a list that the stage shards wrote"):
        read_list(tmp_path / "x.list")
