"""Training curves as inline SVG."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from microexp.report.collect import Rows

COLOUR, PALE = "#2b6cb0", "#a9c1dc"
MEASURES = ("loss", "accuracy")
FIRST = ("model", "fit")  # of these columns only the first value is drawn: the method itself, its first fit


def training_series(fold: Rows, measure: str) -> dict[int, float]:
    """Epoch -> mean of `measure` over the repetitions of a fold's first model."""
    rows = list(fold.rows)
    for column in FIRST:
        if rows and column in rows[0]:
            rows = [r for r in rows if r[column] == rows[0][column]]
    values: dict[int, list[float]] = {}
    for row in rows:
        if row.get(measure):
            values.setdefault(int(row["epoch"]), []).append(float(row[measure]))
    return {epoch: math.fsum(v) / len(v) for epoch, v in sorted(values.items())}


def training_panels(folds: Sequence[Rows]) -> dict[str, list[dict[int, float]]]:
    """Measure -> series of every fold, for the measures that the logs have."""
    panels = {m: [s for f in folds if (s := training_series(f, m))] for m in MEASURES}
    return {m: series for m, series in panels.items() if series}


def training_picture(panels: Mapping[str, Sequence[Mapping[int, float]]]) -> Markup:
    """A panel for each measure: every fold pale, their mean strong; empty without any."""
    if not panels:
        return Markup("")
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    style = {
        "svg.hashsalt": "microexp",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#888",
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 2.3), squeeze=False, layout="tight")
        for axis, (measure, series) in zip(axes[0], panels.items(), strict=True):
            _panel(axis, measure, series)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        plt.close(figure)
    return inline(buffer.getvalue())


def _panel(axis: object, measure: str, series: Sequence[Mapping[int, float]]) -> None:
    for values in series:
        axis.plot(list(values), list(values.values()), color=PALE, linewidth=0.8)  # type: ignore[attr-defined]
    epochs = sorted({e for s in series for e in s})
    mean = [math.fsum(s[e] for s in series if e in s) / sum(e in s for s in series) for e in epochs]
    axis.plot(epochs, mean, color=COLOUR, linewidth=2)  # type: ignore[attr-defined]
    axis.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[attr-defined]
    axis.set_xlabel("epoch")  # type: ignore[attr-defined]
    axis.set_title(measure, loc="left", fontsize=10)  # type: ignore[attr-defined]
    if measure == "accuracy":
        axis.set_ylim(0, 1.02)  # type: ignore[attr-defined]


def inline(svg: str) -> Markup:
    """A matplotlib SVG as part of a page: without XML head and metadata, scaling with the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    return Markup(
        re.sub(
            r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1
        )
    )
