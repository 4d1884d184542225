"""Whom a file is of, by its content and by its path."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from microexp import pipeline
from microexp.commands.main import main
from microexp.errors import UserError
from microexp.methods.model import ModelParams, read_model
from microexp.methods.model import run as run_model
from microexp.metrics import recognition
from microexp.records import verify
from microexp.records.apexdiff import read_apexdiff
from microexp.records.clips import read_shards
from microexp.records.crops import open_crops
from microexp.records.exclusions import all_exclusions
from microexp.records.faces import open_faces
from microexp.records.features import Files, list_features
from microexp.records.flow import open_flow
from microexp.records.index import Expression, Video, read_expressions, read_videos, write_expressions, write_videos
from microexp.records.predictions import write_predictions
from microexp.records.proposals import read_proposals, write_proposals
from microexp.records.shard import Subject
from microexp.report.spotting_table import read_ran
from microexp.run import bundle, provenance, storage
from microexp.run.names import check_identity, place_of, place_record
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests import shards


def opened(open_kind: Callable[[Path], Any]) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        with open_kind(path):
            pass

    return read


WRITE: dict[str, Callable[[Path], Path]] = {
    "faces": lambda path: shards.write_faces(path, {"v": np.ones((68, 2)), "w": "dark"}),
    "crops": lambda path: shards.write_crops(path, {"v": np.zeros((5, 8, 8, 3), np.uint8), "w": "dark"}),
    "flow": lambda path: shards.write_flow(path, {"v": np.zeros((4, 8, 8, 2)), "w": "dark"}),
    "apexdiff": lambda path: shards.write_apexdiff(path, 3),
}
READ: dict[str, list[Callable[[Path], object]]] = {
    "faces": [opened(open_faces)],
    "crops": [opened(open_crops)],
    "flow": [opened(open_flow)],
    "apexdiff": [read_apexdiff, lambda path: read_shards([path])],
}
STAGES = sorted(WRITE)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Shards of every kind of two subjects of one data set and a namesake of another."""
    for stage, write in WRITE.items():
        for who in ("one/a", "one/b", "two/a"):
            write(tmp_path / "results" / stage / f"{who}.h5")
    return tmp_path / "results"


def swap(one: Path, two: Path) -> None:
    """Swap two files together with their records."""
    for first, second in ((one, two), (provenance.provenance_path(one), provenance.provenance_path(two))):
        other = first.with_name("other")
        first.rename(other)
        second.rename(first)
        other.rename(second)


def problems(folder: Path) -> dict[str, str]:
    return {p.path.relative_to(folder).as_posix(): p.what for p in verify.check_folder(folder)}


@pytest.mark.long
def test_files_where_they_belong_are_read(results: Path) -> None:
    assert problems(results) == {}
    for stage in STAGES:
        for read in (*READ[stage], lambda path: all_exclusions([path], [])):
            read(results / stage / "one" / "a.h5")


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("other", "name"), [("one/b", "subject"), ("two/a", "dataset")])
def test_swapped_files_are_noticed_by_whoever_reads_them(results: Path, stage: str, other: str, name: str) -> None:
    one, two = results / stage / "one" / "a.h5", results / stage / f"{other}.h5"
    swap(one, two)
    for path in (one, two):
        for read in (*READ[stage], lambda path: all_exclusions([path], [])):
            with pytest.raises(UserError, match=f"{name}: '.*' inside a file that was moved or swapped") as error:
                read(path)
            assert error.value.file == path
    found = problems(results)
    assert set(found) == {f"{stage}/one/a.h5", f"{stage}/{other}.h5"}
    assert all("moved or swapped" in what for what in found.values())


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("other", STAGES)
def test_a_file_of_another_stage_is_refused(results: Path, stage: str, other: str) -> None:
    path = results / stage / "one" / "a.h5"
    WRITE[other](path)
    if stage == other:
        assert problems(results) == {}
        return
    for read in READ[stage]:
        with pytest.raises(UserError, match=rf"a\.h5: a file of the stage {other}; expected one of the stage {stage}"):
            read(path)
    assert problems(results) == {f"{stage}/one/a.h5": f"a file of the stage {other}; expected one of the stage {stage}"}


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("lacking", ["dataset", "subject", "stage"])
def test_an_older_file_is_refused(results: Path, stage: str, lacking: str) -> None:
    """As they were before they said whom they are of."""
    path = results / stage / "one" / "a.h5"
    with h5py.File(path, "r+") as file:
        del file.attrs[lacking]
    shards.recorded(path, stage)
    for read in READ[stage]:
        with pytest.raises(UserError, match=r"a\.h5: an older or foreign file.*delete it and run again"):
            read(path)
    assert list(problems(results)) == [f"{stage}/one/a.h5"]


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_a_file_without_its_record_is_refused(results: Path, stage: str) -> None:
    path = results / stage / "one" / "a.h5"
    provenance.provenance_path(path).unlink()
    for read in (*READ[stage], lambda path: all_exclusions([path], [])):
        with pytest.raises(UserError, match=r"a\.h5: no .*provenance"):
            read(path)
    assert list(problems(results)) == [f"{stage}/one/a.h5"]


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_of_any_name_may_hold_the_files(results: Path, tmp_path: Path, stage: str) -> None:
    shutil.copytree(results / stage, tmp_path / "mine" / "anything")
    for read in READ[stage]:
        read(tmp_path / "mine" / "anything" / "one" / "a.h5")
    assert problems(tmp_path / "mine") == {}


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_written_where_it_does_not_belong(tmp_path: Path, stage: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(shards.Subject, "of_path", lambda path: Subject("one", "b"))
    with pytest.raises(UserError, match="subject: 'b'"):
        WRITE[stage](tmp_path / "one" / "a.h5")
    assert not list(tmp_path.rglob("*.h5"))


def test_files_of_two_people_are_not_read_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them is where it belongs."""
    paths = {stage: WRITE[stage](tmp_path / stage / "one" / "a.h5") for stage in ("faces", "crops", "flow")}
    for stage in ("faces", "crops"):
        given = {**paths, stage: WRITE[stage](tmp_path / stage / "one" / "b.h5")}
        arguments = [f"--{n}={p}" for n, p in given.items()]
        assert main(["motion", *arguments, f"--out-features={tmp_path}/features/motion/one/a.h5"]) == 2
        assert f"{given[stage]}: a file of one/b; expected one of one/a" in capsys.readouterr().err
    with open_faces(paths["faces"], Subject("one", "a")) as faces, open_crops(paths["crops"], faces.subject) as crops:
        assert faces.subject == crops.subject == Subject("one", "a")


@pytest.mark.parametrize("folder", ["index/one", "index/one/subjects/a"])
def test_tables_of_somebody_else_are_refused(tmp_path: Path, folder: str) -> None:
    where = tmp_path / folder
    video, expression = Video("one", "a", "v", "v.mp4", 9, 30.0, 8, 8), Expression(
        "one", "a", "v", 1, 1, 2, 3, "micro", "", ""
    )  # fmt: skip
    write_videos(where / "videos.csv", [video])
    write_expressions(where / "expressions.csv", [expression], [video])
    for table in ("videos.csv", "expressions.csv"):
        provenance.write_provenance(where / table, {"stage": "index"})
    assert read_videos(where / "videos.csv") and read_expressions(where / "expressions.csv", [video])
    assert problems(tmp_path) == {}
    moved = tmp_path / folder.replace("a", "b").replace("one", "two")
    moved.parent.mkdir(parents=True, exist_ok=True)
    where.rename(moved)
    for read, table in ((read_videos, "videos.csv"), (lambda path: read_expressions(path, [video]), "expressions.csv")):
        with pytest.raises(UserError, match=rf"{table}: dataset: 'one' inside"):
            read(moved / table)
    assert len(problems(tmp_path)) == 2
    elsewhere = tmp_path / "truth.csv"
    shutil.copy(moved / "expressions.csv", elsewhere)
    assert read_expressions(elsewhere, [video])  # a table of one's own may stand anywhere


def test_places_of_files() -> None:
    assert place_of("results/crops/a/b.h5", "{dataset}/{subject}.h5") == {"dataset": "a", "subject": "b"}
    assert place_of("b.c.h5", "{subject}.h5") == {"subject": "b.c"}
    assert place_of("results/crops/a/b.csv", "{dataset}/{subject}.h5") is None
    layout = "spotting/{experiment}/{method}/{fold}/model.safetensors"
    path = "results/spotting/e/m/a-b/model.safetensors"
    assert place_of(path, layout) == {"experiment": "e", "method": "m", "fold": "a-b"}
    check_identity(path, {"method": "m", "version": "3"}, layout)
    with pytest.raises(UserError, match=r"fold: 'a-c' inside .* expected 'a-b' as in its path"):
        check_identity(path, {"experiment": "e", "fold": "a-c"}, layout)


def test_relative_paths_have_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    assert place_of("a.h5", "{dataset}/{subject}.h5") == {"dataset": "one", "subject": "a"}
    WRITE["crops"](Path("../one/a.h5"))
    with open_crops(Path("a.h5")) as crops:
        assert crops.subject == Subject("one", "a")


@pytest.mark.parametrize(
    ("other", "name"), [("motion/one/b", "subject"), ("motion/two/a", "dataset"), ("mine/one/a", "stream")]
)
def test_swapped_features_are_noticed(tmp_path: Path, other: str, name: str) -> None:
    places = [tmp_path / "features" / f"{p}.h5" for p in ("motion/one/a", other)]
    for path in places:
        shards.write_features(path, {"v": np.zeros((4, 2)), "w": "dark"})
    assert problems(tmp_path) == {}
    with Files() as files:
        assert len(list_features(places, files)) == 2
        swap(*places)
        for path in places:
            with pytest.raises(UserError, match=f"{name}: '.*' inside a file that was moved or swapped"):
                list_features([path], files)
    assert len(problems(tmp_path)) == 2 and all(what.startswith(f"{name}: ") for what in problems(tmp_path).values())


def test_features_that_are_older_or_have_no_record_are_refused(tmp_path: Path) -> None:
    path = shards.write_features(tmp_path / "features" / "motion" / "one" / "a.h5", {"v": np.zeros((4, 2))})
    with h5py.File(path, "r+") as file:
        del file.attrs["stream"]
    shards.recorded(path, "motion")
    with Files() as files:
        with pytest.raises(UserError, match="an older or foreign file, which does not say its stream, dataset"):
            list_features([path], files)
        shards.write_features(path, {"v": np.zeros((4, 2))})
        provenance.provenance_path(path).unlink()
        with pytest.raises(UserError, match=r"a\.h5: no .*provenance"):
            list_features([path], files)


# --- files of folds, models and tables --------------------------------------------------------------------------------

FOLD_FILES = {
    # file -> stage, output, the same for another unit
    "spotting/e/m/d-a/trained.safetensors": (
        "spotting-fold", "trained", "spotting/e/m/d-b/trained.safetensors", "fold",
    ),
    "spotting/e/m/d-a/training.csv": ("spotting-fold", "training", "spotting/f/m/d-a/training.csv", "experiment"),
    "spotting/e/m/d-a/proposals.h5": ("spotting-fold", "proposals", "spotting/e/n/d-a/proposals.h5", "method"),
    "spotting/e/m/d-a/detections.csv": ("detect", "detections", "spotting/e/n/d-a/detections.csv", "method"),
    "spotting/e/m/d-a/selection.json": ("detect", "selection", "spotting/e/m/d-b/selection.json", "fold"),
    "recognition/e/m/d-a/predictions.csv": (
        "recognition-fold", "predictions", "recognition/f/m/d-a/predictions.csv", "experiment",
    ),
    "spotting/e/m/all/model.safetensors": ("model", "model", "spotting/e/n/all/model.safetensors", "method"),
    "tables/spotting_e.json": ("tables", "json", "tables/spotting_e_2.json", "experiment"),
    "apply/x/d/a/events.csv": ("apply", "events", "apply/y/d/a/events.csv", "application"),
}  # fmt: skip


def write_recorded(path: Path, stage: str, output: str) -> None:
    """A file of any content, with the record that the runner would write."""
    layout = pipeline.STAGES[stage].outputs[output].path
    known = place_of(path, layout)
    assert known
    storage.write_text(path, f"{path}\n")
    provenance.write_provenance(path, {"stage": stage, **place_record(path, layout.removeprefix("results/"), known)})


@pytest.mark.parametrize("name", FOLD_FILES)
def test_swapped_files_of_folds_are_noticed_before_use_and_by_verify(tmp_path: Path, name: str) -> None:
    """Content and record fit each other, so that only the place is wrong."""
    stage, output, other, where = FOLD_FILES[name]
    one, two = tmp_path / "results" / name, tmp_path / "results" / other
    for path in (one, two):
        write_recorded(path, stage, output)
        assert provenance.input_hash(path)["stage"] == stage
    swap(one, two)
    for path in (one, two):
        with pytest.raises(UserError, match=f"{where}: '.*' inside a file that was moved or swapped") as error:
            provenance.input_hash(path)
        assert error.value.file == path
    found = {p.path: p for p in verify.check_folder(tmp_path / "results")}
    assert set(found) == {one, two}
    for path, problem in found.items():
        assert "moved or swapped" in problem.what and problem.remove == (path, provenance.provenance_path(path))


def test_a_copy_of_a_result_may_stand_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "results/spotting/e/m/all/model.safetensors"
    write_recorded(path, "model", "model")
    for copy in (tmp_path / "mine.safetensors", tmp_path / "old_results/spotting/e/m/all/model.safetensors"):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        shutil.copy(provenance.provenance_path(path), provenance.provenance_path(copy))
        assert provenance.input_hash(copy)["stage"] == "model"


def test_a_result_at_a_place_of_another_form_is_named_by_verify(tmp_path: Path) -> None:
    """Whoever is given such a copy may use it, but among results it was moved."""
    results = tmp_path / "results"
    path, moved = results / "spotting/e/m/all/model.safetensors", results / "tables/mine.safetensors"
    write_recorded(path, "model", "model")
    moved.parent.mkdir()
    for old, new in ((path, moved), (provenance.provenance_path(path), provenance.provenance_path(moved))):
        old.rename(new)
    (problem,) = verify.check_folder(results)
    assert problem.path == moved and problem.remove == (moved, provenance.provenance_path(moved))
    assert (
        problem.what == "a file that was moved or swapped; expected {kind}/{experiment}/{method}/all/model.safetensors"
    )


def test_a_job_writes_only_where_its_unit_belongs(tmp_path: Path) -> None:
    """Refused before it works: nothing is there afterwards."""
    out = tmp_path / "results/index/d/subjects/b"
    stage = pipeline.STAGES["index-subject"]
    outputs = {name: out / f"{name}.csv" for name in stage.outputs}
    job: Job[Any] = Job({}, outputs, stage.params.model_construct(), {"dataset": "d", "subject": "a"})
    with pytest.raises(UserError, match=r"subject: 'a' inside .* expected 'b' as in its path"):
        run_stage(stage, job)
    assert not out.exists()


def test_what_stands_inside_files_of_folds_is_compared_too(tmp_path: Path) -> None:
    """Without any record, as files given by hand may be."""
    swapped = tmp_path / "results/spotting/e/m/d-b"
    about = {"kind": "spotting", "experiment": "e", "method": "m", "fold": "d-a"}
    bundle.write(swapped / "trained.safetensors", bundle.Bundle(about, {"method.0": b"x"}))
    write_proposals(swapped / "proposals.h5", [], {"stage": "spotting-fold", **about})
    storage.write_json(swapped / "selection.json", {**about, "methods": {}, "oracle": "m_oracle"})
    model = tmp_path / "results/spotting/e/other/all/model.safetensors"
    bundle.write(model, bundle.Bundle(about, {"method.0": b"x"}))
    rows = [("m", 0, "d", "a", "v", "1", "x", "x", 1.0)]
    predictions = tmp_path / "results/recognition/e/m/d-b/predictions.csv"
    write_predictions(predictions, rows, ["x"])
    job = Job({"trained": [swapped / "trained.safetensors"]}, {"model": tmp_path / "m"}, ModelParams())
    for read, name in (
        (lambda: run_model(job), "fold: 'd-a'"),
        (lambda: read_proposals(swapped / "proposals.h5"), "fold: 'd-a'"),
        (lambda: read_ran([swapped / "selection.json"]), "fold: 'd-a'"),
        (lambda: read_model(model, "spotting"), "method: 'm'"),
        (lambda: recognition.read_predictions([predictions]), "fold: 'd-a'"),
    ):
        with pytest.raises(UserError, match=f"{name} inside a file that was moved or swapped"):
            read()
    for fold in ("d-a", "d-all"):
        right = predictions.parents[1] / fold / predictions.name
        write_predictions(right, rows, ["x"])
        assert len(recognition.read_predictions([right])) == 1
