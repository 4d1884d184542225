"""`microexp STAGE`: one stage of the pipeline, as its row in the table of stages says."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from microexp.errors import UserError
from microexp.pipeline import option
from microexp.run.stage import Input, Job, Params, Stage, validate

# How `--help` looks: which default is shown, and where lines break.


def sentence(text: str) -> str:
    """The one line of help of a sub-command as a sentence."""
    return text[0].upper() + text[1:] + "."


def default_of(action: argparse.Action) -> str:
    """The default of an argument; empty where there is none, or where the help tells it in words of its own."""
    if "(default" in (action.help or ""):
        return ""
    nothing = action.default is None or action.default is False or action.default in ("", [], argparse.SUPPRESS)
    return "" if nothing else str(action.default)


class WholePaths(argparse.RawDescriptionHelpFormatter):
    """Lines break between words only: a path stays whole, so that it can be copied."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)


class WithDefaults(WholePaths):
    """Each default is told, where the help does not tell it in words of its own."""

    def _get_help_string(self, action: argparse.Action) -> str:
        default = default_of(action).replace("%", "%%")
        return (action.help or "") + (f" (default: {default})" if default else "")


LIST = ".list"
"""Files with this ending are lists that the stage `shards` wrote: they stand for the files that they name."""


def parser_of(stage: Stage, *, asked_for_help: bool) -> argparse.ArgumentParser:
    """The command line of a stage; its help names every option with default and meaning (importing all methods)."""
    parser = argparse.ArgumentParser(
        f"microexp {stage.name}",
        description=sentence(stage.help),
        epilog=options_help(stage) if asked_for_help else None,
        formatter_class=WholePaths,
    )
    for name, item in stage.inputs.items():
        if item.passed:
            _add_input(parser, name, item)
    for name, output in stage.outputs.items():
        parser.add_argument(
            f"--out-{option(name)}", dest=f"out_{name}", type=Path, required=True, metavar="FILE",
            help=f"{output.help}; in a run {output.path}",
        )  # fmt: skip
    for key, about in stage.keys.items():
        parser.add_argument(f"--{option(key)}", dest=key, required=True, help=about)
    parser.add_argument("--params", default="{}", help="options as a JSON object (default: the defaults below)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="set one option, nested ones with dots; may be repeated",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (never changes a result; default: 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--gpus", type=int, help="take so many free GPUs of this machine for the job; 0 hides them all")
    return parser


def _add_input(parser: argparse.ArgumentParser, name: str, item: Input) -> None:
    how: dict[str, Any] = {"nargs": "?"} if item.count == "optional" else {}
    if item.count in ("many", "list"):
        how = {"nargs": "*"}
    how["help"] = item.help + (" (files, or a list that `microexp shards` wrote)" if item.count == "list" else "")
    parser.add_argument(
        f"--{option(name)}",
        dest=f"in_{name}",
        type=Path,
        required=item.count == "one",
        metavar="FILE",
        **how,
    )


def options_help(stage: Stage) -> str:
    """The options of a stage: name and default on one line, the meaning below, as wide as the terminal."""
    from microexp.reference import default_of, options_of

    wide = textwrap.TextWrapper(
        shutil.get_terminal_size().columns - 2,
        initial_indent=" " * 6,
        subsequent_indent=" " * 6,
        break_long_words=False,
        break_on_hyphens=False,
    )
    rows = [
        f"  {name}  (default: {default_of(field).strip('`')})\n{wide.fill(field.description or '')}"
        for name, field in options_of(stage.params)
    ]
    return "options, for --set and --params:\n" + "\n".join(rows) if rows else "This stage has no options."


def run(stage: Stage, argv: Sequence[str]) -> int:
    """Run a stage with these arguments; returns the exit status."""
    from microexp.run.devices import claim
    from microexp.run.runner import run_stage
    from microexp.run.watchdog import job_of_run

    asked_for_help = not {"-h", "--help"}.isdisjoint(argv)
    args = vars(parser_of(stage, asked_for_help=asked_for_help).parse_args(argv))
    job = Job(
        inputs={k: _paths(args.get(f"in_{k}")) for k in stage.inputs},
        outputs={k: args[f"out_{k}"] for k in stage.outputs},
        params=options(stage.name, args["params"], args["set"], model=stage.params),
        keys={k: args[k] for k in stage.keys},
        threads=args["threads"],
        device=args["device"],
    )
    gpus = nullcontext() if args["gpus"] is None else claim(args["gpus"])
    with job_of_run(os.environ), gpus:
        run_stage(stage, job)
    return 0


def _paths(value: Path | list[Path] | None) -> list[Path]:
    from microexp.run.shards import read_list

    given = [] if value is None else value if isinstance(value, list) else [value]
    return [path for item in given for path in (read_list(item) if item.suffix == LIST else [item])]


def options(name: str, params: str, settings: Sequence[str], *, model: type[Params]) -> Params:
    """The options of a stage from `--params` and `--set`.

    Raises:
        UserError: when they are no options of the stage.
    """
    from microexp.run import yaml_file

    try:
        found = json.loads(params)
    except ValueError as error:
        raise UserError(file="command line", where="--params", problem=error, expected="a JSON object") from error
    if not isinstance(found, dict):
        raise UserError(file="command line", where="--params", got=repr(found), expected="a JSON object")
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or "" in key.split("."):
            raise UserError(file="command line", where="--set", got=repr(setting), expected="OPTION=VALUE")
        try:
            _set(found, key.split("."), yaml_file.parse(value, f"--set {key}"))
        except TypeError as error:
            problem = f"{error} was set to one value, and has no options inside"
            raise UserError(file="command line", where=f"--set {setting}", problem=problem) from error
    return validate(model, found, "command line", where=name)


def _set(options: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        inner = options.setdefault(part, {})
        if not isinstance(inner, Mapping):
            raise TypeError(repr(part))
        copied = dict(inner)
        options[part] = copied
        options = copied
    options[path[-1]] = value
