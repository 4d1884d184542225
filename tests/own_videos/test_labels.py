"""Known expressions in the forms in which people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.own_videos.inputs import OwnVideo
from microexp.own_videos.labels import Label, read_labels, write_annotations
from tests.datasets.releases import workbook

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
        ("video,onset,offset\na,10,20\na,,30\n", "row 3: no onset"),
        ("video,onset_s,offset_s\na,1.5,late\n", "row 2, offset: got 'late', expected a time"),
        ("start_ms,end_ms\n1200,x\n", "row 2, offset: got 'x', expected a time"),
        ("onset,offset,type\n1,5,m\n", "row 2, kind: got 'm', expected micro or macro"),
        ("onset,offset,onset_s,offset_s\n10,20,,\n,,1.5,2\n30,40,,\n", "row 3: its ends are in other columns"),
        ("video,onset_s,offset_s,onset,offset\na,,,,\n", "no expression"),
        ("Time,Behavior,Status\nnever,micro,START\n", "row 2: got 'never', expected a time in seconds"),
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


def test_rows_without_any_interval_are_no_labels(tmp_path: Path) -> None:
    found = made(tmp_path, "l.csv", "video,onset,offset,kind\na,,,micro\na,5,9,macro\n")
    assert [(x.row, x.onset, x.offset, x.kind) for x in found] == [(3, 5, 9, "macro")]


def test_a_row_without_an_end_is_a_single_frame(tmp_path: Path) -> None:
    (label,) = made(tmp_path, "l.csv", "video,onset,offset\na,12,\n")
    assert (label.onset, label.apex, label.offset) == (12, None, 12)


@pytest.mark.parametrize(("apex", "expected"), [("14", 14), ("", None), ("unclear", None)])
def test_an_apex_that_is_no_number_is_none(tmp_path: Path, apex: str, expected: float | None) -> None:
    (label,) = made(tmp_path, "l.csv", f"video,onset,apex,offset\na,10,{apex},20\n")
    assert label.apex == expected


def test_milliseconds_are_seconds_afterwards(tmp_path: Path) -> None:
    (label,) = made(tmp_path, "l.csv", "start_ms,apex_ms,end_ms,label\n1200,1350,1600,happiness\n")
    assert (label.onset, label.apex, label.offset) == (1.2, 1.35, 1.6)
    assert (label.in_seconds, label.kind, label.emotion) == (True, "", "happiness")


@pytest.mark.parametrize(
    ("cell", "kind", "emotion"),
    [
        ("micro-expression", "micro", ""), ("Macro (left)", "macro", ""), ("happiness", "", "happiness"),
        ("micromanaged", "micro", ""), ("amicros", "", "amicros"),
    ],
)  # fmt: skip
def test_a_label_is_a_kind_or_an_emotion(tmp_path: Path, cell: str, kind: str, emotion: str) -> None:
    (label,) = made(tmp_path, "l.csv", f"onset,offset,label\n1,5,{cell}\n")
    assert (label.kind, label.emotion) == (kind, emotion)


def test_short_names_of_kinds(tmp_path: Path) -> None:
    labels = made(tmp_path, "l.csv", "onset,offset,type\n46,52,mae\n100,140,ME\n150,160,\n")
    assert [x.kind for x in labels] == ["macro", "micro", ""]


def test_the_pair_of_columns_that_is_filled_is_read(tmp_path: Path) -> None:
    labels = made(tmp_path, "l.csv", "video,onset,offset,onset_s,offset_s\nt,46,65,,\nt,111,117,,\n")
    assert [(x.onset, x.offset, x.in_seconds) for x in labels] == [(46, 65, False), (111, 117, False)]


@pytest.mark.parametrize(
    "text",
    [
        "Tier\tBegin Time - hh:mm:ss.ms\tEnd Time - hh:mm:ss.ms\tAnnotation\n"
        "micro\t00:00:01.500\t00:00:02.100\thappy\n",
        "micro\t\t00:00:01.500\t00:00:02.100\t00:00:00.600\thappy\n",
        "Ebene\tAnfang\tEnde\tAnmerkung\nmicro\t00:00:01.500\t00:00:02.100\thappy\n",
        '"#file:///films/a.eaf"\n\nmicro\t\t00:00:01.500\t00:00:02.100\thappy\n',
    ],
)
def test_a_tier_of_elan_may_say_the_kind(tmp_path: Path, text: str) -> None:
    (label,) = made(tmp_path, "l.txt", text)
    assert (label.onset, label.offset, label.kind, label.emotion) == (1.5, 2.1, "micro", "happy")


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        ("micro\t\t00:00:0x.500\t00:00:03.100\t00:00:00.600\thappy", "row 2: got '00:00:0x.500' and '00:00:03.100'"),
        ("micro\t\t00:00:03.500\t00:00:03.100\t00:00:00.600\thappy", "row 2: it ends at 3.1, before 3.5"),
        ("micro\thappy", "row 2: got '' and ''"),
    ],
)
def test_a_damaged_row_without_header_is_named(tmp_path: Path, damaged: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        made(tmp_path, "l.txt", f"micro\t\t00:00:01.500\t00:00:02.100\t00:00:00.600\thappy\n{damaged}\n")
    assert says in str(error.value)


def test_accents_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    composed, apart = "Zo\u00eb.mp4", "Zoe\u0308.mp4"
    for on_disk, in_sheet in ((composed, apart), (apart, composed)):
        assert write_annotations(tmp_path / "a.csv", [row(in_sheet)], [video("z", on_disk)], file="l.csv") == 0


def test_one_fraction_makes_seconds_of_the_whole_column(tmp_path: Path) -> None:
    labels = made(tmp_path, "l.csv", "onset,offset\n1,2\n3.5,4\n")
    assert [(x.onset, x.offset, x.in_seconds) for x in labels] == [(1, 2, True), (3.5, 4, True)]


BORIS_HEADER = "Time,Media file path,Subject,Behavior,Status\n"


def test_states_of_two_people_that_overlap_are_told_apart(tmp_path: Path) -> None:
    rows = "1,a.mp4,ann,micro,START\n2,a.mp4,bob,micro,START\n3,a.mp4,ann,micro,STOP\n5,a.mp4,bob,micro,STOP\n"
    assert [(x.onset, x.offset) for x in made(tmp_path, "l.csv", BORIS_HEADER + rows)] == [(1, 3), (2, 5)]


def test_a_point_event_is_a_moment(tmp_path: Path) -> None:
    rows = "1,a.mp4,ann,surprise,POINT\n2,a.mp4,ann,micro,POINT\n3,a.mp4,ann,fear,START\n4,a.mp4,ann,fear,STOP\n"
    found = made(tmp_path, "l.csv", BORIS_HEADER + rows)
    assert [(x.onset, x.offset, x.kind, x.emotion) for x in found] == [
        (1, 1, "", "surprise"), (2, 2, "micro", ""), (3, 4, "", "fear"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,a.mp4,ann,fear,STOP\n", "row 2: 'fear' stops without a start"),
        ("1,a.mp4,ann,fear,START\n2,a.mp4,ann,fear,STOP\n3,a.mp4,ann,fear,STOP\n", "row 4: 'fear' stops without"),
        ("1,a.mp4,ann,fear,START\n", "row 2: 'fear' starts and never stops"),
        ("1,a.mp4,ann,,START\n2,b.mp4,ann,,STOP\n", "row 3: 'a state' stops without a start"),
        ("1,a.mp4,ann,fear,START\n2,a.mp4,ann,fear,START\n3,a.mp4,ann,fear,STOP\n", "row 2: 'fear' starts again"),
        ("1,a.mp4,ann,fear,START\n2,a.mp4,ann,fear,\n3,a.mp4,ann,fear,STOP\n", "row 3: got '', expected START"),
        ("1,a.mp4,ann,fear,START\nlate,a.mp4,ann,fear,STOP\n", "row 3: got 'late', expected a time in seconds"),
    ],
)  # fmt: skip
def test_a_state_without_its_two_rows_is_named(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(tmp_path, "l.csv", BORIS_HEADER + rows)


def test_a_sheet_of_a_workbook_is_read_by_its_name(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "l.xlsx", One=[("onset", "offset"), (1, 2)], Two=[("onset", "offset", "kind"), (30, 40, "macro")]
    )
    (label,) = read_labels(f"{path}#two")
    assert (label.onset, label.offset, label.kind) == (30, 40, "macro")
    with pytest.raises(UserError, match="got 'three', expected one of 'One', 'Two'"):
        read_labels(f"{path}#three")


def test_seconds_and_frames_are_written_under_their_names(tmp_path: Path) -> None:
    labels = [Label(2, "a", 1.5, 1.7, 2.0, True, "micro", "fear"), Label(3, "a", 4.0, None, 5.0, True, "", "")]
    write_annotations(tmp_path / "a.csv", labels, [video("a", "a.mp4")], file="l.csv")
    header, first, second = (tmp_path / "a.csv").read_text().splitlines()
    assert header == "subject,video,onset_s,apex_s,offset_s,kind,emotion"
    assert (first, second) == ("a,a,1.5,1.7,2.0,micro,fear", "a,a,4.0,,5.0,,")


def test_a_name_that_two_videos_have_is_refused(tmp_path: Path) -> None:
    videos = [
        OwnVideo("one", "one/x.mp4", Path("/films/one/x.mp4")),
        OwnVideo("two", "two/x.mp4", Path("/films/two/x.mp4")),
    ]
    with pytest.raises(UserError, match=r"row 2: got 'x\.mp4', expected a name that one video alone has"):
        write_annotations(tmp_path / "a.csv", [row("x.mp4")], videos, file="l.csv")
    assert write_annotations(tmp_path / "a.csv", [row("two/x.mp4")], videos, file="l.csv") == 0


def test_a_sheet_without_rows_has_a_header_alone(tmp_path: Path) -> None:
    assert write_annotations(tmp_path / "a.csv", [], [video("a", "a.mp4")], file="l.csv") == 0
    assert (tmp_path / "a.csv").read_text() == "subject,video,onset,apex,offset,kind,emotion\n"
