from __future__ import annotations

from pathlib import Path

import pytest

from microexp.errors import UserError
from microexp.report.collect import Rows, flatten, read_rows, read_table, read_versions
from microexp.report.svg import training_panels, training_picture, training_series
from microexp.run import storage
from tests.report.build import Page
from tests.report.conftest import Tree, record


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "spotting", "experiment": "x", "table": {"title": 1}}'])
def test_a_file_that_is_no_table(tmp_path: Path, text: str) -> None:
    storage.write_text(tmp_path / "t.json", text)
    with pytest.raises(UserError, match=r"t\.json.*a table of the stage tables"):
        read_table(tmp_path / "t.json")


@pytest.mark.long
def test_rows_know_experiment_and_fold(finished: Tree) -> None:
    found = read_rows(sorted(finished.root.glob("spotting/*/*/*/detections.csv"), reverse=True), ("method",))
    assert sorted((r.experiment, r.method, r.fold) for r in found) == [
        ("main", method, fold) for method in ("aemnet", "flow_magnitude") for fold in ("toy-ann", "toy-bob")
    ]
    with pytest.raises(UserError, match="a column 'colour'"):
        read_rows(finished.root.glob("spotting/*/*/*/detections.csv"), ("colour",))


def test_flatten() -> None:
    nested = {"b": {"y": [1, 2], "x": None}, "a": "text", "c": {}}
    assert list(flatten(nested)) == [("a", "text"), ("b.x", "null"), ("b.y", "[1, 2]"), ("c", "{}")]


def test_versions_list_what_differs(tmp_path: Path) -> None:
    paths = []
    for name, size, numpy in (("a", 1, "2.0"), ("b", 1, "2.0"), ("c", 2, "2.1")):
        path = tmp_path / name
        storage.write_text(path, name)
        paths.append(record(path, "crops", parameters={"size": size}, libraries={"numpy": numpy}, device="cpu"))
    for name, stage in (("e", "tables"), ("f", "faces"), ("g", "of a plugin")):
        storage.write_text(tmp_path / name, name)
        paths.append(record(tmp_path / name, stage))
    storage.write_text(tmp_path / "d", "no provenance")
    found = read_versions([*paths, tmp_path / "d"])
    crops = found.stages["crops"]
    assert crops.files == 3 and crops.parameters == [[("size", "1")], [("size", "2")]]
    assert list(found.stages) == ["faces", "crops", "tables", "of a plugin"]  # as in the pipeline
    assert crops.about == [("device", "cpu")]
    assert found.software["numpy"] == ["2.0", "2.1", "9.9"]
    made = "1.2.3 (source abababababab)"
    assert found.software["microexp"] == [made] and found.others(made) == {}
    assert found.others("1.2.4 (source 0)") == {s: {made: n} for s, n in (
        ("faces", 1), ("crops", 3), ("tables", 1), ("of a plugin", 1),
    )}  # fmt: skip


def log(fold: str, *rows: dict[str, str]) -> Rows:
    return Rows("x", "m", fold, rows)


def test_series_are_means_over_repetitions_of_the_first_model() -> None:
    fold = log(
        "a",
        {"variant": "m", "fit": "main", "epoch": "1", "loss": "2"},
        {"variant": "m", "fit": "main", "epoch": "1", "loss": "4"},
        {"variant": "m", "fit": "all", "epoch": "1", "loss": "100"},
        {"variant": "control", "fit": "main", "epoch": "1", "loss": "100"},
        {"variant": "m", "fit": "main", "epoch": "10", "loss": "1"},
        {"variant": "m", "fit": "main", "epoch": "2", "loss": ""},
    )
    assert training_series(fold, "loss") == {1: 3.0, 10: 1.0}
    assert training_series(fold, "accuracy") == {} and training_series(log("b"), "loss") == {}


def test_curves_draw_the_measures_that_there_are() -> None:
    folds = [log(f, *({"epoch": str(e), "loss": str(k + e)} for e in range(5))) for k, f in enumerate("ab")]
    panels = training_panels(folds)
    assert {m: len(s) for m, s in panels.items()} == {"loss": 2}
    first = training_picture(panels)
    assert first == training_picture(panels)
    page = Page(first)
    assert "epoch" in page.text and "loss" in page.text and "accuracy" not in page.text
    assert first.count("fold-line") == 2 and first.count("mean-line") == 1
    assert not any(a for a in page.addresses if not a.startswith("#"))
    assert training_picture({}) == "" == training_picture(training_panels([]))
