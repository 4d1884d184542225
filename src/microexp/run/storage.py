"""The one door for files: everything that microexp writes goes through here, everything it wrote is checked here.

A file is written under a unique temporary name in its own folder, flushed to disk and renamed, so a final name never
holds half a file. Beside each result stands `NAME.prov.json` with its SHA-256 and what it was made from.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError

if TYPE_CHECKING:
    import h5py

TEMPORARY = ".microexp-tmp-"
PROVENANCE = ".prov.json"
OF_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""Errors that only writing meets; all others may be of an input that is read meanwhile."""
HASHED_BYTES = 1 << 26
"""Inputs up to this size are hashed each time that they are read; a stage reads larger ones for minutes."""


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
            path.parent.mkdir(parents=True, exist_ok=True)
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
    write_text(path, json.dumps(value, indent=1, sort_keys=True, default=_plain) + "\n")


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows under a header; None becomes an empty field, floats keep every digit (`repr`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_field(v) for v in row] for row in rows)
    write_text(path, text.getvalue())


def _field(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, (np.floating, float)):
        return repr(float(value))
    return value


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
    return rows


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
    """Open a shard for reading.

    Raises:
        UserError: naming the file when it is missing, truncated or damaged, also when that shows only while reading.
    """
    import h5py
    import hdf5plugin  # noqa: F401  registers blosc

    from microexp.run.hdf5 import damage_of

    path = Path(path)
    if not path.is_file():
        raise UserError(
            file=path,
            problem="no such file",
            expected="a shard written by microexp",
            hint="run the stage that makes it",
        )
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (KeyError, OSError, RuntimeError) as error:  # HDF5 does not say which of the open files it was reading
        damage = damage_of(path)
        if damage is None:
            raise
        raise UserError(
            file=path, problem=f"damaged data ({damage})", expected="an intact shard", hint="delete it and run again"
        ) from error


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
    """Where the provenance of result `path` stands."""
    path = Path(path)
    return path.with_name(path.name + PROVENANCE)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What is known of result `path`.

    Raises:
        UserError: when there is none or it is not valid JSON.
    """
    beside = provenance_path(path)
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(file=path, problem="no readable provenance", expected=f"{beside.name} beside it") from error
    if not isinstance(record, dict) or "sha256" not in record:
        raise UserError(file=beside, problem="no provenance record", expected="a JSON object with sha256")
    return record


def write_provenance(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write the provenance of result `path`, with its size and SHA-256 as they are now."""
    path = Path(path)
    write_json(provenance_path(path), {**record, "size_bytes": path.stat().st_size, "sha256": file_sha256(path)})


def remove_provenance(path: str | Path) -> None:
    """Remove the provenance of result `path`, if there is any, before the result is written anew.

    Raises:
        UserError: when that is not allowed.
    """
    with _blamed_on(Path(path)):
        provenance_path(path).unlink(missing_ok=True)


def input_hash(path: str | Path) -> dict[str, Any]:
    """Name, stage and SHA-256 of an input as its record has them; of a foreign one name and SHA-256, or size when big.

    Raises:
        UserError: when the input is not as it was recorded; of files above `HASHED_BYTES` only the size is compared.
    """
    path = Path(path)
    size = path.stat().st_size
    found = file_sha256(path) if size <= HASHED_BYTES else None
    if not provenance_path(path).is_file():
        return {"file": path.name, "sha256": found} if found else {"file": path.name, "size_bytes": size}
    record = read_provenance(path)
    if size != record.get("size_bytes") or found not in (None, record["sha256"]):
        raise UserError(
            file=path, problem="a file that has changed since it was written", hint="delete it and run again"
        )
    return {"file": path.name, "stage": record.get("stage"), "sha256": record["sha256"]}


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
