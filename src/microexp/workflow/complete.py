"""Stage `complete`: the last step of a run, which fails when videos had to be left out and that is not allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from microexp import storage
from microexp.errors import UserError
from microexp.stage import Job, Params, Stage

COLUMNS = ("dataset", "subject", "video", "reason")


class CompleteParams(Params):
    """Options of the stage `complete`."""

    allow_exclusions: bool = Field(False, description="Whether a run with excluded videos counts as complete.")


def exclusions(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """(data set, subject, video, reason) of every excluded video of shard `…/{dataset}/{subject}.h5`.

    A shard has a group per video with the attribute `excluded`, or a JSON list of [video, reason] of that name.
    """
    dataset, subject = path.parent.name, path.stem
    with storage.open_shard(path) as shard:
        listed = json.loads(shard.attrs.get("excluded") or "[]")
        grouped = [(name, item.attrs.get("excluded", "")) for name, item in shard.items()]
    for video, reason in (*listed, *grouped):
        if reason:
            yield dataset, subject, str(video), str(reason)


def run(job: Job[CompleteParams]) -> None:
    """List what was left out; tables and report already stand when this fails.

    Raises:
        UserError: when a video was left out and `allow_exclusions` is false.
    """
    rows = sorted({row for path in job.inputs["shards"] for row in exclusions(path)})
    if rows and not job.params.allow_exclusions:
        dataset, subject, video, reason = rows[0]
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        raise UserError(
            f"{dataset}/{subject}/{video}", "excluded", reason + more, "a complete run",
            "the tables say INCOMPLETE; allow_exclusions: true accepts that",
        )  # fmt: skip
    storage.write_csv(job.output("complete"), COLUMNS, rows)


STAGE = Stage(
    name="complete",
    summary="list excluded videos; fails when there are any, unless they are allowed",
    params=CompleteParams,
    inputs={"shards*": "last shards of every subject (i3d, apexdiff)"},
    outputs={"complete": "excluded videos, CSV (empty when the run is complete)"},
    run=run,
)
