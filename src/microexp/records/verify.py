"""`microexp verify results`: re-check every file under a results folder, and say which must be made again.

Checked are: a provenance record beside each file and its size and SHA-256; whether what it was made from is still the
same; of shards every checksummed chunk, the shapes and types that `records` declares, and whether they are of whom
their path says; temporary files and records that a killed run left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microexp.errors import UserError
from microexp.records.check import shard_problem, table_problem
from microexp.run import hdf5, storage
from microexp.run.log import log, track

NOT_RESULTS = ("README.md", ".gitkeep", ".gitignore")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file."""

    path: Path
    what: str


def check_folder(results: Path) -> Iterator[Problem]:
    """Problems of every file under `results`, in the order of their names.

    Raises:
        UserError: when `results` is not a folder.
    """
    if not results.is_dir():
        raise UserError(file=results, problem="no such folder", expected="the results of a run")
    files = sorted(p for p in results.rglob("*") if p.is_file() and p.name not in NOT_RESULTS)
    present = _present(files)
    for path in track(files, "verify"):
        what = check_file(path) or _check_inputs(path, present)
        if what is not None:
            yield Problem(path, what)


def _present(files: Iterable[Path]) -> dict[tuple[str, str], set[str]]:
    """(stage, name) -> hashes of the files there, as their records have them."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in files:
        if record := _record(path):
            found.setdefault((str(record.get("stage")), path.name), set()).add(record["sha256"])
    return found


def _record(path: Path) -> dict[str, Any]:
    try:
        return storage.read_provenance(path)
    except UserError:
        return {}


def _check_inputs(path: Path, present: Mapping[tuple[str, str], set[str]]) -> str | None:
    """Whether a file was made from what is there now; inputs of which there is no file at all are passed over."""
    for entries in _record(path).get("inputs", {}).values():
        for entry in entries:
            name, stage = entry["file"], entry.get("stage")
            known = present.get((str(stage), name))
            if stage and known and entry["sha256"] not in known:
                return f"was made from another {name} ({stage}) than is there now"
    return None


def check_file(path: Path) -> str | None:
    """What is wrong with `path`, or None."""
    if path.name.startswith(storage.TEMPORARY):
        return "a temporary file, left by a job that was killed"
    if path.name.endswith(storage.PROVENANCE):
        return _check_record(path)
    try:
        record = storage.read_provenance(path)
    except UserError as error:
        return error.what
    size = path.stat().st_size
    if size != record.get("size_bytes"):
        return f"{size} bytes, was written with {record.get('size_bytes')}"
    if storage.file_sha256(path) != record["sha256"]:
        return "its bytes have changed since it was written (SHA-256)"
    if path.suffix == ".csv":
        return table_problem(path)
    return _check_shard(path, str(record.get("stage"))) if path.suffix == ".h5" else None


def _check_record(path: Path) -> str | None:
    described = path.with_name(path.name.removesuffix(storage.PROVENANCE))
    if not described.is_file():
        return f"a record of {described.name}, which is not there"
    try:
        storage.read_provenance(described)
    except UserError as error:
        return error.what
    return None


def _check_shard(path: Path, stage: str) -> str | None:
    try:
        with storage.open_shard(path) as file:
            hdf5.read_through(file)
            return shard_problem(file, path, stage)
    except Exception as error:  # on damaged files h5py raises nearly anything
        return f"cannot be read: {error}"


def delete(problems: list[Problem], say: Callable[[str], Any] = log) -> None:
    """Delete what is damaged, with its record, so that the next run makes it again."""
    for problem in problems:
        problem.path.unlink(missing_ok=True)
        if not problem.path.name.endswith(storage.PROVENANCE):
            storage.provenance_path(problem.path).unlink(missing_ok=True)
        say(f"deleted {problem.path}")
