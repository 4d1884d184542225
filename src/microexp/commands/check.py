"""`microexp check`: what the configured data sets hold, against the published counts, without decoding all frames."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from microexp.config import Config, guides, load
from microexp.datasets.classes import TaskParams, check_emotions, class_in, class_names
from microexp.datasets.counts import Count, compare, differences
from microexp.datasets.index import load_adapter, open_release
from microexp.errors import UserError, one_line
from microexp.plan import missing_models
from microexp.reading.params import DatasetParams
from microexp.reading.read import read_release
from microexp.reading.release import Index
from microexp.records.index import KINDS, Expression, Issue, Video, by_kind

# What a data set will cost under a configuration, and what will cost its user a day: for `microexp check`.

SECONDS_DECODE = 0.001
"""CPU-seconds to decode a source frame; all such figures are of one core at 2 GHz (docs/datasets.md)."""
SECONDS_CROP = 0.0025
"""Face, alignment and crop of a frame that is kept."""
SECONDS_FLOW = 0.010
"""TV-L1, preset `micro`, between two crops of 224 px."""
SECONDS_MOTION = 0.0005
"""The stream `motion`, for each field of flow."""
SECONDS_PLACE, SECONDS_SUBJECT = 0.06, 8.0
"""To look for the face at a place of a video; to start the four or five processes of a subject."""
SECONDS_SNIPPET = 0.24
"""One I3D stream on one snippet of 8 frames of 224 px."""
BYTES_CROP, BYTES_FLOW = 142_000, 110_000
"""A colour crop and a flow field of 224 px as they are stored; grey crops take a third."""
BYTES_SNIPPET = 4_100
SIDE_PX = 224
RATE_LIMIT = 60.0
"""Frames/s above which long videos are worth a warning when nothing resamples them."""
USUAL_RATE = 30.0


@dataclass(frozen=True)
class Cost:
    """CPU-hours of preprocessing on one core, and GB on disk while the run is at work."""

    hours: float
    gigabytes: float

    def __str__(self) -> str:
        return f"{self.hours:.1f} CPU-hours, {self.gigabytes:.1f} GB"


def rate_of(config: Config, dataset: DatasetParams, video: Video) -> float:
    """Frames/s that are kept of a video."""
    return min(dataset.fps or video.fps, video.fps)


def streams_of(config: Config, name: str) -> set[str]:
    """Feature streams that the spotting methods read of data set `name`."""
    found: set[str] = set()
    for e, experiment in config.spotting.items():
        if name in experiment.datasets:
            for m in experiment.methods:
                method, options = config.method("spotting", e, m)
                found |= set(method.streams(options))  # type: ignore[union-attr]
    return found


def cost(config: Config, name: str, videos: Sequence[Video], *, fps: float | None = None) -> Cost:
    """Preprocessing of a data set: from its videos to the features that the configuration's methods read.

    Args:
        config: the configuration.
        name: of the data set.
        videos: of its index.
        fps: frames/s in place of the configured rate.
    """
    source = sum(v.n_frames for v in videos)
    rates = [min(fps, v.fps) if fps else rate_of(config, config.datasets[name], v) for v in videos]
    kept = sum(v.n_frames * rate / v.fps for v, rate in zip(videos, rates, strict=True))
    streams = streams_of(config, name)
    area, i3d = (config.crops.size / SIDE_PX) ** 2, config.i3d
    has_flow = bool(streams & {"i3d_flow", "motion"})
    snippets = len(streams & {"i3d_rgb", "i3d_flow"}) / i3d.step_frames
    snippet_s = SECONDS_SNIPPET * (i3d.size_px / SIDE_PX) ** 2 * i3d.clip_frames / 8
    frame_s = SECONDS_CROP + has_flow * SECONDS_FLOW * area + ("motion" in streams) * SECONDS_MOTION
    seconds = source * SECONDS_DECODE + kept * (frame_s + snippets * snippet_s)
    places = sum(config.faces.places(v.n_frames) for v in videos)
    seconds += places * SECONDS_PLACE + len({v.subject for v in videos}) * SECONDS_SUBJECT
    keep = config.keep
    has_crops, kept_flow = keep.crops or keep.pictures, has_flow and (keep.flow or keep.pictures)
    crop = BYTES_CROP / 3 if config.crops.grey else BYTES_CROP
    size = kept * (has_crops * crop * area + kept_flow * BYTES_FLOW * area + snippets * BYTES_SNIPPET)
    return Cost(seconds / 3600, size / 1e9)


def estimate(config: Config, name: str, index: Index) -> list[str]:
    """The estimate, in a line; none without frames."""
    if not index.videos:
        return []
    return [f"  estimate: preprocessing {cost(config, name, index.videos)}; training and recognition come on top"]


def warnings(config: Config, name: str, index: Index) -> list[str]:
    """What will cost the user a day, a line each."""
    lines = [*_rate(config, name, index), *_windows(config, name, index), *_too_little(config, name, index)]
    return [f"  warning: {line}" for line in lines]


def _rate(config: Config, name: str, index: Index) -> Iterator[str]:
    """Long videos at a high rate that nothing resamples."""
    rates = {rate_of(config, config.datasets[name], v) for v in index.videos}
    if index.clips or not rates or max(rates) <= RATE_LIMIT:
        return
    now, usual = cost(config, name, index.videos), cost(config, name, index.videos, fps=USUAL_RATE)
    yield (f"{max(rates):g} frames/s are kept: {now}; with datasets.{name}.fps: {USUAL_RATE:g} it would be {usual}")


def _windows(config: Config, name: str, index: Index) -> Iterator[str]:
    """Expressions that are longer than the window of a method."""
    videos = {v.key: v for v in index.videos}
    shown = [(e, videos[e.video_key]) for e in index.expressions if e.video_key in videos]
    for e, experiment in config.spotting.items():
        if name not in experiment.datasets or not shown:
            continue
        for m in experiment.methods:
            window = getattr(config.method("spotting", e, m)[1], "window_frames", None)
            if window is None:
                continue
            lengths = [_seconds(item, video) for item, video in shown]
            limits = [window / rate_of(config, config.datasets[name], video) for _, video in shown]
            longer = sum(length > limit for length, limit in zip(lengths, limits, strict=True))
            if longer:
                yield (
                    f"spotting.{e}.methods.{m}: {longer} of {len(shown)} expressions are longer than its window of "
                    f"{window} frames ({min(limits):.2f} s); the longest has {max(lengths):.2f} s"
                )


def _seconds(item: Expression, video: Video) -> float:
    return (item.offset - item.onset + 1) / video.fps


def _too_little(config: Config, name: str, index: Index) -> Iterator[str]:
    """Experiments on this data set alone that cannot be trained: one subject, or a class without a clip."""
    subjects = {v.subject for v in index.videos}
    for kind in ("spotting", "recognition"):
        for e, experiment in config.experiments(kind).items():
            if index.videos and experiment.datasets == [name] and len(subjects) < 2:
                yield f"{kind}.{e}: one subject: nobody is left to train on when it is held out"
    for e, task in config.recognition.items():
        if index.videos and task.datasets == [name]:
            for label in _empty_classes(config, name, e, index):
                yield f"recognition.{e}: no clip of class {label}"


def _empty_classes(config: Config, name: str, experiment: str, index: Index) -> list[str]:

    options = config.recognition[experiment]
    fields = options.model_dump(include=set(TaskParams.model_fields) - {"adapters"})
    task = TaskParams(**fields, adapters={name: config.datasets[name].adapter or name})
    items = [e for e in index.expressions if e.kind in options.kinds]
    try:
        found = {class_in(task, name, e.subject, video=e.video, emotion=e.emotion, aus=str(e.aus)) for e in items}
        if task.target == "action_units":
            return [] if found - {None} else ["any action unit"]
        return [label for label in class_names(task) if label not in found]
    except UserError:
        return []  # an unknown protocol is said where the configuration is checked


LISTED = 20
"""So many issues are listed one by one, and so many exclusions; more would hide what matters."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp check`."""
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="configuration")
    parser.add_argument("--dataset", action="append", metavar="NAME", help="check only this data set")
    parser.add_argument("--issues", action="store_true", help="list every issue, however many there are")
    parser.add_argument("--summary", action="store_true", help="count the issues even where there are few")


def main(args: argparse.Namespace) -> int:
    """`microexp check [CONFIG] [--dataset NAME]`: all data sets, whatever is wrong with one.

    Returns:
        2 when one could not be read, an experiment asks for an emotion that nobody shows, or a model to apply is
        missing; else 1 when a strict one differs from what was published; else 0.
    """
    config = load(args.config)
    for name in args.dataset or []:
        if name not in config.datasets:
            raise UserError(
                file="command line", where="--dataset", got=repr(name), expected="one of " + ", ".join(config.datasets)
            )
    failed, unread = [], False
    emotions: dict[str, frozenset[str]] = {}
    listed = sys.maxsize if args.issues else 0 if args.summary else LISTED
    for name in args.dataset or config.datasets:
        try:
            found = check(name, config, listed)
            failed += [] if found.passes else [name]
            emotions |= {} if found.emotions is None else {name: found.emotions}
        except UserError as error:
            unread = True
            print(f"microexp: error: {error}", file=sys.stderr)
    for wrong in (*absent_emotions(config, emotions, args.config), *missing_models(config, args.config)):
        unread = True
        print(f"microexp: error: {wrong}", file=sys.stderr)
    if failed:
        print(f"strict, and not as published: {', '.join(failed)}")
    return 2 if unread else 1 if failed else 0


@dataclass(frozen=True)
class Checked:
    """What was found of a data set.

    Attributes:
        passes: whether it is as published, or need not be.
        emotions: of all rows of its sheets; None where the run renders it.
    """

    passes: bool
    emotions: frozenset[str] | None


def check(name: str, config: Config, listed: int) -> Checked:
    """Print what data set `name` holds: what is excluded first and last.

    Args:
        name: of the data set.
        config: the configuration.
        listed: so many issues are listed; more are counted by kind.

    Raises:
        UserError: when its sheet cannot be read.
    """
    dataset = config.datasets[name]
    adapter = load_adapter(dataset.adapter or name, name)
    root = dataset.root or adapter.default_root
    if adapter.planned is not None and root is not None and not Path(root).is_dir():
        print(f"{name}: made by the run itself, not there yet\n")
        return Checked(True, None)
    adapter, release = open_release(name, dataset)
    index = read_release(adapter, release)
    counts = compare(
        name, dataset.adapter or name, index, published=adapter.published(release), others=adapter.other_totals(release)
    )
    excluded = exclusions(index, max(listed, LISTED)) if index.videos else []
    warned = warnings(config, name, index)
    lines = [f"  sheet: {release.relative(path)}" for path in adapter.find_sheets(release)]
    lines += [*table(counts), *describe(index.issues, listed), *estimate(config, name, index)]
    notes = [f"  note: {line}" for line in too_little(index)]
    last = [verdict(counts, frames=bool(index.videos)), *warned, *notes, *excluded]
    print("\n".join([f"{name}: {release.root}", *excluded, *lines, *last, ""]))
    emotions = frozenset(row.emotion for row in index.rows) if adapter.planned is None else None
    return Checked(not (dataset.strict and differences(counts)), emotions)


def absent_emotions(config: Config, emotions: Mapping[str, frozenset[str]], file: object) -> Iterator[UserError]:
    """What the run would say of experiments with an emotion that no row has, where all their data sets were checked.

    Args:
        config: the configuration.
        emotions: of the rows of each data set that was checked.
        file: of the configuration.
    """
    for name, experiment in config.recognition.items():
        used = (*experiment.datasets, *guides(experiment))
        if all(dataset in emotions for dataset in used):
            try:
                check_emotions(
                    frozenset().union(*(emotions[d] for d in used)), experiment, file, where=f"recognition.{name}"
                )
            except UserError as error:
                yield error


def exclusions(index: Index, listed: int) -> list[str]:
    """How much is excluded, and the first `listed` of it."""
    if not index.exclusions:
        return []
    shown = [one_line(f"  excluded: {e}") for e in index.exclusions[:listed]]
    if len(index.exclusions) > listed:
        shown.append(f"  excluded: and {len(index.exclusions) - listed} more (--issues lists all)")
    return [f"  {len(index.exclusions)} videos or expressions are excluded: tables will say INCOMPLETE", *shown]


def too_little(index: Index) -> list[str]:
    """What a data set lacks to train on or to be scored against; nothing of it stops what does not need it."""
    subjects = {v.subject for v in index.videos}
    found = []
    if index.videos and not index.rows:
        found.append("no annotation: nothing to train on, nothing to be scored against")
    elif index.videos and not index.expressions:
        found.append("no expression of the sheet is in these videos: nothing to train on or to be scored against")
    if len(subjects) == 1:
        found.append("one subject: leaving one out leaves nobody to train on")
    people = {kind: {e.subject for e in index.expressions if e.kind == kind} for kind in KINDS}
    for kind, who in people.items():
        if index.expressions and len(who) == 1 < len(subjects):
            found.append(f"{kind} expressions of one subject only: nothing to train on for that subject's own fold")
        elif index.expressions and not who:
            found.append(f"no {kind} expression: nothing of that kind can be learnt")
    return found


def verdict(counts: Sequence[Count], frames: bool) -> str:
    """In a line, whether the release is as published; without any frame on disk, whether its sheet is."""
    if all(c.published is None for c in counts):
        return "no published counts"
    wrong = differences(counts) if frames else [c for c in counts if c.sheet_differs]
    found = f"{len(wrong)} differences to the published counts" if wrong else "as published"
    return found if frames else f"sheet: {found}; no frames on disk"


def table(counts: Sequence[Count]) -> list[str]:
    """Lines of a table: published, in the sheet, and found on disk; `*` marks a difference."""
    rows = [["", "published", "in sheet", "found", ""]]
    for count in counts:
        numbers = ["" if n is None else str(n) for n in (count.published, count.sheet, count.found)]
        rows.append([f"{count.what} {count.group}".strip(), *numbers, "*" if count.differs else ""])
    width = max(len(row[0]) for row in rows)
    return [f"  {r[0]:<{width}} {r[1]:>10} {r[2]:>10} {r[3]:>10} {r[4]}".rstrip() for r in rows]


def describe(issues: Sequence[Issue], listed: int) -> list[str]:
    """One line per issue: file, row, field, what was found, what was done; or how many of each kind there are."""
    if not issues:
        return ["  nothing was corrected, clipped or excluded"]
    if len(issues) <= listed:
        return [
            one_line(f"  {i.file}{f', row {i.row}' if i.row else ''}: {i.field}: {i.problem}: {i.action}")
            for i in issues
        ]
    return [f"  {len(found)} x {field}: {action}" for (field, action), found in by_kind(issues).items()]
