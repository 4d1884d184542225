"""What was found in a release against what its authors published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from microexp.datasets.protocols import PROTOCOLS, Protocol, class_of, is_listed
from microexp.errors import UserError
from microexp.reading.release import Counts, Index, OtherTotals, Row
from microexp.records.index import Expression
from microexp.run.storage import read_csv, write_csv


@dataclass(frozen=True)
class Count:
    """One line of the comparison.

    Attributes:
        what: subjects, videos, frames, expressions, emotion, or a protocol.
        group: micro or macro, and the emotion, or the protocol's class; '' for all.
        published: None where the authors give no number; the number of another known copy where this is that copy.
        sheet: in the sheet, whether or not the video is on disk; None where sheets do not say it.
        found: usable, that is with its frames on disk.
    """

    dataset: str
    what: str
    group: str
    published: int | None
    sheet: int | None
    found: int

    @property
    def differs(self) -> bool:
        """Whether the release on disk is not what was published."""
        return self.published is not None and self.found != self.published

    @property
    def sheet_differs(self) -> bool:
        """Whether the sheet says it, and says something else than what was published."""
        return None not in (self.published, self.sheet) and self.sheet != self.published

    def describe(self) -> str:
        """`120 of 255 expressions`."""
        return f"{self.found} of {self.published} {self.what} {self.group}".rstrip()


COLUMNS = tuple(f.name for f in fields(Count))
LISTED = "official list"
WITH_EXPRESSIONS = "with expressions"
"""Of long videos, some show none, which the sheet cannot tell."""
_ORDER = ("subjects", "videos", "frames", "expressions", "emotion")


def compare(
    dataset: str, adapter: str, index: Index, *, published: Counts, others: OtherTotals | None = None
) -> list[Count]:
    """Every count that was published or found, general ones first, and those of the protocols that use the adapter.

    Args:
        dataset: its name.
        adapter: the one that read it.
        index: what was found.
        published: what its authors say.
        others: what other copies in circulation have, which is as good.
    """
    return _compare(dataset, index, published, others or {}) + [
        count for name, protocol in PROTOCOLS.items() for count in _by_class(dataset, adapter, index, name, protocol)
    ]


def _by_class(dataset: str, adapter: str, index: Index, name: str, protocol: Protocol) -> list[Count]:
    """Expressions of each class, and how many of the official list are there with the label that it gives them."""
    if adapter not in protocol.datasets:
        return []
    sheet, found = (_classes(items, adapter, name, protocol) for items in (index.rows, index.expressions))
    counts = [
        Count(dataset, name, label, number, sheet[label], found[label])
        for (which, label), number in protocol.counts.items()
        if which == adapter
    ]
    if adapter in protocol.lists:
        counts.append(Count(dataset, name, LISTED, len(protocol.lists[adapter]), sheet[LISTED], found[LISTED]))
    return counts


def _classes(
    items: Iterable[Row] | Iterable[Expression], adapter: str, name: str, protocol: Protocol
) -> Counter[str | None]:
    """Expressions by class, and under `LISTED` those that have the class of the official list by their emotion."""
    counts: Counter[str | None] = Counter()
    for item in items:
        counts[class_of(name, adapter, item.emotion, subject=item.subject, video=item.video)] += 1
        label = class_of(name, adapter, item.emotion)
        if (
            adapter in protocol.lists
            and label
            and is_listed(protocol, adapter, item.subject, video=item.video, name=label)
        ):
            counts[LISTED] += 1
    return counts


def _compare(dataset: str, index: Index, published: Counts, others: OtherTotals) -> list[Count]:
    videos = "" if index.clips else WITH_EXPRESSIONS
    found = _tally(index.expressions)
    found["subjects", ""] = len({v.subject for v in index.videos})
    found["videos", ""] = len(index.videos)
    found["videos", videos] = found["videos", ""] if index.clips else _videos(index.expressions)
    found["frames", ""] = sum(v.n_frames for v in index.videos)
    sheet = _tally(index.rows)
    sheet["videos", videos] = _videos(index.rows)
    kinds_known = all(row.kind for row in index.rows)
    counts = []
    for what, group in sorted({*found, *published, *(sheet if kinds_known else ())}, key=_place):
        known = (what, group) in sheet or what in ("expressions", "emotion")
        by_kind = what in ("expressions", "emotion") and group
        number = sheet[what, group] if known and (kinds_known or not by_kind) else None
        known_totals = others.get((what, group), ())
        same = next((n for n in (found[what, group], number) if n in known_totals), None)
        expected = published.get((what, group)) if same is None else same
        counts.append(Count(dataset, what, group, expected, number, found[what, group]))
    return counts


def _videos(items: Iterable[Row] | Iterable[Expression]) -> int:
    return len({(item.subject.casefold(), item.video.casefold()) for item in items})


def _place(key: tuple[str, str]) -> tuple[int, str]:
    return _ORDER.index(key[0]), key[1]


def _tally(items: Iterable[Row] | Iterable[Expression]) -> Counter[tuple[str, str]]:
    """Expressions by kind and by emotion, and the subjects who show them."""
    counts: Counter[tuple[str, str]] = Counter()
    people = set()
    for item in items:
        people.add(item.subject)
        counts["expressions", ""] += 1
        if item.kind:
            counts["expressions", item.kind] += 1
        if item.emotion:
            counts["emotion", f"{item.kind} {item.emotion}".strip()] += 1
    counts["subjects", ""] = len(people)
    return counts


def differences(counts: Iterable[Count]) -> list[Count]:
    """Those in which what was found is not what was published."""
    return [count for count in counts if count.differs]


def write_counts(path: str | Path, counts: Iterable[Count]) -> None:
    """Write `counts.csv`."""
    write_csv(path, COLUMNS, map(astuple, counts))


def read_counts(path: str | Path) -> list[Count]:
    """Read `counts.csv`.

    Raises:
        UserError: naming file and row of the first value that is no number.
    """
    counts = []
    for number, row in enumerate(read_csv(path, COLUMNS), 2):
        try:
            values = [int(row[c]) if row[c] else None for c in COLUMNS[3:]]
            found = int(row["found"])
        except ValueError as error:
            raise UserError(file=path, where=f"row {number}", problem=error, expected="whole numbers") from error
        counts.append(Count(row["dataset"], row["what"], row["group"], values[0], values[1], found))
    return counts
