"""Small data sets with the exact layout of the releases: sheets with their names, headers and types, and tiny frames.

No row is a real one: subjects, clips and frames are made up within the releases' forms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import openpyxl

from microexp.records.index import Expression, read_expressions, read_videos

Cells = Sequence[object]


def frames(
    folder: Path, numbers: Iterable[int], name: str = "img{}.jpg", size: tuple[int, int] = (16, 12), grey: bool = False
) -> Path:
    """A folder with one tiny image per number."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = np.full((size[1], size[0]) if grey else (size[1], size[0], 3), 90, np.uint8)
    data = cv2.imencode(Path(name).suffix, picture)[1].tobytes()
    for number in numbers:
        (folder / name.format(number)).write_bytes(data)
    return folder


def workbook(path: Path, **sheets: Iterable[Cells]) -> Path:
    """An .xlsx file with these sheets."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        tab = book.create_sheet(title)
        for row in rows:
            tab.append(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


# --- CAS(ME)^2 --------------------------------------------------------------------------------------------------------

CAS_ME2_ROWS: list[Cells] = [
    # participant, clip, onset, apex, offset, AUs, emotion class, kind, self-report
    (1, "disgust1_1", 5, 9, 14, "4+7+L10", "negative", "macro-expression", "disgust"),
    (1, "disgust1_2", 12, 15, 0, 4, "negative", "macro-expression", "disgust"),  # offset 0, overlaps the one before
    (1, "disgust1_12", 30, 0, 36, "T12", "positive", "micro-expression", "happiness"),  # apex 0, two digits
    (1, "anger1_1", 20, 30, 26, 14.0, "others", "macro-expression", "anger"),  # offset before the apex
    (22, "happy5_1", 3, 6, 9, "6+12", "positive", "micro-expression", "happiness"),
]
CAS_ME2_RULE1: list[Cells] = [(15, "s15", 1), (40, "s40", 22)]
CAS_ME2_RULE2: list[Cells] = [("0101", "disgust1"), ("0401", "anger1"), ("0508", "happy5")]


def cas_me2(root: Path, copy: str = "rawpic", rows: Sequence[Cells] = CAS_ME2_ROWS) -> Path:
    """Raw (`rawpic`, padded names) or cropped (`longVideoFaceCropped`) frames; s15_0508 has no expression."""
    name = "img{:03d}.jpg" if copy == "rawpic" else "img_{}.jpg"
    for video in (
        "s15/15_0101disgustingteeth",
        "s15/15_0401girlcrashing",
        "s15/15_0508funnydunkey",
        "s40/40_0508funnydunkey",
    ):
        frames(root / copy / video, range(1, 41), name)
    sheets = {"CASFEcode_final": rows, "naming rule1": CAS_ME2_RULE1, "naming rule2": CAS_ME2_RULE2}
    workbook(root / "CAS(ME)^2code_final.xlsx", **sheets)
    return root


# --- SAMM Long Videos -------------------------------------------------------------------------------------------------

SAMM_LV_HEADER = (
    "Subject",
    "Filename",
    "Inducement Code",
    "Onset",
    "Apex",
    "Offset",
    "Duration",
    "Type",
    "Action Units",
    "Notes",
)
SAMM_LV_ROWS: list[Cells] = [
    ("006", "006_1_1", 1, 10, 20, 30, 21, "Macro", "4+7", None),
    ("006", "006_1_2", 1, 10.5, 20, 30.5, 21, "Macro", 12, None),  # halves
    ("006", "006_1_10", 1, 0, -1, 8, 9, "Micro - 1/2", "AU4", "x"),  # onset 0, apex -1
    ("016", "016_7_1", 1, 9999, 10001, 10005, 7, "Micro - 1/2", "R12B", None),  # names overflow four digits
    ("032", "032_3_1", 1, 40, 50, 70, 31, "Macro", "1+2", None),  # ends after its video
    ("037", "037_4_1", 1, 10, 15, 20, 11, "Macro", "4", None),
    ("037", "037_4_1", 1, 30, 35, 40, 11, "Macro", "4", None),  # the same file name again
]


def samm_lv(root: Path, version: str = "V1", rows: Sequence[Cells] = SAMM_LV_ROWS) -> Path:
    """Grey frames named by video and number; subject 032 has frames of another size."""
    preamble: list[Cells] = [("SAMM Long Videos",), (), ("Made-up text",), (), (), (), (), (), ()]
    tables = {"Read me": [("text",)], "FACS_Movement_Only": [*preamble, SAMM_LV_HEADER, *rows]}
    workbook(root / f"SAMM_LongVideos_{version}_Release.xlsx", **tables)
    for video in ("006_1", "006_2", "032_3", "037_4"):
        size = (24, 16) if video == "032_3" else (16, 12)
        frames(root / "SAMM_longvideos" / video, range(1, 61), video + "_{:04d}.jpg", size, grey=True)
    frames(root / "SAMM_longvideos/016_7", range(9990, 10011), "016_7_{:04d}.jpg", grey=True)
    return root


# --- CASME II ---------------------------------------------------------------------------------------------------------

CASME2_HEADER = (
    "Subject",
    "Filename",
    None,
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
)
CASME2_ROWS: list[Cells] = [
    ("01", "EP02_01f", None, 46, 59, 86, None, "12", "happiness"),
    ("01", "EP06_02_01", None, 101, 108, 120, None, "4+7+L10", "disgust"),
    ("04", "EP12_01f", None, 11, "/", 31, None, "4", "disgust"),  # no apex
    ("04", "EP09f", None, 20, 25, 30, None, 14, "others"),
    ("05", "EP09_05f", None, 30, 30, 50, None, "14", "disgust"),  # apex = onset
    ("05", "EP03_01", None, 7, 9, 12, None, "1+2", "Surprise"),
    ("05", "EP03_02", None, 7, 9, 12, None, "1", "sadness"),
]


def casme2(
    root: Path,
    sheet: str = "CASME2-coding-20140508.xlsx",
    rows: Sequence[Cells] = CASME2_ROWS,
    copies: Sequence[str] = ("raw",),
) -> Path:
    """Frames that start at the number of the sheet."""
    workbook(root / sheet, Sheet1=[CASME2_HEADER, *rows])
    for row in CASME2_ROWS:
        place, numbers = f"sub{row[0]}/{row[1]}", range(int(str(row[3])), int(str(row[5])) + 1)
        if "raw" in copies:
            frames(root / "CASME2_RAW_selected" / place, numbers)
        if "cropped" in copies:
            frames(root / "Cropped" / place, numbers, "reg_img{}.jpg", (28, 34))
    return root


# --- SAMM -------------------------------------------------------------------------------------------------------------

SAMM_HEADER = (
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
    "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
)  # fmt: skip
SAMM_ROWS: list[Cells] = [
    ("006", "006_1_2", 1, 5562, 5588, 5632, 71, "1/2", "4+5", "Anger", 3, None),
    ("006", "006_1_3", 1, 100, 110, 5793, 20, "1/2", "12", "Happiness", 1, None),  # typing error in the offset
    ("028", "028_4_1", 1, 400, 2000, 420, 21, "1/2", 4, "Other", 7, None),  # apex outside
]


def samm(root: Path, rows: Sequence[Cells] = SAMM_ROWS) -> Path:
    """Thirteen lines of text, then the header; frame numbers run through the whole recording."""
    preamble: list[Cells] = [(f"Made-up text {i}",) for i in range(13)]
    workbook(root / "SAMM_Micro_FACS_Codes_v2.xlsx", MICRO_ONLY=[*preamble, SAMM_HEADER, *rows])
    for name, first, last in (("006_1_2", 5562, 5632), ("006_1_3", 100, 120), ("028_4_1", 400, 420)):
        frames(root / "SAMM" / name[:3] / name, range(first, last + 1), name[:3] + "_{:05d}.jpg", grey=True)
    return root


# --- SMIC -------------------------------------------------------------------------------------------------------------


def smic(
    root: Path, copy: str = "SMIC_all_cropped", cameras: Sequence[str] = ("HS", "VIS"), person: str = "s{}"
) -> Path:
    """Labels are folders; non-micro clips and the other cameras lie beside."""
    prefix = "reg_image" if "crop" in copy else "image"
    for camera in cameras:
        for number, label, short in ((1, "negative", "ne"), (1, "positive", "po"), (12, "surprise", "sur")):
            name = person.format(number)
            clip = root / copy / camera / name / "micro" / label / f"{name}_{short}_01"
            frames(clip, range(559740, 559755), prefix + "{}.bmp")
            frames(root / copy / camera / name / "non_micro" / f"{name}_nonmicro_01", range(5), "image{}.bmp")
    return root


# --- CAS(ME)^3 --------------------------------------------------------------------------------------------------------

CAS_ME3_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Expression type", "Objective class")
CAS_ME3_ROWS: list[Cells] = [
    ("spNO.1", "a", "5", "8", "12", "4", "Macro-expression", "I"),  # numbers as text
    ("spNO.1", "J", "3", "6", "9", "12", "Micro-expression", "II"),  # J for j
    ("spNO.10", "b", "2", "3", "4", "1+2", "Micro-expression", "III"),
]
ME_LABEL_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")


def cas_me3(root: Path, rows: Sequence[Cells] = CAS_ME3_ROWS) -> Path:
    """Part A: colour and depth; videos start at frame 2 or later."""
    annotation = root / "part_A/annotation"
    workbook(annotation / "CAS(ME)3_part_A_v2.xlsx", label=[CAS_ME3_HEADER, *rows])
    labels: list[Cells] = [
        ("spNO.1", "j", 3, 6, 9, "12", "II", "Happy"),
        ("spNO.10", "b", 2, 3, 4, "1+2", "III", "surprise"),
    ]
    workbook(annotation / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", label=[ME_LABEL_HEADER, *labels])
    macro: list[Cells] = [
        ("sub", "seq", "onset", "apex", "offset", "AU", "emotion"),
        ("spNO.1", "a", 5, 8, 12, "4", "disgust"),
    ]
    workbook(annotation / "cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx", Sheet1=macro)
    for video in ("spNO.1/a", "spNO.1/j", "spNO.10/b"):
        frames(root / "part_A/data/part_A" / video / "color", range(2, 31), "{}.jpg")
        frames(root / "part_A/data/part_A" / video / "depth", range(2, 31), "{}.png", grey=True)
    return root


def cas_me3_c(root: Path) -> Path:
    """Part C has no apex."""
    rows: list[Cells] = [
        ("sub", "count", "onset", "offset", "emotion", "PHY"),
        (1, 1, 5, 9, "negative", "p1"),
        (1, 2, 12, 15, "positive", "p2"),
    ]
    workbook(root / "part_C/CAS(ME)3_part_C_ME.xlsx", Sheet1=rows)
    frames(root / "part_C/01/a/color", range(1, 21), "{}.jpg")
    return root


# --- MMEW, CK+, folder ------------------------------------------------------------------------------------------------


MMEW_HEADER = (
    "Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion", "remarks",
)  # fmt: skip
MMEW_ROWS: list[Cells] = [
    ("S01", "S01-01-001", 1, 6, 12, "12", "happiness", None),
    ("S13", "S13-07-001", 1, 4, 9, "4", "anger", None),
]


def mmew(root: Path, rows: Sequence[Cells] = MMEW_ROWS) -> Path:
    """Clips below their emotion; macro-expressions are single images."""
    workbook(root / "MMEW_Micro_Exp.xlsx", Sheet1=[MMEW_HEADER, *rows])
    frames(root / "Micro_Expression/happiness/S01-01-001", range(1, 13), "{}.jpg")
    frames(root / "Micro_Expression/anger/S13-07-001", range(1, 10), "{}.jpg")
    frames(root / "Macro_Expression/S01/anger", range(1, 4), "S01-07-{:03d}.jpg")
    return root


def ck_plus(root: Path) -> Path:
    """A labelled sequence and one without emotion."""
    for sequence, last in (("S005/001", 11), ("S010/002", 8)):
        stem = sequence.replace("/", "_")
        frames(root / "cohn-kanade-images" / sequence, range(1, last + 1), stem + "_{:08d}.png", grey=True)
        facs = root / "FACS" / sequence
        facs.mkdir(parents=True)
        (facs / f"{stem}_{last:08d}_facs.txt").write_text("   9.0000000e+00   4.0000000e+00\n   1.7e+01   0.0e+00\n")
        (root / "Emotion" / sequence).mkdir(parents=True)
    (root / "Emotion/S005/001/S005_001_00000011_emotion.txt").write_text("   3.0000000e+00\n")
    return root


FOLDER_CSV = (
    "subject,video,onset,apex,offset,kind,emotion,AUs\nanna,v1,3,5,9,micro,happiness,6+12\nben,v.2,2,4,30,,disgust,9\n"
)


def folder(root: Path, text: str = FOLDER_CSV) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "annotations.csv").write_text(text)
    frames(root / "videos/anna/v1", range(1, 41))
    frames(root / "videos/ben/v.2", range(1, 41))
    return root


def read_labels(folder: Path) -> list[Expression]:
    """The expressions of an index that lies in `folder`."""
    return read_expressions(folder / "expressions.csv", read_videos(folder / "videos.csv"))
