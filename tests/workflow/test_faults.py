"""The n-th write of a stage fails, for every n: there is no final file, no record and no leftover afterwards."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.errors import UserError
from microexp.methods.find import find_method
from microexp.records.detections import Detection, write_detections
from microexp.records.index import Expression, Video, write_expressions, write_videos
from microexp.rendered.video import write_video
from microexp.run import provenance, shard_files, storage
from tests import shards
from tests.datasets import releases
from tests.methods.recognition import synthetic
from tests.methods.spotting import made_up

SUBJECTS = ("s01", "s02")
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


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """The system refuses every write beyond this place of a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.long
def test_a_disk_that_is_full_at_any_byte_leaves_no_video(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(8)]
    path = tmp_path / "s01_1.mp4"
    write_video(path, images, 30)
    whole = path.read_bytes()
    for limit in [*range(1, len(whole), len(whole) // 25), len(whole) - 1]:
        path.unlink(missing_ok=True)
        with pytest.raises(UserError, match=r"s01_1\.mp4: File too large"), file_size_limit(limit):
            write_video(path, images, 30)
        assert list(tmp_path.iterdir()) == []
    write_video(path, images, 30)
    assert path.read_bytes() == whole


@pytest.mark.long
def test_a_disk_that_is_full_at_any_byte_leaves_no_shard(tmp_path: Path) -> None:
    """The system refuses every write beyond a byte; h5py meets that in places where it cannot raise."""
    images = np.random.default_rng(0).integers(0, 255, (20, 16, 16), dtype=np.uint8)
    path = tmp_path / "s01.h5"

    def write() -> None:
        with shard_files.create_shard(path) as shard:
            for video in ("v1", "v2"):
                target = shard_files.add_array(
                    shard.create_group(video), "frames", shape=images.shape, dtype=images.dtype
                )
                for number, image in enumerate(images):
                    target[number] = image
                del target  # here HDF5 writes what it has cached

    write()
    size = path.stat().st_size
    for limit in [*range(1, size, 397), size - 1]:
        path.unlink(missing_ok=True)
        with pytest.raises(UserError, match=r"s01\.h5: File too large"), file_size_limit(limit):
            write()
        assert list(tmp_path.iterdir()) == []
    write()
    assert path.stat().st_size == size


def videos(folder: Path) -> list[str]:
    """Arguments of `index-subject`: small, but with two outputs."""
    root, out = releases.folder(folder / "release"), folder / "out"
    return [
        "index-subject", "--dataset", "mine", "--subject", "anna", "--root", str(root),
        "--sheets", str(root / "annotations.csv"), "--set", "adapter=folder", "--set", "source_fps=30",
        "--out-videos", f"{out}/v.csv", "--out-expressions", f"{out}/e.csv",
    ]  # fmt: skip


def flow(folder: Path) -> list[str]:
    """Arguments of `flow` on two tiny videos: a shard with several data sets."""
    rng = np.random.default_rng(0)
    videos = {video: rng.integers(0, 255, (4, 32, 32, 3), dtype=np.uint8) for video in ("v1", "v2")}
    crops = shards.write_crops(folder / "crops" / "out" / "f.h5", videos)
    out = str(folder / "out" / "f.h5")
    options = ("backend=opencv", "preset=opencv", "scales=1", "warps=1", "outer_iterations=1", "iterations=2")
    return ["flow", "--crops", str(crops), "--out-flow", out, *(part for o in options for part in ("--set", o))]


def spotting_fold(folder: Path) -> list[str]:
    """Arguments of `spotting-fold` with a network: three files, and a checkpoint on the way."""
    data = made_up.write_data(folder / "data", subjects=4, n_frames=200, channels=8)
    widths = dict.fromkeys(("channels", "attention_channels", "head_channels"), 4)
    network = {"streams": ["i3d_rgb"], "stem_channels": [4, 4, 4], **widths}
    aemnet = {"network": {**network, "stem_stride": 1}, "epochs": 1, "warmup_epochs": 1, "test_stride_frames": 128}
    options = {"calibrate": "held_out", **method_of("spotting", "aemnet", aemnet)}
    out = folder / "out"
    return [
        "spotting-fold", "--fold", "fake-s00", "--features", *map(str, data.features),
        "--expressions", str(data.expressions), "--videos", str(data.videos), "--out-trained", f"{out}/m.safetensors",
        "--out-training", f"{out}/t.csv", "--out-proposals", f"{out}/p.h5",
        "--params", json.dumps(options), "--device", "cpu",
    ]  # fmt: skip


def recognition_fold(folder: Path) -> list[str]:
    """Arguments of `recognition-fold` with a network."""
    clips = synthetic.clips_of({"demo": ["a", "b", "c"]}, per_kind=3)
    maps = synthetic.write_shards(clips, folder / "apexdiff")
    mdml = method_of("recognition", "mdml", {"channels": [2, 2, 2], "epochs": 1, "batch_size": 8})
    options = {"datasets": ["demo"], "classes": {e: [e] for e in synthetic.EMOTIONS}, "seeds": 1, **mdml}
    out = folder / "out"
    return [
        "recognition-fold", "--fold", "demo-b", "--apexdiff", *map(str, maps), "--params", json.dumps(options),
        "--device", "cpu", "--out-trained", f"{out}/m.safetensors", "--out-training", f"{out}/t.csv",
        "--out-predictions", f"{out}/p.csv",
    ]  # fmt: skip


def method_of(kind: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """What the plan tells the stage of a fold about its method."""
    version = find_method(kind, name).version
    return {"experiment": "x", "name": name, "method": name, "method_version": version, "options": options}


def tables(folder: Path) -> list[str]:
    """Arguments of `tables`: four files."""
    videos = [Video("demo", s, f"{s}_1", "v.mp4", 600, 30.0, 32, 32) for s in SUBJECTS]
    found = [Expression("demo", v.subject, v.video, 1, 60, 65, 71, "micro", "happiness", "12") for v in videos]
    write_videos(folder / "videos.csv", videos)
    write_expressions(folder / "expressions.csv", found, videos)
    for item in found:
        row = Detection("aemnet", 0, "demo", item.subject, item.video, item.onset, item.offset, item.kind, 0.9)
        write_detections(folder / f"demo-{item.subject}" / "detections.csv", [row], videos)
        with shard_files.create_shard(folder / "demo" / f"{item.subject}.h5") as shard:
            shard_files.set_attributes(shard.create_group(item.video), {"excluded": ""})
        shards.recorded(folder / "demo" / f"{item.subject}.h5", "i3d")
    return [
        "tables", "--kind", "spotting", "--experiment", "demo",
        "--folds", *(str(folder / f"demo-{s}" / "detections.csv") for s in SUBJECTS),
        "--expressions", str(folder / "expressions.csv"), "--videos", str(folder / "videos.csv"),
        "--shards", *(str(folder / "demo" / f"{s}.h5") for s in SUBJECTS),
        *(part for form in ("csv", "md", "tex", "json") for part in (f"--out-{form}", f"{folder}/out/t.{form}")),
        "--set", "bootstrap=5", "--set", "permutations=5",
    ]  # fmt: skip


LONG = [pytest.param(stage, marks=pytest.mark.long) for stage in (flow, tables, spotting_fold, recognition_fold)]


@pytest.mark.parametrize("stage", [videos, *LONG])
def test_whichever_write_fails_nothing_half_written_stays(
    tmp_path: Path,
    disk: Callable[[int], list[str]],
    capsys: pytest.CaptureFixture[str],
    stage: Callable[[Path], list[str]],
) -> None:
    arguments = stage(tmp_path)
    out = tmp_path / "out"
    out.mkdir()  # a new folder is a write of its own
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
        finals = {name: data for name, data in left.items() if not name.endswith(".checkpoint")}
        assert all(whole[name] == data for name, data in finals.items()), "a file that is there is whole"
        disk(0)
        assert main(arguments) == 0
        assert {p.name: p.read_bytes() for p in out.iterdir()} == whole


@pytest.mark.long
def test_damage_of_an_input_is_blamed_on_it_and_mended_by_making_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its hash, whatever its size."""
    arguments = flow(tmp_path)
    crops, out = Path(arguments[2]), tmp_path / "out"
    provenance.write_provenance(crops, {"stage": "crops"})
    assert main(arguments) == 0
    whole, result = crops.read_bytes(), (out / "f.h5").read_bytes()
    rng = np.random.default_rng(9)
    bits = rng.integers(0, len(whole) * 8, 200)
    for damaged in [*(flipped(whole, bit) for bit in bits), *(whole[:n] for n in rng.integers(0, len(whole), 50))]:
        crops.write_bytes(damaged)
        for path in out.iterdir():
            path.unlink()
        assert main(arguments) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"microexp: error: {crops}: ") and error.endswith("(delete it and run again)"), error
        assert list(out.iterdir()) == []
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
    arguments, table = videos(tmp_path), tmp_path / "release" / "annotations.csv"
    provenance.write_provenance(table, {"stage": "index"})
    assert main(arguments) == 0
    table.write_text(table.read_text().replace("1", "2", 1))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert (
        f"microexp: error: {table}: its bytes have changed since it was written (SHA-256) (delete it and run" in error
    )
