"""`microexp check`: what the configured data sets hold, against the published counts, without decoding all frames."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from microexp.commands.check_costs import describe as estimate
from microexp.commands.check_costs import warnings
from microexp.config import Config, guides, load
from microexp.datasets.classes import check_emotions
from microexp.datasets.counts import Count, compare, differences
from microexp.datasets.index import load_adapter, open_release
from microexp.errors import UserError, one_line
from microexp.reading.read import read_release
from microexp.reading.release import Index
from microexp.records.index import KINDS, Issue, by_kind

LISTED = 20
"""So many issues are listed one by one, and so many exclusions; more would hide what matters."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp check`."""
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"), help="configuration")
    parser.add_argument("--dataset", action="append", metavar="NAME", help="check only this data set")
    parser.add_argument("--issues", action="store_true", help="list every issue, however many there are")
    parser.add_argument("--summary", action="store_true", help="count the issues even where there are few")


def main(args: argparse.Namespace) -> int:
    """`microexp check [CONFIG] [--dataset NAME]`: all data sets, whatever is wrong with one.

    Returns:
        2 when one could not be read, or an experiment asks for an emotion that nobody shows; else 1 when a strict one
        differs from what was published; else 0.
    """
    config = load(args.config)
    for name in args.dataset or []:
        if name not in config.datasets:
            raise UserError(
                file="command line", where="--dataset", got=repr(name), expected="one of " + ", ".join(config.datasets)
            )
    failed, unread = [], False
    emotions: dict[str, frozenset[str]] = {}
    listed = sys.maxsize if args.issues else 0 if args.summary else LISTED
    for name in args.dataset or config.datasets:
        try:
            found = check(name, config, listed)
            failed += [] if found.passes else [name]
            emotions |= {} if found.emotions is None else {name: found.emotions}
        except UserError as error:
            unread = True
            print(f"microexp: error: {error}", file=sys.stderr)
    for absent in absent_emotions(config, emotions, args.config):
        unread = True
        print(f"microexp: error: {absent}", file=sys.stderr)
    if failed:
        print(f"strict, and not as published: {', '.join(failed)}")
    return 2 if unread else 1 if failed else 0


@dataclass(frozen=True)
class Checked:
    """What was found of a data set.

    Attributes:
        passes: whether it is as published, or need not be.
        emotions: of all rows of its sheets; None where the run renders it.
    """

    passes: bool
    emotions: frozenset[str] | None


def check(name: str, config: Config, listed: int) -> Checked:
    """Print what data set `name` holds: what is excluded first and last.

    Args:
        name: of the data set.
        config: the configuration.
        listed: so many issues are listed; more are counted by kind.

    Raises:
        UserError: when its sheet cannot be read.
    """
    dataset = config.datasets[name]
    adapter = load_adapter(dataset.adapter or name, name)
    root = dataset.root or adapter.default_root
    if adapter.planned is not None and root is not None and not Path(root).is_dir():
        print(f"{name}: made by the run itself, not there yet\n")
        return Checked(True, None)
    adapter, release = open_release(name, dataset)
    index = read_release(adapter, release)
    counts = compare(
        name, dataset.adapter or name, index, published=adapter.published(release), others=adapter.other_totals(release)
    )
    excluded = exclusions(index, max(listed, LISTED)) if index.videos else []
    warned = warnings(config, name, index)
    lines = [f"  sheet: {release.relative(path)}" for path in adapter.find_sheets(release)]
    lines += [*table(counts), *describe(index.issues, listed), *estimate(config, name, index)]
    notes = [f"  note: {line}" for line in too_little(index)]
    last = [verdict(counts, frames=bool(index.videos)), *warned, *notes, *excluded]
    print("\n".join([f"{name}: {release.root}", *excluded, *lines, *last, ""]))
    emotions = frozenset(row.emotion for row in index.rows) if adapter.planned is None else None
    return Checked(not (dataset.strict and differences(counts)), emotions)


def absent_emotions(config: Config, emotions: Mapping[str, frozenset[str]], file: object) -> Iterator[UserError]:
    """What the run would say of experiments with an emotion that no row has, where all their data sets were checked.

    Args:
        config: the configuration.
        emotions: of the rows of each data set that was checked.
        file: of the configuration.
    """
    for name, experiment in config.recognition.items():
        used = (*experiment.datasets, *guides(experiment))
        if all(dataset in emotions for dataset in used):
            try:
                check_emotions(
                    frozenset().union(*(emotions[d] for d in used)), experiment, file, where=f"recognition.{name}"
                )
            except UserError as error:
                yield error


def exclusions(index: Index, listed: int) -> list[str]:
    """How much is excluded, and the first `listed` of it."""
    if not index.exclusions:
        return []
    shown = [one_line(f"  excluded: {e}") for e in index.exclusions[:listed]]
    if len(index.exclusions) > listed:
        shown.append(f"  excluded: and {len(index.exclusions) - listed} more (--issues lists all)")
    return [f"  {len(index.exclusions)} videos or expressions are excluded: tables will say INCOMPLETE", *shown]


def too_little(index: Index) -> list[str]:
    """What a data set lacks to train on or to be scored against; nothing of it stops what does not need it."""
    subjects = {v.subject for v in index.videos}
    found = []
    if index.videos and not index.rows:
        found.append("no annotation: nothing to train on, nothing to be scored against")
    elif index.videos and not index.expressions:
        found.append("no expression of the sheet is in these videos: nothing to train on or to be scored against")
    if len(subjects) == 1:
        found.append("one subject: leaving one out leaves nobody to train on")
    people = {kind: {e.subject for e in index.expressions if e.kind == kind} for kind in KINDS}
    for kind, who in people.items():
        if index.expressions and len(who) == 1 < len(subjects):
            found.append(f"{kind} expressions of one subject only: nothing to train on for that subject's own fold")
        elif index.expressions and not who:
            found.append(f"no {kind} expression: nothing of that kind can be learnt")
    return found


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


def describe(issues: Sequence[Issue], listed: int) -> list[str]:
    """One line per issue: file, row, field, what was found, what was done; or how many of each kind there are."""
    if not issues:
        return ["  nothing was corrected, clipped or excluded"]
    if len(issues) <= listed:
        return [
            one_line(f"  {i.file}{f', row {i.row}' if i.row else ''}: {i.field}: {i.problem}: {i.action}")
            for i in issues
        ]
    return [f"  {len(found)} x {field}: {action}" for (field, action), found in by_kind(issues).items()]
