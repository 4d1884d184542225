"""Drawings of the report's own as inline SVG: the pipeline, the timeline of a video, training curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from microexp.pipeline import STAGES, writers
from microexp.report.collect import Rows

# What flows between the stages, as arrows and a Mermaid diagram, and every file of a run, as a Markdown table.


def arrows() -> list[tuple[str, str]]:
    """(writer, reader) of the stages that diagrams show; what passes through others in between counts."""
    found: list[tuple[str, str]] = []
    for stage in STAGES.values():
        if stage.drawn:
            writers = (w for item in stage.inputs.values() for name in item.writers for w in _drawn(name))
            found += [(writer, stage.name) for writer in writers]
    direct = dict.fromkeys(found)
    return [(a, b) for a, b in direct if not any((a, c) in direct and (c, b) in direct for c in STAGES)]


def _drawn(name: str) -> Iterator[str]:
    if STAGES[name].drawn:
        yield name
        return
    for item in STAGES[name].inputs.values():
        for writer in item.writers:
            yield from _drawn(writer)


def mermaid() -> str:
    """The stages and what flows between them, as a Mermaid diagram."""
    return "flowchart LR\n" + "\n".join(f"  {a} --> {b}" for a, b in arrows())


def tree() -> str:
    """Every file that a run makes, as a Markdown table."""
    rows = [f"| `{output.path}` | `{stage}` | {output.help} |" for stage, _, output in writers()]
    return "| file | stage | what it is |\n|---|---|---|\n" + "\n".join(rows)


WIDTH = 1000
LABEL, LONGEST_LABEL = 130, 330  # width of the lane labels: at least, at most
RIGHT = 18  # beside a time axis, for half of the last label
LETTER = 7  # width of a letter, rather too large
LANE, BAR = 22, 14  # height of a lane and of a bar in it


@dataclass(frozen=True)
class Bar:
    """An interval of frames on a lane.

    Attributes:
        onset: first frame.
        offset: last frame.
        kind: `micro` or `macro`.
        tip: what is shown when the mouse rests on it.
        hit: False for a detection that meets no ground truth.
    """

    onset: float
    offset: float
    kind: str
    tip: str
    hit: bool = True


@dataclass(frozen=True)
class Lane:
    """A named row of bars."""

    name: str
    bars: Sequence[Bar]


def element(tag: str, text: object = None, **attributes: object) -> Markup:
    """An SVG element; `_` in attribute names stands for `-`, `kind` for `class`."""
    names = {k: ("class" if k == "kind" else k.replace("_", "-")) for k in attributes}
    inner = "".join(f' {names[k]}="{escape(_number(v))}"' for k, v in attributes.items())
    return Markup(f"<{tag}{inner}/>" if text is None else f"<{tag}{inner}>{escape(text)}</{tag}>")


def _number(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def picture(width: int, height: int, parts: Iterable[Markup], *, label: str) -> Markup:
    """The parts as one SVG that scales with the page."""
    inner = Markup("").join(parts)
    return Markup(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{inner}</svg>')


def timeline(lanes: Sequence[Lane], n_frames: int, fps: float, *, motion: np.ndarray | None = None) -> Markup:
    """Lanes of intervals over the seconds of a video, with its motion above them.

    Args:
        lanes: ground truth first, then one per method.
        n_frames: frames of the source video.
        fps: of the source video.
        motion: (T,) mean flow magnitude, spread over the video; None: no curve.
    """
    left = label_width(lane.name for lane in lanes)
    scale = (WIDTH - left - RIGHT) / max(1, n_frames)
    top = 46 if motion is not None and len(motion) else 4
    height = top + LANE * len(lanes) + 22
    parts = _axis(n_frames / fps, fps * scale, left, rows=(top, height))
    if top > 4:
        assert motion is not None
        parts += _curve(motion, top, left)
    for number, lane in enumerate(lanes):
        y = top + LANE * number
        parts.append(_label(lane.name, left - 8, y + 15))
        for bar in lane.bars:
            x = left + bar.onset * scale
            width = max(2.0, (bar.offset - bar.onset + 1) * scale)
            style = f"{bar.kind}{'' if bar.hit else ' miss'}"
            rect = {"x": x, "y": y + 4, "width": width, "height": BAR, "rx": 2, "class": style}
            parts.append(element("rect", element("title", bar.tip), **rect))
    return picture(WIDTH, height, parts, label="timeline of detections and ground truth")


def label_width(names: Iterable[str]) -> int:
    """Of the column that holds the names of lanes, px."""
    longest = max((LETTER * len(name) + 16 for name in names), default=0)
    return min(max(LABEL, longest), LONGEST_LABEL)


def _label(name: str, right: int, y: int) -> Markup:
    """A name that ends at `right`; one that is longer than the column is squeezed."""
    squeezed = {"textLength": right - 8, "lengthAdjust": "spacingAndGlyphs"} if LETTER * len(name) > right else {}
    return element("text", name, x=right, y=y, kind="lane", **squeezed)


def _axis(seconds: float, px_per_s: float, left: int, *, rows: tuple[int, int]) -> list[Markup]:
    top, height = rows
    step = next((s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if seconds / s <= 16), 1200)
    parts = []
    for t in range(0, int(seconds) + 1, step):
        x = left + t * px_per_s
        parts.append(element("line", x1=x, x2=x, y1=top, y2=height - 18, kind="grid"))
        parts.append(element("text", f"{t} s", x=x, y=height - 4, kind="tick"))
    return parts


def _curve(motion: np.ndarray, top: int, left: int) -> list[Markup]:
    count = min(len(motion), WIDTH - left - RIGHT)
    values = np.maximum.reduceat(motion, np.arange(count) * len(motion) // count)  # the peak of every column
    peak = max(float(values.max()), 1e-9)
    xs = left + (np.arange(len(values)) + 0.5) / len(values) * (WIDTH - left - RIGHT)
    points = " ".join(f"{x:.1f},{top - 6 - 36 * v / peak:.1f}" for x, v in zip(xs, values, strict=True))
    return [
        _label("motion", left - 8, top - 10),
        element("polyline", points=points, kind="motion"),
    ]


@dataclass(frozen=True)
class Chart:
    """A line chart.

    Attributes:
        title: what is drawn.
        series: pale lines, x -> y.
        mean: the strong line.
        top: upper end of the y axis; None: the largest value.
    """

    title: str
    series: Sequence[Mapping[int, float]]
    mean: Mapping[int, float]
    top: float | None = None


CHART_WIDTH, CHART_HEIGHT, CHART_LEFT, CHART_TOP, CHART_BOTTOM = 360, 230, 52, 26, 36


def charts(drawn: Sequence[Chart], x_label: str) -> Markup:
    """Line charts side by side."""
    parts: list[Markup] = []
    for number, chart in enumerate(drawn):
        parts += _chart(chart, number * CHART_WIDTH, x_label)
    return picture(
        CHART_WIDTH * len(drawn), CHART_HEIGHT, parts, label="training: " + ", ".join(c.title for c in drawn)
    )


def _chart(chart: Chart, left: int, x_label: str) -> list[Markup]:
    xs = sorted(chart.mean)
    top = chart.top or max((v for s in chart.series for v in s.values()), default=1.0) or 1.0
    width, height = CHART_WIDTH - CHART_LEFT - 14, CHART_HEIGHT - CHART_TOP - CHART_BOTTOM
    span = max(1, xs[-1] - xs[0]) if xs else 1

    def line(values: Mapping[int, float], kind: str) -> Markup:
        """One curve of the chart."""
        points = " ".join(
            f"{left + CHART_LEFT + width * (x - xs[0]) / span:.1f},{CHART_TOP + height * (1 - min(y / top, 1.05)):.1f}"
            for x, y in sorted(values.items())
        )
        return element("polyline", points=points, kind=kind)

    base, start = CHART_TOP + height, left + CHART_LEFT
    parts = [element("text", chart.title, x=start, y=16, kind="chart-title")]
    for share in (0.0, 0.5, 1.0):
        y = CHART_TOP + height * (1 - share)
        parts.append(element("line", x1=start, x2=start + width, y1=y, y2=y, kind="grid"))
        parts.append(element("text", f"{top * share:.3g}", x=start - 6, y=y + 4, kind="lane"))
    for x in dict.fromkeys(xs[i] for i in (0, len(xs) // 2, len(xs) - 1)) if xs else ():
        parts.append(element("text", x, x=start + width * (x - xs[0]) / span, y=base + 16, kind="tick"))
    parts.append(element("text", x_label, x=start + width / 2, y=base + 31, kind="tick"))
    parts += [line(series, "fold-line") for series in chart.series]
    return [*parts, line(chart.mean, "mean-line")]


BOX_WIDTH, BOX_HEIGHT, COLUMN, ROW = 116, 34, 139, 50


def pipeline() -> Markup:
    """The stages and what flows between them, from the table of stages."""
    joined = arrows()
    places = layout(joined)
    parts = [
        Markup(
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" class="tip"/></marker></defs>'
        )
    ]
    parts += [element("path", d=_arrow(places[a], places[b]), kind="arrow", marker_end="url(#tip)") for a, b in joined]
    for name, (column, row) in places.items():
        x, y = column * COLUMN, row * ROW + 4
        kind = (
            "box spot" if name in ("spotting-fold", "detect") else "box recog" if name == "recognition-fold" else "box"
        )
        parts.append(element("rect", x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, rx=7, kind=kind))
        parts.append(element("text", name, x=x + BOX_WIDTH / 2, y=y + 22, kind="stage"))
    width = max(c for c, _ in places.values()) * COLUMN + BOX_WIDTH
    height = max(r for _, r in places.values()) * ROW + BOX_HEIGHT + 8
    return picture(width, int(height), parts, label="the stages of the pipeline")


def layout(joined: Sequence[tuple[str, str]]) -> dict[str, tuple[int, float]]:
    """Stage -> (column, row): a column for each step from the first stage, rows centred."""
    names = list(dict.fromkeys(name for arrow in joined for name in arrow))
    depth = dict.fromkeys(names, 0)
    for _ in names:
        for a, b in joined:
            depth[b] = max(depth[b], depth[a] + 1)
    columns: dict[int, list[str]] = {}
    for name in names:
        columns.setdefault(depth[name], []).append(name)
    tallest = max(map(len, columns.values()))
    return {n: (c, i + (tallest - len(own)) / 2) for c, own in columns.items() for i, n in enumerate(own)}


def _arrow(start: tuple[int, float], end: tuple[int, float]) -> str:
    """The path from the right of a box to the left of another."""
    x0, y0 = start[0] * COLUMN + BOX_WIDTH, start[1] * ROW + 4 + BOX_HEIGHT / 2
    x1, y1 = end[0] * COLUMN - 2, end[1] * ROW + 4 + BOX_HEIGHT / 2
    return f"M{x0} {y0:g}H{x1}" if y0 == y1 else f"M{x0} {y0:g}L{x1 - 8} {y1:g}H{x1}"


# Training curves as inline SVG.

MEASURES = ("loss", "accuracy")
FIRST = ("variant", "fit")  # of these columns only the first value is drawn: the method itself, its first fit


def training_series(fold: Rows, measure: str) -> dict[int, float]:
    """Epoch -> mean of `measure` over the repetitions of a fold's first model."""
    rows = list(fold.rows)
    for column in FIRST:
        if rows and column in rows[0]:
            rows = [r for r in rows if r[column] == rows[0][column]]
    values: dict[int, list[float]] = {}
    for row in rows:
        if row.get(measure) and row.get("epoch"):  # a method logs what it likes
            values.setdefault(int(float(row["epoch"])), []).append(float(row[measure]))
    return {epoch: math.fsum(v) / len(v) for epoch, v in sorted(values.items())}


def training_panels(folds: Sequence[Rows]) -> dict[str, list[dict[int, float]]]:
    """Measure -> series of every fold, for the measures that the logs have."""
    panels = {m: [s for f in folds if (s := training_series(f, m))] for m in MEASURES}
    return {m: series for m, series in panels.items() if series}


def training_picture(panels: Mapping[str, Sequence[Mapping[int, float]]]) -> Markup:
    """A panel for each measure: every fold pale, their mean strong; empty without any."""
    drawn = [
        Chart(measure, tuple(series), mean_series(series), 1.0 if measure == "accuracy" else None)
        for measure, series in panels.items()
    ]
    return charts(drawn, "epoch") if drawn else Markup("")


def mean_series(series: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Epoch -> mean over the folds that have it."""
    epochs = sorted({e for s in series for e in s})
    return {e: math.fsum(s[e] for s in series if e in s) / sum(e in s for s in series) for e in epochs}
