"""Which videos and expressions were left out on the way: by the index, and as the last shards know it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from microexp.records import index as schema
from microexp.records.index import Exclusion
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
        with storage.open_shard(path) as shard:
            listed = json.loads(shard.attrs.get("excluded") or "[]")
            grouped = [(name, item.attrs.get("excluded", "")) for name, item in shard.items()]
        found |= {Exclusion(path.parent.name, path.stem, str(v), str(r)) for v, r in (*listed, *grouped) if r}
    return sorted(found)
