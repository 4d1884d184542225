"""What AEM-Net reads: slices, padding, means, several streams on one grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from microexp.errors import UserError
from microexp.methods.spotting.aemnet import features as module
from microexp.methods.spotting.aemnet.features import FeatureStore, FeatureVideo, common_layout
from microexp.methods.spotting.aemnet.geometry import Window
from microexp.methods.spotting.aemnet.training import WindowFeatures
from microexp.methods.spotting.base import SpottingVideo
from microexp.records.features import Files, Layout, list_features
from tests.methods.spotting.made_up import create

DATA = np.arange(40, dtype=np.float32).reshape(10, 4)


@pytest.fixture
def make(tmp_path):
    """A function that makes a video of streams: name -> (data, layout, source frame of each frame)."""
    with Files() as files:

        def video(name="v", subject="s1", n_frames=200, **streams):
            made = {}
            for stream, (data, layout, index) in streams.items():
                path = tmp_path / name / stream / "set" / f"{subject}.h5"
                with create(path) as shard:
                    shard.add(name, np.asarray(data, np.float32), layout, frame_index=index)
                made |= {f.stream: f for f in list_features([path], files)}
            return FeatureVideo.of(SpottingVideo("set", subject, name, n_frames, 30.0, made), list(streams))

        yield video


@pytest.fixture(params=["kept", "sliced"])
def way(request, monkeypatch):
    """Both ways of reading: small sets stay in memory, large ones are sliced from the file."""
    if request.param == "sliced":
        monkeypatch.setattr(module, "KEEP_BYTES", 0)


ONE = (DATA, Layout(2, 8, 30.0), np.arange(26) * 7)


def test_a_video_is_laid_out_as_its_first_stream(make):
    found = make(motion=ONE)
    assert found.key == ("set", "s1", "v") and found.origin_frame == 3
    assert (found.n_steps, found.n_channels, found.n_frames, found.step_frame, found.clip_frame) == (10, 4, 26, 2, 8)
    assert found.to_source(np.array([1.5])).tolist() == [10.5] and found.to_frames(np.array([10.5])).tolist() == [1.5]


@pytest.mark.usefixtures("way")
def test_slices_are_the_rows_and_both_ends_are_repeated(make):
    video = make(motion=ONE)
    store = FeatureStore([video], centre=False)
    assert np.array_equal(store.read(video, 2, 3), DATA[2:5])
    assert np.array_equal(store.read(video, -2, 4), DATA[[0, 0, 0, 1]])
    assert np.array_equal(store.read(video, 8, 4), DATA[[8, 9, 9, 9]])
    assert np.array_equal(store.read(video, -1, 12), DATA[[0, *range(10), 9]])
    assert np.array_equal(store.read(video, 20, 2), DATA[[9, 9]])
    assert np.array_equal(store.read(video, -5, 2), DATA[[0, 0]])


@pytest.mark.usefixtures("way")
def test_each_videos_own_mean_may_be_subtracted(make):
    videos = [make(motion=ONE), make("w", motion=(np.ones((10, 4)), *ONE[1:]))]
    store = FeatureStore(videos, centre=True)
    assert np.allclose(store.read(videos[0], 0, 10), DATA - DATA.mean(0))
    assert np.allclose(store.read(videos[1], 0, 2), 0)


def test_the_table_holds_what_is_read(make):
    videos = [make(motion=ONE), make("w", motion=(2 * DATA[:7], Layout(2, 8, 30.0), np.arange(20)))]
    store = FeatureStore(videos, centre=True)
    assert store.small
    for video in videos:
        for start, length in ((0, 5), (-3, 6), (6, 9)):
            rows = store.rows(video, start, length)
            assert np.array_equal(store.table()[rows], store.read(video, start, length))


def test_windows_are_gathered_into_the_same_memory_whatever_their_number(make):
    video = make(motion=ONE)
    store = FeatureStore([video], centre=False)
    windows = [Window(video, start, np.empty((0, 3)), True) for start in range(-2, 9)]
    features, places = WindowFeatures(windows, store, 4, device=torch.device("cpu")), set()
    for chosen in ([[3, 0, 10], [5, 5, 1]], [[9, 2]], [[4, 3, 2], [1, 0, 7]]):
        found = features(np.array(chosen))
        expected = [[store.read(video, windows[k].start, 4) for k in row] for row in chosen]
        assert np.array_equal(found.numpy(), np.array(expected))
        places.add(found.data_ptr())
    assert len(places) == 1


@pytest.mark.usefixtures("way")
def test_values_that_are_not_finite_are_refused(make):
    video = make(motion=(np.full((10, 4), np.nan), *ONE[1:]))
    with pytest.raises(UserError, match="not finite"):
        FeatureStore([video], centre=False).read(video, 0, 2)


def test_a_large_set_is_not_kept_in_memory(make, monkeypatch):
    monkeypatch.setattr(module, "KEEP_BYTES", 0)
    video = make(motion=ONE)
    store = FeatureStore([video], centre=False)
    store.read(video, 0, 5)
    assert not store._kept and not store.small


def test_shards_of_one_experiment_must_agree(make):
    other = (DATA, Layout(4, 8, 30.0), np.arange(50))
    with pytest.raises(UserError, match=r"set/s1/w: step, clip, channels"):
        common_layout([make(motion=ONE), make("w", motion=other)])
    with pytest.raises(UserError, match="no usable training video"):
        common_layout([])
    assert common_layout([make(motion=ONE)]) == (2, 8, 4)


# --- several streams --------------------------------------------------------------------------------------------------


def test_streams_on_the_same_grid_stand_side_by_side(make):
    video = make(i3d_rgb=ONE, i3d_flow=(10 * DATA, *ONE[1:]))
    assert video.n_channels == 8
    assert np.array_equal(video.read(2, 6), np.concatenate([DATA, 10 * DATA], 1)[2:6])
    assert np.array_equal(video.read(0, 10), np.concatenate([video.read(0, 3), video.read(3, 10)]))


def ramp(layout, index, n_steps):
    """Features that say in which source frame the middle of their clip lies."""
    middle = np.arange(n_steps) * layout.step_frame + layout.clip_frame / 2 - 0.5
    return np.interp(middle, np.arange(len(index)), index)[:, None], layout, index


@pytest.mark.parametrize(
    ("layout", "index", "n_steps"),
    [
        (Layout(1, 2, 30.0), np.arange(200), 199),  # every frame
        (Layout(8, 16, 30.0), np.arange(200), 24),  # coarser
        (Layout(1, 1, 60.0), np.arange(400) / 2, 400),  # another rate
        (Layout(2, 8, 30.0), np.arange(200) * 0.97 + 3, 97),  # as many features, laid elsewhere
    ],
)
def test_another_stream_is_read_in_the_middle_of_each_slot(make, layout, index, n_steps):
    grid = ramp(Layout(2, 8, 30.0), np.arange(200), 97)
    video = make(i3d_rgb=grid, given=ramp(layout, index, n_steps))
    values = video.read(0, 97)
    inside = (values[:, 0] >= 9) & (values[:, 0] <= 184)  # within the first and the last middle of the other stream
    assert inside.sum() > 70
    assert np.allclose(values[inside, 0], values[inside, 1], atol=1e-3)
    assert np.array_equal(values, np.concatenate([video.read(a, min(a + 10, 97)) for a in range(0, 97, 10)]))


def test_beyond_its_ends_another_stream_stands_still(make):
    video = make(
        i3d_rgb=ramp(Layout(2, 8, 30.0), np.arange(200), 97), given=ramp(Layout(1, 1, 30.0), np.arange(60, 90), 30)
    )
    values = video.read(0, 97)[:, 1]
    assert values[0] == 60 and values[-1] == 89 and (np.diff(values) >= 0).all()
