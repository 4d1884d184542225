"""Whether the system refused to let a shard be read, or what was read is wrong."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from microexp.run import shard_files, storage
from microexp.run.shard_files import Watched, examine


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "s.h5"
    with shard_files.create_shard(path) as file:
        shard_files.add_array(file, "flow", np.arange(4000, dtype=np.int32).reshape(40, 100))
    return path


def shape(file: h5py.File) -> tuple[int, ...]:
    return tuple(file["flow"].shape)


def test_what_is_intact_is_examined(shard: Path) -> None:
    assert examine(shard, shape) == (40, 100)


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_a_part_of_a_file_is_damaged(shard: Path, kept: int) -> None:
    shard.write_bytes(shard.read_bytes()[:kept])
    with pytest.raises(storage.Damaged, match=r"s\.h5: damaged data"):
        examine(shard, shape)


def test_bytes_of_the_data_that_have_changed_are_damage(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    with h5py.File(shard, "r") as file:
        chunk = file["flow"].id.get_chunk_info(0)
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(storage.Damaged, match="damaged data"):
        examine(shard, shape)


class Refusing:
    """A file of which the system gives the first bytes alone."""

    def __init__(self, file: object, after: int, error: OSError) -> None:
        self._file, self._left, self._error = file, after, error

    def readinto(self, view: memoryview) -> int:
        if self._left <= 0:
            raise self._error
        self._left -= 1
        return int(self._file.readinto(view))  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_an_error_of_the_system_is_no_damage(
    shard: Path, monkeypatch: pytest.MonkeyPatch, after: int, number: int
) -> None:
    def opened(*arguments: object, **options: object) -> Refusing:
        return Refusing(open(*arguments, **options), after, OSError(number, os.strerror(number)))  # type: ignore[call-overload]

    monkeypatch.setattr(shard_files, "open", opened, raising=False)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        examine(shard, shape)
    assert caught.value.errno == number and not isinstance(caught.value, storage.Damaged)


@pytest.mark.parametrize(
    ("raised", "number", "says"),
    [
        (MemoryError(), errno.ENOMEM, "not enough memory"),
        (OSError("Can't read data (required filter 'blosc' is not registered)"), errno.ENOSYS, "required filter"),
    ],
)
def test_what_the_machine_lacks_is_no_damage(
    shard: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, number: int, says: str
) -> None:
    def fail(_: object) -> None:
        raise raised

    monkeypatch.setattr(shard_files, "read_through", fail)
    with pytest.raises(OSError, match=says) as caught:
        examine(shard, shape)
    assert caught.value.errno == number


def test_after_an_error_nothing_more_is_read(shard: Path) -> None:
    with Watched(shard) as source:
        assert source.readinto(memoryview(bytearray(8))) == 8
        assert source.tell() == 8 and source.seek(2) == 2 and len(source.read(3)) == 3
        source.error = OSError(errno.EIO, "gone")
        assert source.readinto(memoryview(bytearray(8))) == 0
        assert source.tell() == 5


def test_reading_ends_at_the_end_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    buffer = bytearray(b"x" * 5)
    with Watched(tmp_path / "short") as source:
        assert source.readinto(memoryview(buffer)) == 3
    assert bytes(buffer) == b"abcxx" and source.error is None
