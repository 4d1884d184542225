from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np

from microexp.commands.main import STAGES
from microexp.report import svg
from microexp.report.svg import LABEL, WIDTH, Bar, Lane


def test_bars_stand_where_their_frames_are() -> None:
    lanes = [Lane("ground truth", [Bar(0, 149, "macro", "a")]), Lane("<x>", [Bar(150, 299, "micro", "b & c", False)])]
    drawing = ElementTree.fromstring(svg.timeline(lanes, 300, 30.0))
    first, second = drawing.findall("rect")
    width = WIDTH - LABEL - 10
    assert float(first.get("x", "")) == LABEL and float(second.get("x", "")) == LABEL + width / 2
    assert float(first.get("width", "")) == float(second.get("width", "")) == width / 2
    assert (first.get("class"), second.get("class")) == ("macro", "micro miss")
    assert float(second.get("y", "")) > float(first.get("y", ""))
    assert [r.findtext("title") for r in (first, second)] == ["a", "b & c"]
    texts = [t.text for t in drawing.findall("text")]
    assert "<x>" in texts and "10 s" in texts and "11 s" not in texts


def test_a_short_expression_stays_visible() -> None:
    drawing = ElementTree.fromstring(svg.timeline([Lane("a", [Bar(5, 5, "micro", "")])], 100_000, 200.0))
    rect = drawing.find("rect")
    assert rect is not None and rect.get("width") == "2"
    assert len([t for t in drawing.findall("text") if (t.text or "").endswith(" s")]) <= 18


def test_motion_is_drawn_above() -> None:
    motion = np.zeros(3000)
    motion[1500] = 4.0
    drawing = ElementTree.fromstring(svg.timeline([Lane("a", [])], 3000, 30.0, motion))
    line = drawing.find("polyline")
    assert line is not None
    points = [tuple(map(float, p.split(","))) for p in line.get("points", "").split()]
    assert len(points) == WIDTH - LABEL - 10
    peak = min(points, key=lambda p: p[1])
    assert abs(peak[0] - (LABEL + (WIDTH - LABEL - 10) / 2)) < 2 and peak[1] == 4
    assert ElementTree.fromstring(svg.timeline([], 10, 30.0, np.zeros(0))).find("polyline") is None


def test_the_pipeline_shows_every_stage_that_computes() -> None:
    around = {"demo", "demo-sheet", "index-subject", "shards", "report", "report-subject", "complete"}
    assert set(svg.BOXES) == set(STAGES) - around


def test_pipeline_joins_every_box() -> None:
    drawing = ElementTree.fromstring(svg.pipeline())
    names = {t.text for t in drawing.findall("text") if t.get("class") == "stage"}
    assert names == set(svg.BOXES) == {name for arrow in svg.ARROWS for name in arrow}
    right, bottom = map(float, drawing.get("viewBox", "").split()[2:])
    for rect in drawing.findall("rect"):
        x, y, w, h = (float(rect.get(k, "")) for k in ("x", "y", "width", "height"))
        assert x + w <= right and y + h <= bottom
    assert len(re.findall(r"marker-end", svg.pipeline())) == len(svg.ARROWS)
