"""Stage `index-subject`: the part of a data set's index that concerns one subject.

Later stages read only this part, so that a change in one subject's rows re-runs only that subject.
"""

from __future__ import annotations

from microexp.errors import UserError
from microexp.records.exclusions import read_exclusions
from microexp.records.index import read_expressions, read_videos, write_expressions, write_videos
from microexp.run.stage import Job, NoParams


def run(job: Job[NoParams]) -> None:
    """Write the videos and expressions of one subject: none when no video of it can be read.

    Raises:
        UserError: when the index knows no such subject.
    """
    subject = job.keys["subject"]
    every = read_videos(job.input("videos"))
    videos = [v for v in every if v.subject == subject]
    if not videos and not any(e.subject == subject for e in read_exclusions(job.input("excluded"))):
        raise UserError(
            file=job.input("videos"),
            where=f"subject {subject}",
            problem="no video",
            expected="a subject of the data set",
        )
    write_videos(job.output("videos"), videos)
    expressions = read_expressions(job.input("expressions"), every)
    write_expressions(job.output("expressions"), [e for e in expressions if e.subject == subject], videos)
