"""How `--help` looks: which default is shown, and where lines break."""

from __future__ import annotations

import argparse
import textwrap


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
