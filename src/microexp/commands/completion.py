"""`microexp completion`: what a shell needs to complete sub-commands and their options."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator

from microexp.pipeline import STAGES

TEMPLATE = """# Completion of microexp for {shell}. Made by `microexp completion {shell}`; source this file.
{start}_microexp() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="{names}"
  else
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    case "$word" in -*) ;; *) [ "$COMP_CWORD" -eq 2 ] || words="" ;; esac
  fi
  while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(compgen -W "$words" -- "$word")
}}
complete -o default -F _microexp microexp
"""
STARTS = {"bash": "", "zsh": "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp completion`."""
    parser.add_argument("shell", choices=sorted(STARTS), help="for which shell")


def main(args: argparse.Namespace) -> int:
    """`microexp completion SHELL`: print the script; a shell that sources it completes `microexp`."""
    words = {name: list(_words(parser)) for name, parser in _parsers()}
    cases = "\n".join(f'      {name}) words="{" ".join(dict.fromkeys(found))}" ;;' for name, found in words.items())
    print(TEMPLATE.format(shell=args.shell, start=STARTS[args.shell], names=" ".join(words), cases=cases), end="")
    return 0


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    from microexp.commands.main import TOOLS
    from microexp.commands.stage import parser_of

    for name, (module, _) in TOOLS.items():
        parser = argparse.ArgumentParser(f"microexp {name}")
        importlib.import_module(module).add_arguments(parser)
        yield name, parser
    for name, stage in STAGES.items():
        yield name, parser_of(stage, asked_for_help=False)


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Options of a parser, and the names and options of what is below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from (name, *_words(inner))
        else:
            yield from (s for s in action.option_strings if s.startswith("--"))
            yield from (str(c) for c in action.choices or () if not action.option_strings)
