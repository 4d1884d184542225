"""The command line: every stage of the pipeline as a sub-command, and the tools around it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from microexp import __version__
from microexp.commands.stage import WithDefaults, sentence
from microexp.errors import UserError
from microexp.pipeline import STAGES
from microexp.run.log import to_stderr

TOOLS: dict[str, tuple[str, str]] = {
    # sub-command: (module with add_arguments(parser) and main(args) -> int, one line of help)
    "init": ("microexp.commands.init", "write a commented configuration for chosen data sets"),
    "run": ("microexp.commands.run", "run the whole workflow of a configuration"),
    "check": ("microexp.commands.check", "what the configured data sets hold, against the published counts"),
    "video": ("microexp.commands.video", "your own videos in one command: tables and a page of each"),
    "evaluate": ("microexp.commands.evaluate", "score predictions of any method"),
    "flowmaps": ("microexp.commands.flowmaps", "turn flow maps that others published into apexdiff shards"),
    "rendered": ("microexp.commands.rendered", "render labelled flow of known action units, a source for recognise"),
    "recognise": ("microexp.commands.recognise", "run all folds of an experiment at once on apexdiff shards"),
    "verify": ("microexp.commands.verify", "re-check every file under results"),
    "provenance": ("microexp.commands.provenance", "print what a result was made from"),
    "config": ("microexp.commands.config", "check a configuration; print its defaults or JSON schema"),
    "completion": ("microexp.commands.completion", "print the completion of sub-commands and options for a shell"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `microexp`; returns the exit status: 0 done, 1 a check failed, 2 a problem that the user can correct."""
    argv = list(sys.argv[1:] if argv is None else argv)
    to_stderr()
    try:
        name = argv[0] if argv else ""
        if name in STAGES:
            from microexp.commands.stage import run

            return run(STAGES[name], argv[1:])
        if name in TOOLS:
            module = importlib.import_module(TOOLS[name][0])
            parser = argparse.ArgumentParser(
                f"microexp {name}", description=sentence(TOOLS[name][1]), formatter_class=WithDefaults
            )
            module.add_arguments(parser)
            return int(module.main(parser.parse_args(argv[1:])))
        return _no_command(argv)
    except UserError as error:
        print(f"microexp: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _no_command(argv: Sequence[str]) -> int:
    tools, stages = {name: text for name, (_, text) in TOOLS.items()}, {name: s.help for name, s in STAGES.items()}
    about = tools | stages
    lines = {name: f"  {name:<{max(map(len, about))}}  {text}\n" for name, text in about.items()}
    parser = argparse.ArgumentParser(
        "microexp",
        description="From face videos to tables of micro-expression results.",
        epilog="commands:\n"
        + "".join(lines[name] for name in tools)
        + "\nstages, which `microexp run` starts; each may be run by hand, too:\n"
        + "".join(lines[name] for name in stages)
        + "\nmicroexp SUB-COMMAND --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="microexp [-h] [--version] SUB-COMMAND …",
    )
    parser.add_argument("--version", action="version", version=f"microexp {__version__}")
    parser.parse_known_args(argv)  # handles -h and --version
    if argv:
        import difflib

        close = difflib.get_close_matches(argv[0], about, 1)
        hint = f"did you mean {close[0]}?" if close else None
        raise UserError(file="command line", got=repr(argv[0]), expected="a sub-command", hint=hint)
    parser.print_help(sys.stderr)
    return 2
