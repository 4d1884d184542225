"""The drawing of one's own video: a line per region of the face over time, with shaded stretches and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from microexp.report.svg import RIGHT, element, picture

WIDTH, LABEL = 1000, 92
ROW, GAP = 44, 6
AXIS = 22
BARS = 26


@dataclass(frozen=True)
class Mark:
    """An event or a ground truth in the drawing, s.

    Attributes:
        link: where a click leads; '' for nowhere.
        style: class of the bar.
        tip: what rests under the mouse.
    """

    onset_s: float
    offset_s: float
    link: str
    style: str
    tip: str


def lanes(
    seconds: float,
    curves: Sequence[tuple[str, np.ndarray]],
    shaded: Sequence[tuple[float, float, str]],
    *,
    events: Sequence[Mark],
    truths: Sequence[Mark],
) -> Markup:
    """The timeline of a video.

    Args:
        seconds: length of the video.
        curves: (name, (n,) speed over the whole video, not a number where it is not known).
        shaded: (from, to, why) of stretches that could not be used, s.
        events: what was found.
        truths: what is known to be there; drawn where there is any.
    """
    scale = (WIDTH - LABEL - RIGHT) / max(seconds, 1e-9)
    rows = [("found", events), *([("known", truths)] if truths else [])]
    bars = BARS * len(rows)
    height = bars + (ROW + GAP) * len(curves) + AXIS
    parts = [_shade(LABEL + a * scale, max(1.5, (b - a) * scale), height - AXIS, why) for a, b, why in shaded]
    parts += _axis(seconds, scale, height)
    for mark in events:
        x, width = LABEL + mark.onset_s * scale, max(2.0, (mark.offset_s - mark.onset_s) * scale)
        parts.append(element("rect", x=x, y=BARS, width=width, height=height - AXIS - BARS, kind="reach"))
    for number, (name, marks) in enumerate(rows):
        parts.append(element("text", name, x=LABEL - 8, y=BARS * number + 17, kind="lane"))
        parts += [_bar(mark, scale, BARS * number + 5) for mark in marks]
    for number, (name, values) in enumerate(curves):
        top = bars + (ROW + GAP) * number
        parts.append(element("text", name, x=LABEL - 8, y=top + ROW / 2 + 4, kind="lane"))
        parts += _curve(values, top)
    return picture(
        WIDTH, int(height), parts, label="timeline: motion of facial regions, what was found, unusable stretches"
    )


def _shade(x: float, width: float, height: float, why: str) -> Markup:
    return element("rect", element("title", why), x=x, y=0, width=width, height=height, kind="shade")


def _bar(mark: Mark, scale: float, y: float) -> Markup:
    x, width = LABEL + mark.onset_s * scale, max(4.0, (mark.offset_s - mark.onset_s) * scale)
    bar = element("rect", element("title", mark.tip), x=x, y=y, width=width, height=15, rx=2, kind=mark.style)
    return Markup('<a href="{}">{}</a>').format(mark.link, bar) if mark.link else bar


def _axis(seconds: float, scale: float, height: float) -> list[Markup]:
    step = next((s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if seconds / s <= 12), 1200)
    parts = []
    for t in range(0, int(seconds) + 1, step):
        x = LABEL + t * scale
        parts.append(element("line", x1=x, x2=x, y1=0, y2=height - AXIS, kind="grid"))
        parts.append(element("text", f"{t} s", x=x, y=height - 7, kind="tick"))
    return parts


def _curve(values: np.ndarray, top: float) -> list[Markup]:
    """A line, in pieces where something is not known; its height is that of all but the largest hundredth."""
    columns = min(len(values), WIDTH - LABEL - RIGHT)
    if not columns or not np.isfinite(values).any():
        return []
    starts = np.arange(columns) * len(values) // columns
    peaks = np.fmax.reduceat(values, starts)
    ceiling = max(float(np.nanquantile(peaks, 0.99)), 1e-9)
    xs = LABEL + (np.arange(columns) + 0.5) / columns * (WIDTH - LABEL - RIGHT)
    ys = top + ROW - np.clip(peaks / ceiling, 0, 1) * (ROW - 4)
    known = np.isfinite(peaks)
    pieces = np.split(np.arange(columns), np.flatnonzero(np.diff(known.astype(int))) + 1)
    return [
        element("polyline", points=" ".join(f"{xs[i]:.1f},{ys[i]:.1f}" for i in piece), kind="motion")
        for piece in pieces
        if known[piece[0]] and len(piece) > 1
    ]
