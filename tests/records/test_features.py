"""Shards of features: what is written is read back, lazily; what does not fit is named."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from microexp.errors import UserError
from microexp.records.features import Files, Layout, create_features, list_features, unit_of
from microexp.records.shard import Subject
from tests.shards import recorded

DATA = np.arange(40, dtype=np.float32).reshape(10, 4)
INDEX = np.arange(26) * 7


def write(path, videos, layout=None, about=None, **more):
    """A shard at `…/{stream}/{dataset}/{subject}.h5`; videos are arrays, or the reason for their exclusion."""
    layout = layout or Layout(2, 8, 30.0, ("a", "b", "c", "d"))
    with create_features(path, unit_of(path)[0], Subject.of_path(path), about=about) as shard:
        for name, data in videos.items():
            if isinstance(data, str):
                shard.exclude(name, data)
            else:
                shard.add(name, data, layout, frame_index=INDEX, **more)
    return recorded(path, unit_of(path)[0])


@pytest.fixture
def shard(tmp_path):
    return write(tmp_path / "motion" / "set" / "s1.h5", {"b": DATA, "a": "no face", "c": DATA[:0]})


def test_what_is_written_is_read_back(shard):
    with Files() as files:
        (found,) = list_features([shard], files)  # the excluded and the empty video are passed over
        assert (found.stream, found.key, found.path) == ("motion", ("set", "s1", "b"), shard)
        assert (found.n_steps, found.n_channels, found.channels) == (10, 4, ("a", "b", "c", "d"))
        assert (found.step_frame, found.clip_frame, found.fps, found.n_frames) == (2, 8, 30.0, 26)
        assert np.array_equal(found.read(0, 10), DATA) and np.array_equal(found.read(3, 5), DATA[3:5])
        assert found.valid().tolist() == [True] * 10
        assert found.origin_frame == 3  # the slot of feature 0 is [3, 5), the middle of its clip [0, 8)


def test_frames_and_source_frames_map_to_each_other(shard):
    with Files() as files:
        (found,) = list_features([shard], files)
    assert found.to_source(np.array([0, 1.5, 25])).tolist() == [0, 10.5, 175]
    assert found.to_frames(np.array([0, 10.5, 175])).tolist() == [0, 1.5, 25]


def test_validity_and_frames_between_frames_are_kept(tmp_path):
    path = tmp_path / "given" / "set" / "s1.h5"
    usable = np.arange(10) % 3 != 0
    with create_features(path, "given", Subject.of_path(path), about={"about": "x"}) as shard:
        shard.add("v", DATA, Layout(2, 8, 30.0), frame_index=INDEX + 0.25, valid=usable)
    recorded(path, "given")
    with Files() as files:
        (found,) = list_features([path], files)
        assert np.array_equal(found.valid(), usable) and np.array_equal(found.frame_index, INDEX + 0.25)
        assert found.to_source(np.array([0.5])).tolist() == [3.75]
    with h5py.File(path) as file:
        assert file.attrs["about"] == "x" and file.attrs["stream"] == "given"


def test_streams_and_subjects_come_in_order(tmp_path):
    paths = [tmp_path / s / "set" / f"{who}.h5" for s in ("motion", "i3d_rgb") for who in ("s2", "s1")]
    for path in paths:
        write(path, {"v": DATA, "u": DATA})
    with Files() as files:
        found = list_features(paths, files)
    assert [(f.stream, f.subject, f.video) for f in found] == [
        (s, who, v) for s in ("i3d_rgb", "motion") for who in ("s1", "s2") for v in ("u", "v")
    ]


def test_channels_without_names(tmp_path):
    path = write(tmp_path / "i3d_rgb/set/s1.h5", {"v": DATA}, Layout(2, 8, 30.0))
    with Files() as files:
        (found,) = list_features([path], files)
    assert found.channels == ("",) * 4 and found.n_channels == 4


def test_values_that_are_not_finite_are_refused_when_they_are_read(tmp_path):
    broken = DATA.copy()
    broken[7, 1] = np.inf
    path = write(tmp_path / "motion/set/s1.h5", {"v": broken})
    with Files() as files:
        (found,) = list_features([path], files)
        assert np.array_equal(found.read(0, 7), DATA[:7])
        with pytest.raises(UserError, match=r"s1\.h5: v: features that are not finite"):
            found.read(5, 9)


def test_a_file_of_somebody_else_is_refused(shard, tmp_path):
    for other in ("motion/set/s2.h5", "motion/other/s1.h5", "i3d_rgb/set/s1.h5"):
        path = tmp_path / "moved" / other
        path.parent.mkdir(parents=True)
        path.write_bytes(shard.read_bytes())
        recorded(path, "motion")
        with Files() as files, pytest.raises(UserError, match=r"inside a file that was moved or swapped"):
            list_features([path], files)


def _shorter(group, name, count):
    data = group[name][:count]
    del group[name]
    group[name] = data


DAMAGE = {
    "features": lambda g: g.__delitem__("features"),
    "frame_index": lambda g: g.__delitem__("frame_index"),
    "frame_index has": lambda g: _shorter(g, "frame_index", 20),
    "fps": lambda g: g.attrs.__delitem__("fps"),
    "n_frames": lambda g: g.attrs.__delitem__("n_frames"),
    "step_frames": lambda g: g.attrs.__setitem__("step_frames", "two"),
    "excluded": lambda g: g.attrs.__delitem__("excluded"),
    "4 channels, 2 names": lambda g: g.attrs.__setitem__("channels", "a,b"),
}


@pytest.mark.parametrize("named", DAMAGE)
def test_a_shard_that_lacks_something_is_named(tmp_path, named):
    path = write(tmp_path / "motion/set/s1.h5", {"v": DATA})
    with h5py.File(path, "r+") as file:
        DAMAGE[named](file["v"])
    recorded(path, "motion")
    with Files() as files, pytest.raises(UserError, match=rf"s1\.h5: v: .*{named}"):
        list_features([path], files)


def test_files_close(shard):
    with Files() as files:
        (found,) = list_features([shard], files)
        first = found.files.group(shard, "b").file
        assert found.files.group(shard, "b").file == first and first.id.valid
    assert not first.id.valid
