"""Text from sheets, folders and configurations on its way into files that programs interpret.

A spreadsheet program runs a cell that begins like a formula, a Markdown page shows raw HTML, LaTeX runs commands. What
comes from outside is made plain text in each of them; what is plain already stays as it is.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""How a cell begins that spreadsheet programs may take for a formula; a tab or line break before it is passed over."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": r"\\", "|": r"\|"}
_LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"}
_LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}


def csv_cell(text: str) -> str:
    """`text` as a cell that no spreadsheet program takes for a formula: with an apostrophe before it where needed.

    `from_csv` takes the apostrophe away again, so that what stages hand to each other stays what it was.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_csv(cell: str) -> str:
    """What `csv_cell` was given."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def one_row(text: str) -> str:
    """`text` without line breaks and other control characters, which would end a row or a comment."""
    return _CONTROL.sub(" ", text)


def markdown_text(text: str) -> str:
    """`text` as Markdown that shows it: no HTML, no links, no cell's end."""
    return "".join(_MARKDOWN.get(c, c) for c in one_row(text)).replace("](", r"]\(").replace("][", r"]\[")


def latex_text(text: str) -> str:
    """`text` as LaTeX that prints it."""
    return "".join(_LATEX.get(c, c) for c in one_row(text))
