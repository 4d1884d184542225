"""The stage `motion` on made-up flow."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.commands.main import main
from microexp.features.motion import NOSE, REGIONS, region_box, region_magnitudes
from microexp.records.features import Files, list_features
from microexp.run.storage import open_shard
from tests.shards import write_crops, write_faces, write_flow

SIZE = 32


def landmarks():
    """Eyes at a third of the height, the mouth at three quarters, the nose between, as shares of the crop."""
    points = np.tile([0.5, 0.5], (68, 1))
    points[REGIONS["left_eye"]] = [0.3, 0.3]
    points[REGIONS["right_eye"]] = [0.7, 0.3]
    points[REGIONS["mouth"]] = [0.5, 0.78]
    points[NOSE] = [0.5, 0.55]
    return points


@pytest.fixture
def shards(tmp_path):
    """Flow in which the left eye's region moves in frame 5, the whole head in frame 10; a second video is excluded."""
    flow_px = np.zeros((20, SIZE, SIZE, 2))
    flow_px[5, 6:13, 6:13] = [3.0, 4.0]
    flow_px[10] = [2.0, 0.0]
    paths = {name: tmp_path / name / "d" / "s1.h5" for name in ("flow", "faces", "crops")}
    paths["motion"] = tmp_path / "features" / "motion" / "d" / "s1.h5"
    write_flow(paths["flow"], {"v": flow_px, "w": "no face"}, scale_px=1 / 64)
    write_faces(paths["faces"], {"v": landmarks() * 100})
    write_crops(paths["crops"], {"v": np.zeros((21, 8, 8, 1), np.uint8)}, frame_index=np.arange(21, dtype=np.int32) * 7)
    return paths


def run(paths, *options):
    arguments = [f"--{n}={paths[n]}" for n in ("flow", "faces", "crops")]
    return main(["motion", *arguments, f"--out-features={paths['motion']}", *options])


def test_regions_move_when_their_part_of_the_face_does(shards):
    assert run(shards) == 0
    with open_shard(shards["motion"]) as file:
        magnitude = file["v"]["features"][:]
        assert file["v"].attrs["channels"] == "region_left_eye,region_right_eye,region_mouth"
        assert file["w"].attrs["excluded"] == "no face"
    assert magnitude.shape == (20, 3)
    assert magnitude[5, 0] > 1 and magnitude[5, 1:].max() < 0.01
    assert magnitude[10].max() < 0.01  # the head's motion is taken out
    assert np.delete(magnitude, [5, 10], 0).max() == 0
    with Files() as files:
        (video,) = list_features([shards["motion"]], files)
    assert video.frame_index[-1] == 140 and video.fps == 30


def test_the_heads_motion_may_stay(shards):
    assert run(shards, "--set", "subtract_head_motion=false") == 0
    with open_shard(shards["motion"]) as file:
        assert file["v"]["features"][10].tolist() == pytest.approx([2, 2, 2], abs=0.02)


def test_a_video_that_faces_do_not_know_is_named(shards, capsys):
    write_faces(shards["faces"], {"other": landmarks()})
    assert run(shards) == 2
    assert "s1.h5: v" in capsys.readouterr().err


def test_boxes_stay_inside_the_crop():
    assert region_box(np.array([[-0.2, 0.5], [1.4, 0.6]]), 50, 0.1) == (0, 20, 50, 35)
    assert region_box(np.array([[1.2, 1.2]]), 50, 0.0) == (49, 49, 50, 50)


def test_magnitude_is_that_of_the_vector():
    flow = np.tile(np.array([3.0, 4.0]), (2, 8, 8, 1))
    assert region_magnitudes(flow, [(0, 0, 4, 4)], None).tolist() == [[5], [5]]
    assert region_magnitudes(flow, [(0, 0, 4, 4)], (5, 5, 8, 8)).tolist() == [[0], [0]]
