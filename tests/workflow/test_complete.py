"""The stages of the workflow itself: lists of shards, and the check that nothing was excluded."""

from __future__ import annotations

from pathlib import Path

import pytest

from microexp.commands.main import main
from microexp.run import provenance, shard_files, storage


def shard(path: Path, excluded: str) -> Path:
    with shard_files.create_shard(path) as file:
        shard_files.set_attributes(file.create_group("v1"), {"excluded": excluded})
    provenance.write_provenance(path, {"stage": "i3d"})
    return path


def test_a_complete_run_has_no_exclusions(tmp_path: Path) -> None:
    out = tmp_path / "complete.csv"
    assert main(["complete", "--shards", str(shard(tmp_path / "demo" / "s01.h5", "")), "--out-complete", str(out)]) == 0
    assert out.read_text() == "dataset,subject,video,reason\n"


def test_an_exclusion_fails_in_one_line_unless_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "complete.csv"
    arguments = [
        "complete",
        "--shards",
        str(shard(tmp_path / "demo" / "s01.h5", "no face")),
        "--out-complete",
        str(out),
    ]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "demo/s01/v1: excluded: no face; expected a complete run" in error and error.count("\n") == 1
    assert not out.exists()
    assert main([*arguments, "--set", "allow_exclusions=true"]) == 0
    assert out.read_text().splitlines()[1] == "demo,s01,v1,no face"


def test_a_list_of_shards_stands_for_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [shard(tmp_path / "a b" / "s01.h5", ""), shard(tmp_path / "demo" / "s02.h5", "")]
    assert main(["shards", "--shards", *map(str, paths), "--out-list", "i3d.list"]) == 0
    lines = Path("i3d.list").read_text().splitlines()
    assert [line.split("\t") for line in lines] == [[str(p), storage.file_sha256(p)] for p in paths]
    assert main(["complete", "--shards", "i3d.list", "--out-complete", "c.csv"]) == 0
    assert len(provenance.read_provenance("c.csv")["inputs"]["shards"]) == 2


def test_an_empty_list_stands_for_no_shard(tmp_path: Path) -> None:
    assert main(["shards", "--shards", "--out-list", str(tmp_path / "flow.list")]) == 0
    assert main(["complete", "--shards", f"{tmp_path}/flow.list", "--out-complete", str(tmp_path / "c.csv")]) == 0
    assert provenance.read_provenance(tmp_path / "c.csv")["inputs"]["shards"] == []


def test_the_list_changes_with_the_content_of_a_shard_only(tmp_path: Path) -> None:
    path, out = shard(tmp_path / "demo" / "s01.h5", ""), tmp_path / "l"
    texts = []
    for reason in ("", "", "no face"):
        shard(path, reason)
        main(["shards", "--shards", str(path), "--out-list", str(out)])
        texts.append(out.read_text())
    assert texts[0] == texts[1] != texts[2]
