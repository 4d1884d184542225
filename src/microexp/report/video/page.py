"""Stage `video-page`: one self-contained page about one's own video, for a phone as for a desk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from microexp.apexdiff.apexdiff import maps_to_apex
from microexp.records.crops import Crops, open_crops
from microexp.records.index import Expression, Video, read_expressions, read_videos
from microexp.report import page
from microexp.report.page import render
from microexp.report.params import VideoTablesParams
from microexp.report.subject import crop_near
from microexp.report.svg import RIGHT, element, picture
from microexp.report.video.measures import stretches
from microexp.report.video.tables import EVENT_COLUMNS, FRAME_COLUMNS, read_summary
from microexp.run import bundle, storage
from microexp.run.stage import Job

# The drawing of one's own video: a line per region of the face over time, with shaded stretches and events.

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


MODELS = ("spotting", "recognition", "action_units")
STRIP = 8
LIKELIEST = 6
"""Classes and action units that are named with their probability."""
SHOWN = 60
"""Events with pictures; of more, only the surest have any, so that a page of an hour stays small."""
FLAGS = {
    "head_turn": "the head turns",
    "blink": "a blink",
    "speech": "the mouth also moves before and after, as in speech",
    "occlusion": "the face is hidden for a part of it",
    "cut": "a cut",
    "gap": "time is missing",
    "repeated": "repeated frames",
}
STATUS = {
    "ok": "The whole video could be used.",
    "partly": "Only a part of the video could be used; the rest is shaded.",
    "none": "Nothing of the video could be used.",
}


@dataclass(frozen=True)
class Card:
    """An event as the page shows it."""

    row: Mapping[str, str]
    pictures: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    probabilities: tuple[tuple[str, float], ...]
    units: tuple[tuple[str, float], ...]


def run(job: Job[VideoTablesParams]) -> None:
    """Write the page of one video."""
    videos = read_videos(job.input("videos"))
    about = read_summary(job.input("summary"))
    events = storage.read_csv(job.input("events"), EVENT_COLUMNS)
    frames = storage.read_csv(job.input("frames"), FRAME_COLUMNS)
    truths = read_expressions(job.input("expressions"), videos)
    cards: list[Card] = []
    strip: list[str] = []
    if videos and about["status"] != "none":
        with open_crops(job.input("crops")) as shard:
            crops = shard.need(videos[0].video)
            places = np.linspace(0, len(crops) - 1, STRIP).round().astype(int)
            strip = [page.photo(crops.frames[int(i)], 120) for i in places]
            cards = event_cards(events, videos[0], crops, job=job)
    text = render(
        "video.html",
        title=videos[0].original.rpartition("/")[2] or videos[0].video if videos else job.keys.get("subject", "video"),
        about=about,
        status=STATUS[about["status"]],
        facts=facts(about),
        strip=strip,
        timeline=timeline(events, frames, truths, video=videos[0] if videos else None, about=about),
        cards=cards,
        shown=SHOWN,
        wheel=page.drawing(page.colour_wheel(64)),
        models=[model_about(job.inputs[name][0]) for name in MODELS if job.inputs.get(name)],
        truths=len(truths),
        missed=missed(truths, about),
    )
    storage.write_text(job.output("page"), text)


def facts(about: Mapping[str, Any]) -> list[str]:
    """What the head of the page says of the video."""
    found = []
    if "seconds" in about:
        found += [f"{about['seconds']:.1f} s", f"{about['frames']} frames", f"{about['fps']:g} frames/s"]
        found += [f"{about['width']} x {about['height']} px"]
    found.append(f"{about['usable']:.0%} usable")
    if about.get("people", 1) > 1:
        found.append(f"{about['people']} people in the picture, {place_of(about)} followed")
    return found + [about["why"]] * bool(about["why"])


def place_of(about: Mapping[str, Any]) -> str:
    """Which of several people is followed, by the third of the picture that the middle of the face is in."""
    if not about.get("face_box"):
        return "one of them"
    x0, _, x1, _ = about["face_box"]
    third = int(np.clip((x0 + x1) / 2 / about["width"] * 3, 0, 2))
    return ("the one on the left", "the one in the middle", "the one on the right")[third]


def missed(truths: Sequence[Expression], about: Mapping[str, Any]) -> str:
    """How what was found compares with what is known."""
    if not truths:
        return ""
    return f"{about['hits']} of {len(truths)} known expressions were met (overlap of at least one half, IoU)."


def event_cards(
    events: Sequence[Mapping[str, str]], video: Video, crops: Crops, *, job: Job[VideoTablesParams]
) -> list[Card]:
    """What the page shows of every event, in the order of time."""
    surest = sorted(events, key=lambda row: -float(row["score"]))[:SHOWN]
    shown = {row["event"] for row in surest}
    cards = []
    for row in events:
        pictures = event_pictures(row, video, crops, job=job) if row["event"] in shown else []
        flags = tuple(FLAGS[f] for f in row["flags"].split())
        cards.append(Card(row, tuple(pictures), flags, likeliest(row, r"p_(.+)"), likeliest(row, r"(AU\d+)")))
    return cards


def likeliest(row: Mapping[str, str], column: str) -> tuple[tuple[str, float], ...]:
    """Names and values of the likeliest of the columns of such names, the first of them first."""
    found = [(m[1], float(v)) for c, v in row.items() if v and (m := re.fullmatch(column, c))]
    return tuple(sorted(found, key=lambda chance: -chance[1])[:LIKELIEST])


def event_pictures(
    row: Mapping[str, str], video: Video, crops: Crops, *, job: Job[VideoTablesParams]
) -> list[tuple[str, str]]:
    """(caption, address) of onset, apex and the flow between them."""
    onset = video.numbering.to_index(int(row["onset"]))
    shown = [("onset", page.photo(crop_near(crops, onset), 120))]
    if not row["apex"]:
        return shown
    apex = video.numbering.to_index(int(row["apex"]))
    shown.append(("apex", page.photo(crop_near(crops, apex), 120)))
    maps = maps_to_apex(crops, onset, apex, params=job.params.apexdiff, threads=job.threads, device=job.device)
    if maps is not None:
        flow = maps.flow
        bound = page.bound_of(flow)
        px = bound * crops.side / flow.shape[0]
        shown.append((f"motion, {px:.1f} px", page.drawing(page.flow_colours(flow, bound))))
    return shown


def timeline(
    events: Sequence[Mapping[str, str]],
    frames: Sequence[Mapping[str, str]],
    truths: Sequence[Expression],
    *,
    video: Video | None,
    about: Mapping[str, Any],
) -> Markup:
    """The drawing; empty where there is no frame."""
    if not frames or video is None:
        return Markup("")
    times = np.array([float(row["time_s"]) for row in frames])
    names = [c for c in frames[0] if c.startswith("motion_")]
    curves = [(c.removeprefix("motion_"), np.array([float(row[c] or "nan") for row in frames])) for c in names]
    unusable = np.array([row["in_crop"] == "0" for row in frames])
    half = 0.5 / float(about["fps"])
    shaded = [(times[a] - half, times[b] + half, frames[a]["problem"]) for a, b in stretches(unusable)]
    marks = [
        Mark(
            float(row["onset_s"]), float(row["offset_s"]), f"#event-{row['event']}",
            f"event {row['kind']}{' flagged' if row['flags'] else ''}{' ' + row['truth'] if row['truth'] else ''}",
            f"{row['kind']} {row['event']}, {row['onset_s']} s",
        )
        for row in events
    ]  # fmt: skip
    last = len(times) - 1
    known = [
        Mark(
            times[min(max(t.onset, 0), last)],
            times[min(max(t.offset, 0), last)],
            "",
            style=f"event {t.kind}",
            tip=t.kind,
        )
        for t in truths
    ]
    return lanes(float(times[-1]) + 2 * half, curves, shaded, events=marks, truths=known)


def model_about(path: Path) -> dict[str, str | Markup]:
    """Name, file and card (as HTML) of a model; a card is a Markdown file of the same name beside it."""
    about = bundle.read(path).about
    card = path.with_suffix(".md")
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    name = f"{about['experiment']}/{about['method']}" if "method" in about else str(about.get("name", path.stem))
    return {"name": name, "file": path.name, "kind": str(about.get("kind")), "card": as_html(text)}


def as_html(markdown: str) -> Markup:
    """Markdown with tables as HTML that loads nothing: HTML in it is shown as text, and so are pictures."""
    from markdown_it import MarkdownIt

    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(markdown))
