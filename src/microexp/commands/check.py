"""`microexp check`: what the configured data sets hold, against the published counts, without decoding all frames."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from microexp.config import load
from microexp.datasets.adapters import load_adapter
from microexp.datasets.counts import Count, compare, differences
from microexp.datasets.index import open_release
from microexp.datasets.params import DatasetParams
from microexp.errors import UserError, one_line
from microexp.reading.read import read_release
from microexp.records.index import Issue, by_kind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp check`."""
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="configuration of the run")
    parser.add_argument("--dataset", action="append", metavar="NAME", help="check only this data set")
    parser.add_argument("--summary", action="store_true", help="count the issues instead of listing them")


def main(args: argparse.Namespace) -> int:
    """`microexp check [CONFIG] [--dataset NAME]`: all data sets, whatever is wrong with one.

    Returns:
        2 when one could not be read, else 1 when a strict one differs from what was published, else 0.
    """
    datasets = load(args.config).datasets
    for name in args.dataset or []:
        if name not in datasets:
            raise UserError(
                file="command line", where="--dataset", got=repr(name), expected="one of " + ", ".join(datasets)
            )
    failed, unread = [], False
    for name in args.dataset or datasets:
        try:
            if not check(name, datasets[name], args.summary):
                failed.append(name)
        except UserError as error:
            unread = True
            print(f"microexp: error: {error}", file=sys.stderr)
    if failed:
        print(f"strict, and not as published: {', '.join(failed)}")
    return 2 if unread else 1 if failed else 0


def check(name: str, dataset: DatasetParams, summary: bool) -> bool:
    """Print what data set `name` holds; whether it passes.

    Raises:
        UserError: when its sheet cannot be read.
    """
    adapter = load_adapter(dataset.adapter or name, name)
    root = dataset.root or adapter.default_root
    if adapter.planned is not None and root is not None and not Path(root).is_dir():
        print(f"{name}: made by the run itself, not there yet\n")
        return True
    adapter, release = open_release(name, dataset)
    index = read_release(adapter, release)
    counts = compare(name, dataset.adapter or name, index, adapter.published(release), adapter.other_totals(release))
    lines = [f"  sheet: {release.relative(path)}" for path in adapter.find_sheets(release)]
    lines += [*table(counts), *describe(index.issues, summary)]
    if index.videos and index.exclusions:
        lines.append(f"{len(index.exclusions)} videos or expressions are lost: tables will say INCOMPLETE")
    print("\n".join([f"{name}: {release.root}", *lines, verdict(counts, frames=bool(index.videos)), ""]))
    return not (dataset.strict and differences(counts))


def verdict(counts: Sequence[Count], frames: bool) -> str:
    """In a line, whether the release is as published; without any frame on disk, whether its sheet is."""
    if all(c.published is None for c in counts):
        return "no published counts"
    wrong = differences(counts) if frames else [c for c in counts if c.sheet_differs]
    found = f"{len(wrong)} differences to the published counts" if wrong else "as published"
    return found if frames else f"sheet: {found}; no frames on disk"


def table(counts: Sequence[Count]) -> list[str]:
    """Lines of a table: published, in the sheet, and found on disk; `*` marks a difference."""
    rows = [["", "published", "in sheet", "found", ""]]
    for count in counts:
        numbers = ["" if n is None else str(n) for n in (count.published, count.sheet, count.found)]
        rows.append([f"{count.what} {count.group}".strip(), *numbers, "*" if count.differs else ""])
    width = max(len(row[0]) for row in rows)
    return [f"  {r[0]:<{width}} {r[1]:>10} {r[2]:>10} {r[3]:>10} {r[4]}".rstrip() for r in rows]


def describe(issues: Sequence[Issue], summary: bool) -> list[str]:
    """One line per issue: file, row, field, what was found, what was done; or how many of each kind there are."""
    if not issues:
        return ["  nothing was mended, clipped or left out"]
    if not summary:
        return [
            one_line(f"  {i.file}{f', row {i.row}' if i.row else ''}: {i.field}: {i.problem}: {i.action}")
            for i in issues
        ]
    return [f"  {len(found)} x {field}: {action}" for (field, action), found in by_kind(issues).items()]
