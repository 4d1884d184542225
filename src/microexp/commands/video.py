"""`microexp video`: one's own videos in one command, from any file to tables and a page of each."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from microexp.errors import UserError
from microexp.own_videos.inputs import OwnVideo, find_inputs, link_videos
from microexp.own_videos.labels import Label, read_labels, write_annotations
from microexp.own_videos.running import run_workflow
from microexp.own_videos.setup import SHEET, choose_models, configuration, write_configuration
from microexp.own_videos.summary import collect, targets

SOME_DID_NOT_RUN = 3
FACES = ("largest", "left", "right")


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
        "--face", type=face, default="largest", help="which face: largest, left, right, or N from the left"
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
    if args.fps is not None and not args.fps > 0:
        raise UserError(file="command line", where="--fps", got=args.fps, expected="frames a second, above 0")
    out: Path = args.out
    labels = read_labels(args.labels) if args.labels else []
    videos = find_inputs(args.videos, out, args.fps)
    usable = [video for video in videos if not video.problem]
    bad = len(videos) - len(usable)
    say(f"{len(videos)} video{'' if len(videos) == 1 else 's'}" + (f", {bad} of them cannot be read" if bad else ""))
    if usable:
        work(args, videos, out, labels=labels)
    rows = collect(videos, out / "run", out, annotated=args.annotated)
    report(rows, out)
    if all(row["status"] == "none" for row in rows):
        return 2
    return SOME_DID_NOT_RUN if any(row["status"] == "none" for row in rows) else 0


def work(args: argparse.Namespace, videos: Sequence[OwnVideo], out: Path, *, labels: Sequence[Label]) -> None:
    """Write the configuration, and run the workflow on the videos that can be read."""
    run = out / "run"
    link_videos(videos, run / "videos")
    strange = write_annotations(run / "videos" / SHEET, labels, videos, file=args.labels)
    if labels:
        say(f"{len(labels) - strange} known expressions" + f"; {strange} rows are of other videos" * bool(strange))
    choice = choose_models(args.model, run)
    say(choice.about)
    options = configuration(choice, run / "videos", face=args.face, fps=args.fps, annotated=args.annotated)
    write_configuration(out / "config.yaml", options)
    run_workflow(run, out / "config.yaml", targets(videos, args.annotated), cores=max(1, args.cores), show=say)


def report(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Say what came of each video, and where to look."""
    for row in rows:
        events = (
            f"{row['events']} {'events' if row.get('trained') else 'candidates'}" if row["status"] != "none" else ""
        )
        parts = [events, row["why"] or "", str(out / row["page"]) if row.get("page") else ""]
        say(f"{row['name']}: {row['status']}: " + "; ".join(part for part in parts if part))
    say(f"All: {out / 'summary.csv'}")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
