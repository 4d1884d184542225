"""The command given again, through Snakemake: what is made anew, and what is shown when a stage fails then."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from microexp.commands.main import main

pytestmark = [pytest.mark.long]


def row(out: Path) -> dict[str, str]:
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        (found,) = csv.DictReader(file)
    return found


def dates(run: Path, *stages: str) -> dict[str, int]:
    """When the results of the stages were written."""
    files = [path for stage in stages for path in (run / "results" / stage).rglob("*.h5")]
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_other_labels_make_no_picture_anew_and_old_tables_are_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, out, labels = tmp_path / "anna.mp4", tmp_path / "out", tmp_path / "labels.csv"
    small = [f"--set={option}" for option in ("seconds=4", "micro=1", "macro=0", "seed=7", "width=240", "height=180")]
    assert main(["demo", "--video", "s01_1", "--out-video", str(video), *small]) == 0
    command = ["video", str(video), "--model", "candidates", "--out", str(out), "--cores", "2"]
    assert main(command) == 0 and row(out)["truths"] == "0"

    stages = ("faces", "crops", "flow", "features", "landmarks")
    before = dates(out / "run", *stages)
    assert len(before) == len(stages) - 1, "landmarks are a table"
    labels.write_text("onset,offset\n30,45\n")
    assert main([*command, "--labels", str(labels)]) == 0
    assert row(out)["truths"] == "1" and dates(out / "run", *stages) == before
    labels.write_text("onset,offset\n30,45\n70,82\n")
    assert main([*command, "--labels", str(labels)]) == 0
    assert row(out)["truths"] == "2" and dates(out / "run", *stages) == before

    (crops,) = (out / "run/results/crops").rglob("*.h5")
    crops.write_bytes(crops.read_bytes()[:-1000])
    capsys.readouterr()
    assert main([*command, "--labels", str(labels)]) == 2, "the flow refuses crops that are damaged"
    assert (row(out)["status"], row(out)["truths"], row(out)["hits"]) == ("none", "2", "0")
    assert "a stage failed" in capsys.readouterr().out and not (out / "anna").exists()

    crops.unlink()
    assert main([*command, "--labels", str(labels)]) == 0 and row(out)["truths"] == "2"
