"""The copies of releases that are in circulation, and what is odd in their sheets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from microexp.commands.main import main
from microexp.datasets import cas_me3, samm_lv
from microexp.datasets.counts import compare, differences
from microexp.datasets.index import read_index
from microexp.errors import UserError
from microexp.reading.params import DatasetParams
from microexp.reading.release import Index, Release
from microexp.records.index import Expression, Video

from . import releases
from .releases import frames, workbook
from .test_adapters import notes, read


def write_csv(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


# --- ground truths outside of their video, and both totals ------------------------------------------------------------


def test_a_samm_lv_row_outside_of_a_shorter_copy_stays(tmp_path: Path) -> None:
    rows = [*releases.SAMM_LV_ROWS, ("006", "006_2_1", 1, 1341, 1400, 1525, 185, "Macro", "4", None)]
    index = read("samm_lv", releases.samm_lv(tmp_path, rows=rows))
    (video,) = [v for v in index.videos if v.video == "006_2"]
    (outside,) = [e for e in index.expressions if e.video == "006_2"]
    assert outside.released(video.numbering) == (1341, 1400, 1525)
    assert (outside.is_inside(video.n_frames), outside.kind, index.exclusions) == (False, "macro", [])
    action = "kept: a ground truth that no detection can hit"
    assert (18, "1341 to 1525 outside of the frames 1 to 60", action) in notes(index, "onset")


def official_index(frames_012_4: int) -> Index:
    """As many people, videos, frames and expressions as SAMM Long Videos has, in one of its two copies."""
    names = [f"{n:03d}_{v}" for n in range(6, 36) for v in range(1, 6)][:146]
    lengths = [(482_797 - 1000) // 146] * 145
    lengths.append(482_797 - 1000 - sum(lengths))
    videos = [Video("samm_lv", name[:3], name, "-", n, 200.0, 9, 9) for name, n in zip(names, lengths, strict=True)]
    videos.append(Video("samm_lv", "006", "012_4", "-", frames_012_4, 200.0, 9, 9))
    kinds = ["macro"] * 343 + ["micro"] * 159
    expressions = [
        Expression("samm_lv", "006", videos[n % 147].video, n, 5, 6, 9, kind, "", "") for n, kind in enumerate(kinds)
    ]
    return Index(videos, expressions, [], [], [], False)


@pytest.mark.parametrize(("frames_012_4", "differing"), [(1000, []), (2000, []), (1500, ["frames"])])
def test_both_copies_of_samm_lv_are_as_published(frames_012_4: int, differing: list[str]) -> None:
    release = Release("samm_lv", Path(), DatasetParams())
    known = {"published": samm_lv.ADAPTER.published(release), "others": samm_lv.ADAPTER.other_totals(release)}
    counts = compare("samm_lv", "samm_lv", official_index(frames_012_4), **known)
    assert [c.what for c in differences(counts)] == differing


def part_c(root: Path, header: tuple[object, ...], rows: list[tuple[object, ...]]) -> Path:
    workbook(root / "part_C/CAS(ME)3_part_C_ME.xlsx", Sheet1=[header, *rows])
    frames(root / "part_C/01/a/color", range(1, 401), "{}.jpg")
    return root


@pytest.mark.long
@pytest.mark.parametrize(("micro", "differing"), [(166, 0), (165, 0), (164, 2)])
def test_both_totals_of_cas_me3_c_are_known(tmp_path: Path, micro: int, differing: int) -> None:
    rows: list[tuple[object, ...]] = [(1, n, n + 1, n + 9, "negative") for n in range(micro)]
    root = part_c(tmp_path, ("sub", "count", "onset", "offset", "emotion"), rows)
    adapter, release, index = read_index("cas_me3", DatasetParams(root=str(root), release="C"))
    counts = compare(
        "cas_me3", "cas_me3", index, published=adapter.published(release), others=adapter.other_totals(release)
    )
    assert len(differences(counts)) == differing


def test_cas_me3_c_of_both_kinds(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(1, n, n + 1, n + 9, "negative", int(n < 2)) for n in range(5)]
    root = part_c(tmp_path, ("sub", "count", "onset", "offset", "emotion", "Exp_type"), rows)
    kinds = [e.kind for e in read("cas_me3", root, release="C").expressions]
    assert kinds == ["micro"] * 2 + ["macro"] * 3


# --- labels of CAS(ME)^3 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames_of_label",
    [(3, 6, 9), (3, 6, 0), (33, 6, 9), (3, 0, 0), (300, 6, 900)],
    ids=["the same", "offset 0", "mistyped onset", "onset alone", "apex alone"],
)
def test_a_label_with_the_same_onset_or_apex_is_the_rows(tmp_path: Path, frames_of_label: tuple[int, ...]) -> None:
    root = releases.cas_me3(tmp_path)
    labels = [("spNO.1", "j", *frames_of_label, "12", "II", "Happy"), ("spNO.10", "b", 2, 3, 4, "1+2", "III", "fear")]
    sheet = root / "part_A/annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
    workbook(sheet, label=[releases.ME_LABEL_HEADER, *labels])
    index = read("cas_me3", root)
    assert {e.video: e.emotion for e in index.expressions} == {"a": "disgust", "j": "happiness", "b": "fear"}
    assert notes(index, "emotion") == []


def test_of_two_rows_with_one_onset_each_gets_its_own_label(tmp_path: Path) -> None:
    rows = [*releases.CAS_ME3_ROWS, ("spNO.1", "J", "3", "14", "20", "4", "Micro-expression", "II")]
    root = releases.cas_me3(tmp_path, rows)
    labels = [("spNO.1", "j", 3, 14, 0, "4", "II", "sad"), ("spNO.1", "j", 3, 6, 9, "12", "II", "Happy")]
    sheet = root / "part_A/annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
    workbook(sheet, label=[releases.ME_LABEL_HEADER, *labels])
    found = [(e.offset, e.emotion) for e in read("cas_me3", root).expressions if e.video == "j"]
    assert found == [(7, "happiness"), (18, "sadness")]


# --- rows that stand there again, rows without a kind, sheets that are read wrongly -----------------------------------

HEADER = "subject,video,onset,apex,offset,kind,emotion,aus"


def own(root: Path, *rows: str, header: str = HEADER) -> Path:
    write_csv(releases.folder(root) / "annotations.csv", header, *rows)
    return root


def test_a_row_that_stands_there_again_is_one_ground_truth(tmp_path: Path) -> None:
    root = own(
        tmp_path, *["anna,v1,3,5,9,micro,fear,4"] * 3, "anna,v1,3,5,9,macro,fear,4", "ben,v.2,3,5,9,micro,fear,4"
    )
    index = read("folder", root, source_fps=30)
    assert [(e.subject, e.kind) for e in index.expressions] == [("anna", "micro"), ("anna", "macro"), ("ben", "micro")]
    again = [(3, "the same as row 2", "counted once"), (4, "the same as row 2", "counted once")]
    assert notes(index, "row") == again


@pytest.mark.parametrize("again", ["anna,v1,3.0,5,9,Micro,Fear,4", "ANNA,V1,3,5.0,9.0,micro,fearful,AU4"])
def test_a_row_in_other_words_is_the_same(tmp_path: Path, again: str) -> None:
    index = read("folder", own(tmp_path, "anna,v1,3,5,9,micro,fear,4", again), source_fps=30)
    assert len(index.expressions) == 1
    assert notes(index, "row") == [(3, "the same as row 2", "counted once")]


def test_rows_without_a_kind_count_once(tmp_path: Path) -> None:
    root = own(tmp_path, "anna,v1,3,9", "anna,v1,13,39", "ben,v.2,3,9", header="subject,video,onset,offset")
    adapter, release, index = read_index("folder", DatasetParams(root=str(root), adapter="folder", source_fps=30))
    counts = {(c.what, c.group): c for c in compare("folder", "folder", index, published=adapter.published(release))}
    assert (counts["expressions", ""].sheet, counts["expressions", ""].found) == (3, 3)
    assert {g for w, g in counts if w == "expressions"} == {"", "micro", "macro"}


FORMS = {
    "camel case": "subject,video,type,type_idx,startFrame,endFrame|anna,v1,Macro,1,3,9|ben,v.2,Micro,2,3,9",
    "snake case": "start_frame,apex_frame,end_frame,video_name,subject|3,5,9,v1,anna|3,5,9,v.2,ben",
    "semicolons": "Subject;Video;Onset;Offset;Type|anna;v1;3,0;9,0;Macro|ben;v.2;2,5;8,5;Macro",
    "tabs": "Participant\tvid\tBegin\tEnd|anna\tv1\t3\t9|ben\tv.2\t3\t9",
}


@pytest.mark.parametrize("form", FORMS)
def test_annotations_under_other_headers(tmp_path: Path, form: str) -> None:
    header, *rows = FORMS[form].split("|")
    index = read("folder", own(tmp_path, *rows, header=header), source_fps=30)
    assert [(e.subject, e.onset, e.offset) for e in index.expressions] == [("anna", 2, 8), ("ben", 2, 8)]


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a column 'OnsetFrame' or .* and a column 'OffsetFrame' or ") as error:
        read("folder", own(tmp_path, "anna,v1,3,9", header="subject,video,from,to"), source_fps=30)
    assert "\n" not in str(error.value)


def test_a_samm_lv_sheet_with_decimal_commas(tmp_path: Path) -> None:
    plain = read("samm_lv", releases.samm_lv(tmp_path))
    (tmp_path / "SAMM_LongVideos_V1_Release.xlsx").unlink()
    rows = [
        ";".join(("" if cell is None else str(cell)).replace(".", ",") for cell in row) for row in releases.SAMM_LV_ROWS
    ]
    write_csv(tmp_path / "SAMM_LongVideos_V1_Release.csv", ";".join(releases.SAMM_LV_HEADER), *rows)
    assert read("samm_lv", tmp_path).expressions == plain.expressions


def test_a_sheet_of_which_every_row_is_lost_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("006", f"006_1_{n}", 1, "1,234", "2,000", "2,345", 9, "Macro", "4", None) for n in range(5)]
    root = releases.samm_lv(tmp_path / "a", rows=rows)
    with pytest.raises(UserError, match=r"row 11, onset: '1,234' is no frame, and so in all 5 rows"):
        read("samm_lv", root)
    (tmp_path / "c.yaml").write_text(f"datasets: {{samm_lv: {{root: {root}}}}}\n")
    assert main(["check", str(tmp_path / "c.yaml")]) == 2
    assert "as published" not in capsys.readouterr().out
    rows = [("006", f"clip {n}", 1, 3, 4, 9, 9, "Macro", "4", None) for n in range(5)]
    with pytest.raises(UserError, match=r"row 11, filename: 'clip 0' is not of the form 006_1_2, and so in all 5 rows"):
        read("samm_lv", releases.samm_lv(tmp_path / "b", rows=rows))


# --- sheets of a workbook ---------------------------------------------------------------------------------------------


def hide(path: Path, *names: str) -> None:
    book = openpyxl.load_workbook(path)
    for name in names:
        book[name].sheet_state = "hidden"
    book.save(path)


def annotations(root: Path, **sheets: list[tuple[object, ...]]) -> Path:
    (releases.folder(root) / "annotations.csv").unlink()
    head = tuple(HEADER.split(","))
    return workbook(root / "annotations.xlsx", **{name: [head, *rows] for name, rows in sheets.items()})


ROW, OTHER = ("anna", "v1", 3, 5, 9, "micro", "fear", "4"), ("anna", "v1", 23, 25, 29, "micro", "fear", "4")


def test_a_hidden_sheet_is_not_read_unless_it_is_named(tmp_path: Path) -> None:
    hide(annotations(tmp_path, old=[OTHER], new=[ROW]), "old")
    index = read("folder", tmp_path, source_fps=30)
    assert [e.onset for e in index.expressions] == [2]
    assert notes(index, "sheet") == [(0, "'old' is hidden", "'new' read")]
    named = read("folder", tmp_path, source_fps=30, sheet="annotations.xlsx#Old")
    assert [e.onset for e in named.expressions] == [22]
    with pytest.raises(UserError, match="sheet: got 'older', expected one of 'old', 'new'"):
        read("folder", tmp_path, source_fps=30, sheet="annotations.xlsx#older")


def test_the_first_visible_sheet_with_the_header_is_read(tmp_path: Path) -> None:
    path = annotations(tmp_path, labels=[ROW])
    book = openpyxl.load_workbook(path)
    book.create_sheet("About", 0).append(("Made-up annotations",))
    book.save(path)
    assert [e.onset for e in read("folder", tmp_path, source_fps=30).expressions] == [2]


def test_the_index_of_part_a_is_not_that_of_part_c() -> None:
    release = Release("x", Path(), DatasetParams())
    assert cas_me3.ADAPTER.other_totals(release) == {}
    part = replace(release, options=DatasetParams(release="C"))
    assert 165 in cas_me3.ADAPTER.other_totals(part)["expressions", ""]
