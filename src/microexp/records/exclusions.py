"""Which videos and expressions were left out on the way: by the index, and as the last shards know it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from microexp.records import index as schema
from microexp.records.identity import check_identity
from microexp.records.index import Exclusion
from microexp.records.shard import LAYOUT, Subject
from microexp.run import storage


def read_exclusions(shards: Iterable[Path], left_out: Iterable[Path]) -> list[Exclusion]:
    """All that results lack, sorted, each once.

    Args:
        shards: last shards `…/{dataset}/{subject}.h5` of preprocessing; one has a group per video with the attribute
            `excluded`, or a JSON list of [video, reason] of that name.
        left_out: `left_out.csv` of the data sets: what the index could not take in.
    """
    found = {exclusion for path in left_out for exclusion in schema.read_exclusions(path)}
    for path in shards:
        who, excluded = excluded_of(path)
        found |= {Exclusion(who.dataset, who.subject, video, reason) for video, reason in excluded}
    return sorted(found)


def excluded_of(path: Path) -> tuple[Subject, list[tuple[str, str]]]:
    """Whom a shard of any stage is of, and (video, reason) of what it excludes.

    Raises:
        UserError: when it is damaged, or of somebody else than its path says.
    """
    with storage.open_shard(path) as shard:
        storage.read_provenance(path)
        check_identity(path, {n: str(shard.attrs[n]) for n in ("dataset", "subject") if n in shard.attrs}, LAYOUT)
        listed = json.loads(shard.attrs.get("excluded") or "[]")
        grouped = [(name, item.attrs.get("excluded", "")) for name, item in shard.items()]
    return Subject.of_path(path), [(str(video), str(reason)) for video, reason in (*listed, *grouped) if reason]
