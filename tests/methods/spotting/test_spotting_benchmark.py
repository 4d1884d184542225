"""`benchmarks/spotting.py`: what it extrapolates, and that it runs at a small size."""

from __future__ import annotations

import re
import sys

import pytest

from microexp.methods.spotting.aemnet.params import AemnetParams
from tests.scripts import load_script


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        yield load_script("spotting", patch)


@pytest.mark.parametrize(
    ("calibrate", "trainings", "seen"),
    [("held_out", 0.75, 0.25 * 9 + 1), ("inner_folds", 3 * 2 / 3 + 1, 9 + 1)],
)
def test_hours_are_those_of_all_folds(benchmark, calibrate, trainings, seen):
    """Ten folds of an hour's epoch: trainings on a share of the subjects, and proposals for those who are not seen."""
    data = benchmark.DataSet(10, 10, 3600 * 10, (1, 30.0), {})
    settings = benchmark.Settings({}, {}, calibrate)
    timed = benchmark.Timed(outside=0.25, inside=0.75, frame=1.0)
    training, proposals = benchmark.hours_of(data, settings, AemnetParams(epochs=2), timed, steps=3600)
    assert training == pytest.approx(10 * 2 * trainings)
    assert proposals == pytest.approx(10 * seen)


@pytest.mark.long
def test_it_runs(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["spotting.py", "--frames", "12000", "--steps", "2", "--device", "cpu"])
    benchmark.main()
    hours = re.search(r"preprocessing ([\d.]+) .*training ([\d.]+), proposals ([\d.]+)", capsys.readouterr().out)
    assert hours and float(hours[1]) < 1
