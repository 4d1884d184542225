"""What was found in a release against what its authors published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from microexp.datasets.base import Counts, Index
from microexp.datasets.protocols import PROTOCOLS, Protocol, class_of, fingerprint
from microexp.errors import UserError
from microexp.storage import read_csv, write_csv


@dataclass(frozen=True)
class Count:
    """One line of the comparison.

    Attributes:
        what: subjects, videos, frames, expressions, emotion, or a protocol.
        group: micro or macro, and the emotion, or the protocol's class; '' for all.
        published: None where the authors give no number.
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

    def describe(self) -> str:
        """`120 of 255 expressions`."""
        return f"{self.found} of {self.published} {self.what} {self.group}".rstrip()


COLUMNS = tuple(f.name for f in fields(Count))
_ORDER = ("subjects", "videos", "frames", "expressions", "emotion")


def compare(dataset: str, adapter: str, index: Index, published: Counts) -> list[Count]:
    """Every count that was published or found, general ones first, and those of the protocols that use the adapter."""
    return _compare(dataset, index, published) + [
        count for name, protocol in PROTOCOLS.items() for count in _by_class(dataset, adapter, index, name, protocol)
    ]


def _by_class(dataset: str, adapter: str, index: Index, name: str, protocol: Protocol) -> list[Count]:
    """Clips of each class, and how many of them the official list has as they are (all or none: it is a hash)."""
    if adapter not in protocol.datasets:
        return []
    keys = [(e.subject, e.video, class_of(name, adapter, e.emotion, e.subject, e.video)) for e in index.expressions]
    clips = [(subject, video, label) for subject, video, label in keys if label is not None]
    in_class = Counter(label for _, _, label in clips)
    counts = [
        Count(dataset, name, label, number, None, in_class[label])
        for (which, label), number in protocol.counts.items()
        if which == adapter
    ]
    if adapter in protocol.lists:
        same = fingerprint(clips) == protocol.lists[adapter]
        total = sum(count.published or 0 for count in counts)
        counts.append(Count(dataset, name, "official list", total, None, total if same else 0))
    return counts


def _compare(dataset: str, index: Index, published: Counts) -> list[Count]:
    found = _tally((e.subject, e.kind, e.emotion) for e in index.expressions)
    found["subjects", ""] = len({v.subject for v in index.videos})
    found["videos", ""] = len(index.videos)
    found["frames", ""] = sum(v.n_frames for v in index.videos)
    sheet = _tally((row.subject, row.kind, row.emotion) for row in index.rows)
    kinds_known = all(row.kind for row in index.rows)
    counts = []
    for what, group in sorted({*found, *published, *(sheet if kinds_known else ())}, key=_place):
        in_sheet = what == "subjects" or (what in ("expressions", "emotion") and (kinds_known or not group))
        number = sheet[what, group] if in_sheet else None
        counts.append(Count(dataset, what, group, published.get((what, group)), number, found[what, group]))
    return counts


def _place(key: tuple[str, str]) -> tuple[int, str]:
    return _ORDER.index(key[0]), key[1]


def _tally(items: Iterable[tuple[str, str, str]]) -> Counter[tuple[str, str]]:
    """Expressions by kind and by emotion, and the subjects who show them."""
    counts: Counter[tuple[str, str]] = Counter()
    people = set()
    for subject, kind, emotion in items:
        people.add(subject)
        counts["expressions", ""] += 1
        counts["expressions", kind] += 1
        if emotion:
            counts["emotion", f"{kind} {emotion}"] += 1
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
            raise UserError(path, f"row {number}", error, "whole numbers") from error
        counts.append(Count(row["dataset"], row["what"], row["group"], values[0], values[1], found))
    return counts
