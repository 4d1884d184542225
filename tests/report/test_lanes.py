"""Lanes of a timeline: whose rows they show, and which of them hit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from microexp.records.index import Expression, Video
from microexp.report.collect import Rows
from microexp.report.detected import detection_bars, of_video, video_lanes

VIDEO = Video("d", "ann", "v", "v.mp4", 200, 25.0, 64, 48)
TRUTHS = [
    Expression("d", "ann", "v", 1, 20, 30, 39, "micro", "happiness", ""),
    Expression("d", "ann", "v", 2, 100, 120, 139, "macro", "", ""),
]


def row(onset: int, offset: int, kind: str = "micro", **more: str) -> dict[str, str]:
    """A detection, in the numbers of a video file, which begin with 1."""
    own = {"dataset": "d", "subject": "ann", "video": "v", "method": "aemnet", "seed": "0", "score": "0.5"}
    return {**own, "onset": str(onset), "offset": str(offset), "kind": kind, **more}


def rows(*found: dict[str, str], experiment: str = "long") -> Rows:
    return Rows(experiment, "aemnet", "d-ann", found)


@pytest.mark.parametrize(("name", "other"), [("dataset", "e"), ("subject", "bob"), ("video", "w")])
def test_a_row_is_of_a_video_if_all_three_names_are(name: str, other: str) -> None:
    assert of_video(row(1, 9), VIDEO)
    assert not of_video(row(1, 9, **{name: other}), VIDEO)


@pytest.mark.parametrize(
    ("onset", "offset", "kind", "hit"),
    [
        (21, 40, "micro", True), (21, 40, "macro", False), (11, 30, "micro", False), (26, 40, "micro", True),
        (101, 140, "macro", True), (150, 160, "macro", False),
    ],
)  # fmt: skip
def test_a_detection_hits_from_an_overlap_of_half_on(onset: int, offset: int, kind: str, hit: bool) -> None:
    (bar,) = detection_bars([row(onset, offset, kind)], TRUTHS, VIDEO)
    assert (bar.hit, bar.onset, bar.offset, bar.kind) == (hit, onset - 1, offset - 1, kind)


def test_detections_are_compared_in_the_releases_numbers() -> None:
    """Frames that are missing count there: of 20 numbers this one shares 5, of the decoded frames it would be half."""
    gapped = replace(VIDEO, n_frames=40, numbers="1-20,100-119")
    truth = Expression("d", "ann", "v", 1, 15, 18, 24, "micro", "", "")
    inside, outside = detection_bars([row(16, 104), row(16, 20)], [truth], gapped)
    assert (inside.onset, inside.offset, inside.hit) == (15, 24, True)
    assert (outside.onset, outside.offset, outside.hit) == (15, 19, False)


def test_a_tip_says_seconds_frames_and_score() -> None:
    (bar,) = detection_bars([row(26, 50, score="0.756")], [], VIDEO)
    assert bar.tip == "micro, 1.00–2.00 s (frames 26–50) score 0.76"


def test_the_ground_truth_comes_first_and_is_of_this_video_alone() -> None:
    beyond = replace(TRUTHS[0], expression=3, onset=300, apex=310, offset=320)
    strange = replace(TRUTHS[0], video="w")
    (lane,) = video_lanes(VIDEO, [*TRUTHS, beyond, strange], [])
    assert lane.name == "ground truth" and [(b.onset, b.offset, b.kind) for b in lane.bars] == [
        (20, 39, "micro"), (100, 139, "macro")
    ]  # fmt: skip
    assert lane.bars[0].tip.endswith("(frames 21–40) happiness") and lane.bars[1].tip.endswith("(frames 101–140)")


def test_each_method_has_a_lane_with_the_first_of_its_seeds() -> None:
    found = rows(row(1, 9, seed="10"), row(2, 9, seed="9"), row(3, 9, method="flow_magnitude", seed="0"))
    lanes = video_lanes(VIDEO, TRUTHS, [found])
    assert [lane.name for lane in lanes] == ["ground truth", "aemnet", "flow magnitude"]
    assert [bar.onset for bar in lanes[1].bars] == [1], "9 is less than 10"


def test_a_method_that_found_nothing_here_has_an_empty_lane() -> None:
    lanes = video_lanes(VIDEO, TRUTHS, [rows(row(1, 9, video="w"))])
    assert [(lane.name, len(lane.bars)) for lane in lanes] == [("ground truth", 2), ("aemnet", 0)]


def test_several_experiments_are_named_and_as_many_methods_shown_as_asked_for() -> None:
    one = rows(row(1, 9), row(1, 9, method="flow_magnitude"))
    two = rows(row(5, 9), experiment="short")
    names = [lane.name for lane in video_lanes(VIDEO, TRUTHS, [one, two])]
    assert names == ["ground truth", "long: aemnet", "long: flow magnitude", "short: aemnet"]
    assert [lane.name for lane in video_lanes(VIDEO, TRUTHS, [one], methods=1)] == ["ground truth", "aemnet"]


def test_folds_of_one_experiment_share_a_lane() -> None:
    lanes = video_lanes(VIDEO, TRUTHS, [rows(row(1, 9)), rows(row(50, 59))])
    assert [[bar.onset for bar in lane.bars] for lane in lanes[1:]] == [[0, 49]]
