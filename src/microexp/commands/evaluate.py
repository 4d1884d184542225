"""`microexp evaluate TASK`: score the predictions of any method."""

from __future__ import annotations

import argparse
from typing import Any

from microexp.commands import evaluate_recognition as recognition_command
from microexp.commands import evaluate_spotting as spotting_command
from microexp.commands.stage import WithDefaults, sentence
from microexp.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp evaluate`."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    spotting = _task(tasks, "spotting", "score intervals of micro- and macro-expressions in long videos")
    spotting_command.add_arguments(spotting)
    spotting.set_defaults(run=spotting_command.main)
    recognition = _task(tasks, "recognition", "score classes of expressions: UF1, UAR, accuracy")
    recognition_command.add_arguments(recognition)
    recognition.set_defaults(run=recognition_command.main)


def _task(tasks: argparse._SubParsersAction[Any], name: str, about: str) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = tasks.add_parser(
        name, help=about, description=sentence(about), formatter_class=WithDefaults
    )
    return found


def main(args: argparse.Namespace) -> int:
    """Run the task; returns the exit status.

    Raises:
        UserError: when the bootstrap cannot be made as asked.
    """
    for option in ("bootstrap", "seed"):
        if (value := getattr(args, option)) < 0:
            raise UserError(file="command line", where=f"--{option}", got=value, expected="a whole number of 0 or more")
    return int(args.run(args))
