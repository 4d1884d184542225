"""The stages `index` and `index-subject`, the command `check`, and the comparison with published counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from microexp.commands.main import main
from microexp.config import Config, parse
from microexp.datasets import protocols
from microexp.datasets.counts import Count, compare, read_counts, write_counts
from microexp.datasets.index import read_index
from microexp.datasets.protocols import clip_hash
from microexp.errors import UserError
from microexp.reading.params import DatasetParams, index_options
from microexp.records import index as schema
from microexp.run.provenance import read_provenance
from microexp.stage_options import stage_options

from . import releases
from .releases import read_labels, workbook

OUTPUTS = ("videos", "expressions", "issues", "counts", "excluded")


def index(root: Path, out: Path, dataset: str, /, **options: object) -> int:
    arguments = [a for name in OUTPUTS for a in (f"--out-{name}", str(out / f"{name}.csv"))]
    params = json.dumps({"root": str(root), **options})
    return main(["index", "--dataset", dataset, "--params", params, *arguments])


def test_index_writes_all_files_with_provenance(tmp_path: Path) -> None:
    root = releases.cas_me2(tmp_path / "CAS(ME)^2 $(touch x)")
    assert index(root, tmp_path / "o", "cas_me2") == 0
    assert len(schema.read_videos(tmp_path / "o/videos.csv")) == 4
    assert len(read_labels(tmp_path / "o")) == 5
    assert schema.read_issues(tmp_path / "o/issues.csv")[0].file == "CAS(ME)^2code_final.xlsx"
    counts = {(c.what, c.group): c for c in read_counts(tmp_path / "o/counts.csv")}
    assert counts["expressions", "macro"] == Count("cas_me2", "expressions", "macro", 300, 3, 3)
    assert counts["frames", ""].found == 160
    assert read_provenance(tmp_path / "o/videos.csv")["parameters"]["offset_zero"] == "apex"
    assert {p.name for p in tmp_path.iterdir()} == {"CAS(ME)^2 $(touch x)", "o"}


def test_index_is_the_same_twice(tmp_path: Path) -> None:
    root = releases.samm_lv(tmp_path / "samm")
    for out in ("a", "b"):
        assert index(root, tmp_path / out, "samm_lv") == 0
    for name in OUTPUTS:
        assert (tmp_path / f"a/{name}.csv").read_bytes() == (tmp_path / f"b/{name}.csv").read_bytes()


def test_paths_are_relative_to_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    releases.casme2(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert index(Path("data"), Path("o"), "casme2") == 0
    assert schema.read_videos("o/videos.csv")[0].path == "CASME2_RAW_selected/sub01/EP02_01f"


def split(root: Path, out: Path, dataset: str, subject: str) -> int:
    outputs = [f"--out-{name}={out / f'{name}.csv'}" for name in ("videos", "expressions")]
    params = json.dumps({"root": str(root)})
    return main(["index-subject", "--dataset", dataset, "--subject", subject, "--params", params, *outputs])


def test_subject_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = releases.casme2(tmp_path / "data")
    assert split(root, tmp_path / "s", "casme2", "sub05") == 0
    assert {v.video for v in schema.read_videos(tmp_path / "s/videos.csv")} == {"EP09_05f", "EP03_01", "EP03_02"}
    assert {e.subject for e in read_labels(tmp_path / "s")} == {"sub05"}
    assert split(root, tmp_path / "s", "casme2", "sub09") == 2
    assert "subject sub09: no video; expected a subject of the data set" in capsys.readouterr().err


def test_one_subjects_rows_change_only_that_subjects_split(tmp_path: Path) -> None:
    rows = list(releases.CASME2_ROWS)
    for out, table in (("a", rows), ("b", [("01", "EP02_01f", None, "bad", "$(x)", "x", None, "?", None), *rows[1:]])):
        root = releases.casme2(tmp_path / out / "data", rows=table)
        for subject in ("sub01", "sub04"):
            assert split(root, tmp_path / out / subject, "casme2", subject) == 0
    names = [f"{out}/{{}}/expressions.csv" for out in "ab"]
    for subject, same in (("sub04", True), ("sub01", False)):
        one, other = ((tmp_path / name.format(subject)).read_bytes() for name in names)
        assert (one == other) is same


def test_strict_makes_a_difference_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = releases.smic(tmp_path / "smic")
    assert index(root, tmp_path / "o", "smic", strict=True) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "counts: got 2 of 16 subjects, expected the published counts" in error
    assert not (tmp_path / "o/videos.csv").exists()


def test_options_of_index_leave_out_what_it_does_not_read() -> None:
    config = parse(
        {"datasets": {"casme2": {"root": "/d", "fps": 30}, "mine": {"adapter": "folder", "root": "/e"}}}, "c"
    )
    assert isinstance(config, Config)
    options = stage_options(config, "index", "casme2")
    assert options["adapter"] == "casme2" and not {"root", "fps"} & set(options)
    assert index_options("mine", config.datasets["mine"])["adapter"] == "folder"


# --- counts -----------------------------------------------------------------------------------------------------------


def test_counts_round_trip(tmp_path: Path) -> None:
    counts = [Count("d", "frames", "", None, None, 7), Count("d", "emotion", "micro fear", 2, 2, 1)]
    write_counts(tmp_path / "c.csv", counts)
    assert read_counts(tmp_path / "c.csv") == counts
    assert [c.differs for c in counts] == [False, True]
    (tmp_path / "c.csv").write_text("dataset,what,group,published,sheet,found\nd,frames,,x,,1\n")
    with pytest.raises(UserError, match=r"c\.csv: row 2"):
        read_counts(tmp_path / "c.csv")


def test_sheet_counts_what_has_no_frames(tmp_path: Path) -> None:
    root = releases.samm_lv(tmp_path)
    rows = [*releases.SAMM_LV_ROWS, ("099", "099_1_1", 1, 1, 2, 3, 3, "Macro", "4", None)]
    releases.samm_lv(tmp_path, rows=rows)
    _, _, found = read_index("samm_lv", DatasetParams(root=str(root)))
    counts = {(c.what, c.group): (c.sheet, c.found) for c in compare("samm_lv", "samm_lv", found, published={})}
    assert counts["expressions", "macro"] == (6, 5)
    assert counts["subjects", ""] == (5, 4)


def test_protocol_classes_are_counted_and_the_list_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, found = read_index("casme2", DatasetParams(root=str(releases.casme2(tmp_path))))

    def protocol_counts() -> dict[str, tuple[int | None, int | None, int]]:
        counts = compare("x", "casme2", found, published={})
        return {c.group: (c.published, c.sheet, c.found) for c in counts if c.what == "megc2019"}

    # one of the made-up rows is surprise in the sheet, negative in the list; "sadness" has no class of its own
    clips = [
        ("sub01", "EP02_01f", "positive"), ("sub01", "EP06_02_01", "negative"), ("sub05", "EP03_01", "negative"),
        ("sub09", "EP01_01", "surprise"),
    ]  # fmt: skip
    listed = frozenset(clip_hash("casme2", subject, video, name=name) for subject, video, name in clips)
    official = replace(protocols.MEGC2019, lists={"casme2": listed})
    monkeypatch.setitem(protocols.PROTOCOLS, "megc2019", official)
    assert protocol_counts() == {
        "negative": (88, 2, 2), "positive": (32, 1, 1), "surprise": (25, 0, 0), "official list": (4, 2, 2),
    }  # fmt: skip


# --- check ------------------------------------------------------------------------------------------------------------


def config_file(tmp_path: Path, **datasets: object) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"datasets": datasets}))
    return str(path)


def test_check_shows_counts_and_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the repository's own run has left no demo
    releases.cas_me2(tmp_path / "cas")
    releases.folder(tmp_path / "own")
    config = config_file(
        tmp_path,
        cas_me2={"root": str(tmp_path / "cas")},
        mine={"adapter": "folder", "root": str(tmp_path / "own"), "source_fps": 30, "strict": True},
        demo={},
    )
    assert main(["check", config]) == 0
    out = capsys.readouterr().out
    assert "expressions macro 300 3 3 *" in " ".join(out.split())
    assert "CAS(ME)^2code_final.xlsx, row 2: offset: 0: read as apex = 15" in out
    assert "mine:" in out and "no published counts" in out
    assert "demo: made by the run itself, not there yet" in out
    assert main(["check", config, "--dataset", "cas_me2", "--summary"]) == 0
    out = capsys.readouterr().out
    assert "  2 x apex: put by the rule for a missing apex" in out and "mine" not in out


def test_check_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releases.smic(tmp_path / "smic")
    config = config_file(tmp_path, smic={"root": str(tmp_path / "smic"), "strict": True})
    assert main(["check", config]) == 1
    assert "strict, and not as published: smic" in capsys.readouterr().out


def test_check_of_a_sheet_without_frames_still_counts_the_sheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    releases.casme2(tmp_path / "c")
    shutil.rmtree(tmp_path / "c/CASME2_RAW_selected")
    assert main(["check", config_file(tmp_path, casme2={"root": str(tmp_path / "c")})]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "sheet: CASME2-coding-20140508.xlsx" in lines
    for line in (
        "subjects 26 3 0 *", "videos 255 7 0 *", "expressions 255 7 0 *", "expressions micro 255 7 0 *",
        "emotion micro disgust 63 3 0 *", "megc2019 official list 145 1 0 *", "casme2_5 surprise 25 1 0 *",
    ):  # fmt: skip
        assert line in lines
    assert "CASME2-coding-20140508.xlsx: video: none of the 7 videos is on disk: all rows excluded" in lines
    assert "CASME2-coding-20140508.xlsx, row 4: apex: '/' is no frame: put by the rule for a missing apex" in lines
    assert "is not on disk" not in out and "INCOMPLETE" not in out
    (last,) = [line for line in lines if "no frames on disk" in line]
    assert last.startswith("sheet: ") and "differences to the published counts" in last


def test_check_says_when_a_sheet_alone_is_as_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = ("disgust1", "disgust2", "anger1", "anger2", "happy1")
    videos = [(person, film) for film in films for person in range(1, 23)][:95]
    kinds = ["macro-expression"] * 300 + ["micro-expression"] * 57
    rows = [
        (*videos[i % 95][:1], f"{videos[i % 95][1]}_{i}", 5, 9, 0 if i < 44 else 14, 4, "negative", kind)
        for i, kind in enumerate(kinds)
    ]
    workbook(tmp_path / "cas/CAS(ME)^2code_final.xlsx", CASFEcode_final=rows)
    assert main(["check", config_file(tmp_path, cas_me2={"root": str(tmp_path / "cas")}), "--summary"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {"subjects 22 22 0 *", "videos 98 0 *", "videos with expressions 95 95 0 *"} <= set(lines)
    assert "44 x offset: read as apex" in lines
    assert "sheet: as published; no frames on disk" in lines


def test_check_goes_on_after_a_data_set_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    releases.smic(tmp_path / "smic")
    config = config_file(tmp_path, casme2={"root": str(tmp_path / "no")}, smic={"root": str(tmp_path / "smic")})
    assert main(["check", config]) == 2
    out, error = capsys.readouterr()
    assert "smic:" in out and "as published" not in out
    assert error.count("microexp: error: ") == 1 and "no such folder" in error


def test_check_of_a_name_that_is_not_configured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", config_file(tmp_path, demo={}), "--dataset", "x"]) == 2
    assert "--dataset: got 'x', expected one of demo" in capsys.readouterr().err


def test_published_counts_are_those_of_the_field() -> None:
    from microexp.datasets import cas_me2, cas_me3, ck_plus, mmew, samm, samm_lv, smic
    from microexp.reading.release import Release

    expected = {
        cas_me2: (22, 98, 300, 57), samm_lv: (30, 147, 343, 159), samm: (29, 159, 0, 159), smic: (16, 164, 0, 164),
        mmew: (36, 300, 0, 300), ck_plus: (123, 593, 593, 0),
    }  # fmt: skip
    for module, (people, videos, macro, micro) in expected.items():
        counts = module.ADAPTER.published(Release("x", Path(), DatasetParams()))
        assert (counts["subjects", ""], counts["videos", ""]) == (people, videos)
        assert (counts.get(("expressions", "macro"), 0), counts.get(("expressions", "micro"), 0)) == (macro, micro)
        emotions = [n for (what, _), n in counts.items() if what == "emotion"]
        assert not emotions or sum(emotions) == counts["expressions", ""] or module is ck_plus
    assert cas_me3.ADAPTER.published(Release("x", Path(), DatasetParams(release="C")))["expressions", ""] == 166


def test_the_demo_is_read_where_the_run_puts_it(tmp_path: Path, make_video, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"subjects": 2, "seconds": 14, "fps": 30}
    assert main(["demo-sheet", "--out-sheet", "results/demo/annotations.csv", "--params", json.dumps(options)]) == 0
    for subject in ("s01", "s02"):
        make_video(Path(f"results/demo/videos/{subject}/{subject}_1.mp4"), 420, fps=30)
    outputs = [a for name in OUTPUTS for a in (f"--out-{name}", f"results/index/demo/{name}.csv")]
    assert main(["index", "--dataset", "demo", *outputs]) == 0
    rows = Path("results/demo/annotations.csv").read_text().splitlines()[1:]
    expressions = read_labels(Path("results/index/demo"))
    assert len(expressions) == len(rows) > 0
    assert [e.onset + 1 for e in expressions] == [int(row.split(",")[2]) for row in rows]  # 1-based in the sheet
    assert schema.read_videos("results/index/demo/videos.csv")[0].path == "videos/s01/s01_1.mp4"
    assert schema.read_issues("results/index/demo/issues.csv") == []
