"""The check of the demo's figures that .ci/run makes can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/check_demo.py"


def check(
    folder: Path, macro: str = "0.3", uf1: str = "0.9", motion: str = "0.8", truths: int = 150
) -> subprocess.CompletedProcess[str]:
    (folder / "tables").mkdir()
    spotting = ["aemnet,micro,0.4,0.06", f"aemnet,macro,{macro},0.1", "aemnet,overall,0.4,0.1"]
    spotting += [f"aemnet_motion,{kind},{motion},0.1" for kind in ("micro", "macro", "overall")]
    spotting += [f"random_intervals,{kind},0.08,0.07" for kind in ("micro", "macro", "overall")]
    spotting = ["method,kind,f1,chance_f1,ground_truths", *(f"{row},{truths}" for row in spotting)]
    recognition = ["method,part,uf1,uar,chance_uf1,chance_uar", f"mdml,all,{uf1},0.8,0.3,0.3"]
    recognition += ["majority,all,0.2,0.3,0.2,0.3"]
    (folder / "tables/spotting_demo.csv").write_text("\n".join(spotting))
    (folder / "tables/recognition_demo.csv").write_text("\n".join(recognition))
    return subprocess.run([sys.executable, SCRIPT, folder], text=True, capture_output=True)


def test_figures_between_chance_and_one_pass(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        ({"macro": "0.09"}, "spotting_demo.csv, aemnet macro: f1 0.090 is not above chance, 0.100"),
        ({"macro": "nan"}, "spotting_demo.csv, aemnet macro: f1 nan is not above random_intervals, 0.080"),
        ({"uf1": "0.2"}, "recognition_demo.csv, mdml all: uf1 0.200 is not above majority, 0.200"),
        ({"uf1": "1.0"}, "recognition_demo.csv, mdml all: uf1 is 1.000"),
    ],
)
def test_a_figure_at_chance_or_perfect_fails(tmp_path: Path, figures: dict[str, str], line: str) -> None:
    done = check(tmp_path, **figures)
    assert done.returncode == 1 and line in done.stdout


def test_with_few_expressions_the_recommended_row_alone_is_held_to_chance(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert check(tmp_path / "a", macro="0.09", truths=75).returncode == 0
    assert check(tmp_path / "b", motion="0.09", truths=75).returncode == 1
