"""Stage `index-subject`: the part of a data set's index that concerns one subject.

Later stages read this part alone, and it is read from the release alone: nothing that concerns other subjects makes it,
or what comes after it, run again.
"""

from __future__ import annotations

from microexp.datasets.index import open_release, rooted
from microexp.errors import UserError
from microexp.reading.params import IndexStageParams
from microexp.reading.read import list_videos, read_release
from microexp.records.index import write_expressions, write_videos
from microexp.run.stage import Job


def run(job: Job[IndexStageParams]) -> None:
    """Write the videos and expressions of one subject: none when no video of it can be read.

    Raises:
        UserError: when the data set has no such subject.
    """
    subject = job.keys["subject"]
    adapter, release = open_release(job.keys["dataset"], rooted(job))
    if not any(item.subject == subject for item in list_videos(adapter, release)):
        raise UserError(
            file=release.root, where=f"subject {subject}", problem="no video", expected="a subject of the data set"
        )
    index = read_release(adapter, release, subject)
    write_videos(job.output("videos"), index.videos)
    write_expressions(job.output("expressions"), index.expressions, index.videos)
