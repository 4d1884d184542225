"""Tables and page of one's own video, on made-up shards."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.methods.spotting import candidates
from microexp.records.crops import create_crops
from microexp.records.events import read_events
from microexp.records.index import Video, write_expressions, write_videos
from microexp.records.landmarks import Look, read_landmarks
from microexp.report.video import page
from microexp.report.video.measures import Regions, blinks, measure, moving, per_frame, stretches
from microexp.report.video.page import FLAGS, Mark, as_html, facts, lanes
from microexp.report.video.tables import Seen, summary
from tests.report.video import made


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with tables and page of the made-up video."""
    folder = tmp_path_factory.mktemp("own")
    made.video_page(folder)
    return folder


@pytest.mark.long
def test_a_row_per_frame(own: Path) -> None:
    found = rows(own / "frames.csv")
    assert [int(r["frame"]) for r in found] == list(range(1, made.N + 1))
    assert [r["time_s"] for r in found[:3]] == ["0.0", "0.0333", "0.0667"]
    assert {int(r["frame"]) - 1 for r in found if r["blink"] == "1"} == set(made.BLINK)
    hidden = [r for r in found if r["in_crop"] == "0"]
    assert {int(r["frame"]) - 1 for r in hidden} == set(made.HIDDEN)
    assert {(r["face"], r["problem"], r["head_x"], r["box_x0"]) for r in hidden} == {("0", "no face", "", "")}
    peak = max((r for r in found if r["motion_brows"]), key=lambda r: float(r["motion_brows"]))
    assert abs(int(peak["frame"]) - 28) <= 2
    assert found[104]["motion_brows"] == "", "what is not known is empty, not 0"


def test_events_are_candidates_with_apex_regions_and_flags(own: Path) -> None:
    first, second = rows(own / "events.csv")
    assert (first["kind"], first["onset"], first["offset"], first["onset_s"]) == ("candidate", "21", "35", "0.667")
    assert 21 < int(first["apex"]) <= 35 and abs(int(first["apex"]) - 28) <= 4
    assert first["regions"].split()[0] == "brows" and first["flags"] == "" and first["truth"] == "hit"
    assert second["flags"] == "blink gap" and second["truth"] == "miss"
    assert first["emotion"] == first["action_units"] == ""


def test_the_summary_says_how_much_was_used(own: Path) -> None:
    about = json.loads((own / "summary.json").read_text())
    assert (about["status"], about["why"], about["people"]) == ("partly", "10 no face", 2)
    assert about["usable"] == pytest.approx(1 - 10 / made.N, abs=1e-4)
    assert (about["events"], about["unflagged"], about["truths"], about["hits"]) == (2, 1, 2, 1)
    assert about["kinds"] == {"candidate": 2} and about["trained"] is False
    x0, y0, x1, y1 = about["face_box"]
    assert 0 <= x0 < x1 <= about["width"] and 0 <= y0 < y1 <= about["height"]


def test_a_video_is_as_long_as_its_frames_times_say() -> None:
    """Four frames at ten a second, with a minute missing in front of the last one."""
    video = Video("video", "a", "a", "a.mkv", 4, 10.0, 64, 64)
    times = np.array([0.5, 0.6, 0.7, 60.7])
    seen = Seen(np.zeros(4, np.int64), times, measures=None, confidence=[], regions=None)  # type: ignore[arg-type]
    model = SimpleNamespace(method=None, label="m")
    about = summary(video, seen, [], truths=[], model=model)  # type: ignore[arg-type]
    assert (about["seconds"], about["status"], about["why"]) == (60.3, "ok", "")
    about = summary(video, seen, [], truths=[], model=model, cut="it ends early")  # type: ignore[arg-type]
    assert (about["status"], about["why"]) == ("partly", "it ends early")


def test_of_several_people_the_page_says_which_one_is_followed() -> None:
    about = {"people": 3, "width": 900, "usable": 1.0, "why": ""}
    words = {(0, 0, 200, 200): "left", (350, 0, 560, 200): "middle", (720, 0, 960, 200): "right"}
    for box, word in words.items():
        assert facts({**about, "face_box": box})[-1].endswith(word + " followed"), box
    assert facts({**about, "face_box": None})[-1].endswith("one of them followed")
    assert len(facts({**about, "people": 1})) == 1


def test_the_page_stands_alone_and_says_what_it_is(own: Path) -> None:
    text = (own / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:|#)", text) and "://" not in text and "<script" not in text
    assert "candidate" in text and "It is not a detected micro-expression" in text
    assert "1 of 2 known expressions were met" in text
    assert 'href="#event-1"' in text and 'id="event-1"' in text
    assert text.count('class="shade"') == 1 and ">no face<" in text
    assert 'name="viewport"' in text


def test_the_page_has_words_for_every_flag(own: Path) -> None:
    assert set(FLAGS) == set(candidates.FLAGS)
    text = (own / "page.html").read_text(encoding="utf-8")
    assert FLAGS["blink"] in text and FLAGS["gap"] in text and FLAGS["head_turn"] not in text


def test_a_card_is_read_as_markdown_and_loads_nothing() -> None:
    html = as_html("# M\n\n**Never** on <img src=x> faces, ![](https://a.b/c.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert "<h1>M</h1>" in html and "<strong>Never</strong>" in html and "<td>2</td>" in html
    assert "<img" not in html and "&lt;img src=x&gt;" in html


def test_pictures_of_many_events_are_of_the_surest_and_the_page_says_so(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = (own / "page.html").read_text(encoding="utf-8")
    monkeypatch.setattr(page, "SHOWN", 1)
    one = made.video_page(tmp_path).read_text(encoding="utf-8")
    assert "Pictures are shown of the 1 with the highest scores" in one and "Pictures are shown" not in every
    assert one.count("<figcaption>onset") == 1 and every.count("<figcaption>onset") == 2


@pytest.mark.long
def test_the_same_page_twice(own: Path, tmp_path: Path) -> None:
    assert made.video_page(tmp_path).read_bytes() == (own / "page.html").read_bytes()


def test_a_video_that_cannot_be_read_has_tables_without_rows(tmp_path: Path) -> None:
    inputs = made.write_inputs(tmp_path / "made")
    write_videos(inputs["videos"], [])
    write_expressions(inputs["expressions"], [], [])
    made.run_one("video-tables", inputs, tmp_path)
    about = json.loads((tmp_path / "summary.json").read_text())
    assert about["status"] == "none" and about["why"] and rows(tmp_path / "events.csv") == []
    page = made.run_one("video-page", inputs, tmp_path)["page"]
    assert "Nothing of the video could be used" in page.read_text()


def test_several_videos_of_a_subject_are_refused(tmp_path: Path) -> None:
    inputs = made.write_inputs(tmp_path / "made")
    other = Video("video", "ann", "second", "b.mp4", 9, 30.0, 320, 240)
    write_videos(inputs["videos"], [made.VIDEO, other])
    with pytest.raises(UserError, match="2 videos"):
        made.run_one("video-tables", inputs, tmp_path)


# --- the parts --------------------------------------------------------------------------------------------------------


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    inputs = made.write_inputs(tmp_path)
    assert read_events(inputs["found"], [made.VIDEO]) == list(made.EVENTS)
    with pytest.raises(UserError, match="row 2: got video/ann/ann"):
        read_events(inputs["found"], [])


def test_landmarks_come_back_and_openface_readers_take_them(tmp_path: Path) -> None:
    from microexp.faces.given import read_landmarks as as_given

    inputs = made.write_inputs(tmp_path)
    again = read_landmarks(inputs["landmarks"])
    assert [look.points is None for look in again] == [look.points is None for look in made.looks()]
    np.testing.assert_allclose(again[0].points, made.points(), atol=0.01)
    given = as_given(inputs["landmarks"], 1, made.N)
    assert set(np.flatnonzero(~given.seen)) == set(made.HIDDEN)


def test_eyes_that_stay_closed_are_no_blink() -> None:
    opening, times = np.full(90, 0.3), np.arange(90) / 30
    opening[10:14], opening[40:70] = 0.1, 0.1
    assert stretches(blinks(opening, times)) == [(10, 13)]
    assert not blinks(np.full(5, np.nan), np.arange(5.0)).any()


@pytest.mark.parametrize("angle", [0.0, 2.0, 12.0])
def test_a_roll_is_measured_and_does_not_move_the_nose(angle: float) -> None:
    found = []
    for frame in range(30):
        a = np.radians(angle * frame / 29)
        rotation = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        found.append(Look(frame + 1, frame / 30, 1.0, (made.points() - 160) @ rotation.T + 160))
    measures = measure(found)
    assert measures.roll_deg[-1] == pytest.approx(angle, abs=0.01)
    np.testing.assert_allclose(measures.nose, 0, atol=1e-9)


def test_lengths_are_in_eye_distances() -> None:
    shown = [Look(i + 1, i / 30, 1.0, made.points(shift=20.0 * (i == 4))) for i in range(5)]
    assert measure(shown).shift[4, 0] == pytest.approx(0.5)
    assert len(measure([]).numbers) == 0


def test_regions_between_their_steps_and_where_nothing_is_known() -> None:
    speed = np.array([[1.0, 1.0], [np.nan, np.nan], [1.0, 9.0], [1.0, 1.0]])
    regions = Regions(("brows", "mouth"), np.array([1.0, 3, 5, 7]), speed)
    assert np.isnan(per_frame(regions, 8)[3]).all() and per_frame(regions, 8)[5, 1] == 9
    assert moving(regions, 4, 6) == ["mouth"] and moving(regions, 2, 3) == []
    assert moving(regions, 7, 7) == ["brows"], "at least one, where anything is known"


def test_a_drawing_without_anything() -> None:
    assert "<svg" in lanes(0.0, [], [], events=[], truths=[])
    text = lanes(
        10, [("brows", np.full(9, np.nan))], [(2, 3, "<cut>")], events=[Mark(1, 2, "#e", "event", "a & b")], truths=[]
    )
    assert "&lt;cut&gt;" in text and "a &amp; b" in text and "polyline" not in text


@pytest.mark.long
def test_a_video_that_cannot_be_used_has_a_page_and_missed_expressions(tmp_path: Path) -> None:
    inputs = made.write_inputs(tmp_path / "made")
    with create_crops(inputs["crops"], made.WHOM) as shard:
        shard.exclude(
            "ann", "no face found in any of 48 frames", fps=made.FPS, source_fps=made.FPS, source_n_frames=made.N
        )
    made.recorded(inputs["crops"], "crops")
    made.run_one("video-tables", inputs, tmp_path)
    about = json.loads((tmp_path / "summary.json").read_text())
    assert (about["status"], about["truths"], about["hits"]) == ("none", 2, 0)
    page = made.run_one("video-page", inputs, tmp_path)["page"].read_text(encoding="utf-8")
    assert "no face found in any of 48 frames" in page and 'id="event-1"' not in page
