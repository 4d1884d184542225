"""Re-check every file under a results folder, and say which must be made again.

Checked are: a provenance record beside each file, the record's own hash, whether the file is where it was written, its
size and SHA-256; whether what it was made from is still the same; of shards every chunk, the shapes and types that
`records` declares, and whether they are of whom their path says; checkpoints; temporary files and records that a killed
run left. What the system does not let us read is named and is no damage.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microexp.errors import UserError
from microexp.records import apexdiff, features
from microexp.records.crops import Crops
from microexp.records.faces import Faces
from microexp.records.flow import Flow
from microexp.records.shard import Kind, check_shard
from microexp.run import bundle, provenance, shard_files, storage
from microexp.run.log import track
from microexp.run.names import check_identity, check_place, check_rows
from microexp.run.runner import made_by

if TYPE_CHECKING:
    import h5py

# What is wrong with the inside of any file that stages exchange: what its kind promises, and whom it is of.

KINDS = {kind.stage: kind for kind in (Faces.KIND, Crops.KIND, Flow.KIND, apexdiff.KIND)}
"""Stage -> its kind of shard."""


def kind_of(path: Path, stage: str) -> Kind | None:
    """The kind that a shard has to be of.

    Args:
        path: where it is: a stage's folder counts, and `features/{stream}`.
        stage: that made it, as its provenance says.
    """
    folders = [folder.name for folder in path.absolute().parents]
    if len(folders) > 2 and folders[2] == features.KIND.stage:
        return features.KIND
    return KINDS.get(folders[1]) or KINDS.get(stage)


def shard_problem(file: h5py.File, path: Path, stage: str) -> str | None:
    """What an open shard has that it should not, or lacks; None when it is right or of no known kind.

    Args:
        file: the shard.
        path: where it is.
        stage: that made it, as its provenance says.
    """
    kind = kind_of(path, stage)
    try:
        if kind is not None:
            check_shard(file, path, kind)
    except UserError as error:
        return _words(error)
    return _snippet_problem(file) if str(file.attrs.get("stream", "")).startswith("i3d_") else None


def _snippet_problem(file: h5py.File) -> str | None:
    """I3D makes as many features as its snippets fit into the frames that have a flow; what is too short is padded."""
    for name, group in file.items():
        if group.attrs["excluded"]:
            continue
        frames, clip, step = (int(group.attrs[k]) for k in ("n_frames", "clip_frames", "step_frames"))
        expected = max(0, frames - 1 - clip) // step + 1
        if len(group["features"]) != expected:
            return f"{name}: features: {len(group['features'])} snippets, expected {expected}"
    return None


def table_problem(path: Path) -> str | None:
    """What is wrong with the identity of a CSV file; None when it is right or has none."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            check_rows(path, csv.DictReader(file))
    except UserError as error:
        return _words(error)
    return None


def _words(error: UserError) -> str:
    """The error without file and hint, which who asks adds."""
    parts = [str(error.where), error.what] if error.where else [error.what]
    return ": ".join(parts) + (f"; expected {error.expected}" if error.expected else "")


NOT_RESULTS = ("README.md", ".gitkeep", ".gitignore")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file.

    Attributes:
        path: the file.
        what: in words.
        remove: files that have to go before the next run makes the right ones: empty where no content is proved wrong.
        leftover: whether it is wrong only if no job is at work.
    """

    path: Path
    what: str
    remove: tuple[Path, ...] = ()
    leftover: bool = False


Records = Mapping[Path, dict[str, Any]]
"""Files with an intact record -> that record."""


def check_folder(results: Path) -> Iterator[Problem]:
    """Problems of every file under `results`, in the order of their names.

    Raises:
        UserError: when `results` is not a folder.
    """
    if not results.is_dir():
        raise UserError(file=results, problem="no such folder", expected="the results of a run")
    hidden: list[Problem] = []
    files = sorted(p for p in files_under(results, hidden) if p.name not in NOT_RESULTS)
    yield from hidden
    records = {path: record for path in files if (record := _record(path))}
    for path in track(files, "verify"):
        problem = check_file(path) or _check_inputs(path, results, records)
        if problem is not None:
            yield problem


def other_sources(results: Path, own: str) -> dict[str, dict[str, int]]:
    """Stage -> version and source of microexp -> files, of results that were made by another source than `own`.

    They are intact, and no run makes them again for that: only a raised version of a stage does.

    Args:
        results: folder of a run.
        own: version and source, as `run.runner.made_by` says them.
    """
    found: dict[str, Counter[str]] = {}
    for path in sorted(files_under(results, [])):
        record = _record(path) if path.name not in NOT_RESULTS else {}
        if "code" in record and made_by(record) != own:
            found.setdefault(str(record.get("stage")), Counter())[made_by(record)] += 1
    return {stage: dict(sources) for stage, sources in sorted(found.items())}


def files_under(folder: Path, hidden: list[Problem]) -> Iterator[Path]:
    """Every file under `folder`, also through links to folders; what cannot be looked into goes to `hidden`."""

    def refused(error: OSError) -> None:
        """Remember a folder that cannot be looked into."""
        hidden.append(Problem(Path(str(error.filename)), f"cannot be looked into ({error.strerror})"))

    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link back up
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place, name) for name in names)
        yield from (Path(place, name) for name in folders if name.startswith(storage.TEMPORARY))


def _record(path: Path) -> dict[str, Any]:
    if _is_other(path):
        return {}
    try:
        return provenance.read_provenance(path)
    except (UserError, OSError):
        return {}


def _is_other(path: Path) -> bool:
    """Whether `path` is no result, so that it has no record."""
    return path.name.startswith(storage.TEMPORARY) or path.name.endswith((provenance.PROVENANCE, bundle.SUFFIX))


def _check_inputs(path: Path, results: Path, records: Records) -> Problem | None:
    """Whether a file was made from what is there now; inputs that are not there, or have no record, tell nothing."""
    for entries in records.get(path, {}).get("inputs", {}).values():
        for entry in entries:
            name, stage = entry["file"], str(entry.get("stage"))
            what = f"was made from another {name} ({stage}) than is there now"
            if "path" in entry:
                now = records.get(results.joinpath(*Path(entry["path"]).parts[1:]))
                if now is not None and now["sha256"] != entry["sha256"]:
                    return Problem(path, what, _with_record(path))
            elif "stage" in entry and not _may_be_there(name, stage, entry["sha256"], records):
                return Problem(path, what)
    return None


def _may_be_there(name: str, stage: str, sha256: str, records: Records) -> bool:
    """Whether some file of this name and stage has this hash; true, too, where there is none to compare with."""
    known = {r["sha256"] for p, r in records.items() if p.name == name and str(r.get("stage")) == stage}
    return not known or sha256 in known


def _with_record(path: Path) -> tuple[Path, ...]:
    return path, provenance.provenance_path(path)


def check_file(path: Path) -> Problem | None:
    """What is wrong with `path`, or None; nothing that a file holds, and nothing that the system says of it, gets out
    of here as an exception."""
    try:
        return _check_file(path)
    except storage.Damaged as error:
        return Problem(path, error.what, (path,) if _is_other(path) else _with_record(path))
    except UserError as error:
        return Problem(path, error.what)
    except OSError as error:
        return Problem(path, f"cannot be read ({error.strerror or error})")
    except Exception as error:
        return Problem(path, f"could not be checked ({type(error).__name__}: {error})")


def _check_file(path: Path) -> Problem | None:
    if path.name.startswith(storage.TEMPORARY):
        return Problem(path, "a temporary file, left by a job that was killed", (path,), leftover=True)
    if path.name.endswith(bundle.SUFFIX):
        bundle.check(path)
        return None
    if path.name.endswith(provenance.PROVENANCE):
        return _check_record(path)
    if path.is_symlink() and not path.exists():
        return Problem(path, "a link to nothing")
    if not path.is_file():
        return Problem(path, "no file")
    try:
        record = provenance.read_provenance(path)
    except storage.Damaged:
        return None  # named with the record
    provenance.check_content(path, record)
    try:
        check_place(path, record, anywhere=False)
    except UserError as error:  # the content is right, and somebody else's
        name = f"{error.where}: " if error.where else ""
        return Problem(path, f"{name}{error.what}; expected {error.expected}", _with_record(path))
    return _check_inside(path, str(record.get("stage")))


def _check_inside(path: Path, stage: str) -> Problem | None:
    """What is wrong inside a file with the bytes that were written. Nothing is deleted for that, since another version
    of this program or of HDF5 may see it otherwise; unless the file itself says that it is of somebody else."""
    if path.suffix == ".csv":
        wrong = table_problem(path)
        return Problem(path, wrong, _with_record(path)) if wrong else None
    if path.suffix != ".h5":
        return None
    try:
        other, wrong = shard_files.examine(path, lambda s: (of_another(s, path, stage), shard_problem(s, path, stage)))
    except storage.Damaged as error:
        return Problem(path, f"cannot be read, though its bytes are as they were written: {error.what}")
    return Problem(path, wrong, _with_record(path) if other else ()) if wrong else None


def of_another(file: h5py.File, path: Path, stage: str) -> bool:
    """Whether a shard says of itself that it belongs to another place."""
    kind = kind_of(path, stage)
    if kind is None:
        return False
    try:
        check_identity(path, {n: str(file.attrs[n]) for n in kind.identity if n in file.attrs}, kind.layout)
    except UserError:
        return True
    return False


def _check_record(path: Path) -> Problem | None:
    described = path.with_name(path.name.removesuffix(provenance.PROVENANCE))
    try:
        described.lstat()
    except FileNotFoundError:
        if _record(described).get("deleted_later"):  # as the option `keep` says; the record tells what there was
            return None
        return Problem(path, f"a record of {described.name}, which is not there", (path,))
    try:
        provenance.read_provenance(described)
    except storage.Damaged as error:  # nothing vouches for the file any more, and no stage reads it
        return Problem(path, error.what, _with_record(described))
    return None


def delete(problems: Iterable[Problem], say: Callable[[str], Any], *, alone: bool, dry_run: bool) -> None:
    """Delete what is proved wrong, so that the next run makes it again; say of each file what happens to it and why.

    Args:
        problems: as `check_folder` found them.
        say: takes each line.
        alone: whether no job can be at work: only then is a temporary file a leftover.
        dry_run: say it, and do nothing.
    """
    for problem in problems:
        if problem.leftover and not alone:
            say(f"kept {problem.path}: without locks nobody can tell whether a job is writing it")
        elif not problem.remove:
            say(f"kept {problem.path}: {problem.what}, which proves nothing about its content")
        for path in problem.remove if alone or not problem.leftover else ():
            if dry_run:
                say(f"would delete {path}: {problem.what}")
            else:
                say(f"deleted {path}: {problem.what}" if (why := _remove(path)) is None else f"kept {path}: {why}")


def _remove(path: Path) -> str | None:
    """Delete a file or folder; returns why it is still there."""
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    except OSError as error:
        return f"cannot be deleted ({error.strerror or error})"
    return None
