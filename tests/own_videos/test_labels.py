"""Known expressions in the forms in which people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.own_videos.inputs import OwnVideo
from microexp.own_videos.labels import Label, read_labels, write_annotations

ELAN = (
    "Expression\tann\t00:00:01.200\t1.2\t00:00:01.600\t1.6\t00:00:00.400\t0.4\tmicro\n"
    "Expression\tann\t00:01:02.500\t62.5\t00:01:04.000\t64.0\t00:00:01.500\t1.5\tmacro\n"
)
ELAN_HEADER = (
    "Begin Time - ss.msec\tEnd Time - ss.msec\tDuration - ss.msec\tAnnotation\n1.2\t1.6\t0.4\tmicro\n"
    "62.5\t64.0\t1.5\tmacro expression\n"
)
BORIS_LINES = (
    "Observation id\tone\nTime offset\t0\n\nTime\tMedia file path\tSubject\tBehavior\tComment\tStatus\n"
    "1.2\t/x/a.mp4\tann\tmicro\t\tSTART\n1.6\t/x/a.mp4\tann\tmicro\t\tSTOP\n"
    "62.5\t/x/a.mp4\tann\tmacro\t\tSTART\n64.0\t/x/a.mp4\tann\tmacro\t\tSTOP\n"
)
BORIS_STATES = (
    "Observation id,Media file name,Subject,Behavior,Behavior type,Start (s),Stop (s),Duration (s)\n"
    "one,/x/a.mp4,ann,micro,STATE,1.2,1.6,0.4\none,/x/a.mp4,ann,macro,STATE,62.5,64.0,1.5\n"
)
SECONDS = {
    "elan.txt": ELAN,
    "elan_header.txt": ELAN_HEADER,
    "boris_events.tsv": BORIS_LINES,
    "boris_states.csv": BORIS_STATES,
    "seconds.csv": "video,onset_s,offset_s,kind\na,1.2,1.6,micro\na,62.5,64.0,macro\n",
    "plain_seconds.csv": "file;start;end;type\na.mp4;1,2;1,6;micro\na.mp4;62,5;64;macro\n",
    "clock.csv": "clip,begin,end,label\na,0:01.2,0:01.6,Micro\na,1:02.5,1:04,Macro\n",
    "ms.tsv": "start_ms\tend_ms\tkind\n1200\t1600\tmicro\n62500\t64000\tmacro\n",
}


def made(folder: Path, name: str, text: str) -> list[Label]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_labels(str(path))


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_in_every_form(tmp_path: Path, name: str) -> None:
    labels = made(tmp_path, name, SECONDS[name])
    found = [(x.onset, x.offset, x.kind, x.in_seconds) for x in labels]
    assert found == [(1.2, 1.6, "micro", True), (62.5, 64.0, "macro", True)]


@pytest.mark.parametrize(
    "text",
    [
        "video,onset,apex,offset\na,10,14,20\n",
        "vid,startFrame,peakFrame,endFrame\na,10,14,20\n",
        "Filename;Onset Frame;Apex Frame;Offset Frame\na;10;14;20\n",
    ],
)
def test_frames_in_columns_of_any_usual_name(tmp_path: Path, text: str) -> None:
    (label,) = made(tmp_path, "l.csv", text.replace("startFrame", "start frame").replace("endFrame", "end frame"))
    assert (label.onset, label.apex, label.offset, label.in_seconds, label.kind) == (10, 14, 20, False, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "a column"),
        ("video,onset,offset\na,20,10\n", "row 2: it ends at 10, before 20"),
        ("video,onset,offset\na,soon,10\n", "row 2, onset: got 'soon'"),
    ],
)
def test_what_is_no_label_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        made(tmp_path, "l.csv", text)
    assert says in str(error.value)


def video(name: str, given: str) -> OwnVideo:
    return OwnVideo(name, given, Path("/films") / given)


def row(name: str, onset: float = 3, in_seconds: bool = False) -> Label:
    return Label(2, name, onset, None, onset + 5, in_seconds, "micro", "")


def test_rows_go_to_their_video_by_any_of_its_names(tmp_path: Path) -> None:
    videos = [video("My_Video", "My Video.mp4"), video("b", "b.mov")]
    names = ["My Video", "my video.MP4", "C:\\films\\b.mov", "/films/b.mov", "My_Video", "c"]
    out = tmp_path / "annotations.csv"
    assert write_annotations(out, [row(n) for n in names], videos, file="l.csv") == 1
    rows = out.read_text().splitlines()
    assert rows[0] == "subject,video,onset,apex,offset,kind,emotion"
    assert [line.split(",")[0] for line in rows[1:]] == ["My_Video", "My_Video", "b", "b", "My_Video"]
    assert rows[1].split(",")[1] == "My Video", "as the link is called"


def test_without_a_video_column_there_must_be_one_video(tmp_path: Path) -> None:
    write_annotations(tmp_path / "a.csv", [row("", 1.5, True)], [video("a", "a.mp4")], file="l.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "a,a,1.5,,6.5,micro,"
    with pytest.raises(UserError, match="no video"):
        write_annotations(tmp_path / "b.csv", [row("")], [video("a", "a.mp4"), video("b", "b.mp4")], file="l.csv")


def test_rows_that_are_all_of_other_videos_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"got 'zebra', expected one of a\.mp4"):
        write_annotations(tmp_path / "a.csv", [row("zebra")], [video("a", "a.mp4")], file="l.csv")
