"""`microexp verify results`: re-check every file under a results folder, and delete what is proved wrong."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from microexp.errors import one_line
from microexp.records.verify import check_folder, delete, other_sources
from microexp.run.lock import no_run
from microexp.run.log import log
from microexp.run.runner import made_by, own_record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp verify`."""
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)")
    parser.add_argument(
        "--delete",
        action="store_true",
        help="delete the files with content that is proved wrong, naming each and why; the next run makes them again",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what --delete would do, and do nothing")


def main(args: argparse.Namespace) -> int:
    """`microexp verify RESULTS [--delete] [--dry-run]`: exit status 1 when something is wrong.

    Raises:
        UserError: with `--delete` when a run or one of its jobs is at work.
    """
    deletes = args.delete and not args.dry_run
    with no_run(args.results.resolve().parent) if deletes else nullcontext(True) as alone:
        problems = []
        for problem in check_folder(args.results):
            print(one_line(f"{problem.path}: {problem.what}"))
            problems.append(problem)
        if args.delete or args.dry_run:
            delete(problems, lambda line: log(one_line(line)), alone=bool(alone), dry_run=not deletes)
    for stage, sources in other_sources(args.results, made_by(own_record())).items():
        made = ", ".join(f"{files} by {source}" for source, files in sources.items())
        log(f"note: {stage}: {made}, not by this source (`snakemake -R {stage.replace('-', '_')}` makes them again)")
    log(f"{len(problems)} problems" if problems else "all files are intact")
    return 1 if problems else 0
