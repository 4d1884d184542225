"""Which videos were left out on the way, as the last shards of preprocessing know it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from microexp import storage


@dataclass(frozen=True, order=True)
class Exclusion:
    """A video (or an expression of it) that could not be used, and why."""

    dataset: str
    subject: str
    video: str
    reason: str


def read_exclusions(shards: Iterable[Path]) -> list[Exclusion]:
    """What shards `…/{dataset}/{subject}.h5` leave out, sorted, each once.

    A shard has a group per video with the attribute `excluded`, or a JSON list of [video, reason] of that name.
    """
    found = set()
    for path in shards:
        with storage.open_shard(path) as shard:
            listed = json.loads(shard.attrs.get("excluded") or "[]")
            grouped = [(name, item.attrs.get("excluded", "")) for name, item in shard.items()]
        found |= {Exclusion(path.parent.name, path.stem, str(v), str(r)) for v, r in (*listed, *grouped) if r}
    return sorted(found)
