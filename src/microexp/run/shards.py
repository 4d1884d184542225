"""Stage `shards`: a list of one stage's files for all subjects of an experiment, each with its hash.

Every fold reads the files of all subjects. If each fold named them all, a graph of 1,000 folds would have a million
edges; with the list in between it has thousands. The hashes are there because a fold must run again when a file
changes, and must not when it was only written again with the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from microexp.errors import UserError
from microexp.run import provenance, storage
from microexp.run.stage import Job, NoParams


def read_list(path: Path) -> list[Path]:
    """The files that a list names.

    Raises:
        UserError: when there is no such list.
    """
    try:
        return [Path(line.partition("\t")[0]) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(file=path, problem=error, expected="a list that the stage shards wrote") from error


def run(job: Job[NoParams]) -> None:
    """Write the list."""
    lines = [f"{path}\t{provenance.input_hash(path)['sha256']}\n" for path in job.inputs["shards"]]
    storage.write_text(job.output("list"), "".join(lines))
