"""How the thresholds of the shipped spotting model are raised."""

from __future__ import annotations

import math
from types import ModuleType

import pytest

from tests.scripts import load_script

CHOSEN = {"micro": {"threshold": 0.5, "top_k": 9, "f1": 0.4}, "macro": {"threshold": 0.8, "top_k": 9, "f1": 0.6}}


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_script("train_spotting", monkeypatch, "tools")


def event(kind: str, score: float, flags: str = "") -> dict[str, str]:
    return {"kind": kind, "score": str(score), "flags": flags}


def kept(events: list[dict[str, str]], about: dict) -> int:
    return sum(float(e["score"]) >= about["selection"][e["kind"]]["threshold"] for e in events if not e["flags"])


def test_as_many_stay_as_may(tool: ModuleType) -> None:
    assert tool.raised_by([1.5, 3, 2], 1) == pytest.approx(math.sqrt(6))
    assert tool.raised_by([1.5, 3, 2], 2) == pytest.approx(math.sqrt(3))
    assert tool.raised_by([1.5, 3, 2], 3) == tool.raised_by([], 0) == 1
    assert 3 < tool.raised_by([1.5, 3, 2], 0) < 3.001


def test_both_thresholds_rise_by_one_factor_until_unflagged_events_are_few(tool: ModuleType) -> None:
    still = [event("micro", p) for p in (0.55, 0.6, 0.7, 0.9)] + [event("macro", p) for p in (0.82, 0.9, 0.97)]
    still += [event("micro", 0.99, "speech"), event("macro", 0.99, "cut")]  # flagged ones do not count
    minutes = 3 / tool.UNFLAGGED_A_MINUTE
    about = {"selection": CHOSEN, "method": "aemnet"}
    raised = tool.quieter(about, still, minutes)
    assert (kept(still, about), kept(still, raised)) == (7, 3)
    factors = [
        tool.odds(raised["selection"][kind]["threshold"]) / tool.odds(CHOSEN[kind]["threshold"]) for kind in CHOSEN
    ]
    assert factors == pytest.approx([raised["thresholds_raised_by"]] * 2) and factors[0] > 1
    assert raised["method"] == "aemnet" and raised["selection"]["micro"]["top_k"] == 9


def test_a_model_that_is_quiet_stays_as_it_is(tool: ModuleType) -> None:
    raised = tool.quieter({"selection": CHOSEN}, [event("micro", 0.9)], 2 / tool.UNFLAGGED_A_MINUTE)
    assert raised["thresholds_raised_by"] == 1
    assert [c["threshold"] for c in raised["selection"].values()] == pytest.approx([0.5, 0.8])
