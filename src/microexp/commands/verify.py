"""`microexp verify RESULTS`: re-check every file under a results folder."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from microexp.errors import one_line
from microexp.records.verify import check_folder, delete
from microexp.run.lock import no_run
from microexp.run.log import log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp verify`."""
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)")
    parser.add_argument("--delete", action="store_true", help="delete what is damaged; the next run makes it again")


def main(args: argparse.Namespace) -> int:
    """`microexp verify RESULTS [--delete]`: exit status 1 when something is wrong.

    Raises:
        UserError: with `--delete` when a run or one of its jobs is at work.
    """
    with no_run(args.results.resolve().parent) if args.delete else nullcontext():
        problems = list(check_folder(args.results))
        for problem in problems:
            print(one_line(f"{problem.path}: {problem.what}"))
        if args.delete:
            delete(problems)
    log(f"{len(problems)} problems" if problems else "all files are intact")
    return 1 if problems else 0
