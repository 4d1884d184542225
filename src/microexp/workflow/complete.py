"""Stage `complete`: the last step of a run, which fails when videos had to be left out and that is not allowed."""

from __future__ import annotations

from dataclasses import astuple

from pydantic import Field

from microexp import storage
from microexp.errors import UserError
from microexp.evaluation.exclusions import read_exclusions
from microexp.stage import Job, Params, Stage

COLUMNS = ("dataset", "subject", "video", "reason")


class CompleteParams(Params):
    """Options of the stage `complete`."""

    allow_exclusions: bool = Field(False, description="Whether a run with excluded videos counts as complete.")


def run(job: Job[CompleteParams]) -> None:
    """List what was left out; tables and report already stand when this fails.

    Raises:
        UserError: when a video was left out and `allow_exclusions` is false.
    """
    rows = [astuple(e) for e in read_exclusions(job.inputs["shards"])]
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
