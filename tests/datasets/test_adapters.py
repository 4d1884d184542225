"""Every release: its layout, its copies, and each of its quirks with the rule that corrects it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from microexp.datasets.index import files, listing, read_index
from microexp.errors import UserError
from microexp.reading.matching import apex_by_flow
from microexp.reading.params import DatasetParams, DemoParams
from microexp.reading.release import Index
from microexp.records.index import Expression

from . import releases
from .releases import frames, workbook


def read(adapter: str, root: Path, **options: object) -> Index:
    return read_index(adapter, DatasetParams(root=str(root), **options))[2]


def spans(index: Index, subject: str | None = None) -> list[tuple[object, ...]]:
    """(video, onset, apex, offset) of each expression."""
    return [(e.video, e.onset, e.apex, e.offset) for e in index.expressions if subject in (None, e.subject)]


def notes(index: Index, field: str) -> list[tuple[int, str, str]]:
    return [(i.row, i.problem, i.action) for i in index.issues if i.field == field]


# --- CAS(ME)^2 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", ["rawpic", "longVideoFaceCropped"])
def test_cas_me2(tmp_path: Path, copy: str) -> None:
    index = read("cas_me2", releases.cas_me2(tmp_path, copy))
    assert [(v.subject, v.video, v.n_frames, v.fps) for v in index.videos] == [
        ("s15", "s15_0101", 40, 30.0), ("s15", "s15_0401", 40, 30.0), ("s15", "s15_0508", 40, 30.0),
        ("s40", "s40_0508", 40, 30.0),
    ]  # fmt: skip
    assert index.expressions[0] == Expression("cas_me2", "s15", "s15_0101", 1, 4, 8, 13, "macro", "negative", "4+7+L10")
    assert spans(index) == [
        ("s15_0101", 4, 8, 13),
        ("s15_0101", 11, 14, 14),  # offset 0: the apex
        ("s15_0101", 29, 32, 35),  # apex 0: the middle
        ("s15_0401", 19, 22, 25),  # 0 < offset <= apex: the interval stands, the apex does not
        ("s40_0508", 2, 5, 8),
    ]
    assert [e.expression for e in index.expressions] == [1, 2, 3, 1, 1]
    assert [e.aus for e in index.expressions] == ["4+7+L10", "4", "T12", "14", "6+12"]
    assert notes(index, "offset") == [(2, "0", "read as apex = 15")]
    assert [row for row, _, _ in notes(index, "apex")] == [3, 4]


@pytest.mark.parametrize(("rule", "offset"), [("apex", 15), ("apex+20", 35), ("2*apex-onset", 18)])
def test_cas_me2_offset_zero_is_an_option(tmp_path: Path, rule: str, offset: int) -> None:
    index = read("cas_me2", releases.cas_me2(tmp_path), offset_zero=rule)
    assert spans(index)[1] == ("s15_0101", 11, 14, offset - 1)


def test_cas_me2_expression_numbers_of_two_digits_keep_their_video(tmp_path: Path) -> None:
    rows = [(1, f"disgust1_{n}", n, n + 1, n + 2, 4, "negative", "macro-expression", "") for n in range(1, 31)]
    index = read("cas_me2", releases.cas_me2(tmp_path, rows=rows))
    assert len(index.expressions) == 30
    assert {e.video for e in index.expressions} == {"s15_0101"}


def test_cas_me2_with_a_header_and_without_the_naming_rules(tmp_path: Path) -> None:
    plain = read("cas_me2", releases.cas_me2(tmp_path))
    header = ("Subject ID", "Clip Name", "OnsetFrame", "ApexFrame", "OffsetFrame", "AUs", "Valence", "Type", "Emotion")
    workbook(tmp_path / "CAS(ME)^2code_final.xlsx", Sheet1=[header, *releases.CAS_ME2_ROWS])
    assert read("cas_me2", tmp_path).expressions == plain.expressions


def test_cas_me2_saved_as_csv(tmp_path: Path) -> None:
    plain = read("cas_me2", releases.cas_me2(tmp_path))
    (tmp_path / "CAS(ME)^2code_final.xlsx").unlink()
    lines = [",".join(map(str, row)) for row in releases.CAS_ME2_ROWS]
    (tmp_path / "CASFEcode_final.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    assert read("cas_me2", tmp_path).expressions == plain.expressions


def test_cas_me2_prefers_raw_frames_and_takes_the_copy_asked_for(tmp_path: Path) -> None:
    releases.cas_me2(tmp_path)
    releases.cas_me2(tmp_path, "longVideoFaceCropped")
    assert {Path(v.path).parts[-3] for v in read("cas_me2", tmp_path).videos} == {"rawpic"}
    cropped = read("cas_me2", tmp_path, frames="cropped")
    assert {Path(v.path).parts[-3] for v in cropped.videos} == {"longVideoFaceCropped"}
    chosen = read("cas_me2", tmp_path, videos="longVideoFaceCropped")
    assert chosen.videos == cropped.videos


def test_cas_me2_video_files(tmp_path: Path, make_video) -> None:
    releases.cas_me2(tmp_path)
    shutil.rmtree(tmp_path / "rawpic")
    make_video(tmp_path / "rawvideo/s15/15_0101disgustingteeth.avi", 40, codec="mjpeg")
    index = read("cas_me2", tmp_path)
    assert spans(index)[0] == ("s15_0101", 4, 8, 13)  # frame 1 of the sheet is the first of the file
    assert spans(read("cas_me2", tmp_path, first_number=0))[0] == ("s15_0101", 5, 9, 14)
    assert ("s40/s40_0508 is not on disk", "row excluded") in [(p, a) for _, p, a in notes(index, "video")]


def test_two_copies_that_cannot_be_told_apart(tmp_path: Path) -> None:
    releases.cas_me2(tmp_path)
    shutil.copytree(tmp_path / "rawpic", tmp_path / "backup")
    with pytest.raises(UserError, match=r"video s15/s15_0101: backup/s15.* and rawpic/s15.*option videos"):
        read("cas_me2", tmp_path)
    assert len(read("cas_me2", tmp_path, videos="rawpic").videos) == 4


# --- SAMM Long Videos -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["V1", "V2", "V3"])
def test_samm_lv(tmp_path: Path, version: str) -> None:
    index = read("samm_lv", releases.samm_lv(tmp_path, version))
    assert [v.video for v in index.videos] == ["006_1", "006_2", "016_7", "032_3", "037_4"]
    assert spans(index) == [
        ("006_1", 9, 19, 29),
        ("006_1", 10, 19, 30),  # halves are rounded up: 10.5 is frame 11, index 10
        ("006_1", 0, 4, 7),  # onset 0 is before the first frame; apex -1 is none
        ("016_7", 9, 11, 15),  # frame 9999 follows 9998, and 10001 follows 10000
        ("032_3", 39, 49, 59),  # clipped to the last frame
        ("037_4", 9, 14, 19),
        ("037_4", 29, 34, 39),
    ]
    assert [e.kind for e in index.expressions] == ["macro", "macro", "micro", "micro", "macro", "macro", "macro"]
    assert [e.aus for e in index.expressions][1:4] == ["12", "4", "R12B"]
    assert (11 + 1, "10.5 is not whole", "read as 11") in notes(index, "onset")
    assert (13, "0 is outside of the frames 1 to 60", "clipped to 1") in notes(index, "onset")
    assert (15, "70 is outside of the frames 1 to 60", "clipped to 60") in notes(index, "offset")
    assert (17, "037_4_1 is in row 16 too", "both kept") in notes(index, "filename")
    assert {(v.width, v.height) for v in index.videos if v.subject == "032"} == {(24, 16)}


def test_samm_lv_takes_the_newest_sheet_or_the_one_asked_for(tmp_path: Path) -> None:
    releases.samm_lv(tmp_path, "V1")
    releases.samm_lv(tmp_path, "V3", releases.SAMM_LV_ROWS[:1])
    assert len(read("samm_lv", tmp_path).expressions) == 1
    assert len(read("samm_lv", tmp_path, release="v1").expressions) == 7
    with pytest.raises(UserError, match=r"SAMM_LongVideos_V2_Release\.xlsx"):
        read("samm_lv", tmp_path, release="V2")
    with pytest.raises(UserError, match=r"datasets\.samm_lv\.release: got 'V9'"):
        read("samm_lv", tmp_path, release="V9")


def test_samm_lv_subjects_that_lost_their_zeros(tmp_path: Path) -> None:
    rows = [(6, "6_1_1", 1, 10, 20, 30, 21, "Macro", 4, None), ("x", "037_4_1", 1, 1, 2, 3, 3, "micro", 4, None)]
    index = read("samm_lv", releases.samm_lv(tmp_path, rows=rows))
    assert [(e.subject, e.video) for e in index.expressions] == [("006", "006_1"), ("037", "037_4")]


# --- CASME II ---------------------------------------------------------------------------------------------------------


def test_casme2(tmp_path: Path) -> None:
    index = read("casme2", releases.casme2(tmp_path))
    assert index.expressions[0] == Expression("casme2", "sub01", "EP02_01f", 1, 0, 13, 40, "micro", "happiness", "12")
    assert spans(index) == [
        ("EP02_01f", 0, 13, 40),
        ("EP06_02_01", 0, 7, 19),
        ("EP09f", 0, 5, 10),
        ("EP12_01f", 0, 10, 20),  # apex `/`
        ("EP03_01", 0, 2, 5),
        ("EP03_02", 0, 2, 5),
        ("EP09_05f", 0, 10, 20),  # apex = onset
    ]
    assert notes(index, "apex") == [
        (4, "'/' is no frame", "put by the rule for a missing apex"),
        (6, "30 is the onset", "put by the rule for a missing apex"),
    ]
    assert {e.emotion for e in index.expressions} == {"happiness", "disgust", "others", "surprise", "sadness"}


def test_casme2_copies(tmp_path: Path) -> None:
    releases.casme2(tmp_path, copies=("raw", "cropped"))
    assert {v.width for v in read("casme2", tmp_path).videos} == {16}
    assert {v.width for v in read("casme2", tmp_path, frames="cropped").videos} == {28}
    shutil.rmtree(tmp_path / "Cropped")
    with pytest.raises(UserError, match="option frames: got cropped, expected raw"):
        read("casme2", tmp_path, frames="cropped")


def test_casme2_numbers_for_subjects_other_case_and_no_header(tmp_path: Path) -> None:
    plain = read("casme2", releases.casme2(tmp_path))
    rows = [(int(str(r[0])), str(r[1]).lower(), *r[2:]) for r in releases.CASME2_ROWS]
    workbook(tmp_path / "CASME2-coding-20140508.xlsx", Sheet1=rows)
    index = read("casme2", tmp_path)
    assert index.expressions == plain.expressions


def test_casme2_names_have_one_spelling_whatever_the_copy(tmp_path: Path) -> None:
    plain = read("casme2", releases.casme2(tmp_path / "a"))
    releases.casme2(tmp_path / "b")
    for clip in (tmp_path / "b/CASME2_RAW_selected").glob("*/*"):
        clip.rename(clip.with_name(clip.name.lower()))
    assert read("casme2", tmp_path / "b").expressions == plain.expressions


def test_a_header_is_read_by_name_also_where_columns_are_missing(tmp_path: Path) -> None:
    plain = read("casme2", releases.casme2(tmp_path))
    rows = [(r[0], r[1], r[3], r[4], r[5], r[8]) for r in releases.CASME2_ROWS]
    header = ("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion")
    workbook(tmp_path / "CASME2-coding-20140508.xlsx", Sheet1=[header, *rows])
    assert read("casme2", tmp_path).expressions == [replace(e, aus="") for e in plain.expressions]
    workbook(tmp_path / "CASME2-coding-20140508.xlsx", Sheet1=[(*header[:5], "Label"), *rows])
    with pytest.raises(UserError, match=r"no such header.* a column 'Estimated Emotion' or 'Emotion'"):
        read("casme2", tmp_path)


def test_cas_me2_header_without_action_units_and_emotion(tmp_path: Path) -> None:
    plain = read("cas_me2", releases.cas_me2(tmp_path))
    header = ("Participant", "Clip", "Onset", "Apex", "Offset", "Type")
    rows = [(*r[:5], r[7]) for r in releases.CAS_ME2_ROWS]
    workbook(tmp_path / "CAS(ME)^2code_final.xlsx", CASFEcode_final=[header, *rows])
    assert read("cas_me2", tmp_path).expressions == [replace(e, aus="", emotion="") for e in plain.expressions]


@pytest.mark.parametrize(
    ("name", "sheet", "rows"),
    [
        ("samm_lv", "SAMM_LongVideos_V1_Release.xlsx", releases.SAMM_LV_ROWS),
        ("samm", "SAMM_Micro_FACS_Codes_v2.xlsx", releases.SAMM_ROWS),
        ("mmew", "MMEW_Micro_Exp.xlsx", releases.MMEW_ROWS),
    ],
)
def test_copies_without_header_row(tmp_path: Path, name: str, sheet: str, rows: list[object]) -> None:
    plain = read(name, getattr(releases, name)(tmp_path))
    workbook(tmp_path / sheet, Sheet1=rows)
    assert read(name, tmp_path).expressions == plain.expressions


def test_casme2_release_of_2019(tmp_path: Path) -> None:
    releases.casme2(tmp_path)
    releases.casme2(tmp_path, "CASME2-coding-20190701.xlsx", releases.CASME2_ROWS[:2])
    assert len(read("casme2", tmp_path).expressions) == 7
    newer = read("casme2", tmp_path, release="20190701")
    assert len(newer.expressions) == 2
    assert len(notes(newer, "expression")) == 5  # clips without a row
    with pytest.raises(UserError, match="20140508 or 20190701"):
        read("casme2", tmp_path, release="2020")


def test_another_sheet_that_differs_is_noted_and_a_copy_is_not(tmp_path: Path) -> None:
    sheet = releases.casme2(tmp_path) / "CASME2-coding-20140508.xlsx"
    shutil.copy(sheet, tmp_path / "CASME2-coding-20140508 (1).xlsx")
    assert notes(read("casme2", tmp_path), "sheet") == []
    releases.casme2(tmp_path, "CASME2-coding-20190701.xlsx", releases.CASME2_ROWS[:2])
    (note,) = notes(read("casme2", tmp_path), "sheet")
    assert note == (0, "CASME2-coding-20190701.xlsx is there too and differs", "this one read; options sheet, release")
    for release in (20140508, "2019"):  # YAML gives an int
        assert notes(read("casme2", tmp_path, release=release), "sheet") == []
    assert len(read("casme2", tmp_path, release=20190701).expressions) == 2


def test_a_clip_twice_in_the_sheet_counts_once(tmp_path: Path) -> None:
    index = read("casme2", releases.casme2(tmp_path, rows=[*releases.CASME2_ROWS, releases.CASME2_ROWS[0]]))
    assert len(index.expressions) == 7
    assert notes(index, "video") == [(9, "sub01/EP02_01f has an earlier row", "excluded")]


# --- SAMM -------------------------------------------------------------------------------------------------------------


def test_samm(tmp_path: Path) -> None:
    index = read("samm", releases.samm(tmp_path))
    assert index.expressions[0] == Expression("samm", "006", "006_1_2", 1, 0, 26, 70, "micro", "anger", "4+5")
    assert spans(index)[1:] == [("006_1_3", 0, 10, 20), ("028_4_1", 0, 10, 20)]
    assert [e.emotion for e in index.expressions] == ["anger", "happiness", "others"]
    assert notes(index, "offset") == [(16, "5793 is outside of the frames 100 to 120", "clipped to 120")]
    assert notes(index, "apex") == [(17, "2000 outside of 400 to 420", "put by the rule for a missing apex")]


def test_samm_and_samm_long_videos_in_one_folder(tmp_path: Path) -> None:
    releases.samm(tmp_path)
    releases.samm_lv(tmp_path)
    assert len(read("samm", tmp_path).videos) == 3
    assert len(read("samm_lv", tmp_path).videos) == 5


# --- SMIC -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", ["SMIC_all_cropped", "SMIC_all_raw"])
@pytest.mark.parametrize("person", ["s{}", "s{:02d}"])
def test_smic(tmp_path: Path, copy: str, person: str) -> None:
    index = read("smic", releases.smic(tmp_path, copy, person=person))
    assert [(v.subject, v.video, v.fps) for v in index.videos] == [
        ("s01", "s01_ne_01", 100.0), ("s01", "s01_po_01", 100.0), ("s12", "s12_sur_01", 100.0),
    ]  # fmt: skip
    assert spans(index) == [("s01_ne_01", 0, 7, 14), ("s01_po_01", 0, 7, 14), ("s12_sur_01", 0, 7, 14)]
    assert [e.emotion for e in index.expressions] == ["negative", "positive", "surprise"]
    assert index.issues == []


def test_smic_cameras(tmp_path: Path) -> None:
    releases.smic(tmp_path, cameras=("HS", "VIS", "NIR"))
    assert {v.fps for v in read("smic", tmp_path, release="nir").videos} == {25.0}
    assert "/VIS/" in read("smic", tmp_path, release="VIS").videos[0].path
    assert len(read("smic", tmp_path / "SMIC_all_cropped/HS").videos) == 3
    with pytest.raises(UserError, match="HS, VIS or NIR"):
        read("smic", tmp_path, release="XX")


def test_smic_folder_wins_over_name(tmp_path: Path) -> None:
    releases.smic(tmp_path)
    clip = tmp_path / "SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01"
    clip.rename(clip.parent.parent / "positive" / clip.name)
    index = read("smic", tmp_path)
    assert [e.emotion for e in index.expressions] == ["positive", "positive", "surprise"]
    assert [(p, a) for _, p, a in notes(index, "emotion")] == [("s1_ne_01 lies in positive", "read as positive")]


def test_smic_empty_clip_is_left_out_and_noted(tmp_path: Path) -> None:
    releases.smic(tmp_path)
    for frame in (tmp_path / "SMIC_all_cropped/HS/s12/micro/surprise/s12_sur_01").iterdir():
        frame.unlink()
    index = read("smic", tmp_path)
    assert len(index.videos) == len(index.expressions) == 2
    assert (0, "no frame", "excluded") in notes(index, "video")


def test_apex_by_flow(tmp_path: Path) -> None:
    clip = tmp_path / "HS/s1/micro/positive/s1_po_01"
    clip.mkdir(parents=True)
    texture = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 255, (120, 160), np.uint8), (0, 0), 2)
    for n in range(12):
        moved = texture.copy()
        shift = 5 - abs(n - 8)  # the mouth is farthest at frame 8
        if shift > 0:
            moved[70:110, 40:120] = texture[70 + shift : 110 + shift, 40:120]
        cv2.imwrite(str(clip / f"image{n + 100}.png"), moved)
    assert spans(read("smic", tmp_path)) == [("s01_po_01", 0, 6, 11)]
    assert spans(read("smic", tmp_path, apex_missing="flow")) == [("s01_po_01", 0, 8, 11)]


@pytest.mark.parametrize(("damaged", "apex"), [((8,), (7, 9)), ((0, 1), (8,)), (range(12), (6,)), (range(1, 12), (0,))])
def test_a_damaged_frame_is_no_apex(damaged: Sequence[int], apex: tuple[int, ...]) -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 255, (120, 160), np.uint8), (0, 0), 2)

    def frame(n: int) -> np.ndarray | None:
        return None if n in damaged else np.roll(texture, 5 - abs(n - 8), 0) * (np.arange(160) < 70)

    source = SimpleNamespace(width=160, height=120, n_frames=12, read=lambda wanted, grey: map(frame, wanted))
    assert apex_by_flow(source, 0, 15) in apex  # type: ignore[arg-type]


# --- CAS(ME)^3, MMEW, CK+ ---------------------------------------------------------------------------------------------


def test_cas_me3_part_a(tmp_path: Path) -> None:
    index = read("cas_me3", releases.cas_me3(tmp_path))
    assert [(e.subject, e.video, e.onset, e.apex, e.offset, e.kind, e.emotion) for e in index.expressions] == [
        ("spNO.1", "a", 3, 6, 10, "macro", "disgust"),  # videos start at frame 2
        ("spNO.1", "j", 1, 4, 7, "micro", "happiness"),
        ("spNO.10", "b", 0, 1, 2, "micro", "surprise"),
    ]
    assert notes(index, "video") == [(3, "J", "read as j")]
    assert notes(index, "frames") == [(0, "the first has number 2", "kept; numbers follow the file names")] * 3
    assert all(v.path.endswith("color") for v in index.videos)


def test_cas_me3_without_the_sheet_of_all_expressions(tmp_path: Path) -> None:
    whole = read("cas_me3", releases.cas_me3(tmp_path)).expressions
    (tmp_path / "part_A/annotation/CAS(ME)3_part_A_v2.xlsx").unlink()
    assert sorted(read("cas_me3", tmp_path).expressions) == sorted(whole)


def test_cas_me3_labels_by_frames_or_by_overlap_and_those_of_no_row(tmp_path: Path) -> None:
    whole = read("cas_me3", releases.cas_me3(tmp_path)).expressions
    labels = [
        ("spNO.1", "J", "3 ", 6, "8.0", "12", "II", "Happy"),  # other text, another offset
        ("spNO.10", "b", 2, 3, 4.0, "1+2", "III", "surprise"),
        ("spNO.10", "b", 20, 23, 24, "1+2", "III", "anger"),
    ]
    annotation = tmp_path / "part_A/annotation"
    workbook(annotation / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", label=[releases.ME_LABEL_HEADER, *labels])
    index = read("cas_me3", tmp_path)
    assert index.expressions == whole
    problem = "spNO.10/b, 20 to 24 is no row of CAS(ME)3_part_A_v2.xlsx"
    assert notes(index, "emotion") == [(4, problem, "label not used")]


def test_cas_me3_kinds_from_the_label_sheets(tmp_path: Path) -> None:
    whole = read("cas_me3", releases.cas_me3(tmp_path)).expressions
    extra = ("spNO.10", "b", "20", "22", "25", "4", "", "I")
    rows = [[*r[:6], *r[7:]] for r in [releases.CAS_ME3_HEADER, *releases.CAS_ME3_ROWS, extra]]
    workbook(tmp_path / "part_A/annotation/CAS(ME)3_part_A_v2.xlsx", label=rows)
    index = read("cas_me3", tmp_path)
    assert index.expressions == whole
    assert notes(index, "kind") == [(5, "in none of the sheets", "row excluded")]
    assert [(e.subject, e.video) for e in index.exclusions] == [("spNO.10", "b")]


def test_cas_me3_numbers_of_subjects_with_zeros(tmp_path: Path) -> None:
    whole = read("cas_me3", releases.cas_me3(tmp_path))
    for folder in (tmp_path / "part_A/data/part_A").iterdir():
        folder.rename(folder.with_name("spNO." + folder.name.partition(".")[2].zfill(3)))
    assert read("cas_me3", tmp_path).expressions == whole.expressions


def test_cas_me3_first_version_is_noted(tmp_path: Path) -> None:
    sheet = releases.cas_me3(tmp_path) / "part_A/annotation/CAS(ME)3_part_A_v2.xlsx"
    sheet.rename(sheet.with_name("CAS(ME)3_part_A.xlsx"))
    assert notes(read("cas_me3", tmp_path), "sheet") == [(0, "not v2: the first version has wrong rows", "kept")]


def test_cas_me3_part_c_has_no_apex(tmp_path: Path) -> None:
    index = read("cas_me3", releases.cas_me3_c(tmp_path), release="C")
    assert spans(index) == [("a", 4, 6, 8), ("a", 11, 13, 14)]
    assert [e.emotion for e in index.expressions] == ["negative", "positive"]
    assert index.issues == []
    with pytest.raises(UserError, match="A or C"):
        read("cas_me3", tmp_path, release="B")


def test_mmew(tmp_path: Path) -> None:
    index = read("mmew", releases.mmew(tmp_path))
    assert [(e.subject, e.video, e.onset, e.apex, e.offset, e.emotion) for e in index.expressions] == [
        ("S01", "S01_01_001", 0, 5, 11, "happiness"),
        ("S13", "S13_07_001", 0, 3, 8, "anger"),
    ]
    assert {v.fps for v in index.videos} == {90.0}


def test_ck_plus(tmp_path: Path) -> None:
    index = read("ck_plus", releases.ck_plus(tmp_path))
    assert [(e.subject, e.video, e.onset, e.apex, e.offset, e.kind, e.emotion, e.aus) for e in index.expressions] == [
        ("S005", "S005_001", 0, 10, 10, "macro", "disgust", "9D+17"),
        ("S010", "S010_002", 0, 7, 7, "macro", "", "9D+17"),
    ]
    assert index.issues == []


# --- one's own data ---------------------------------------------------------------------------------------------------


def test_folder(tmp_path: Path) -> None:
    index = read("folder", releases.folder(tmp_path), source_fps=30)
    assert [(e.subject, e.video, e.kind, e.aus) for e in index.expressions] == [
        ("anna", "v1", "micro", "6+12"),
        ("ben", "v.2", "macro", "9"),  # 29 frames are longer than half a second
    ]
    with pytest.raises(UserError, match=r"frame rate: none; expected a rate in the file, or the option source_fps"):
        read("folder", tmp_path)


def test_folder_with_video_files_no_apex_and_semicolons(tmp_path: Path, make_video) -> None:
    make_video(tmp_path / "videos/anna/v1.mp4", 30, fps=25)
    (tmp_path / "annotations.csv").write_text("Subject;Filename;Onset;Offset\nanna;v1;11;17\n")
    index = read("folder", tmp_path)
    assert spans(index) == [("v1", 10, 13, 16)]
    assert (index.videos[0].fps, index.videos[0].n_frames) == (25.0, 30)
    assert index.issues == []


def test_the_option_fills_in_a_rate_and_overrides_a_file_only_when_asked(tmp_path: Path, make_video) -> None:
    make_video(tmp_path / "videos/anna/v1.mp4", 30, fps=25)
    frames(tmp_path / "videos/anna/v2", range(1, 9))
    (tmp_path / "annotations.csv").write_text("subject,video,onset,offset\nanna,v1,11,17\n")
    index = read("folder", tmp_path, source_fps=50)
    assert [v.fps for v in index.videos] == [25, 50]
    kept = "kept the file's; source_fps_wins overrides it"
    assert notes(index, "fps") == [(0, "the file says 25, the option source_fps 50", kept)]
    index = read("folder", tmp_path, source_fps=50, source_fps_wins=True)
    assert [v.fps for v in index.videos] == [50, 50]
    assert notes(index, "fps") == [(0, "the file says 25, the release 50", "kept the release's")]


def test_gaps_sizes_and_strangers_are_noted(tmp_path: Path) -> None:
    releases.folder(tmp_path)
    clip = tmp_path / "videos/anna/v1"
    for number in (4, 5, 20):
        (clip / f"img{number}.jpg").unlink()
    frames(clip, [40], size=(20, 10))
    (clip / "cover.jpg").write_bytes(b"")
    index = read("folder", tmp_path, source_fps=30)
    assert spans(index, "anna") == [("v1", 2, 3, 6)]  # 3, 6, 7, 8, 9: the apex 5 is missing, 6 is nearest
    assert notes(index, "frames") == [
        (0, "'cover.jpg' has no number", "excluded"),
        (0, "3 missing, first 4", "kept; numbers follow the file names"),
        (0, "img40.jpg has 20x10 px, the first 16x12", "scaled to the first frame's size when read"),
    ]
    assert notes(index, "apex") == [(2, "5 has no frame", "moved to 6")]


# --- what the workflow asks -------------------------------------------------------------------------------------------


def test_subjects_come_from_folders_in_natural_order(tmp_path: Path) -> None:
    releases.cas_me3(tmp_path)
    dataset = DatasetParams(root=str(tmp_path))
    frames(tmp_path / "part_A/data/part_A/spNO.2/a/color", [1])
    assert listing("cas_me3", dataset, DemoParams()).subjects == ("spNO.1", "spNO.2", "spNO.10")
    assert files("cas_me3", dataset)[0].name == "CAS(ME)3_part_A_v2.xlsx"


def test_subjects_of_the_demo_are_planned() -> None:
    assert listing("demo", DatasetParams(), DemoParams(subjects=3)).subjects == ("s01", "s02", "s03")


def test_digests_follow_content_subject_by_subject(tmp_path: Path) -> None:
    def digests() -> dict[str, str]:
        return dict(listing("casme2", DatasetParams(root=str(tmp_path)), DemoParams()).digests)

    def changed() -> set[str]:
        nonlocal known
        before, known = known, digests()
        return {s for s in before.keys() | known.keys() if before.get(s) != known.get(s)}

    releases.casme2(tmp_path)
    known = digests()
    assert len(known) > 1
    clip = tmp_path / "CASME2_RAW_selected/sub01/EP02_01f"
    frame = next(clip.iterdir())
    (tmp_path / "note.txt").write_text("x")
    os.utime(clip, ns=(1, 1))
    os.utime(frame, ns=(1, 1))
    assert changed() == set(), "dates are no content"
    state = frame.stat()
    data = bytearray(frame.read_bytes())
    data[len(data) // 2] ^= 1
    frame.write_bytes(bytes(data))
    os.utime(frame, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert changed() == {"sub01"}, "overwritten in place, same size, same date"
    frame.unlink()
    assert changed() == {"sub01"}
    clip.rename(clip.with_name("EP02_03f"))
    assert changed() == {"sub01"}
    workbook(tmp_path / "CASME2-coding-20140508.xlsx", Sheet1=[(1,)])
    assert changed() == set(known), "a sheet that cannot be read concerns everybody"


def test_a_changed_row_concerns_its_subject_alone(tmp_path: Path) -> None:
    for subject in ("a", "b"):
        releases.frames(tmp_path / subject / "v1", range(1, 9))
    sheet = tmp_path / "annotations.csv"
    sheet.write_text("subject,video,onset,apex,offset,kind\na,v1,1,2,3,micro\nb,v1,1,2,3,micro\n")
    dataset = DatasetParams(root=str(tmp_path), source_fps=30)
    first = listing("folder", dataset, DemoParams())
    sheet.write_text("subject,video,onset,apex,offset,kind\n\na,v1,1,2,3,micro\nb,v1,1,2,4,micro\n")
    second = listing("folder", dataset, DemoParams())
    assert first.digests["a"] == second.digests["a"] and first.digests["b"] != second.digests["b"]
    assert first.digest != second.digest


@pytest.mark.parametrize(
    "name", ["cas_me2", "samm_lv", "casme2", "samm", "smic", "cas_me3", "mmew", "ck_plus", "folder"]
)
def test_subjects_are_those_of_the_index(tmp_path: Path, name: str) -> None:
    root = getattr(releases, name)(tmp_path)
    dataset = DatasetParams(root=str(root), source_fps=30)
    index = read_index(name, dataset)[2]
    assert listing(name, dataset, DemoParams()).subjects == tuple(dict.fromkeys(v.subject for v in index.videos))
