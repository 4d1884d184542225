"""The n-th write of a stage fails, for every n: there is no final file, no record and no leftover afterwards."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from microexp import storage
from microexp.cli import main
from microexp.errors import UserError

DOORS = [
    (storage, "_fsync"),
    (Path, "replace"),
    (Path, "write_bytes"),
    (h5py.Group, "create_dataset"),
    (h5py.Dataset, "__setitem__"),
]
"""Everything through which a stage writes."""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[str]]]:
    """A function that makes the n-th write from now fail; it returns the list of writes that happen."""

    def fail_at(n: int) -> list[str]:
        calls: list[str] = []
        monkeypatch.undo()
        for owner, name in DOORS:
            monkeypatch.setattr(owner, name, failing(getattr(owner, name), name, n, calls))
        return calls

    yield fail_at
    monkeypatch.undo()


def failing(real: Callable[..., Any], name: str, n: int, calls: list[str]) -> Callable[..., Any]:
    def write(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        if len(calls) == n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    return write


def test_a_disk_that_is_full_at_any_byte_leaves_no_shard(tmp_path: Path) -> None:
    """The system refuses every write beyond a byte; h5py meets that in places where it cannot raise."""
    images = np.random.default_rng(0).integers(0, 255, (20, 16, 16), dtype=np.uint8)
    path = tmp_path / "s01.h5"

    def write() -> None:
        with storage.create_shard(path) as shard:
            for video in ("v1", "v2"):
                target = storage.add_array(shard.create_group(video), "frames", shape=images.shape, dtype=images.dtype)
                for number, image in enumerate(images):
                    target[number] = image
                del target  # here HDF5 writes what it has cached

    write()
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in [*range(1, size, 397), size - 1]:
        path.unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(UserError, match=r"s01\.h5: got File too large"):
                write()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []
    write()
    assert path.stat().st_size == size


def videos(folder: Path) -> list[str]:
    """Arguments of `index-subject`: small, but with two outputs."""
    (folder / "videos.csv").write_text(
        "dataset,subject,video,path,n_frames,fps,width,height\ndemo,s01,v1,x.mp4,9,30.0,64,48\n"
    )
    (folder / "expressions.csv").write_text(
        "dataset,subject,video,expression,onset,apex,offset,kind,emotion,aus\ndemo,s01,v1,1,2,3,4,micro,happiness,12\n"
    )
    inputs = ["--videos", str(folder / "videos.csv"), "--expressions", str(folder / "expressions.csv")]
    out = folder / "out"
    return [
        "index-subject",
        "--subject",
        "s01",
        *inputs,
        "--out-videos",
        f"{out}/v.csv",
        "--out-expressions",
        f"{out}/e.csv",
    ]


def flow(folder: Path) -> list[str]:
    """Arguments of `flow` on two tiny videos: a shard with several data sets."""
    rng = np.random.default_rng(0)
    with storage.create_shard(folder / "crops.h5") as shard:
        for video in ("v1", "v2"):
            group = shard.create_group(video)
            storage.set_attributes(group, {"fps": 30.0, "source_fps": 30.0, "source_n_frames": 4, "excluded": ""})
            storage.add_array(group, "frames", rng.integers(0, 255, (4, 32, 32, 3), dtype=np.uint8))
            storage.add_array(group, "frame_index", np.arange(4, dtype=np.int32))
    crops, out = str(folder / "crops.h5"), str(folder / "out" / "f.h5")
    return ["flow", "--crops", crops, "--out-flow", out, "--set", "backend=opencv", "--set", "preset=opencv"]


@pytest.mark.parametrize("stage", [videos, flow])
def test_whichever_write_fails_nothing_half_written_stays(
    tmp_path: Path,
    disk: Callable[[int], list[str]],
    capsys: pytest.CaptureFixture[str],
    stage: Callable[[Path], list[str]],
) -> None:
    arguments = stage(tmp_path)
    out = tmp_path / "out"
    writes = disk(0)
    assert main(arguments) == 0
    whole = {p.name: p.read_bytes() for p in out.iterdir()}
    assert len(writes) >= 6
    for n in range(1, len(writes) + 1):
        for path in out.iterdir():
            path.unlink()
        disk(n)
        assert main(arguments) == 2, f"write {n} ({writes[n - 1]})"
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("microexp: error: ") and "No space left on device" in error
        left = {p.name: p.read_bytes() for p in out.iterdir()}
        assert not [name for name in left if name.startswith(storage.TEMPORARY)]
        assert all(whole[name] == data for name, data in left.items()), "a file that is there is whole"
        disk(0)
        assert main(arguments) == 0
        assert {p.name: p.read_bytes() for p in out.iterdir()} == whole


@pytest.mark.parametrize("hashed_bytes", [storage.HASHED_BYTES, 0])
def test_damage_of_an_input_is_blamed_on_it_and_mended_by_making_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hashed_bytes: int
) -> None:
    """By its hash; or where it is too big for that by HDF5, which does not look at bytes that it does not need."""
    arguments = flow(tmp_path)
    crops, out = tmp_path / "crops.h5", tmp_path / "out"
    storage.write_provenance(crops, {"stage": "crops"})
    assert main(arguments) == 0
    whole, result = crops.read_bytes(), (out / "f.h5").read_bytes()
    monkeypatch.setattr(storage, "HASHED_BYTES", hashed_bytes)
    rng = np.random.default_rng(9)
    bits = rng.integers(0, len(whole) * 8, 200 if hashed_bytes else 50)
    noticed = 0
    for damaged in [*(flipped(whole, bit) for bit in bits), *(whole[:n] for n in rng.integers(0, len(whole), 50))]:
        crops.write_bytes(damaged)
        for path in out.iterdir():
            path.unlink()
        status = main(arguments)
        error = capsys.readouterr().err.splitlines()[-1]
        if status == 0 and not hashed_bytes:
            assert (out / "f.h5").read_bytes() == result
            continue
        noticed += 1
        assert status == 2 and error.startswith(f"microexp: error: {crops}: "), error
        assert error.endswith("(delete it and run again)")
        assert list(out.iterdir()) == []
    assert noticed == 250 or (not hashed_bytes and noticed > 80)
    crops.write_bytes(whole)
    assert main(arguments) == 0 and (out / "f.h5").read_bytes() == result


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def test_a_changed_digit_in_a_table_is_noticed_by_whoever_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, table = videos(tmp_path), tmp_path / "expressions.csv"
    storage.write_provenance(table, {"stage": "index"})
    assert main(arguments) == 0
    table.write_text(table.read_text().replace(",2,3,4,", ",2,3,5,"))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert f"microexp: error: {table}: got a file that has changed since it was written (delete it and run" in error
