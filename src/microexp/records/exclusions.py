"""Which videos and expressions could not be used on the way: by the index, and as the last shards know it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from microexp.records.shard import LAYOUT, Subject
from microexp.run import provenance, shard_files, storage
from microexp.run.names import check_identity, check_rows


@dataclass(frozen=True, order=True)
class Exclusion:
    """A video, or an expression of it, that could not be used, and why; results without it are incomplete.

    Attributes:
        subject: empty when a row of the sheet does not tell it.
        video: the same.
    """

    dataset: str
    subject: str
    video: str
    reason: str

    @property
    def place(self) -> str:
        """`dataset/subject/video`, as far as they are known."""
        return "/".join(part for part in (self.dataset, self.subject, self.video) if part)

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


COLUMNS = tuple(f.name for f in fields(Exclusion))


def write_exclusions(path: str | Path, exclusions: Iterable[Exclusion]) -> None:
    """Write a table of exclusions, such as `excluded.csv`."""
    storage.write_csv(path, COLUMNS, map(astuple, exclusions))


def read_exclusions(path: str | Path) -> list[Exclusion]:
    """Read a table of exclusions.

    Raises:
        UserError: naming the file when it is none, or of another data set than its path says.
    """
    table = storage.read_csv(path, COLUMNS)
    check_rows(path, table)
    return [Exclusion(**{c: row[c] for c in COLUMNS}) for row in table]


def all_exclusions(shards: Iterable[Path], tables: Iterable[Path]) -> list[Exclusion]:
    """All that results lack, sorted, each once.

    Args:
        shards: last shards `…/{dataset}/{subject}.h5` of preprocessing; one has a group per video with the attribute
            `excluded`, or a JSON list of [video, reason] of that name.
        tables: those of the data sets: what the index could not take in.
    """
    found = {exclusion for path in tables for exclusion in read_exclusions(path)}
    for path in shards:
        who, excluded = excluded_of(path)
        found |= {Exclusion(who.dataset, who.subject, video, reason) for video, reason in excluded}
    return sorted(found)


def excluded_of(path: Path) -> tuple[Subject, list[tuple[str, str]]]:
    """Whom a shard of any stage is of, and (video, reason) of what it excludes.

    Raises:
        UserError: when it is damaged, has no record, or is of somebody else than its path says.
    """
    with shard_files.open_shard(path) as shard:
        provenance.read_provenance(path)
        check_identity(path, {n: str(shard.attrs[n]) for n in ("dataset", "subject") if n in shard.attrs}, LAYOUT)
        listed = json.loads(shard.attrs.get("excluded") or "[]")
        grouped = [(name, item.attrs.get("excluded", "")) for name, item in shard.items()]
    return Subject.of_path(path), [(str(video), str(reason)) for video, reason in (*listed, *grouped) if reason]
