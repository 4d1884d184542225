"""Whether the tables of the demo hold what README.md promises: figures above chance, and none that is perfect.

    python .ci/check_demo.py [RESULTS]

Digits depend on machine and library versions, so none is compared. Exit status 1, and a line each, for what fails.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

Row = Mapping[str, str]
PROMISED = {
    # table: (rows that hold our figures, the figures)
    "spotting_demo.csv": (
        [{"method": m, "kind": k} for m in ("aemnet", "aemnet_motion") for k in ("micro", "macro", "overall")],
        ("f1",),
    ),
    "recognition_demo.csv": ([{"method": "mdml", "part": "all"}], ("uf1", "uar")),
}
UNCERTAIN, ENOUGH = "aemnet", 150
"""With fewer expressions than ten people show, the row on I3D features lies too close to chance to be held to it."""
BASELINES = ("random_intervals", "majority")


def failures(results: Path) -> Iterator[str]:
    """What is not as promised."""
    for table, (wanted, figures) in PROMISED.items():
        with (results / "tables" / table).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for keys in wanted:
            if keys["method"] == UNCERTAIN and _expressions(rows) < ENOUGH:
                continue
            (row,) = (r for r in rows if all(r[k] == v for k, v in keys.items()))
            for figure in figures:
                yield from _failures(row, figure, _baseline(rows, row), f"{table}, {' '.join(keys.values())}")


def _expressions(rows: list[Row]) -> int:
    """Ground truths of a table of spotting."""
    return max(int(row["ground_truths"]) for row in rows)


def _baseline(rows: list[Row], row: Row) -> Row:
    """The baseline without a model that belongs to a row: the same kind or part."""
    part = "kind" if "kind" in row else "part"
    (found,) = (r for r in rows if r["method"] in BASELINES and r[part] == row[part])
    return found


def _failures(row: Row, figure: str, baseline: Row, where: str) -> Iterator[str]:
    value = float(row[figure])
    for name, chance in (("chance", row[f"chance_{figure}"]), (baseline["method"], baseline[figure])):
        if not value > float(chance):
            yield f"{where}: {figure} {value:.3f} is not above {name}, {float(chance):.3f}"
    if not value < 1:
        yield f"{where}: {figure} is {value:.3f}; a figure that is perfect was not earned"


if __name__ == "__main__":
    found = list(failures(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))
    print("\n".join(found) or "the demo's tables hold what README.md promises")
    sys.exit(1 if found else 0)
