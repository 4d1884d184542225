"""Drawings of the report's own as inline SVG: the pipeline, and the timeline of a video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

WIDTH = 1000
LABEL = 130  # width of the lane labels
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


def picture(width: int, height: int, parts: Iterable[Markup], label: str) -> Markup:
    """The parts as one SVG that scales with the page."""
    inner = Markup("").join(parts)
    return Markup(f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{inner}</svg>')


def timeline(lanes: Sequence[Lane], n_frames: int, fps: float, motion: np.ndarray | None = None) -> Markup:
    """Lanes of intervals over the seconds of a video, with its motion above them.

    Args:
        lanes: ground truth first, then one per method.
        n_frames: frames of the source video.
        fps: of the source video.
        motion: (T,) mean flow magnitude, spread over the video; None: no curve.
    """
    scale = (WIDTH - LABEL - 10) / max(1, n_frames)
    top = 46 if motion is not None and len(motion) else 4
    height = top + LANE * len(lanes) + 22
    parts = _axis(n_frames / fps, fps * scale, top, height)
    if top > 4:
        assert motion is not None
        parts += _curve(motion, top)
    for number, lane in enumerate(lanes):
        y = top + LANE * number
        parts.append(element("text", lane.name, x=LABEL - 8, y=y + 15, kind="lane"))
        for bar in lane.bars:
            x = LABEL + bar.onset * scale
            width = max(2.0, (bar.offset - bar.onset + 1) * scale)
            style = f"{bar.kind}{'' if bar.hit else ' miss'}"
            rect = {"x": x, "y": y + 4, "width": width, "height": BAR, "rx": 2, "class": style}
            parts.append(element("rect", element("title", bar.tip), **rect))
    return picture(WIDTH, height, parts, "timeline of detections and ground truth")


def _axis(seconds: float, px_per_s: float, top: int, height: int) -> list[Markup]:
    step = next((s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if seconds / s <= 16), 1200)
    parts = []
    for t in range(0, int(seconds) + 1, step):
        x = LABEL + t * px_per_s
        parts.append(element("line", x1=x, x2=x, y1=top, y2=height - 18, kind="grid"))
        parts.append(element("text", f"{t} s", x=x, y=height - 4, kind="tick"))
    return parts


def _curve(motion: np.ndarray, top: int) -> list[Markup]:
    count = min(len(motion), WIDTH - LABEL - 10)
    values = np.maximum.reduceat(motion, np.arange(count) * len(motion) // count)  # the peak of every column
    peak = max(float(values.max()), 1e-9)
    xs = LABEL + (np.arange(len(values)) + 0.5) / len(values) * (WIDTH - LABEL - 10)
    points = " ".join(f"{x:.1f},{top - 6 - 36 * v / peak:.1f}" for x, v in zip(xs, values, strict=True))
    return [
        element("text", "motion", x=LABEL - 8, y=top - 10, kind="lane"),
        element("polyline", points=points, kind="motion"),
    ]


BOXES: dict[str, tuple[int, int, str]] = {
    # name -> (column, row, what it makes)
    "index": (0, 2, "videos, labels"),
    "faces": (1, 2, "landmarks"),
    "crops": (2, 2, "aligned faces"),
    "flow": (3, 1, "TV-L1"),
    "apexdiff": (3, 3, "onset to apex"),
    "weights": (4, 2, "of I3D"),
    "i3d": (4, 1, "two streams"),
    "motion": (4, 0, "per face region"),
    "aemnet": (5, 1, "proposals"),
    "detect": (6, 1, "detections"),
    "mdml": (5, 3, "predictions"),
    "tables": (7, 2, "F1, UF1, UAR"),
}
ARROWS = (
    ("index", "faces"),
    ("faces", "crops"),
    ("crops", "flow"),
    ("crops", "apexdiff"),
    ("crops", "i3d"),
    ("flow", "i3d"),
    ("weights", "i3d"),
    ("flow", "motion"),
    ("motion", "detect"),
    ("i3d", "aemnet"),
    ("aemnet", "detect"),
    ("detect", "tables"),
    ("apexdiff", "mdml"),
    ("mdml", "tables"),
)
BOX_WIDTH, BOX_HEIGHT, COLUMN, ROW = 104, 44, 127, 58


def pipeline() -> Markup:
    """The stages and what flows between them."""
    parts = [
        Markup(
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 8 4 0 8z" class="tip"/></marker></defs>'
        )
    ]
    parts += [element("path", d=_arrow(*arrow), kind="arrow", marker_end="url(#tip)") for arrow in ARROWS]
    for name, (column, row, about) in BOXES.items():
        x, y = column * COLUMN, row * ROW + 4
        kind = {"aemnet": "box spot", "detect": "box spot", "mdml": "box recog"}.get(name, "box")
        parts.append(element("rect", x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, rx=7, kind=kind))
        parts.append(element("text", name, x=x + BOX_WIDTH / 2, y=y + 19, kind="stage"))
        parts.append(element("text", about, x=x + BOX_WIDTH / 2, y=y + 34, kind="about"))
    width = max(c for c, _, _ in BOXES.values()) * COLUMN + BOX_WIDTH
    height = max(r for _, r, _ in BOXES.values()) * ROW + BOX_HEIGHT + 8
    return picture(width, height, parts, "the stages of the pipeline")


def _arrow(start: str, end: str) -> str:
    """The path from the right of a box to the left of another, or from below into it."""
    (c0, r0, _), (c1, r1, _) = BOXES[start], BOXES[end]
    x0, y0 = c0 * COLUMN + BOX_WIDTH, r0 * ROW + 4 + BOX_HEIGHT / 2
    x1, y1 = c1 * COLUMN - 2, r1 * ROW + 4 + BOX_HEIGHT / 2
    if c0 == c1:
        return f"M{x0 - BOX_WIDTH / 2} {r0 * ROW + 4}V{r1 * ROW + 4 + BOX_HEIGHT + 2}"
    return f"M{x0} {y0}H{x1}" if r0 == r1 else f"M{x0} {y0}H{x1 - 20}L{x1 - 12} {y1}H{x1}"
