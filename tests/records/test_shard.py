"""Shards come back as they were written, and nothing else is written or read."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from microexp.errors import UserError
from microexp.records import apexdiff, crops, faces, flow, verify
from microexp.records.shard import Growing, Stored, Subject, open_videos, shape_text
from microexp.records.verify import KINDS
from microexp.run import shard_files
from tests import shards

WHO = Subject("set", "s1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set" / "s1.h5"


def test_faces_come_back(path: Path) -> None:
    points = np.random.default_rng(0).random((68, 2)) * 100
    shards.write_faces(path, {"v": points, "dark": "no face", "w": points}, motion_px=7.5)
    with faces.open_faces(path) as shard:
        assert list(shard) == ["v", "dark", "w"] and shard.subject == WHO
        face = shard["v"]
        assert (face.video, face.excluded, face.looked_at, face.misses) == ("v", "", 2, 1)
        assert (face.jitter_px, face.motion_px, face.scale_px, face.drift_px) == (0.5, 7.5, 100, 0)
        np.testing.assert_array_equal(face.reference, points)
        assert face.read("landmarks").dtype == np.float32 and face.read("frames").tolist() == [3]
        np.testing.assert_array_equal(face.alignments(np.arange(5)), [[[0.01, 0, 0], [0, 0.01, 0]]])
        assert shard["dark"].excluded == "no face" and shard["dark"].value("width") == 320


def test_a_slow_alignment_comes_back(path: Path) -> None:
    size = {"n_frames": 4, "width": 3, "height": 2, "fps": 30.0}
    quality = {"looked_at": 1, "misses": 0, "jitter_px": 0.0, "motion_px": 0.0, "scale": 1.0, "drift_px": 1.0}
    every = np.random.default_rng(0).random((4, 2, 3))
    arrays = shards.face_arrays(np.zeros((68, 2)))
    with faces.create_faces(path, WHO) as writer:
        writer.add("v", {**arrays, "alignments": every}, **size, **quality)
    shards.recorded(path, "faces")
    with faces.open_faces(path) as shard:
        np.testing.assert_array_equal(shard["v"].alignments(np.array([3, 1])), every[[3, 1]])
    words = r"alignments has shape \(3, 2, 3\), expected \(n_frames, 2, 3\)"
    with pytest.raises(ValueError, match=words), faces.create_faces(path, WHO) as writer:
        writer.add("v", {**arrays, "alignments": every[:3]}, **size, **quality)


@pytest.mark.parametrize("channels", [1, 3])
def test_crops_come_back(path: Path, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, channels), dtype=np.uint8)
    index = np.arange(7, dtype=np.int32) * 3
    shards.write_crops(path, {"v": images, "dark": "no face"}, frame_index=index, fps=10.0, source_n_frames=21)
    with crops.open_crops(path) as shard:
        video = shard["v"]
        np.testing.assert_array_equal(video.frames[:], images)
        np.testing.assert_array_equal(video.frames[2], images[2])
        np.testing.assert_array_equal(np.concatenate(list(video.batches(3))), images)
        np.testing.assert_array_equal(video.frame_index, index)
        assert (len(video), video.side, video.fps, video.source_fps, video.source_n_frames) == (7, 8, 10, 30, 21)
        assert shard["dark"].fps == 10 and shard.usable("dark") is None and shard.usable("none") is None


def test_flow_comes_back_to_half_a_unit(path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 3, (6, 8, 8, 2)).astype(np.float32)
    values[2, 3, 3, 0] = 80
    shards.write_flow(path, {"v": values, "short": values[:0]})
    with flow.open_flow(path) as shard:
        video = shard["v"]
        np.testing.assert_allclose(video.read(), np.minimum(values, 32767 / 512), atol=0.51 / 512)
        np.testing.assert_array_equal(video.read(2, 4), video.read()[2:4])
        assert video.read().dtype == np.float32 and video.units[:].dtype == np.int16
        assert (video.bound_px, video.cut_values, video.scale_px, video.fps) == (80, 1, 1 / 512, 30)
        assert shard["short"].units.shape == (0, 8, 8, 2) and len(shard["short"]) == 0 and shard["short"].bound_px == 0


@pytest.mark.parametrize("count", [0, 1, 4])
def test_apexdiff_comes_back(path: Path, count: int) -> None:
    record = shards.apexdiff_record(count)
    record = replace(record, excluded=(("v", "expression 9: dark"),), difference_is="v - u")
    apexdiff.write_apexdiff(path, WHO, record)
    shards.recorded(path, "apexdiff")
    who, found = apexdiff.read_apexdiff(path)
    assert who == WHO and len(found) == count and found.excluded == record.excluded
    assert found.difference_is == "v - u"
    for name in apexdiff.ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(record, name))
    assert found.row("v", 99) is None and (not count or found.row("v", count) == count - 1)


def test_an_excluded_video_gives_no_arrays(path: Path) -> None:
    shards.write_crops(path, {"dark": "no face"})
    with crops.open_crops(path) as shard:
        with pytest.raises(UserError, match=r"s1\.h5: dark: excluded: no face"):
            len(shard["dark"])
        with pytest.raises(UserError, match=r"s1\.h5: video other: no such video \(run the stage crops again\)"):
            shard.need("other")


# --- what does not fit ------------------------------------------------------------------------------------------------


def change(path: Path, place: str, data: np.ndarray) -> None:
    with h5py.File(path, "r+") as file:
        attributes = dict(file[place].attrs)
        del file[place]
        file[place] = data
        file[place].attrs.update(attributes)


SQUARE = "expected (T, S, S, 1 or 3)"
CASES: list[tuple[str, str, Any, str]] = [
    ("crops", "v/frames", np.zeros((5, 8, 8, 3), np.float32), "v: frames holds float32, expected uint8"),
    ("crops", "v/frames", np.zeros((5, 8, 8, 4), np.uint8), f"v: frames has shape (5, 8, 8, 4), {SQUARE}"),
    ("crops", "v/frames", np.zeros((5, 8, 9, 3), np.uint8), f"v: frames has shape (5, 8, 9, 3), {SQUARE}"),
    ("crops", "v/frame_index", np.zeros(4, np.int32), "v: frame_index has shape (4,), expected (T,)"),
    ("crops", "v/frame_index", np.zeros(5, np.int64), "v: frame_index holds int64, expected int32"),
    ("flow", "v/flow", np.zeros((4, 8, 8, 2), np.float32), "v: flow holds float32, expected int16"),
    ("flow", "v/flow", np.zeros((4, 8, 8, 3), np.int16), "v: flow has shape (4, 8, 8, 3), expected (T-1, S, S, 2)"),
    ("faces", "v/landmarks", np.zeros((1, 5, 2), np.float32), "v: landmarks has shape (1, 5, 2), expected (K, 68, 2)"),
    ("apexdiff", "strain", np.zeros((3, 4, 5), np.float32), "strain has shape (3, 4, 5), expected (N, size, size)"),
    ("apexdiff", "video", np.arange(3), "video holds int64, expected text"),
]  # fmt: skip


def made(stage: str, path: Path) -> Path:
    if stage == "apexdiff":
        return shards.write_apexdiff(path, 3)
    values: dict[str, Any] = {
        "faces": np.ones((68, 2)),
        "crops": np.zeros((5, 8, 8, 3), np.uint8),
        "flow": np.zeros((4, 8, 8, 2)),
    }
    path = getattr(shards, f"write_{stage}")(path, {"v": values[stage]})
    return path


def read(stage: str, path: Path) -> None:
    if stage == "apexdiff":
        apexdiff.read_apexdiff(path)
        return
    kinds: dict[str, type[Stored]] = {k.KIND.stage: k for k in (faces.Faces, crops.Crops, flow.Flow)}
    with open_videos(path, kinds[stage]):
        pass


@pytest.mark.parametrize(("stage", "place", "data", "what"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_wrong_arrays_are_refused_and_reported(path: Path, stage: str, place: str, data: np.ndarray, what: str) -> None:
    made(stage, path)
    read(stage, path)
    change(path, place, data)
    shards.recorded(path, stage)
    with pytest.raises(UserError) as error:
        read(stage, path)
    assert f"{path}: {what} (delete it and run again)" == str(error.value)
    assert {p.path.name: p.what for p in verify.check_folder(path.parent)} == {"s1.h5": what}


@pytest.mark.long
@pytest.mark.parametrize("stage", sorted(KINDS))
def test_whatever_a_kind_promises_has_to_be_there(path: Path, stage: str) -> None:
    kind = KINDS[stage]
    prefix = "v/" if kind.per_video else ""
    needed = [n for n, a in kind.arrays.items() if not a.optional]
    for name in needed:
        made(stage, path)
        with h5py.File(path, "r+") as file:
            del file[prefix + name]
        shards.recorded(path, stage)
        with pytest.raises(UserError, match=f"{name} is missing"):
            read(stage, path)
    for name in [n for n, a in kind.attributes.items() if a.needed != "sometimes"]:
        made(stage, path)
        with h5py.File(path, "r+") as file:
            del (file["v"] if kind.per_video else file).attrs[name]
        shards.recorded(path, stage)
        with pytest.raises(UserError, match=f"the attribute {name} is missing"):
            read(stage, path)


@pytest.mark.parametrize("stage", sorted(KINDS))
def test_every_array_and_attribute_in_a_file_is_declared(path: Path, stage: str) -> None:
    kind = KINDS[stage]
    with h5py.File(made(stage, path)) as file:
        group = file["v"] if kind.per_video else file
        known = {"excluded", "dataset", "subject", "stage", *kind.attributes}
        assert set(group) <= set(kind.arrays) and set(group.attrs) <= known
        for name in group:
            assert set(group[name].attrs) == set(kind.arrays[name].attributes)


def test_a_shard_that_breaks_its_promise_is_never_written(path: Path) -> None:
    with pytest.raises(ValueError, match="v: frame_index is missing"), crops.create_crops(path, WHO) as writer:
        frames = {"frames": np.zeros((3, 8, 8, 3), np.uint8)}
        writer.add("v", frames, fps=30.0, source_fps=30.0, source_n_frames=3)
    with pytest.raises(ValueError, match="v: the attribute fps is missing"), flow.create_flow(path, WHO) as out:
        out.exclude("v", "dark")
    assert not list(path.parent.glob("*"))


# --- streaming --------------------------------------------------------------------------------------------------------


def counted(n: int, shape: tuple[int, ...], dtype: type) -> Iterator[np.ndarray]:
    """Frames of which at most three may be alive."""
    alive: list[Any] = []
    for i in range(n):
        frame = np.full(shape, i % 100, dtype)
        alive = [*(r for r in alive if r() is not None), weakref.ref(frame)]
        assert len(alive) <= 3
        yield frame


@pytest.mark.long
def test_long_videos_are_written_frame_by_frame(path: Path) -> None:
    with crops.create_crops(path, WHO) as writer:
        index = np.arange(400, dtype=np.int32)
        about = {"fps": 30.0, "source_fps": 30.0, "source_n_frames": 400}
        writer.stream("v", index, counted(400, (8, 8, 1), np.uint8), **about)
    shards.recorded(path, "crops")
    with crops.open_crops(path) as shard:
        assert [int(b[0, 0, 0, 0]) for b in shard["v"].batches(100)] == [0, 0, 0, 0]
        assert {len(b) for b in shard["v"].batches(64)} == {64, 16}
    with flow.create_flow(path, WHO) as out:
        pairs = counted(400, (8, 8, 2), np.float32)
        assert out.stream("v", pairs, shape=(400, 8, 8, 2), scale_px=0.01, fps=30.0) == (99, 0)


def test_opening_reads_no_frame(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards.write_crops(path, {"v": np.zeros((50, 8, 8, 3), np.uint8)})
    read: list[Any] = []
    real = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key, **_: read.append(self.name) or real(self, key))
    with crops.open_crops(path) as shard:
        assert len(shard["v"]) == 50 and shard["v"].side == 8
        assert read == []
        assert shard["v"].frames[3:5].shape == (2, 8, 8, 3) and read == ["/v/frames"]


def test_a_video_that_fails_half_way_leaves_nothing(path: Path) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield np.zeros((8, 8, 3), np.uint8)
        raise OSError("damaged")

    with crops.create_crops(path, WHO) as writer:
        about = {"fps": 30.0, "source_fps": 30.0, "source_n_frames": 3}
        with pytest.raises(OSError, match="damaged"):
            writer.stream("v", np.arange(3, dtype=np.int32), failing(), **about)
        writer.exclude("v", "damaged", **about)
    shards.recorded(path, "crops")
    with crops.open_crops(path) as shard:
        assert shard["v"].excluded == "damaged"


def test_a_growing_array_takes_what_fits_and_is_finished_when_it_is_full(tmp_path: Path) -> None:
    with shard_files.create_shard(tmp_path / "a.h5") as file:
        out = Growing(shard_files.add_array(file, "x", shape=(5, 2), dtype=np.int16))
        out.append(np.ones((3, 2), np.int16))
        for wrong in (np.ones((1, 2), np.int32), np.ones((1, 3), np.int16), np.ones((3, 2), np.int16)):
            with pytest.raises(ValueError, match="after 3 of"):
                out.append(wrong)
        with pytest.raises(ValueError, match="3 of 5 entries"):
            out.finish()
        out.append(np.full((2, 2), 7, np.int16))
        out.finish()
        assert file["x"][:].tolist() == [[1, 1]] * 3 + [[7, 7]] * 2


def test_shapes_as_text() -> None:
    assert shape_text(("T", "S", (1, 3), 2)) == "(T, S, 1 or 3, 2)" and shape_text(("N",)) == "(N,)"
