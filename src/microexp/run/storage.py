"""The one door for files: everything that microexp writes goes through here, everything it wrote is checked here.

A file is written under a unique temporary name in its own folder, flushed to disk and renamed, so a final name never
holds half a file. Beside each result lies `NAME.prov.json` with its SHA-256 and what it was made from.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.run.identity import check_place
from microexp.run.text_safety import csv_cell, from_csv

if TYPE_CHECKING:
    import h5py

TEMPORARY = ".microexp-tmp-"
PROVENANCE = ".prov.json"
RECORD_HASH = "record_sha256"
"""Key of a record's hash over its own bytes, which are hashed with 64 zeros in its place."""
OF_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""Errors that only writing meets; all others may be of an input that is read meanwhile."""

_RECORD_HASH = re.compile(rb'"' + RECORD_HASH.encode() + rb'": "([0-9a-f]{64})"')


class Damaged(UserError):
    """A file with content that is proved wrong: only such a file may be deleted on its own account."""


class Unreadable(UserError):
    """A file that the system did not let us read: nothing is known of its content."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed to `path`, on failure removed.

    Raises:
        UserError: when the folder cannot be written or the disk is full. An error of another file passes through.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        with _blamed_on(path):
            _make_folder(path.parent)
        try:
            yield temporary
        except OSError as error:
            if str(error.filename) != str(temporary) and (error.filename or error.errno not in OF_WRITING):
                raise
            raise _not_written(path, error) from error
        with _blamed_on(path):
            _fsync(temporary)
            temporary.replace(path)
            _fsync(path.parent)
    finally:
        with suppress(OSError):  # a read-only file system says so, even of a file that was never there
            temporary.unlink()


@contextmanager
def scratch(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that is gone afterwards; what a killed job leaves goes with the next run.

    Raises:
        UserError: when the folder cannot be made.
    """
    folder = _temporary(Path(path))
    with _blamed_on(folder):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-{path.name}")


def _not_written(path: Path, error: OSError) -> UserError:
    return UserError(
        file=path, problem=error.strerror or error, expected="a folder that can be written and room on the disk"
    )


@contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    """For what does nothing but write `path`: any error of the system is one of writing it."""
    try:
        yield
    except OSError as error:
        raise _not_written(path, error) from error


def _make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it; a new folder is on disk only when the one above it is."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        _fsync(made.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic(path) as temporary, _blamed_on(Path(path)):
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys."""
    write_text(path, _json(value))


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, default=_plain) + "\n"


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under a header; None becomes an empty field, floats keep every digit (`repr`).

    Text that a spreadsheet program would run as a formula gets an apostrophe before it, which `read_csv` takes away.
    """
    write_text(path, "".join(_row(row) for row in (columns, *rows)))


def _row(values: Iterable[object]) -> str:
    """A line of a CSV; `csv` puts what breaks lines into quotes only when it is part of its own line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_field(v) for v in values])
    return text.getvalue()[:-2] + "\n"


def _field(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, (np.floating, float)):
        return repr(float(value))
    return csv_cell(value) if isinstance(value, str) else value


def read_csv(path: str | Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV as text by column name.

    Raises:
        UserError: when the file is missing, is not text, or lacks one of `columns`.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [c for c in columns if c not in (reader.fieldnames or [])]
            if missing:
                raise UserError(
                    file=path,
                    where="header",
                    problem=",".join(reader.fieldnames or []) or "nothing",
                    expected=" and ".join(f"a column {name!r}" for name in missing),
                )
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(file=path, problem=error, expected="a readable CSV file in UTF-8") from error
    for number, row in enumerate(rows, 2):
        if None in row or any(v is None for v in row.values()):
            raise UserError(
                file=path,
                where=f"row {number}",
                problem="another number of fields",
                expected=f"{len(row)} fields as in the header",
            )
    return [{name: from_csv(cell) for name, cell in row.items()} for row in rows]


# --- HDF5 shards ------------------------------------------------------------------------------------------------------


@contextmanager
def create_shard(path: str | Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file that appears under `path` only when the block ends and everything reached the disk.

    Raises:
        UserError: when the folder cannot be written or the disk is full.
    """
    import h5py

    from microexp.run.hdf5 import Remembering

    with atomic(path) as temporary, Remembering(temporary) as target:
        try:
            with h5py.File(target, "w", libver="v110", track_order=True) as file:
                yield file
        except Exception:  # after a failed write HDF5 may meet what it could not write
            if target.error is None:
                raise
        if target.error is not None:
            raise _not_written(Path(path), target.error) from target.error


def add_array(
    group: h5py.Group,
    name: str,
    data: np.ndarray | None = None,
    shape: tuple[int, ...] | None = None,
    dtype: Any = None,
    chunks: tuple[int, ...] | None = None,
) -> h5py.Dataset:
    """Add a data set with blosc-lz4 + shuffle and a checksum per chunk.

    Give `data`, or `shape` and `dtype` to fill it later.

    Default chunks are one entry of the first axis (a frame).
    """
    import hdf5plugin

    if data is not None:
        shape, dtype = data.shape, data.dtype
    assert shape is not None
    if not shape or 0 in shape:  # HDF5 cannot chunk what is empty
        return group.create_dataset(name, data=data, shape=shape, dtype=dtype)
    return group.create_dataset(
        name,
        data=data,
        shape=shape,
        dtype=dtype,
        chunks=chunks or (1, *shape[1:]) if len(shape) > 1 else True,
        fletcher32=True,
        **hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE),
    )


@contextmanager
def open_shard(path: str | Path) -> Iterator[h5py.File]:
    """Open a shard for reading, without a lock: it is finished, and many file systems of clusters refuse locks.

    Raises:
        Damaged: naming the file when its content is proved wrong, also when that shows only while reading.
        Unreadable: when the system does not let us read it.
        UserError: when it is missing.
    """
    import h5py
    import hdf5plugin  # noqa: F401  registers blosc

    path = Path(path)
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError as error:
        raise UserError(
            file=path,
            problem="no such file",
            expected="a shard written by microexp",
            hint="run the stage that makes it",
        ) from error
    except (OSError, RuntimeError) as error:
        raise _trouble(path) or unreadable(path, error) from error
    with file:
        try:
            yield file
        except (KeyError, OSError, RuntimeError) as error:  # HDF5 does not say which of the open files it was reading
            trouble = _trouble(path) or (unreadable(path, error) if f"filename = '{path}'" in str(error) else None)
            if trouble is None:
                raise
            raise trouble from error


def _trouble(path: Path) -> UserError | None:
    """What is wrong with a shard that HDF5 complained of; None when its content is as it was written.

    A record decides by the hash of the bytes. Without one HDF5 reads all of them again, through a door that tells what
    the system refused from what HDF5 found.
    """
    from microexp.run.hdf5 import examine

    try:
        if provenance_path(path).exists():
            check_content(path, read_provenance(path))
        else:
            examine(path, lambda shard: None)
    except UserError as trouble:
        return trouble
    except OSError as error:
        return unreadable(path, error)
    return None


def unreadable(path: Path, error: Exception) -> Unreadable:
    """The error for a file that the system does not let us read."""
    return Unreadable(
        file=path,
        problem=f"cannot be read ({getattr(error, 'strerror', None) or error})",
        expected="a file that the system lets us read",
        hint="nothing is known of its content: do not delete it on this account",
    )


def damaged(path: Path, problem: str) -> Damaged:
    """The error for a file with content that is proved wrong."""
    return Damaged(file=path, problem=problem, hint="delete it and run again")


def set_attributes(target: h5py.Group | h5py.Dataset, values: Mapping[str, object]) -> None:
    """Set HDF5 attributes; None becomes an empty string."""
    for key, value in values.items():
        target.attrs[key] = "" if value is None else value


# --- provenance -------------------------------------------------------------------------------------------------------


def file_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance_path(path: str | Path) -> Path:
    """Path of the provenance of result `path`."""
    path = Path(path)
    return path.with_name(path.name + PROVENANCE)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What is known of result `path`; the record is believed only when its own hash fits its bytes.

    Raises:
        Damaged: when the record is not as it was written.
        Unreadable: when the system does not let us read it.
        UserError: when there is none.
    """
    beside = provenance_path(path)
    try:
        data = beside.read_bytes()
    except FileNotFoundError as error:
        raise UserError(file=path, problem="no provenance", expected=f"{beside.name} beside it") from error
    except OSError as error:
        raise unreadable(beside, error) from error
    own = _RECORD_HASH.findall(data)
    if len(own) != 1 or _own_hash(data, own[0]) != own[0].decode():
        raise damaged(beside, "a damaged provenance record (its own SHA-256 differs)")
    try:
        record = json.loads(data)
    except ValueError as error:
        raise damaged(beside, "a damaged provenance record (no JSON)") from error
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise damaged(beside, "a damaged provenance record (no SHA-256)")
    return record


def _own_hash(data: bytes, own: bytes) -> str:
    return hashlib.sha256(data.replace(own, b"0" * 64)).hexdigest()


def write_provenance(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write the provenance of result `path`, with its size and SHA-256 as they are now, and a hash of its own."""
    path = Path(path)
    zeros = "0" * 64
    whole = {**record, "size_bytes": path.stat().st_size, "sha256": file_sha256(path), RECORD_HASH: zeros}
    text = _json(whole)
    place = text.rindex(f'"{RECORD_HASH}": "{zeros}"')
    own = hashlib.sha256(text.encode()).hexdigest()
    write_text(provenance_path(path), text[:place] + text[place:].replace(zeros, own, 1))


def remove_provenance(path: str | Path) -> None:
    """Remove the provenance of result `path`, if there is any, before the result is written anew.

    Raises:
        UserError: when that is not allowed.
    """
    with _blamed_on(Path(path)):
        provenance_path(path).unlink(missing_ok=True)


def check_content(path: Path, record: Mapping[str, Any]) -> None:
    """Compare size and SHA-256 of `path` with its record.

    Raises:
        Damaged: when they differ.
        Unreadable: when the system does not let us read the file.
    """
    try:
        size = path.stat().st_size
        if size != record.get("size_bytes"):
            raise damaged(path, f"{size} bytes, was written with {record.get('size_bytes')}")
        if file_sha256(path) != record["sha256"]:
            raise damaged(path, "its bytes have changed since it was written (SHA-256)")
    except OSError as error:
        raise unreadable(path, error) from error


def input_hash(path: str | Path, *, anywhere: bool = True) -> dict[str, Any]:
    """Name, stage, SHA-256 and path in the run's folder of an input with a record; of a foreign one name and SHA-256.

    All of the file is read, whatever its size: SHA-256 runs at about 1.2 GB/s, the checksums inside a shard cannot tell
    0x0000 from 0xFFFF.

    Args:
        path: the input.
        anywhere: whether it may lie at a place of another form than it was written for, as a copy may.

    Raises:
        Damaged: when the input, or its record, is not as it was written.
        Unreadable: when the system does not let us read it.
        UserError: when it was moved to another unit's place.
    """
    path = Path(path)
    try:
        if not provenance_path(path).exists():
            return {"file": path.name, "sha256": file_sha256(path)}
        record = read_provenance(path)
    except OSError as error:
        raise unreadable(path, error) from error
    check_content(path, record)
    check_place(path, record, anywhere=anywhere)
    known = {"file": path.name, "stage": record.get("stage"), "sha256": record["sha256"]}
    return known if path.is_absolute() or ".." in path.parts else {**known, "path": path.as_posix()}


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
