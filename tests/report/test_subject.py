from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microexp.records.apexdiff import read_apexdiff
from microexp.records.crops import open_crops
from microexp.records.detections import read_detections
from microexp.records.events import Event, write_events
from microexp.records.flow import open_flow
from microexp.records.index import Expression, Video, read_videos
from microexp.report.collect import Rows
from microexp.report.detected import detection_bars, video_lanes, with_apex
from microexp.report.subject import crop_near, expression_pictures, maps_of, predictions_of, summed_flow
from tests.report.build import Page, subject_page
from tests.report.conftest import Tree

VIDEO = Video("toy", "ann", "v", "v.mp4", 100, 25.0, 10, 10)
TRUTH = Expression("toy", "ann", "v", 1, 10, 15, 19, "micro", "surprise", "1+2")


def detection(
    method: str = "m", seed: int = 0, onset: int = 10, offset: int = 19, kind: str = "micro"
) -> dict[str, str]:
    row = {"method": method, "seed": seed, "dataset": "toy", "subject": "ann", "video": "v"}
    return {k: str(v) for k, v in {**row, "onset": onset + 1, "offset": offset + 1, "kind": kind, "score": 0.5}.items()}


@pytest.mark.parametrize(
    ("onset", "offset", "kind", "hit"),
    [(10, 19, "micro", True), (10, 14, "micro", True), (10, 13, "micro", False), (10, 19, "macro", False)],
)
def test_a_detection_hits_from_half_overlap_on(onset: int, offset: int, kind: str, hit: bool) -> None:
    (bar,) = detection_bars([detection("m", 0, onset, offset, kind)], [TRUTH], VIDEO)
    assert (bar.hit, bar.onset, bar.offset, bar.kind) == (hit, onset, offset, kind)


def test_lanes_show_first_seeds_and_name_experiments_only_when_there_are_several() -> None:
    rows = (detection("a", 10), detection("a", 9, 30, 40), detection("b_c", 10))
    lanes = video_lanes(VIDEO, [TRUTH], [Rows("x", "m", "f", rows)])
    assert [(lane.name, len(lane.bars)) for lane in lanes] == [("ground truth", 1), ("a", 1), ("b c", 1)]
    assert lanes[1].bars[0].onset == 30
    assert "0.40–0.80 s (frames 11–20) surprise" in lanes[0].bars[0].tip
    both = video_lanes(VIDEO, [TRUTH], [Rows("x", "m", "f", rows), Rows("y", "m", "f", rows[:1])], methods=1)
    assert [lane.name for lane in both] == ["ground truth", "x: a", "y: a"]
    other = Video("toy", "ann", "w", "w.mp4", 100, 25.0, 10, 10)
    assert [len(lane.bars) for lane in video_lanes(other, [TRUTH], [Rows("x", "m", "f", rows)])] == [0, 0, 0]


def test_predictions_of_an_expression() -> None:
    row = {"method": "mdml", "seed": "0", "dataset": "toy", "subject": "ann", "video": "v", "expression": "1"}
    rows = ({**row, "label": "p", "prediction": "n"}, {**row, "seed": "1", "label": "p", "prediction": "p"})
    rows += (
        {**row, "method": "majority", "label": "p", "prediction": "p"},
        {**row, "expression": "2", "label": "p", "prediction": "p"},
    )
    assert predictions_of(TRUTH, [Rows("x", "m", "f", rows)]) == [("mdml", "n", False), ("majority", "p", True)]
    several = predictions_of(TRUTH, [Rows("x", "m", "f", rows[:1]), Rows("y", "m", "f", rows[:1])])
    assert [name for name, _, _ in several] == ["x: mdml", "y: mdml"]


def test_pictures_come_from_the_nearest_crops(finished: Tree) -> None:
    with open_crops(finished.path("crops", "toy", "ann.h5")) as crops:
        video = crops["ann_1"]
        assert np.array_equal(crop_near(video, 41), video.frames[41])
        assert np.array_equal(crop_near(video, 9999), video.frames[-1])
    own = [e for e in finished.expressions if e.subject == "ann"]
    _, record = read_apexdiff(finished.path("apexdiff", "toy", "ann.h5"))
    assert np.array_equal(maps_of(record, own[1])["flow"], record.flow[1])
    assert maps_of(record, Expression("toy", "ann", "ann_1", 9, 1, 2, 3, "micro", "", "")) == {}


def test_flow_of_an_expression_without_its_maps(finished: Tree) -> None:
    own = next(e for e in finished.expressions if e.subject == "ann")
    with (
        open_flow(finished.path("flow", "toy", "ann.h5")) as flow_shard,
        open_crops(finished.path("crops", "toy", "ann.h5")) as crops_shard,
    ):
        flow, crops = flow_shard["ann_1"], crops_shard["ann_1"]
        total = summed_flow(flow, crops.frame_index, own)
        expected = flow.units[own.onset : own.apex].astype(float).sum(0) / 512
        assert total is not None
        np.testing.assert_allclose(total, expected)
        still = Expression("toy", "ann", "ann_1", 1, 5, 5, 9, "micro", "", "")
        assert summed_flow(flow, crops.frame_index, still) is None
        shown = expression_pictures(own, crops, flow, maps={}, faces=True)
        assert [c.split(",")[0] for c, _ in shown] == ["onset", "apex", "flow"]
        assert [c.split(",")[0] for c, _ in expression_pictures(own, crops, flow, maps={}, faces=False)] == ["flow"]


def test_page_of_a_subject(finished: Tree) -> None:
    path = subject_page(finished, "bob")
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert all(a.startswith(("data:image/", "../../report.html")) for a in page.addresses)
    assert (
        text.count("data:image/jpeg") == 10 + 2 * 2 + 3 * 2 and "no &lt;face&gt; found" in text
    )  # strip, expressions, detections
    assert page.text.count("meets a ground truth") + page.text.count("meets none") == 3
    for words in ("toy / bob", "micro happiness", "landmark jitter, px: 0.31", "EXCLUDED", "mdml:", "AU 12"):
        assert words in page.text, words
    assert subject_page(finished, "bob").read_text(encoding="utf-8") == text


def test_detections_are_shown_with_pictures_and_what_they_were_recognised_as(finished: Tree, tmp_path: Path) -> None:
    plain = Page(subject_page(finished, "bob").read_text(encoding="utf-8"))
    assert "blink" not in plain.text
    videos = read_videos(finished.path("index", "toy", "bob", "videos.csv"))
    (path, *_) = sorted(finished.root.glob("spotting/main/*/toy-bob/detections.csv"))
    found = [d for d in read_detections(path, videos) if (d.method, d.seed) == (path.parents[1].name, 0)]
    label = f"main/{path.parents[1].name}"
    classes = {"p": 0.25, "n": 0.75}
    events = [
        Event(d.key, d.onset, d.offset, d.kind, d.score, label, d.offset, classes, "rec/mdml", ("head_turn",))
        for d in found
    ]
    write_events(tmp_path / "events.csv", events, videos, classes=["p", "n"])
    page = Page(subject_page(finished, "bob", events=tmp_path / "events.csv").read_text(encoding="utf-8"))
    assert page.text.count("n 0.75 · p 0.25") == len(found) > 0
    assert page.text.count("head turn") == len(found)
    none = subject_page(finished, "bob", detections=0).read_text(encoding="utf-8")
    assert none.count("data:image/jpeg") == 10 + 2 * 2


def test_the_apex_of_a_detection_is_where_the_face_has_moved_most(finished: Tree) -> None:
    with (
        open_crops(finished.path("crops", "toy", "ann.h5")) as shard,
        open_flow(finished.path("flow", "toy", "ann.h5")) as flows,
    ):
        name = sorted(flows)[0]
        crops, flow = shard[name], flows[name]
        index = crops.frame_index.astype(int)
        span = Expression("toy", "ann", name, 0, int(index[0]), -1, int(index[-1]), "micro", "", "")
        path = np.cumsum(flow.units[:].astype(float), 0)
        path -= np.median(path, axis=(1, 2), keepdims=True)
        moved = np.linalg.norm(path, axis=-1).mean((1, 2))
        assert with_apex(span, flow, index).apex == index[1 + int(moved.argmax())]
        assert with_apex(span, None, index).apex == (span.onset + span.offset) // 2
        known = replace(span, apex=span.onset + 1)
        assert with_apex(known, flow, index) is known


def test_page_without_faces_and_without_optional_shards(finished: Tree) -> None:
    path = subject_page(finished, "ann", faces=False)
    text = path.read_text(encoding="utf-8")
    assert "image/jpeg" not in text and "difference" not in text and "flow, " in text
    bare = subject_page(finished, "ann", without=("faces", "flow", "motion", "apexdiff"), expressions=1)
    page = Page(bare.read_text(encoding="utf-8"))
    assert page.text.count("AU 12") == 1 and "jitter" not in page.text
