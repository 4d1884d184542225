"""HDF5 and failure: writes that fail where h5py cannot raise, and damage that shows only while reading."""

from __future__ import annotations

from pathlib import Path

import h5py


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


def damage_of(path: Path) -> Exception | None:
    """What HDF5 says when it reads all of a shard, or None."""
    try:
        with h5py.File(path, "r") as file:
            read_through(file)
    except Exception as error:  # on damaged files h5py raises nearly anything
        return error
    return None


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
