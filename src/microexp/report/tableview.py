"""Any table of results as cells of a page: spread and interval move into their figure's cell, shares get a bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from microexp.report.collect import ResultTable

HEADINGS = {
    "f1": "F1",
    "uf1": "UF1",
    "uar": "UAR",
    "auc": "AUC",
    "unit_f1": "F1",
    "true_positives": "TP",
    "ground_truths": "truths",
    "chance_f1": "F1 by chance",
    "chance_uf1": "UF1 by chance",
    "chance_uar": "UAR by chance",
    "chance_p": "p",
}
SPREADS = ("_sd", "_low", "_high")
SHARES = ("f1", "uf1", "uar", "auc", "unit_f1", "accuracy", "precision", "recall")
HEADLINES = ("f1", "uf1", "uar")


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: the rounded figure.
        spread: what stands small beside it.
        share: length of the bar behind it, 0 to 1; None: no bar.
        number: whether it is set to the right.
        same: whether it repeats the cell above.
    """

    text: str
    spread: str = ""
    share: float | None = None
    number: bool = True
    same: bool = False


@dataclass(frozen=True)
class TableView:
    """A table ready for a page."""

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def heading(column: str) -> str:
    """What a column is called on the page."""
    if column in HEADINGS:
        return HEADINGS[column]
    first, _, rest = column.partition("_")
    if rest and first == "f1":
        return f"F1 {rest}"
    return column.replace("_", " ")


def number_text(value: object) -> str:
    """Rounded as in the other forms of the table; None is an empty cell."""
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def is_number(value: object) -> bool:
    """Whether a cell holds a figure."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def spread_text(row: Mapping[str, Any], column: str) -> str:
    """`± sd [low, high]` of a figure, or the clips of a class, as far as the table has them."""
    clips = row.get(column.replace("f1_", "n_", 1)) if column.startswith("f1_") else None
    if is_number(clips):
        return f"{clips} clips"
    sd, low, high = (row.get(column + s) for s in SPREADS)
    parts = [f"± {sd:.3f}"] if is_number(sd) else []
    parts += [f"[{low:.2f}, {high:.2f}]"] if is_number(low) and is_number(high) else []
    return " ".join(parts)


def view(table: ResultTable) -> TableView:
    """The table's columns and rows for the page; the first method's rows are marked `main`, published ones `quoted`.

    Oracles and controls are marked `derived`.
    """
    merged = {c + s for c in table.columns for s in SPREADS}
    merged |= {c.replace("f1_", "n_", 1) for c in table.columns if c.startswith("f1_")}
    columns = [c for c in table.columns if c not in merged and any(r.get(c) is not None for r in table.rows)]
    numeric = tuple(not any(isinstance(r.get(c), str) for r in table.rows) for c in columns)
    rows, above = [], ""
    for row in table.rows:
        method = str(row.get(columns[0]))
        cells = [_cell(row, c, n) for c, n in zip(columns, numeric, strict=True)]
        if method == above:
            cells[0] = Cell(method, number=False, same=True)
        style = "quoted" if "(published" in method else "main" if method == table.methods[0] else ""
        style = "derived" if method in table.derived else style
        rows.append((style + ("" if method == above else " first"), tuple(cells)))
        above = method
    return TableView(tuple(map(heading, columns)), numeric, tuple(rows))


def _cell(row: Mapping[str, Any], column: str, number: bool) -> Cell:
    value = row.get(column)
    share = None
    if column.startswith(SHARES) and isinstance(value, float):
        share = min(1.0, max(0.0, value))
    return Cell(number_text(value), spread_text(row, column), share, number)


@dataclass(frozen=True)
class Headline:
    """A figure that the page shows large: of the first method, with the level of chance."""

    name: str
    value: float
    spread: str
    chance: float | None
    baselines: tuple[tuple[str, float], ...]


def headlines(table: ResultTable) -> list[Headline]:
    """F1 of every kind, or UF1 and UAR, of the table's first method."""
    found = []
    for row in table.rows:
        if str(row.get(table.columns[0])) != table.methods[0]:
            continue
        what = [str(row[c]) for c in table.columns[1:] if isinstance(row.get(c), str)]
        for column in HEADLINES:
            value = row.get(column)
            if is_number(value):
                chance = row.get(f"chance_{column}")
                found.append(
                    Headline(
                        " ".join([heading(column), *what]),
                        float(value),  # type: ignore[arg-type]
                        spread_text(row, column),
                        float(chance) if is_number(chance) else None,  # type: ignore[arg-type]
                        tuple(_others(table, row, column)),
                    )
                )
    return found


def _others(table: ResultTable, row: Mapping[str, Any], column: str) -> list[tuple[str, float]]:
    """The same figure of the other methods; oracles and controls are no result of theirs."""
    texts = [c for c in table.columns[1:] if isinstance(row.get(c), str)]
    return [
        (name, float(r[column]))
        for r in table.rows
        if "(published" not in (name := str(r[table.columns[0]]))
        and name not in table.derived
        and r is not row
        and is_number(r.get(column))
        and all(r.get(c) == row.get(c) for c in texts)
    ]


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: rows are labels; each entry as (text, share of its row)."""

    method: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]


def confusions(table: ResultTable) -> list[Confusion]:
    """The confusion matrices that come with a table, one per method."""
    found = []
    matrices = table.details.get("confusion", {})
    for method in (m for m in table.methods if m in matrices):
        entry = matrices[method]
        rows = []
        for name, counts in zip(entry["classes"], entry["matrix"], strict=True):
            total = sum(counts) or 1
            rows.append((name, tuple((f"{n:.1f}".removesuffix(".0"), n / total) for n in counts)))
        found.append(Confusion(method, tuple(entry["classes"]), tuple(rows)))
    return found


def subject_counts(table: ResultTable, subject: str, kinds: Sequence[str] = ("micro", "macro")) -> list[str]:
    """True positives / predictions / truths of the first method on `dataset/subject`, by kind; empty without."""
    per_subject = table.details.get("per_subject", {}).get(table.methods[0], {}).get(subject, {})
    return [
        f"{c['true_positives']} / {c['predictions']} / {c['truths']}" if (c := per_subject.get(kind)) else ""
        for kind in kinds
        if per_subject
    ]
