"""Training curves as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from microexp.report import svg
from microexp.report.collect import Rows

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
        svg.Chart(measure, tuple(series), mean_series(series), 1.0 if measure == "accuracy" else None)
        for measure, series in panels.items()
    ]
    return svg.charts(drawn, "epoch") if drawn else Markup("")


def mean_series(series: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Epoch -> mean over the folds that have it."""
    epochs = sorted({e for s in series for e in s})
    return {e: math.fsum(s[e] for s in series if e in s) / sum(e in s for s in series) for e in epochs}
