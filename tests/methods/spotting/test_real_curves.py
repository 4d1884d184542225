"""`benchmarks/real_curves.py` on made-up curves, and the recipe of `docs/own_features.md` beside it."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.scripts import load_script

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "own_features.md"
SUBJECTS, VIDEOS, N_FRAMES = 5, 2, 900


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        yield load_script("real_curves", patch)


def recipe(language):
    """The last block of the page in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[-1]


def made_up(folder):
    """Curves of six people: noise, and a bump of both curves at each of three macro-expressions a video."""
    rng, names, level, truths = np.random.default_rng(0), [], [], []
    for person in range(SUBJECTS):
        for number in range(VIDEOS):
            name, frames = f"s{person}_{number}", np.arange(N_FRAMES)
            curve = rng.integers(0, 15, (N_FRAMES, 2)).astype(float)
            for onset in 100 + 260 * np.arange(3) + rng.integers(0, 100, 3):
                length = int(rng.integers(25, 45))
                curve += 80 * np.exp(-(((frames - onset - length / 2) / length * 3) ** 2))[:, None]
                truths.append((name, onset + 1, onset + length, "macro"))
            names.append(name)
            level.append(np.clip(curve, 0, 99).astype(np.uint8))
    scale = rng.uniform(0.05, 0.4, (len(names), 2))
    np.savez(
        folder / "curves.npz", video=names, n_frames=[N_FRAMES] * len(names), level=np.concatenate(level), step=scale
    )
    with (folder / "expressions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("video", "onset", "offset", "kind"), *truths])


@pytest.mark.long
def test_expressions_of_made_up_curves_are_found_and_those_of_displaced_labels_are_not(
    benchmark, tmp_path, monkeypatch
):
    made_up(tmp_path)
    arguments = ["real_curves.py", str(tmp_path), "--seeds", "1", "--methods", "aemnet", "--permuted"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--folds", "s0", "--out", str(tmp_path / "out")])
    benchmark.main()
    lines = [
        line.split(" | ") for line in (tmp_path / "out" / "table.md").read_text().splitlines() if "overall" in line
    ]
    found = {line[0].strip("| "): float(line[2]) for line in lines}
    assert found["aemnet"] >= 0.7
    assert found["aemnet_permuted"] <= 0.4


def test_a_series_goes_with_the_level_and_with_the_root_of_its_step(benchmark):
    level = np.random.default_rng(0).integers(0, 50, (400, 2)).astype(np.float32)
    one, two = np.array([0.1, 0.2], np.float32), np.array([0.025, 0.05], np.float32)
    assert np.allclose(benchmark.series_of(level, one, 30.0), benchmark.series_of(2 * level, two, 30.0), atol=1e-5)


@pytest.mark.parametrize(("fps", "n_frames"), [(30.0, 901), (200.0, 4001), (29.97, 500)])
def test_rows_are_in_the_time_of_their_frames(benchmark, fps, n_frames):
    level = np.zeros((n_frames, 1), np.float32)
    level[n_frames // 2] = 99
    series = benchmark.series_of(level, np.ones(1, np.float32), fps)
    assert len(series) == int((n_frames - 1) * 7.5 / fps) + 1
    assert abs(series[:, 0].argmax() - n_frames // 2 / fps * 7.5) <= 1


def test_the_recipe_of_the_page_makes_the_series_of_the_benchmark(benchmark, tmp_path, monkeypatch):
    level = np.random.default_rng(0).integers(0, 100, (202, 2))
    for column, kind in enumerate(("micro", "macro")):
        for threshold in range(1, 100):
            ends = np.flatnonzero(np.diff(np.pad((level[:, column] >= threshold).astype(int), 1))).reshape(-1, 2)
            path = tmp_path / f"MDMD_results/results_API/ME2_{kind}_txtClips/p{threshold}/s1_a.txt"
            path.parent.mkdir(parents=True)
            path.write_text("".join(f"{first + 1} {last} 1.0\n" for first, last in ends))
    (tmp_path / "videos.csv").write_text("subject,video,n_frames,fps\ns1,s1_a,202,30\n")
    monkeypatch.chdir(tmp_path)
    exec(compile(recipe("python"), str(PAGE), "exec"), {})
    with np.load("given/s1/s1_a.npz") as made:
        assert made["fps"] == benchmark.ROWS_FPS
        assert np.allclose(made["features"], benchmark.series_of(level, np.ones(2), 30.0), atol=1e-5)


def test_the_options_of_the_page_are_those_of_the_benchmark(benchmark):
    options = yaml.safe_load(recipe("yaml"))["aemnet_curves"]
    assert options.pop("method") == "aemnet"
    assert options == {name: v for name, v in benchmark.OPTIONS.items() if name != "batch_size"}
