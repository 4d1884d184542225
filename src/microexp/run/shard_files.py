"""HDF5 shards: written through the one door, with checksums; read without locks, and damage told from refusal."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from microexp.errors import UserError
from microexp.run import storage
from microexp.run.provenance import check_content, provenance_path, read_provenance
from microexp.run.storage import atomic, not_written, unreadable

if TYPE_CHECKING:
    import h5py

# HDF5 and failure: writes that fail where h5py cannot raise, and damage that shows only while reading.

T = TypeVar("T")


class Remembering:
    """A file for HDF5 that keeps the first error of a write to itself, and takes everything after it without writing.

    HDF5 writes cached chunks when a data set or the file is closed, where h5py cannot raise: it goes on without the
    data, or the process crashes. So HDF5 closes in peace here, and the error is raised afterwards.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115  closed by __exit__
        self.error: OSError | None = None
        self.seek, self.tell = self._file.seek, self._file.tell
        self.read, self.readinto = self._file.read, self._file.readinto

    def __enter__(self) -> Remembering:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, data: memoryview) -> int:
        """Write all of `data`, unless an earlier write failed."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += self._file.write(view[done:])
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int) -> int:
        """Cut or extend the file to `size` bytes, unless an earlier write failed."""
        try:
            return self._file.truncate(size) if self.error is None else size
        except OSError as error:
            self.error = error
            return size

    def flush(self) -> None:
        """Nothing is held back."""


class Watched:
    """A file for HDF5 that only reads and keeps the first error of the system that it met.

    HDF5 says of nearly everything that it "cannot read": with this door one knows whether the system refused, or what
    was read is wrong. No lock is taken.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  closed by __exit__
        self.error: OSError | None = None
        self.tell = self._file.tell

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place of the file."""
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes."""
        return self._file.read(size)

    def readinto(self, buffer: memoryview) -> int:
        """Read as much as fits into `buffer`, unless an earlier read failed."""
        view = memoryview(buffer).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view) and (got := self._file.readinto(view[done:])):
                done += got
        except OSError as error:
            self.error = error
        return done


def examine(path: Path, check: Callable[[h5py.File], T]) -> T:
    """Read all of a shard, which checks its checksums, then return what `check` says of it.

    Raises:
        Damaged: when HDF5 finds its content wrong.
        OSError: when the system does not let us read it, or lacks what reading it takes.
    """
    import h5py
    import hdf5plugin  # noqa: F401  registers blosc

    with Watched(path) as source:
        try:
            file = h5py.File(source, "r")
            read_through(file)
        except Exception as error:  # on damaged files h5py raises nearly anything
            if source.error is not None:
                raise source.error from error
            if isinstance(error, MemoryError):
                raise OSError(errno.ENOMEM, "not enough memory") from error
            if "required filter" in str(error):  # the installation lacks it
                raise OSError(errno.ENOSYS, str(error)) from error
            raise storage.damaged(path, f"damaged data ({error})") from error
        with file:
            return check(file)


def read_through(shard: h5py.File) -> None:
    """Read every attribute and every chunk of a shard, which checks their checksums.

    Raises:
        Exception: of nearly any kind, when something is damaged.
    """
    dict(shard.attrs)
    shard.visititems(_read_item)


def _read_item(name: str, item: h5py.Dataset | h5py.Group) -> None:
    dict(item.attrs)
    import h5py

    if isinstance(item, h5py.Dataset) and item.size:
        for start in range(0, item.shape[0], 256) if item.shape else [0]:
            item[start : start + 256] if item.shape else item[()]


@contextmanager
def create_shard(path: str | Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file that appears under `path` only when the block ends and everything reached the disk.

    Raises:
        UserError: when the folder cannot be written or the disk is full.
    """
    import h5py

    with atomic(path) as temporary, Remembering(temporary) as target:
        try:
            with h5py.File(target, "w", libver="v110", track_order=True) as file:
                yield file
        except Exception:  # after a failed write HDF5 may meet what it could not write
            if target.error is None:
                raise
        if target.error is not None:
            raise not_written(Path(path), target.error) from target.error


def add_array(
    group: h5py.Group,
    name: str,
    data: np.ndarray | None = None,
    *,
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


def set_attributes(target: h5py.Group | h5py.Dataset, values: Mapping[str, object]) -> None:
    """Set HDF5 attributes; None becomes an empty string."""
    for key, value in values.items():
        target.attrs[key] = "" if value is None else value
