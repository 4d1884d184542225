"""Proposals where the face cannot be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microexp.methods.spotting.base import SpottingVideo
from microexp.methods.spotting.sources import usable_share, without_unseen
from microexp.records import features as records
from microexp.records.features import Files
from tests.methods.spotting.made_up import create, run_fold, write_data


def video_of(folder: Path, files: Files, seen: dict[str, np.ndarray], step: int = 4, clip: int = 8) -> SpottingVideo:
    """A video of 400 frames with streams of features that are marked by `seen`."""
    index = np.arange(clip + step * 98)
    for stream, valid in seen.items():
        with create(folder / stream / "d" / "s1.h5") as shard:
            shard.add(
                "v", np.zeros((99, 2), np.float32), records.Layout(step, clip, 30.0), frame_index=index, valid=valid
            )
    found = records.list_features([folder / s / "d" / "s1.h5" for s in seen], files)
    return SpottingVideo("d", "s1", "v", 400, 30.0, {f.stream: f for f in found})


def test_what_lies_in_an_unseen_stretch_is_dropped_in_any_stream(tmp_path: Path) -> None:
    dark, bright = np.ones(99, bool), np.ones(99, bool)
    dark[25:50] = False  # frames 102 to 201
    intervals = np.array([[10, 30], [110, 150], [90, 130], [190, 230], [95, 105]], float)
    scores = np.arange(5.0)
    with Files() as files:
        video = video_of(tmp_path, files, {"i3d_rgb": bright, "i3d_flow": dark})
        share = usable_share(video.streams["i3d_flow"], intervals)
        found = without_unseen({"micro": (intervals, scores), "macro": (np.empty((0, 2)), np.empty(0))}, video)
    assert share[0] == 1 and share[1] == 0 and share[2] < 0.5 < share[3] and share[4] > 0.5
    assert found["micro"][1].tolist() == [0, 3, 4] and np.array_equal(found["micro"][0], intervals[[0, 3, 4]])
    assert len(found["macro"][0]) == 0


def test_without_marks_or_streams_everything_stays(tmp_path: Path) -> None:
    intervals, scores = np.array([[0.0, 399.0], [5.5, 5.5]]), np.array([1.0, 2.0])
    with Files() as files:
        video = video_of(tmp_path, files, {"i3d_rgb": np.ones(99, bool)})
        for some in (video, SpottingVideo("d", "s1", "v", 400, 30.0, {})):
            assert without_unseen({"micro": (intervals, scores)}, some)["micro"][1].tolist() == [1, 2]


@pytest.mark.long
@pytest.mark.parametrize("unseen", [True, False])
def test_no_fold_proposes_where_the_face_is_unseen(tmp_path: Path, unseen: bool) -> None:
    """The framework sees to it, whatever the method."""
    from microexp.records.proposals import TEST, read_proposals
    from tests.methods.spotting.made_up import edit

    data = write_data(tmp_path / "data", subjects=4, n_frames=300)
    (path,) = (p for p in data.features if p.parts[-3:] == ("motion", "fake", "s00.h5"))
    with edit(path) as file:
        (group,) = file.values()
        marks = np.ones(len(group["features"]), np.uint8)
        marks[150:] = 0 if unseen else 1
        group["valid"] = marks
    out = run_fold(data, tmp_path / "fold", method="flow_magnitude")
    found = [p for p in read_proposals(out / "proposals.h5") if p.role == TEST]
    late = sum(int((p.intervals[:, 0] > 160).sum()) for p in found)
    assert sum(len(p.scores) for p in found) > 0 and (late == 0) == unseen
