"""HDF5 and failure: writes that fail where h5py cannot raise, and damage that shows only while reading."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import h5py

from microexp.run import storage

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
    if isinstance(item, h5py.Dataset) and item.size:
        for start in range(0, item.shape[0], 256) if item.shape else [0]:
            item[start : start + 256] if item.shape else item[()]
