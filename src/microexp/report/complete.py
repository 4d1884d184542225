"""Stage `complete`: the last step of a run, which fails when videos had to be excluded and that is not allowed."""

from __future__ import annotations

from pydantic import Field

from microexp.errors import UserError
from microexp.records.exclusions import all_exclusions, write_exclusions
from microexp.run.stage import Job, Params


class CompleteParams(Params):
    """Options of the stage `complete`."""

    allow_exclusions: bool = Field(False, description="Whether a run with excluded videos counts as complete.")


def run(job: Job[CompleteParams]) -> None:
    """List what was excluded; tables and report are already written when this fails.

    Raises:
        UserError: when a video or an expression was excluded and `allow_exclusions` is false.
    """
    found = all_exclusions(job.inputs["shards"], job.inputs["excluded"])
    if found and not job.params.allow_exclusions:
        first = found[0]
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise UserError(
            file=first.place,
            where="excluded",
            problem=first.reason + more,
            expected="a complete run",
            hint="the tables say INCOMPLETE; allow_exclusions: true accepts that",
        )
    write_exclusions(job.output("complete"), found)
