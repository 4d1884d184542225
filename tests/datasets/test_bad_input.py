"""Bad and hostile input: one clear line that names file and row, and nothing else changes.

Each case spoils something of subject `anna` in a data set of two subjects, or the sheet as a whole. Either the stage
`index` ends with status 2 and one line, and writes nothing; or it notes an issue, and subject `ben` stays byte for byte
what he was.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from microexp.commands.main import main
from microexp.records import index as schema
from microexp.records.exclusions import read_exclusions

from . import releases
from .releases import frames, read_labels, workbook
from .test_stage import index

SHEET, CLIP = "annotations.csv", "videos/anna/v1"
HEADER = "subject,video,onset,apex,offset,kind,emotion,aus\n"
BEN = "ben,v.2,2,4,30,,disgust,9\n"


def sheet(rows: str, header: str = HEADER) -> Callable[[Path], None]:
    """Replace the sheet; ben's row stays."""
    return lambda root: (root / "annotations.csv").write_text(header + rows + BEN) and None


def raw(data: bytes) -> Callable[[Path], None]:
    return lambda root: (root / "annotations.csv").write_bytes(data) and None


def in_clip(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Change anna's only video."""
    return lambda root: change(root / "videos/anna/v1") and None


def link_loop(clip: Path) -> None:
    (clip.parent / "v2.mp4").symlink_to(clip.parent / "b")
    (clip.parent / "b").symlink_to(clip.parent / "v2.mp4")


def bomb(clip: Path) -> None:
    """A tiny bitmap with a header that says 60,000 x 60,000 px."""
    emptied(clip)
    size = (40).to_bytes(4, "little") + (60_000).to_bytes(4, "little") * 2
    (clip / "1.bmp").write_bytes(b"BM" + bytes(12) + size + b"\1\0\x18\0" + bytes(24))


def emptied(clip: Path) -> None:
    for frame in clip.iterdir():
        frame.unlink()


def book(*rows: tuple[object, ...]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / "annotations.csv").unlink()
        workbook(root / "annotations.xlsx", S=[HEADER.strip().split(","), *rows, BEN.strip().split(",")])

    return change


def remove_root(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))


ERRORS: dict[str, tuple[Callable[[Path], None], dict[str, object], str]] = {
    # name: (what is spoiled, options, the line)
    "no such root": (remove_root, {}, r"own: datasets\.folder\.root: no such folder"),
    "root is a file": (lambda root: None, {"root": __file__}, r"input\.py: datasets\.folder\.root: no folder"),
    "no root": (lambda root: None, {"root": None}, r"config: datasets\.folder\.root: expected the folder"),
    "unknown adapter": (lambda root: None, {"adapter": "foldr"}, r"got 'foldr'.*did you mean 'folder'"),
    "unknown option": (lambda root: None, {"ofset_zero": "apex"}, r"ofset_zero: an unknown option.*'offset_zero'"),
    "option of another type": (lambda root: None, {"source_fps": "fast"}, r"source_fps: got 'fast'"),
    "frame rate of zero": (lambda root: None, {"source_fps": 0}, r"source_fps: got 0"),
    "no frame rate": (lambda root: None, {"source_fps": None}, r"own: videos: none that can be used.*frame rate: none"),
    "option sheet names nothing": (lambda root: None, {"sheet": "x.csv"}, r"x\.csv: option sheet: no such file"),
    "option videos names nothing": (lambda root: None, {"videos": "x"}, r"own/x: option videos: no such folder"),
    "no videos": (lambda root: (root / "videos").rename(root.parent / "v"), {}, r"own: videos: none"),
    "empty sheet": (raw(b""), {}, r"annotations\.csv: no such header.*a column 'video'"),
    "column missing": (sheet("anna,v1,3\n", "subject,video,onset\n"), {}, r"\.csv: no such header.*Offset"),
    "not UTF-8": (raw(HEADER.encode() + b"\xff\xfe\xfa"), {}, r"annotations\.csv: .*expected text in UTF-8"),
    "zero bytes": (raw(b"subject,\0video"), {}, r"annotations\.csv: a zero byte"),
    "binary": (raw(b"PK\x03\x04" + bytes(100)), {}, r"annotations\.csv: a damaged workbook"),
    "quote that never ends": (raw(HEADER.encode() + b'"anna'), {}, r"annotations\.csv: .*well-formed CSV"),
    "a million rows": (raw(HEADER.encode() + b"a,b,1,2,3,,,\n" * 1_000_000), {}, r"more than 100000 rows"),
    "formula without a value": (book(("anna", "v1", "=1+1", 5, 9)), {}, r"row 2, column 3: a formula without"),
    "unknown kind": (sheet("anna,v1,3,5,9,mini,,\n"), {}, r"row 2, kind: got 'mini'"),
    "seconds in columns of frames": (sheet("anna,v1,0.33,,0.75,,,\n"), {}, r"row 2, onset: got 0\.33, .*onset_s"),
}  # fmt: skip

NOTED: dict[str, tuple[Callable[[Path], None], tuple[str, int, str, str]]] = {
    # name: (what is spoiled, (file, row, field, problem))
    "video that is not on disk": (sheet("anna,v9,3,5,9,,,\n"), (SHEET, 2, "video", "anna/v9 is not on disk")),
    "onset after the video": (sheet("anna,v1,90,95,99,,,\n"), (SHEET, 2, "onset", "outside of the frames")),
    "offset after the video": (sheet("anna,v1,30,35,99,,,\n"), (SHEET, 2, "offset", "99 is outside")),
    "onset is text": (sheet("anna,v1,three,5,9,,,\n"), (SHEET, 2, "onset", "'three' is no frame")),
    "onset is empty": (sheet("anna,v1,,5,9,,,\n"), (SHEET, 2, "onset", "empty")),
    "onset is negative": (sheet("anna,v1,-3,5,9,,,\n"), (SHEET, 2, "onset", "-3 is no frame")),
    "onset is not a number": (sheet("anna,v1,nan,5,9,,,\n"), (SHEET, 2, "onset", "'nan' is no frame")),
    "onset is huge": (sheet("anna,v1,1e300,5,9,,,\n"), (SHEET, 2, "onset", "1e300 is no frame")),
    "onset is a formula as text": (sheet("anna,v1,=HYPERLINK(x),5,9,,,\n"), (SHEET, 2, "onset", "is no frame")),
    "offset before onset": (sheet("anna,v1,9,10,3,,,\n"), (SHEET, 2, "offset", "3 before onset 9")),
    "offset zero": (sheet("anna,v1,3,5,0,,,\n"), (SHEET, 2, "offset", "0")),
    "apex outside": (sheet("anna,v1,3,30,9,,,\n"), (SHEET, 2, "apex", "30 outside of 3 to 9")),
    "apex is a slash": (sheet("anna,v1,3,/,9,,,\n"), (SHEET, 2, "apex", "'/' is no frame")),
    "halves of frames": (sheet("anna,v1,3.5,5,9,,,\n"), (SHEET, 2, "onset", "3.5 is not whole")),
    "action units that are none": (sheet("anna,v1,3,5,9,,,smile\n"), (SHEET, 2, "action units", "'smile'")),
    "an error value in a cell": (book(("anna", "v1", "#REF!", 5, 9)), ("annotations.xlsx", 2, "onset", "'#REF!'")),
    "a video without frames": (in_clip(emptied), (CLIP, 0, "video", "no frame")),
    "two files of one number": (
        in_clip(lambda c: frames(c, [7], "img{:03d}.jpg")), (CLIP, 0, "video", "img007.jpg and img7.jpg")
    ),
    "a damaged first frame": (
        in_clip(lambda c: (c / "img1.jpg").write_bytes(b"x")), (CLIP, 0, "frames", "img1.jpg: no image data")
    ),
    "no frame that can be decoded": (
        in_clip(lambda c: [p.write_bytes(b"x") for p in c.iterdir()]), (CLIP, 0, "video", "no image data")
    ),
    "two videos of one name": (
        in_clip(lambda c: (c.parent / "v1.mp4").touch()), ("videos/anna/v1.mp4", 0, "video", "")
    ),
    "a row of another folder": (sheet("../anna,v1,3,5,9,,,\n"), (SHEET, 2, "video", "../anna/v1 is not on disk")),
    "a row that means a command": (sheet("$(x),v1,3,5,9,,,\n"), (SHEET, 2, "video", "$(x)/v1 is not on disk")),
    "a row with a newline": (sheet('"an\nna",v1,3,5,9,,,\n'), (SHEET, 2, "video", "is not on disk")),
    "a row of 200 letters": (sheet(f"anna,{'v' * 200},3,5,9,,,\n"), (SHEET, 2, "video", "is not on disk")),
    "no subject, and two videos of the name": (
        lambda root: sheet(",v1,3,5,9,,,\n")(root) or frames(root / "videos/carl/v1", range(1, 9)),
        (SHEET, 2, "video", "v1 may be anna/v1 and carl/v1"),
    ),
    "a folder with a space": (
        in_clip(lambda c: frames(c.parent / "take (1)", [1, 2])), ("videos/anna/take (1)", 0, "name", "anna/take (1)")
    ),
    "a folder with $(x)": (
        in_clip(lambda c: frames(c.parent / "$(x)", [1, 2])), ("videos/anna/$(x)", 0, "name", "anna/$(x)")
    ),
    "a folder with a newline": (
        in_clip(lambda c: frames(c.parent / "v\n2", [1, 2])), ("videos/anna/v\n2", 0, "name", "anna/v\n2")
    ),
    "a file that is no video": (
        in_clip(lambda c: (c.parent / "v2.xyz").write_text("?")), ("videos/anna/v2.xyz", 0, "video", "not a video")
    ),
    "a truncated first frame": (
        in_clip(lambda c: (c / "img1.jpg").write_bytes((c / "img1.jpg").read_bytes()[:200])),
        (CLIP, 0, "frames", ""),
    ),
    "a damaged frame in the middle": (
        in_clip(lambda c: (c / "img20.jpg").write_bytes(b"x")), (CLIP, 0, "frames", "img20.jpg: no image data")
    ),
    "a frame that is a broken link": (
        in_clip(lambda c: (c / "img1.jpg").unlink() or (c / "img1.jpg").symlink_to("/nowhere/x.jpg")),
        (CLIP, 0, "frames", "No such file"),
    ),
    "an image bomb": (
        in_clip(bomb),
        (CLIP, 0, "video", "a far too large image"),
    ),
    "a video file that is text": (
        in_clip(lambda c: (c.parent / "v2.mp4").write_text("no video")),
        ("videos/anna/v2.mp4", 0, "video", "Invalid data")
    ),
    "a video file of no length": (
        in_clip(lambda c: (c.parent / "v2.avi").touch()), ("videos/anna/v2.avi", 0, "video", "")
    ),
    "a video file in a loop of links": (
        in_clip(link_loop),
        ("videos/anna/v2.mp4", 0, "video", "a broken link"),
    ),
    "gaps": (in_clip(lambda c: (c / "img20.jpg").unlink()), (CLIP, 0, "frames", "1 missing, first 20")),
    "frames of several sizes": (in_clip(lambda c: frames(c, [40], size=(20, 10))), (CLIP, 0, "frames", "20x10")),
    "a damaged video outside of any subject's folder": (
        in_clip(lambda c: (c.parent.parent / "v2.mp4").touch()),
        ("videos/v2.mp4", 0, "video", "")
    ),
}  # fmt: skip


def test_there_are_enough_kinds() -> None:
    assert len(ERRORS) + len(NOTED) >= 60


def listing(folder: Path) -> set[str]:
    """Everything below `folder` except what `index` may write."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.relative_to(folder).parts[0] != "results"}


@pytest.mark.long
@pytest.mark.parametrize("case", ERRORS)
def test_one_line_and_nothing_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = releases.folder(tmp_path / "own")
    spoil, options, line = ERRORS[case]
    spoil(root)
    before = listing(tmp_path)
    status = index(root, tmp_path / "results", "folder", **{"source_fps": 30, **options})
    errors = [text for text in capsys.readouterr().err.splitlines() if not text.startswith("folder: ")]
    assert status == 2
    assert len(errors) == 1
    assert re.search(line, errors[0]), errors[0]
    assert listing(tmp_path) == before
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("case", NOTED)
def test_noted_and_the_other_subject_is_untouched(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = releases.folder(Path("own"))
    assert index(root, Path("results/good"), "folder", source_fps=30) == 0
    spoil, (file, row, field, problem) = NOTED[case]
    spoil(root)
    before = listing(tmp_path)
    assert index(root, Path("results/bad"), "folder", source_fps=30) == 0
    found = schema.read_issues("results/bad/issues.csv")
    assert any((i.file, i.row, i.field) == (file, row, field) and problem in i.problem for i in found), found
    assert all(i.action for i in found)
    for name in ("videos", "expressions"):
        good, bad = (
            [
                line
                for line in Path(f"results/{which}/{name}.csv").read_text().splitlines()
                if line.startswith("folder,ben,")
            ]
            for which in ("good", "bad")
        )
        assert good == bad and good
    assert listing(tmp_path) == before


LOST: dict[str, tuple[Callable[[Path], None], tuple[str, str, str]]] = {
    # name: (what is spoiled, (subject, video, reason))
    "nothing but damage": (NOTED["no frame that can be decoded"][0], ("anna", "v1", "img1.jpg: no image data")),
    "a video without frames": (in_clip(emptied), ("anna", "v1", "v1: no frame")),
    "a row without its video": (
        sheet("anna,v1,3,5,9,,,\nanna,v9,3,5,9,,,\nanna,v9,13,15,19,,,\n"),
        ("anna", "v9", "is not on disk, but has rows in annotations.csv"),
    ),
    "a row without an onset": (
        sheet("anna,v1,/,5,9,,,\n"), ("anna", "v1", "annotations.csv, row 2: onset: '/' is no frame")
    ),
}  # fmt: skip


def test_a_ground_truth_outside_of_its_video_stays_one(tmp_path: Path) -> None:
    """Nobody can hit it, but it counts; nothing that results need is missing."""
    root = releases.folder(tmp_path / "own")
    sheet("anna,v1,90,95,99,,,\nanna,v1,30,35,99,,,\n")(root)
    assert index(root, tmp_path / "o", "folder", source_fps=30) == 0
    outside, over, _ = read_labels(tmp_path / "o")
    assert read_exclusions(tmp_path / "o/excluded.csv") == []
    (video,) = [v for v in schema.read_videos(tmp_path / "o/videos.csv") if v.video == "v1"]
    assert (outside.released(video.numbering), outside.is_inside(video.n_frames)) == ((90, 95, 99), False)
    assert (over.released(video.numbering), over.offset) == ((30, 35, 99), video.n_frames - 1)
    actions = {i.action for i in schema.read_issues(tmp_path / "o/issues.csv") if i.row == 2}
    assert actions == {"kept: a ground truth that no detection can hit"}


@pytest.mark.parametrize("case", LOST)
def test_what_is_lost_is_listed_once_and_makes_the_run_incomplete(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, (spoil, (subject, video, reason)) = releases.folder(tmp_path / "own"), LOST[case]
    spoil(root)
    assert index(root, tmp_path / "o", "folder", source_fps=30) == 0
    (found,) = read_exclusions(tmp_path / "o/excluded.csv")
    assert (found.dataset, found.subject, found.video) == ("folder", subject, video)
    assert found.reason.startswith(reason)
    capsys.readouterr()
    assert (
        main(["complete", "--excluded", str(tmp_path / "o/excluded.csv"), "--out-complete", str(tmp_path / "c")]) == 2
    )
    assert f"folder/{subject}/{video}: excluded: {reason}" in capsys.readouterr().err


MENDED = (
    "offset zero",
    "offset after the video",
    "apex is a slash",
    "halves of frames",
    "gaps",
    "action units that are none",
)


@pytest.mark.parametrize("case", MENDED)
def test_what_is_mended_or_clipped_is_not_lost(case: str, tmp_path: Path) -> None:
    root = releases.folder(tmp_path / "own")
    NOTED[case][0](root)
    assert index(root, tmp_path / "o", "folder", source_fps=30) == 0
    assert read_exclusions(tmp_path / "o/excluded.csv") == []


def test_an_expression_of_another_form_is_lost_and_a_line_of_text_is_not(tmp_path: Path) -> None:
    rows = [*releases.SAMM_ROWS, ("006", "006-1-4", 1, 5562, 5588, 5632), ("in all", "2 movements")]
    index(releases.samm(tmp_path, rows=rows), tmp_path / "o", "samm")
    (lost,) = read_exclusions(tmp_path / "o/excluded.csv")
    problem = "row 18: filename: '006-1-4' is not a clip such as 006_1_2"
    assert str(lost) == f"samm: SAMM_Micro_FACS_Codes_v2.xlsx, {problem}"


def test_a_loop_of_folders_ends(tmp_path: Path) -> None:
    root = releases.casme2(tmp_path / "c")
    (root / "CASME2_RAW_selected/sub01/again").symlink_to(root)
    (root / "CASME2_RAW_selected/up").symlink_to("..")
    assert index(root, tmp_path / "o", "casme2") == 0
    assert len(schema.read_videos(tmp_path / "o/videos.csv")) == 7


@pytest.mark.parametrize(
    ("name", "spoil", "field"),
    [
        ("cas_me2", (0, "disgust1_1", 5, 9, 14, 4, "negative", "macro-expression"), "participant"),
        ("cas_me2", (1, "boredom1_1", 5, 9, 14, 4, "negative", "macro-expression"), "clip"),
        ("cas_me2", (1, "../1_1", 5, 9, 14, 4, "negative", "macro-expression"), "clip"),
        ("cas_me2", (1, "disgust1_1", 5, 9, 14, 4, "negative", "expression"), "kind"),
        ("samm_lv", ("006", "006-1-1", 1, 1, 2, 3, 3, "Macro", 4), "filename"),
        ("samm_lv", ("006", "006_1_1", 1, 1, 2, 3, 3, "Other", 4), "kind"),
        ("casme2", ("$(x)", "EP02_01f", None, 46, 59, 86, None, 12, "happiness"), "subject"),
        ("casme2", ("01", "EP 02", None, 46, 59, 86, None, 12, "happiness"), "filename"),
        ("samm", ("006", "006/../..", 1, 1, 2, 3, 3, "1/2", 4, "Anger"), "filename"),
        ("cas_me3", ("../1", "a", "5", "8", "12", "4", "Macro-expression", "I"), "subject"),
        ("cas_me3", ("spNO.1", "../a", "5", "8", "12", "4", "Macro-expression", "I"), "filename"),
        ("cas_me3", ("spNO.1", "a", "5", "8", "12", "4", "Expression", "I"), "kind"),
        ("mmew", ("S01", "S01-01-01/..", 1, 6, 12, "12", "happiness", None), "filename"),
    ],
)
def test_rows_of_another_form_are_left_out_by_name(tmp_path: Path, name: str, spoil, field: str) -> None:
    make, rows = getattr(releases, name), getattr(releases, f"{name.upper()}_ROWS")
    index(make(tmp_path / "a", rows=rows), tmp_path / "good", name)
    index(make(tmp_path / "b", rows=[*rows, spoil]), tmp_path / "bad", name)
    (issue,) = [i for i in schema.read_issues(tmp_path / "bad/issues.csv") if i.action == "row excluded"]
    assert issue.field == field and issue.row > 0
    good, bad = (read_labels(tmp_path / which) for which in ("good", "bad"))
    assert good == bad


@pytest.mark.parametrize(
    ("text", "line"),
    [("9", "not one number from 0 to 7"), ("x", "not numbers"), ("1 2", "one number"), ("", "one number")],
)
def test_a_bad_label_file_of_ck_plus_is_noted_and_costs_nothing_else(tmp_path: Path, text: str, line: str) -> None:
    root = releases.ck_plus(tmp_path / "ck")
    index(root, tmp_path / "good", "ck_plus")
    (root / "Emotion/S005/001/S005_001_00000011_emotion.txt").write_text(text)
    (root / "FACS/S010/002/S010_002_00000008_facs.txt").write_text("100 1")
    assert index(root, tmp_path / "o", "ck_plus") == 0
    one, other = schema.read_issues(tmp_path / "o/issues.csv")
    assert (one.file, one.action) == ("Emotion/S005/001/S005_001_00000011_emotion.txt", "left empty")
    assert line in one.problem and other.file.endswith("S010_002_00000008_facs.txt")
    good, bad = (read_labels(tmp_path / which) for which in ("good", "o"))
    assert bad == [replace(good[0], emotion=""), replace(good[1], aus="")]


UNREAD = [
    ("folder", "img1.jpg"), ("ck_plus", "S005_001_00000001.png"), ("ck_plus", "S005_001_00000011_emotion.txt"),
]  # fmt: skip


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize(("dataset", "name"), UNREAD)
def test_what_cannot_be_read_now_is_an_error_and_nothing_is_left_out(
    dataset: str, name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A network that fails for a moment must not cost a video or a label."""
    root = getattr(releases, dataset)(tmp_path / "data")
    reads = Path.open, Path.read_bytes

    def failing(read: Callable[..., object]) -> Callable[..., object]:
        def call(path: Path, *args: object, **options: object) -> object:
            if path.name == name:
                raise OSError(number, os.strerror(number))
            return read(path, *args, **options)

        return call

    for read in reads:
        monkeypatch.setattr(Path, read.__name__, failing(read))
    assert index(root, tmp_path / "o", dataset, source_fps=30) == 2
    assert re.search(f"{name}: {os.strerror(number)}", capsys.readouterr().err)
    assert not (tmp_path / "o").exists()
