"""The methods paragraph says what ran, from the records, and cites it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from microexp.datasets.index import ADAPTERS
from microexp.pipeline import STAGES
from microexp.records.index import Expression, Video
from microexp.report import methods
from microexp.report.collect import ResultTable, Versions

TABLE = ResultTable("spotting", "main", "Spotting, main", (), (), (), True, (), {})
CLASSES = {"p": ["happiness"], "n": ["disgust"]}


def record(stage: str, **options: Any) -> dict[str, Any]:
    """A record as the runner writes it, with the stage's real options."""
    parameters = STAGES[stage].params.model_validate(options).model_dump(mode="json")
    return {
        "stage": stage, "parameters": parameters, "python": "3.11.4", "machine": "m",
        "code": {"version": "9.8.7", "source_sha256": "ab" * 32}, "libraries": {"numpy": "2.4.6"},
    }  # fmt: skip


def versions(*records: dict[str, Any]) -> Versions:
    found = Versions()
    for one in records:
        found.add(one)
    return found


def described(found: Versions, table: ResultTable = TABLE) -> methods.Methods:
    videos = [Video("mine", s, "v", "v.mp4", 90, 30.0, 64, 64) for s in ("a", "b")]
    labels = [
        Expression("mine", "a", "v", i, 1, 2, 3, kind, "", "") for i, kind in enumerate(("micro", "micro", "macro"), 1)
    ]
    return methods.describe(found, [table], videos, expressions=labels, adapters={"mine": "casme2"})


FOLD = {"experiment": "main", "name": "mine", "method": "flow_magnitude", "method_version": 1}


def test_a_spotting_run_is_told_as_it_ran() -> None:
    found = described(
        versions(
            record("faces"), record("crops", size=96), record("flow", preset="classic"), record("motion"),
            record("spotting-fold", **FOLD, seeds=3, seed=7, calibrate="held_out"),
            record("tables", bootstrap=50, matching="megc"),
        )
    )  # fmt: skip
    for part in (
        "mine [casme2]: 2 subjects, 2 videos, 2 micro- and 1 macro-expressions.",
        "with dlib [dlib] and cut out as aligned crops of 96 px (fixed alignment)",
        "TV-L1 [tvl1], preset classic",
        "Spotting experiment main: mine (3 seeds from 7); each fold holds one subject out.",
        "on training subjects alone (calibration: held_out)",
        "matching megc; 95 % intervals are from 50 bootstrap samples over subjects",
        "crops.size = 96; flow.preset = classic",
        "spotting-fold.mine.calibrate = held_out",
        "microexp 9.8.7, python 3.11.4, numpy 2.4.6.",
    ):
        assert part in found.text, found.text
    assert "i3d" not in found.text and "@inproceedings{i3d" not in found.bibtex


def test_every_key_in_the_text_is_in_the_bibtex_and_no_other() -> None:
    found = described(versions(record("faces"), record("i3d-rgb"), record("flow")))
    named = set(re.findall(r"\[(\w+)\]", found.text))
    assert named == {"casme2", "dlib", "tvl1", "i3d", "snakemake"}
    assert set(re.findall(r"^@\w+\{(\w+),", found.bibtex, re.M)) == named | {"microexp"}


def test_a_published_protocol_is_cited_and_defaults_are_no_differences() -> None:
    fold = {**FOLD, "method": "majority", "datasets": ["mine"]}
    table = ResultTable("recognition", "main", "", (), (), (), True, (), {})
    cited = described(versions(record("recognition-fold", **fold, protocol="megc2019", leave="dataset")), table)
    assert "the protocol megc2019 [megc2019]" in cited.text and "each fold holds one data set out" in cited.text
    own = described(versions(record("recognition-fold", **fold, classes=CLASSES)), table)
    assert "classes of our own" in own.text
    assert "All options have their defaults." in described(versions(record("faces"), record("crops"))).text


def test_options_of_a_method_are_compared_with_its_own_defaults() -> None:
    from microexp.methods.find import find_method

    options = find_method("spotting", "aemnet").Options(epochs=7).model_dump(mode="json")
    fold = record("spotting-fold", **{**FOLD, "method": "aemnet", "options": options})
    assert "spotting-fold.mine.options.epochs = 7." in described(versions(fold)).text


def test_every_data_set_has_a_reference() -> None:
    assert set(ADAPTERS) - {"demo", "folder", "listed"} <= set(methods.references())
    for key, entry in methods.references().items():
        assert entry.count("{") == entry.count("}") and "year={" in entry, key


def test_files_without_a_record_say_nothing(tmp_path: Path) -> None:
    assert methods.adapters_of([tmp_path / "mine" / "videos.csv"]) == {}
