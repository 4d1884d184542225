import h5py
import numpy as np
import pytest

from microexp.apexdiff.identity import appearance_map
from microexp.errors import UserError
from microexp.methods.recognition.mdml.members import remove_identity
from microexp.records.clips import ALL_CHANNELS, average_down, read_shards, shrink
from tests.methods.recognition.synthetic import clips_of, write_shards
from tests.shards import recorded


def test_shards_come_back_as_they_were_written(tmp_path):
    clips = clips_of({"demo": ["a", "b"]}, kinds=("micro", "macro"))
    read = read_shards(write_shards(clips, tmp_path))
    assert np.array_equal(read.maps, clips.maps)
    for name in ("dataset", "subject", "video", "expression", "kind", "emotion"):
        assert np.array_equal(getattr(read, name), getattr(clips, name)), name


def test_shards_that_do_not_fit_are_named(tmp_path):
    paths = write_shards(clips_of({"demo": ["a"]}), tmp_path)
    other = write_shards(clips_of({"demo": ["b"]}, side=16), tmp_path)
    with pytest.raises(UserError, match=r"b\.h5: size: 16 px; expected 14 px"):
        read_shards(paths + other)
    with h5py.File(paths[0], "r+") as file:
        del file["emotion"]
        file["emotion"] = np.array(["x"], dtype=object)
    recorded(paths[0], "apexdiff")
    with pytest.raises(UserError, match=r"demo/a\.h5: emotion has shape \(1,\), expected \(N,\)"):
        read_shards(paths)
    with h5py.File(paths[0], "r+") as file:
        del file["flow"]
    recorded(paths[0], "apexdiff")
    with pytest.raises(UserError, match=r"demo/a\.h5: flow is missing"):
        read_shards(paths)
    with pytest.raises(UserError, match="no files"):
        read_shards([])


def test_the_order_of_clips_is_that_of_subjects_wherever_their_shards_lie(tmp_path):
    clips = clips_of({"demo": ["a", "b"], "c": ["z"]})
    moved = []
    for path, folder in zip(write_shards(clips, tmp_path), ("3", "1", "2"), strict=True):
        moved.append(tmp_path / folder / path.relative_to(tmp_path))
        moved[-1].parent.mkdir(parents=True)
        recorded(path.rename(moved[-1]), "apexdiff")
    read = read_shards(moved)
    assert list(dict.fromkeys(zip(read.dataset, read.subject, strict=True))) == [
        ("c", "z"),
        ("demo", "a"),
        ("demo", "b"),
    ]
    assert np.array_equal(read.maps, read_shards(moved[::-1]).maps)


def test_a_subject_that_is_given_twice_is_an_error(tmp_path):
    clips = clips_of({"demo": ["a", "b"]})
    paths, copies = write_shards(clips, tmp_path / "1"), write_shards(clips, tmp_path / "2")
    with pytest.raises(UserError, match=r"2/demo/a\.h5: demo/a a second time, after .*1/demo/a\.h5"):
        read_shards([copies[0], *paths])


def test_shrinking_averages_and_never_enlarges():
    clips = clips_of({"demo": ["a"]}, side=28)
    small = shrink(clips, 14)
    expected = clips.maps.reshape(3, len(ALL_CHANNELS), 14, 2, 14, 2).mean((3, 5))
    np.testing.assert_allclose(small.maps, expected, atol=1e-6)
    assert shrink(clips, 56) is clips and shrink(clips, None) is clips


@pytest.mark.parametrize(("side", "size"), [(56, 28), (42, 28), (41, 28), (28, 7), (45, 12), (30, 4)])
def test_averaging_down_gives_the_bits_of_pytorch(side, size):
    import torch

    maps = np.random.default_rng(side).normal(size=(4, 3, side, side)).astype(np.float32)
    expected = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps), size).numpy()
    assert average_down(maps, size).tobytes() == expected.tobytes()


@pytest.mark.parametrize("way", ["difference", "flow", "median", "strain", "none"])
def test_identity_removal_sets_the_appearance_channel(way):
    clips = clips_of({"demo": ["a"]})
    flow = np.moveaxis(clips.maps[:, 1:3], 1, -1)
    expected = appearance_map(way, clips.maps[:, 0], flow, strain=clips.maps[:, 3], onset=clips.maps[:, 4])
    found = remove_identity(clips, way)
    np.testing.assert_array_equal(found.maps[:, 0], expected)
    if way == "median":
        assert np.abs(np.median(found.maps[:, 1:3], axis=(2, 3))).max() < 1e-6
    else:
        assert np.array_equal(found.maps[:, 1:3], clips.maps[:, 1:3])


def test_without_an_onset_there_is_no_apex(tmp_path):
    clips = clips_of({"demo": ["a"]})
    bare = type(clips)(**{**vars(clips), "maps": clips.maps[:, :4], "channels": ALL_CHANNELS[:4]})
    with pytest.raises(UserError, match="onset"):
        remove_identity(bare, "none")
