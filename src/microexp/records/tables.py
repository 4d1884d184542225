"""A table of results, written as CSV (every digit), Markdown and LaTeX (rounded).

Not by the library tabulate: its Markdown leaves `|` and HTML as they are, its booktabs form escapes text a second time
and not `|`, and it pads columns, so that one longer number changes every line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from microexp.run import storage
from microexp.run.storage import latex_text, markdown_text, one_row

Value = str | int | float | None
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Table:
    """Rows under named columns, with what a reader must know beneath.

    Attributes:
        title: one line above the table.
        columns: keys of the rows, in order.
        rows: values; None prints as an empty cell.
        notes: sentences beneath the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)

    def cells(self, decimals: int = 3) -> list[list[str]]:
        """The rows as rounded text."""
        return [[text(row.get(c), decimals) for c in self.columns] for row in self.rows]


def text(value: Value, decimals: int = 3) -> str:
    """A value as the rounded tables show it: floats with so many decimals, None and NaN as an empty cell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.{decimals}f}" if isinstance(value, float) else str(value)


def markdown(table: Table, decimals: int = 3) -> str:
    """GitHub-flavoured Markdown."""

    def line(cells: Sequence[str]) -> str:
        """A row of the table."""
        return "| " + " | ".join(map(markdown_text, cells)) + " |"

    rule = ["---" if _is_text(table, c) else "---:" for c in table.columns]
    cells = table.cells(decimals)
    lines = [f"**{markdown_text(table.title)}**", "", line(table.columns), line(rule), *map(line, cells)]
    if table.notes:
        lines += ["", *(f"- {markdown_text(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """A `tabular` with booktabs rules, the notes as comments."""

    def line(cells: Sequence[str]) -> str:
        """A row of the table."""
        return " & ".join(map(latex_text, cells)) + r" \\"

    columns = "".join("l" if _is_text(table, c) else "r" for c in table.columns)
    body = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        line(table.columns),
        r"\midrule",
        *map(line, table.cells()),
    ]
    comments = [f"% {one_row(line)}" for line in (table.title, *table.notes)]
    return "\n".join([*comments, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _is_text(table: Table, column: str) -> bool:
    return any(isinstance(row.get(column), str) for row in table.rows)


def write(table: Table, *, csv_path: Path, markdown_path: Path, latex_path: Path, below: Table | None = None) -> None:
    """Write the three forms; Markdown alone, which people read, holds a second table below."""
    storage.write_csv(csv_path, table.columns, [[row.get(c) for c in table.columns] for row in table.rows])
    storage.write_text(markdown_path, "\n".join(markdown(t) for t in (table, below) if t))
    storage.write_text(latex_path, latex(table))


def as_json(table: Table) -> dict[str, object]:
    """The table for the report: NaN becomes None."""
    rows = [
        {c: None if isinstance(v := row.get(c), float) and math.isnan(v) else v for c in table.columns}
        for row in table.rows
    ]
    return {"title": table.title, "columns": list(table.columns), "rows": rows, "notes": list(table.notes)}
