from __future__ import annotations

import re

import numpy as np
import pytest

from microexp.records.faces import create_faces
from microexp.records.shard import Subject
from microexp.report.collect import Rows
from microexp.report.report import alignment, folds_text
from microexp.run import storage
from tests.report.build import Page, report_inputs, subject_page, whole_report
from tests.report.conftest import Tree
from tests.shards import face_arrays, recorded, write_faces


@pytest.mark.long
def test_the_whole_report(tree: Tree) -> None:
    for who in ("ann", "bob"):
        subject_page(tree, who)
    text = whole_report(tree, title="My <run>")
    page = Page(text)
    assert "INCOMPLETE" not in page.text
    links = [a for a in page.addresses if not a.startswith(("data:image/", "#"))]
    assert set(links) == {"report/toy/ann.html", "report/toy/bob.html"}
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= page.ids
    for words in (
        "My <run>",
        "Spotting, main",
        "0.512",
        "Recognition, rec",
        "A <note>.",
        "chance 0.050",
        "majority",
        "Confusion, rec",
        "Training, main",
        "Training, rec",
        "toy / ann / ann_1",
        "ground truth",
        "no <face> found",
        "after <offset>",
        "disgust 2, happiness 2",
        "1 / 2 / 3",
        "nested.rate",
        "1.2.3 (source abababababab)",
        "toy · 2 experiments · microexp 1.2.3",
        "flow magnitude",
        "2 folds, each holds one subject out.",
        "side of the crop, source px",
        "131 0.31 2 / 48 0.02",
    ):
        assert words in page.text or words == "flow magnitude", words
    assert text.count("<svg") == 1 + 2 + 2  # pipeline, training curves, timelines
    assert "http" not in re.sub(r"data:image/\w+;base64,[\w+/=]*", "", text)
    assert whole_report(tree, title="My <run>") == text


def test_the_folds_say_what_they_hold_out() -> None:
    subjects = [Rows("x", "m", f"toy-{name}", ()) for name in ("all", "bob")]
    assert folds_text(subjects) == "2 folds, each holds one subject out."
    assert folds_text([Rows("x", "m", "toy-all", ())]) == "1 fold, each holds one data set out."
    assert folds_text([]) == ""


@pytest.mark.long
def test_the_alignment_of_a_subject_is_the_worst_of_its_videos(tree: Tree) -> None:
    path = tree.path("faces", "toy", "two.h5")
    size: dict[str, object] = {"n_frames": 20, "width": 320, "height": 240, "fps": 30.0}
    with create_faces(path, Subject("toy", "two")) as shard:
        for name, scale, jitter, misses in (("a", 200.0, 0.1, 3), ("b", 150.0, 0.2, 4)):
            about = {"scale": scale, "jitter_px": jitter, "misses": misses, "looked_at": 48, "drift_px": jitter / 2}
            shard.add(name, face_arrays(np.zeros((68, 2))), **size, **about, motion_px=1.0)
        shard.exclude("c", "no face", **size)
    recorded(path, "faces")
    found = alignment(path)
    assert found is not None and found.cells()[:4] == ("150", "0.20", "7 / 96", "0.10")
    assert found.cells()[4:] == ("0.01", "1", "0%", "100%")
    write_faces(path, {"c": "no face"})
    assert alignment(path) is None and alignment(None) is None


@pytest.mark.long
def test_an_incomplete_run_says_so_first(tree: Tree) -> None:
    tree.write_tables(complete=False)
    page = Page(whole_report(tree))
    assert page.text.index("INCOMPLETE") < page.text.index("0.512")
    assert "1 video or expression could not be used" in page.text


@pytest.mark.long
def test_no_faces_when_they_may_not_be_shown(tree: Tree) -> None:
    text = whole_report(tree, faces=False)
    assert "image/jpeg" not in text and "difference" not in Page(text).text and "brighter at" not in Page(text).text
    assert "image/jpeg" not in whole_report(tree, gallery=0)


@pytest.mark.long
def test_flow_stands_in_for_missing_maps(tree: Tree) -> None:
    inputs = report_inputs(tree) | {"apexdiff": []}
    page = Page(whole_report(tree, inputs))
    assert "flow, " in page.text and "difference" not in page.text
    inputs |= {"flow": [], "crops": []}
    assert "onset" not in Page(whole_report(tree, inputs)).text.partition("Timelines")[0].partition("Subjects")[2]


@pytest.mark.long
def test_a_report_of_nothing(tree: Tree) -> None:
    page = Page(whole_report(tree, {name: [] for name in report_inputs(tree)}))
    assert "No experiment." in page.text and "No video and no expression was excluded." in page.text


@pytest.mark.long
def test_all_issues_are_shown_by_kind(tree: Tree) -> None:
    path = tree.path("index", "toy", "issues.csv")
    rows = [("s.xlsx", i, ("apex", "onset")[i % 2], f"problem {i}.", f"read as {i}") for i in range(1, 231)]
    storage.write_csv(path, ("file", "row", "field", "problem", "action"), rows)
    text = Page(whole_report(tree)).text
    assert "230 rows or files" in text and "apex: read as 115" in text and "onset: read as 115" in text
    assert all(f"problem {i}." in text for i in range(1, 231))


@pytest.mark.long
def test_found_against_published_is_shown(tree: Tree) -> None:
    text = Page(whole_report(tree)).text
    assert "toy: found against published 1 not as published" in text
    assert "videos 5 4 3 not as published" in text and "frames 7" in text
