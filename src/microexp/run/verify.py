"""`microexp verify results`: re-check every file under a results folder, and say which must be made again.

Checked are: a provenance record beside each file and its size and SHA-256; whether what it was made from is still the
same; of shards every checksummed chunk and the shapes that the stages agreed on; temporary files and records that a
killed run left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microexp.errors import UserError
from microexp.run import hdf5, storage
from microexp.run.log import log, track

if TYPE_CHECKING:
    import h5py

Shape = tuple[int | str, ...]
NOT_RESULTS = ("README.md", ".gitkeep", ".gitignore")

PER_VIDEO: dict[str, dict[str, Shape]] = {
    # stage: array of each video -> shape; equal letters are equal numbers within a video
    "faces": {
        "frames": ("K",), "boxes": ("K", 4), "landmarks": ("K", 68, 2), "score": ("K",),
        "reference": (68, 2), "alignment": (2, 3),
    },
    "crops": {"frames": ("T", "S", "S", "C"), "frame_index": ("T",)},
    "flow": {"flow": ("P", "S", "S", 2)},
    "motion": {"features": ("F", "C"), "frame_index": ("T",)},
    **{s: {"features": ("F", "C"), "frame_index": ("T",)} for s in ("i3d-rgb", "i3d-flow", "given")},
}  # fmt: skip
PER_SUBJECT: dict[str, dict[str, Shape]] = {
    "apexdiff": {
        "difference": ("N", "s", "s"), "flow": ("N", "s", "s", 2), "strain": ("N", "s", "s"), "video": ("N",),
        "expression": ("N",), "onset": ("N",), "apex": ("N",), "offset": ("N",), "kind": ("N",), "emotion": ("N",),
        "aus": ("N",),
    },
}  # fmt: skip


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
        with storage.open_shard(path) as shard:
            hdf5.read_through(shard)
            if stage in PER_SUBJECT:
                return _check_shapes(shard, PER_SUBJECT[stage], "")
            for video, group in shard.items():
                wrong = None if group.attrs.get("excluded", "") else _check_video(group, stage, f"{video}/")
                if wrong:
                    return wrong
    except Exception as error:  # on damaged files h5py raises nearly anything
        return f"cannot be read: {error}"
    return None


def _check_video(group: h5py.Group, stage: str, where: str) -> str | None:
    return _check_shapes(group, PER_VIDEO.get(stage, {}), where)


def _check_shapes(group: h5py.Group, shapes: dict[str, Shape], where: str) -> str | None:
    lengths: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in group:
            return f"{where}{name} is missing"
        got = group[name].shape
        fits = len(got) == len(shape) and all(
            lengths.setdefault(want, n) == n if isinstance(want, str) else want == n
            for n, want in zip(got, shape, strict=True)
        )
        if not fits:
            return f"{where}{name} has shape {got}, expected ({', '.join(map(str, shape))})"
    return None


def delete(problems: list[Problem], say: Callable[[str], Any] = log) -> None:
    """Delete what is damaged, with its record, so that the next run makes it again."""
    for problem in problems:
        problem.path.unlink(missing_ok=True)
        if not problem.path.name.endswith(storage.PROVENANCE):
            storage.provenance_path(problem.path).unlink(missing_ok=True)
        say(f"deleted {problem.path}")
