"""What Snakemake's scheduler does too often."""

from __future__ import annotations

from typing import Any

USUAL = (100, 1)
"""Jobs, and seconds in which no more may start, unless the user says otherwise (`--max-jobs-per-timespan`)."""


def look_at_events_alone(scheduler: Any) -> None:
    """Have Snakemake choose jobs when one has ended, and not by the clock as well.

    To keep its limit of jobs per second, Snakemake 9 looks at all waiting jobs again a second after each look. Each job
    that ends begins such a chain of looks, and none of them ends before no job waits. So the main process needs ever
    more time: 40 % of a core towards the end of a demo of 230 jobs. A limit that the user sets stays.

    Args:
        scheduler: of the workflow that is about to run.
    """
    limit = getattr(scheduler, "job_rate_limiter", None)
    if limit is not None and (limit.max_jobs, limit.timespan) == USUAL:
        scheduler.job_rate_limiter = None
