"""`microexp video`: one's own videos in one command, from any file to tables and a page of each."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microexp.errors import UserError
from microexp.own_videos.inputs import OwnVideo, find_inputs, link_videos
from microexp.own_videos.labels import Label, known, read_labels, write_annotations
from microexp.own_videos.workflow import (
    SHEET,
    check_folder,
    choose_models,
    collect,
    configuration,
    forget_unlisted,
    has_face,
    is_face,
    outdated,
    run_workflow,
    targets,
    write_configuration,
    write_summary,
)

SOME_DID_NOT_RUN = 3
ALL = "all"
FACES = ("largest", "left", "right", ALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp video`."""
    parser.add_argument("videos", nargs="+", type=Path, metavar="FILE|FOLDER", help="videos, or folders that hold any")
    parser.add_argument(
        "--out", type=Path, default=Path("microexp_video"), help="folder of the results (default: microexp_video)"
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="spotting model of your own (docs/apply.md), or `candidates` for none (default: the shipped one)",
    )
    parser.add_argument(
        "--face", type=face, default="largest", help="which face: largest, left, right, N from the left, or all"
    )
    parser.add_argument(
        "--fps", type=float, metavar="RATE", help="frames/s of videos that do not say theirs, such as folders of frames"
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="known expressions: CSV, workbook, or the text of ELAN or BORIS"
    )
    parser.add_argument("--annotated", action="store_true", help="also write each video with what was found drawn in")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="CPU cores (default: all)")


def face(text: str) -> str | int:
    """The value of `--face`."""
    if text in FACES:
        return text
    if text.isdecimal() and 1 <= int(text) <= 50:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(FACES)}, or a number from 1 to 50")


def main(args: argparse.Namespace) -> int:
    """Run it.

    Returns:
        0 when all videos ran, 3 when some did not, 2 when none did.
    """
    if args.fps is not None and not 0 < args.fps < math.inf:
        raise UserError(file="command line", where="--fps", got=args.fps, expected="frames a second, above 0")
    out: Path = args.out
    check_folder(out)
    labels = read_labels(args.labels) if args.labels else []
    videos = find_inputs(args.videos, out, args.fps, note=say)
    usable = [video for video in videos if not video.problem]
    bad = len(videos) - len(usable)
    say(many(len(videos), "video") + (f", {bad} of them cannot be read" if bad else ""))
    if args.face == ALL:
        rows = every_face(args, videos, out, labels=labels)
    else:
        run = Run(out / "run", out / "config.yaml", args.face)
        old = work(args, videos, run, labels=labels) if usable else ()
        counts = known(labels, videos, file=args.labels)
        rows = collect(videos, run.folder, out, annotated=args.annotated, old=old, known=counts)
    forget_unlisted(videos, rows, out)
    write_summary(out, rows)
    report(rows, out)
    if all(row["status"] == "none" for row in rows):
        return 2
    return SOME_DID_NOT_RUN if any(row["status"] == "none" for row in rows) else 0


@dataclass(frozen=True)
class Run:
    """A run of the workflow: its folder, its configuration, and which face of each video it is about.

    Attributes:
        again: an earlier run was about another face of the same videos.
    """

    folder: Path
    config: Path
    face: str | int
    again: bool = False


def every_face(
    args: argparse.Namespace, videos: Sequence[OwnVideo], out: Path, *, labels: Sequence[Label]
) -> list[dict[str, Any]]:
    """A run for the first face from the left of every video, one for the second of those that show more, and so on."""
    rows: dict[str, list[dict[str, Any]]] = {video.name: [] for video in videos}
    counts = known(labels, videos, file=args.labels)
    part, number = list(videos), 1
    while part:
        run = Run(out / "run", out / "config.yaml", number)
        if number > 1:
            folder = run.folder / f"face{number}"
            run = Run(folder, folder / "config.yaml", number, again=True)
            say(f"face {number}, in {many(len(part), 'video')}")
        old = work(args, part, run, labels=labels) if any(not video.problem for video in part) else ()
        found = collect(part, run.folder, out, annotated=args.annotated, face=number, old=old, known=counts)
        for video, row in zip(part, found, strict=True):
            if is_face(row, rows[video.name], number):
                rows[video.name].append(row)
        number += 1
        part = [video for video in part if has_face(video, rows[video.name], number)]
    return [row for own in rows.values() for row in own]


def work(args: argparse.Namespace, videos: Sequence[OwnVideo], run: Run, *, labels: Sequence[Label]) -> set[str]:
    """Write the configuration, and run the workflow on the videos that can be read.

    Returns the files that it should have made and could not, older ones of the same names among them.
    """
    link_videos(videos, run.folder / "videos")
    sheet = run.folder / "videos" / SHEET
    before = sheet.read_bytes() if sheet.is_file() else None
    strange = write_annotations(sheet, labels, videos, file=args.labels)
    choice = choose_models(args.model, run.folder)
    if not run.again:
        if labels:
            others = many(strange, "row")
            say(many(len(labels) - strange, "known expression") + f"; of other videos: {others}" * bool(strange))
        say(choice.about)
    options = configuration(choice, run.folder / "videos", face=run.face, fps=args.fps, annotated=args.annotated)
    write_configuration(run.config, options)
    made, cores = targets(videos, args.annotated), max(1, args.cores)
    if before not in (None, sheet.read_bytes()):  # the index first: then it is seen that the videos are the same
        run_workflow(run.folder, run.config, made, cores=cores, show=lambda _: None, until="index_subject")
    status = run_workflow(run.folder, run.config, made, cores=cores, show=say)
    return outdated(run.folder, run.config, made) if status else set()


def report(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Say what came of each video, and where to look."""
    for row in rows:
        events = many(row["events"], "event" if row.get("trained") else "candidate") if row["status"] != "none" else ""
        parts = [events, row["why"] or "", str(out / row["page"]) if row.get("page") else ""]
        say(f"{row['name']}: {row['status']}: " + "; ".join(part for part in parts if part))
    say(f"All: {out / 'summary.csv'}")


def many(count: int, what: str) -> str:
    """`1 video`, `2 videos`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
