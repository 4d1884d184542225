from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from microexp.pipeline import STAGES
from microexp.report import svg
from microexp.report.svg import LABEL, LETTER, RIGHT, WIDTH, Bar, Lane, arrows
from microexp.report.video import page


def test_bars_stand_where_their_frames_are() -> None:
    lanes = [Lane("ground truth", [Bar(0, 149, "macro", "a")]), Lane("<x>", [Bar(150, 299, "micro", "b & c", False)])]
    drawing = ElementTree.fromstring(svg.timeline(lanes, 300, 30.0))
    first, second = drawing.findall("rect")
    width = WIDTH - LABEL - RIGHT
    assert float(first.get("x", "")) == LABEL and float(second.get("x", "")) == LABEL + width / 2
    assert float(first.get("width", "")) == float(second.get("width", "")) == width / 2
    assert (first.get("class"), second.get("class")) == ("macro", "micro miss")
    assert float(second.get("y", "")) > float(first.get("y", ""))
    assert [r.findtext("title") for r in (first, second)] == ["a", "b & c"]
    texts = [t.text for t in drawing.findall("text")]
    assert "<x>" in texts and "10 s" in texts and "11 s" not in texts


@pytest.mark.parametrize("name", ["aemnet", "random intervals oracle", "a method of somebody else " * 4])
def test_names_of_lanes_are_never_cut_off(name: str) -> None:
    lanes = [Lane("a", []), Lane(name, [Bar(0, 299, "macro", "a")])]
    drawing = ElementTree.fromstring(svg.timeline(lanes, 300, 30.0))
    (text,) = (t for t in drawing.findall("text") if t.text == name)
    right = float(text.get("x", ""))
    width = float(text.get("textLength", 0)) or svg.LETTER * len(name)
    assert right - width >= 0 and bool(text.get("textLength")) == (len(name) > 60)
    bar = drawing.find("rect")
    assert bar is not None and float(bar.get("x", "")) > right
    assert float(bar.get("x", "")) + float(bar.get("width", "")) <= WIDTH


def test_a_short_expression_stays_visible() -> None:
    drawing = ElementTree.fromstring(svg.timeline([Lane("a", [Bar(5, 5, "micro", "")])], 100_000, 200.0))
    rect = drawing.find("rect")
    assert rect is not None and rect.get("width") == "2"
    assert len([t for t in drawing.findall("text") if (t.text or "").endswith(" s")]) <= 18


@pytest.mark.parametrize("seconds", [20, 600])
def test_the_last_label_of_a_time_axis_is_inside_of_the_picture(seconds: int) -> None:
    """Where the video ends on a label: half of it lies to the right of its place."""
    for picture in (svg.timeline([], 30 * seconds, 30.0), page.lanes(float(seconds), [], [], events=[], truths=[])):
        texts = {text.text: text for text in ElementTree.fromstring(picture).findall("text")}
        middle = float(texts[f"{seconds} s"].get("x", ""))
        assert middle + LETTER * len(f"{seconds} s") / 2 <= WIDTH


def test_motion_is_drawn_above() -> None:
    motion = np.zeros(3000)
    motion[1500] = 4.0
    drawing = ElementTree.fromstring(svg.timeline([Lane("a", [])], 3000, 30.0, motion=motion))
    line = drawing.find("polyline")
    assert line is not None
    points = [tuple(map(float, p.split(","))) for p in line.get("points", "").split()]
    assert len(points) == WIDTH - LABEL - RIGHT
    peak = min(points, key=lambda p: p[1])
    assert abs(peak[0] - (LABEL + (WIDTH - LABEL - RIGHT) / 2)) < 2 and peak[1] == 4
    assert ElementTree.fromstring(svg.timeline([], 10, 30.0, motion=np.zeros(0))).find("polyline") is None


def test_the_pipeline_joins_every_stage_that_computes() -> None:
    drawing = ElementTree.fromstring(svg.pipeline())
    names = {t.text for t in drawing.findall("text") if t.get("class") == "stage"}
    assert names == {name for arrow in arrows() for name in arrow}
    assert names == {stage.name for stage in STAGES.values() if stage.drawn}
    right, bottom = map(float, drawing.get("viewBox", "").split()[2:])
    boxes = [[float(rect.get(k, "")) for k in ("x", "y", "width", "height")] for rect in drawing.findall("rect")]
    assert all(x + w <= right and y + h <= bottom for x, y, w, h in boxes)
    assert len({(x, y) for x, y, _, _ in boxes}) == len(boxes)
    assert len(re.findall(r"marker-end", svg.pipeline())) == len(arrows())


def test_charts_draw_every_series_within_their_frame() -> None:
    series = [{1: 2.0, 2: 1.0, 3: 0.5}, {1: 4.0, 2: 2.0}]
    drawing = ElementTree.fromstring(svg.charts([svg.Chart("loss", series, {1: 3.0, 2: 1.5, 3: 0.5})], "epoch"))
    lines = [line.get("points", "").split() for line in drawing.findall("polyline")]
    assert [len(points) for points in lines] == [3, 2, 3]
    places = [tuple(map(float, point.split(","))) for points in lines for point in points]
    assert all(0 <= x <= svg.CHART_WIDTH and 0 <= y <= svg.CHART_HEIGHT for x, y in places)
    assert places[3][1] == svg.CHART_TOP  # the largest value is the top
