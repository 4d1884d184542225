"""The stage `motion` on made-up flow."""

from __future__ import annotations

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.features.motion import REGIONS
from microexp.pipeline import STAGES
from microexp.records.features import Files, list_features
from microexp.run.runner import run_stage
from microexp.run.shard_files import open_shard
from microexp.run.stage import Job
from tests.features.test_motion_channels import bump, face
from tests.shards import write_crops, write_faces, write_flow

SIZE = 96


@pytest.fixture
def shards(tmp_path):
    """Flow in which the mouth moves around frame 30 and the head around 60; a second video is excluded."""
    flow = np.zeros((99, SIZE, SIZE, 2), np.float32)
    for frame in range(28, 34):
        flow[frame] = bump(SIZE, face()[48], (0.0, -0.01))
    flow[58:64] = [0.5, 0.0]
    paths = {name: tmp_path / name / "d" / "s1.h5" for name in ("flow", "faces", "crops")}
    write_flow(paths["flow"], {"v": flow, "w": "no face"})
    write_faces(paths["faces"], {"v": face() * 100, "w": "no face"})  # the alignment divides by 100
    images = np.zeros((100, SIZE, SIZE, 3), np.uint8)
    write_crops(paths["crops"], {"v": images, "w": "no face"}, frame_index=np.arange(100, dtype=np.int32) * 7)
    return paths


def run(paths, threads=1):
    out = paths["flow"].parents[2] / f"threads{threads}" / "motion" / "d" / "s1.h5"
    inputs = {name: [path] for name, path in paths.items()}
    run_stage(STAGES["motion"], Job(inputs, {"features": out}, STAGES["motion"].params(), threads=threads))
    return out


@pytest.mark.long
def test_regions_move_when_their_part_of_the_face_does(shards):
    path = run(shards)
    with Files() as files:
        (video,) = list_features([path], files)
        values, valid = video.read(0, video.n_steps), video.valid()
    regions = [name for name in video.channels if name.startswith("region_")]
    assert regions == [f"region_{name}" for name in REGIONS] and len(video.channels) > len(regions)
    speed = {name: values[:, video.channels.index(name)] for name in regions}
    source = video.to_source((np.arange(video.n_steps) + 0.5) * video.step_frame)
    mouth = speed["region_mouth"]
    assert abs(source[mouth.argmax()] / 7 - 31) < 4 and mouth.max() > 5 * speed["region_brows"].max()
    head = (source / 7 > 56) & (source / 7 < 66)
    assert mouth[head].max() < 0.1 * mouth.max()  # the head's motion is taken out
    assert valid.any() and video.frame_index.max() <= 99 * 7
    with open_shard(path) as file:
        assert file["w"].attrs["excluded"] == "no face" and not len(file["w"])


@pytest.mark.long
def test_threads_change_nothing(shards):
    assert run(shards, 1).read_bytes() == run(shards, 2).read_bytes()


@pytest.mark.parametrize("other", ["faces", "crops"])
def test_a_video_that_the_other_shards_cannot_use_is_named(shards, other):
    excluded = {"v": "lost", "w": "no face"}
    (write_faces if other == "faces" else write_crops)(shards[other], excluded)
    with pytest.raises(UserError, match=rf"{other}/d/s1\.h5: v: no usable video"):
        run(shards)
