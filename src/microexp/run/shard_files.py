"""HDF5 shards: written through the one door, with checksums; read without locks, and damage told from refusal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.run.provenance import check_content, provenance_path, read_provenance
from microexp.run.storage import atomic, not_written, unreadable

if TYPE_CHECKING:
    import h5py


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


def set_attributes(target: h5py.Group | h5py.Dataset, values: Mapping[str, object]) -> None:
    """Set HDF5 attributes; None becomes an empty string."""
    for key, value in values.items():
        target.attrs[key] = "" if value is None else value
