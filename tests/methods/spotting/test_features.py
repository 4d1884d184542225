"""Lazy reading: slices, padding, means, what is left out, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.methods.spotting.aemnet import features as module
from microexp.methods.spotting.aemnet.features import FeatureStore, common_layout, list_videos, stream_slice
from microexp.run.storage import add_array, create_shard, set_attributes

ATTRIBUTES = {"clip_frames": 8, "step_frames": 2, "n_frames": 26, "fps": 30.0, "excluded": ""}


def write(path, videos, **changes):
    with create_shard(path) as file:
        for name, data in videos.items():
            group = file.create_group(name)
            if data is None:
                set_attributes(group, {"excluded": "no face"})
                continue
            add_array(group, "features", np.asarray(data, np.float32))
            add_array(group, "frame_index", np.arange(26, dtype=np.int32) * 7)
            set_attributes(group, {**ATTRIBUTES, **changes})


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "set" / "s1.h5"
    write(path, {"b": np.arange(40).reshape(10, 4), "a": None, "c": np.ones((10, 4))})
    return path


@pytest.fixture(params=["kept", "sliced"])
def way(request, monkeypatch):
    """Both ways of reading: small sets stay in memory, large ones are sliced from the file."""
    if request.param == "sliced":
        monkeypatch.setattr(module, "KEEP_BYTES", 0)


def test_excluded_videos_are_left_out_and_names_come_from_the_path(shard):
    videos = list_videos([shard])
    assert [(v.dataset, v.subject, v.video) for v in videos] == [("set", "s1", "b"), ("set", "s1", "c")]
    assert (videos[0].n_steps, videos[0].n_channels, videos[0].n_frames) == (10, 4, 26)
    assert videos[0].origin_frame == 3  # the slot of feature 0 is [3, 5), the middle of its clip [0, 8)


def test_frames_and_source_frames_map_to_each_other(shard):
    video = list_videos([shard])[0]
    assert video.to_source(np.array([0, 1.5, 25])).tolist() == [0, 10.5, 175]
    assert video.to_frames(np.array([0, 10.5, 175])).tolist() == [0, 1.5, 25]


@pytest.mark.usefixtures("way")
def test_slices_are_the_rows_and_both_ends_are_repeated(shard):
    videos = list_videos([shard])
    data = np.arange(40).reshape(10, 4)
    with FeatureStore(videos, slice(0, 4), False) as store:
        assert np.array_equal(store.read(videos[0], 2, 3), data[2:5])
        assert np.array_equal(store.read(videos[0], -2, 4), data[[0, 0, 0, 1]])
        assert np.array_equal(store.read(videos[0], 8, 4), data[[8, 9, 9, 9]])
        assert np.array_equal(store.read(videos[0], -1, 12), data[[0, *range(10), 9]])
        assert np.array_equal(store.read(videos[0], 20, 2), data[[9, 9]])
        assert np.array_equal(store.read(videos[0], -5, 2), data[[0, 0]])


@pytest.mark.usefixtures("way")
def test_channels_and_each_videos_own_mean(shard):
    videos = list_videos([shard])
    with FeatureStore(videos, stream_slice("flow", 4), True) as store:
        part = store.read(videos[0], 0, 10)
        assert part.shape == (10, 2) and np.allclose(part.mean(0), 0)
        assert np.allclose(store.read(videos[1], 0, 2), 0)
    assert stream_slice("rgb", 4) == slice(0, 2) and stream_slice("both", 4) == slice(0, 4)


@pytest.mark.usefixtures("way")
def test_values_that_are_not_finite_are_refused(tmp_path):
    write(tmp_path / "set" / "s1.h5", {"b": np.full((10, 4), np.nan)})
    videos = list_videos([tmp_path / "set" / "s1.h5"])
    with FeatureStore(videos, slice(0, 4), False) as store, pytest.raises(UserError, match="not finite"):
        store.read(videos[0], 0, 2)


def test_a_shard_without_the_attributes_is_named(tmp_path):
    with create_shard(tmp_path / "set" / "s1.h5") as file:
        add_array(file.create_group("v"), "features", np.ones((3, 4), np.float32))
    with pytest.raises(UserError, match=r"s1\.h5: v"):
        list_videos([tmp_path / "set" / "s1.h5"])


def test_shards_of_one_experiment_must_agree(tmp_path):
    write(tmp_path / "set" / "s1.h5", {"v": np.ones((10, 4))})
    write(tmp_path / "set" / "s2.h5", {"v": np.ones((10, 4))}, step_frames=4)
    with pytest.raises(UserError, match=r"s2\.h5"):
        common_layout(list_videos(sorted((tmp_path / "set").glob("*.h5"))))
    with pytest.raises(UserError, match="no usable training video"):
        common_layout([])


def test_a_large_set_is_not_kept_in_memory(shard, monkeypatch):
    monkeypatch.setattr(module, "KEEP_BYTES", 0)
    videos = list_videos([shard])
    with FeatureStore(videos, slice(0, 4), False) as store:
        store.read(videos[0], 0, 5)
        assert not store._kept
