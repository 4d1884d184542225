"""Stage `shards`: a list of one stage's files for all subjects of an experiment, each with its hash.

Every fold reads the files of all subjects. If each fold named them all, a graph of 1,000 folds would have a million
edges; with the list in between it has thousands. The hashes are there because a fold must run again when a file
changes, and must not when it was only written again with the same bytes.
"""

from __future__ import annotations

from microexp.run import storage
from microexp.run.stage import Job, Params, Stage


class ShardsParams(Params):
    """Options of the stage `shards`: it has none."""


def list_entry(line: str) -> str:
    """The path in a line of the list, which `microexp STAGE --input @LIST` takes for the paths themselves."""
    return line.partition("\t")[0]


def run(job: Job[ShardsParams]) -> None:
    """Write the list."""
    lines = [f"{path}\t{storage.input_hash(path)['sha256']}\n" for path in job.inputs["shards"]]
    storage.write_text(job.output("list"), "".join(lines))


STAGE = Stage(
    name="shards",
    summary="list the files of all subjects with their hashes",
    params=ShardsParams,
    inputs={"shards*": "files made by microexp"},
    outputs={"list": "path, tabulator, SHA-256 per line"},
    run=run,
)
