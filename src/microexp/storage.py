"""The one door for files: everything that microexp writes goes through here, everything it wrote is checked here.

A file is written under a unique temporary name in its own folder, flushed to disk and renamed, so a final name never
holds half a file. Beside each result stands `NAME.prov.json` with its SHA-256 and what it was made from.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError

if TYPE_CHECKING:
    import h5py

TEMPORARY = ".microexp-tmp-"
PROVENANCE = ".prov.json"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed to `path`, on failure removed.

    Raises:
        UserError: when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (temporary, path, path.parent):
            raise  # a problem with another file, such as an input
        raise UserError(
            path, None, error.strerror or error, "a folder that can be written and room on the disk"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic(path) as temporary:
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
                    path, "header", ",".join(reader.fieldnames or []) or "nothing", f"a column {missing[0]!r}"
                )
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(path, None, error, "a readable CSV file in UTF-8") from error
    for number, row in enumerate(rows, 2):
        if None in row or any(v is None for v in row.values()):
            raise UserError(path, f"row {number}", "another number of fields", f"{len(row)} fields as in the header")
    return rows


# --- HDF5 shards ------------------------------------------------------------------------------------------------------


@contextmanager
def create_shard(path: str | Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file that appears under `path` only when the block ends and everything reached the disk.

    Raises:
        UserError: when the folder cannot be written or the disk is full.
    """
    import h5py

    with atomic(path) as temporary, _Remembering(temporary) as target:
        with h5py.File(target, "w", libver="v110", track_order=True) as file:
            yield file
        if target.error is not None:
            raise target.error


class _Remembering:
    """A file for HDF5 that keeps the first error of a write to itself, and takes everything after it without writing.

    HDF5 writes cached chunks when a data set or the file is closed, where h5py cannot raise: it goes on without the
    data, or the process crashes. So HDF5 closes in peace here, and the error is raised afterwards.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115  closed by __exit__
        self.error: OSError | None = None
        self.seek, self.tell = self._file.seek, self._file.tell
        self.read, self.readinto = self._file.read, self._file.readinto

    def __enter__(self) -> _Remembering:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, data: memoryview) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += self._file.write(view[done:])
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int) -> int:
        try:
            return self._file.truncate(size) if self.error is None else size
        except OSError as error:
            self.error = error
            return size

    def flush(self) -> None:
        """Nothing is held back."""


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

    path = Path(path)
    if not path.is_file():
        raise UserError(path, None, "no such file", "a shard written by microexp", "run the stage that makes it")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename is not None and Path(error.filename) != path:
            raise
        raise UserError(path, None, f"damaged data ({error})", "an intact shard", "delete it and run again") from error


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
        raise UserError(path, None, "no readable provenance", f"{beside.name} beside it") from error
    if not isinstance(record, dict) or "sha256" not in record:
        raise UserError(beside, None, "no provenance record", "a JSON object with sha256")
    return record


def write_provenance(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write the provenance of result `path`, with its size and SHA-256 as they are now."""
    path = Path(path)
    write_json(provenance_path(path), {**record, "size_bytes": path.stat().st_size, "sha256": file_sha256(path)})


def input_hash(path: str | Path, limit_bytes: int = 1 << 26) -> dict[str, Any]:
    """Name and hash of an input: from its provenance, else computed; of big foreign files (videos) only the size."""
    path = Path(path)
    if provenance_path(path).is_file():
        return {"file": path.name, "sha256": read_provenance(path)["sha256"]}
    size = path.stat().st_size
    if size > limit_bytes:
        return {"file": path.name, "size_bytes": size}
    return {"file": path.name, "sha256": file_sha256(path)}


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
