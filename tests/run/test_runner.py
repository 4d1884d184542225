"""What is recorded of the software that made a result."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest

from microexp.errors import UserError
from microexp.records.verify import check_folder
from microexp.run import provenance, runner, storage
from microexp.run.names import place_record
from microexp.run.stage import Input, Job, Output, Params, Stage


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Names and versions of the distributions that are installed."""
    installed: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    runner.library_versions.cache_clear()
    yield installed
    runner.library_versions.cache_clear()


@pytest.mark.parametrize("name", ["dlib-bin", "dlib"])
def test_a_library_has_one_name_whatever_its_distribution_is_called(versions: dict[str, str], name: str) -> None:
    versions[name] = "20.0.1"
    found = runner.library_versions()
    assert found.pop("cv2").startswith(cv2.__version__) and found == {"dlib-bin": "20.0.1"}


@pytest.mark.parametrize("files", [("__init__.py", "version.py"), ("__init__.py",)])
def test_opencv_is_the_one_that_is_imported(tmp_path: Path, files: tuple[str, ...]) -> None:
    """Another distribution may have overwritten the one with a record that is still there; some have no version.py."""
    (tmp_path / "cv2").mkdir()
    for name in files:
        line = 'opencv_version = "5.0.0"' if name == "version.py" else '__version__ = "5.0.0"'
        (tmp_path / "cv2" / name).write_text(line)
    assert printed("print(library_versions()['cv2'])", tmp_path) == "5.0.0"


def test_the_version_of_opencv_is_known_without_importing_it() -> None:
    assert printed("import sys; library_versions(); print('cv2' in sys.modules)") == "False"


def printed(code: str, *folders: Path) -> str:
    """What another Python prints in which these folders come first."""
    line = [sys.executable, "-c", f"from microexp.run.runner import library_versions; {code}"]
    path = os.pathsep.join([*map(str, folders), *filter(None, sys.path)])
    done = subprocess.run(line, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_everything_that_a_result_depends_on_is_recorded() -> None:
    runner.library_versions.cache_clear()
    wanted = {"numpy", "scipy", "numba", "torch", "dlib-bin", "av", "pillow", "h5py", "hdf5plugin",
              "safetensors", "opencv-contrib-python-headless", "cv2"}  # fmt: skip
    assert wanted <= runner.library_versions().keys()


def made_up(monkeypatch: pytest.MonkeyPatch, run: Callable[[Job[Params]], None], **inputs: Input) -> Stage:
    """A stage that does what `run` does."""
    module = types.ModuleType("made_up_stage")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Stage("s", module.__name__, "help", "run", inputs, {"out": Output("out.txt", "a file")})


def test_an_old_record_does_not_vouch_for_what_a_stage_is_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between a result and its record, the old record would stand beside the new result."""
    out = tmp_path / "a.txt"
    storage.write_text(out, "old")
    provenance.write_provenance(out, {"stage": "s"})
    seen = []

    def run(job: Job[Params]) -> None:
        seen.append(provenance.provenance_path(out).exists())
        raise ZeroDivisionError

    stage = made_up(monkeypatch, run)
    with pytest.raises(ZeroDivisionError):
        runner.run_stage(stage, Job({}, {"out": out}, Params()))
    assert seen == [False] and not provenance.provenance_path(out).exists()


def test_a_stage_does_not_read_what_is_not_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a changed input nor one with a changed record."""
    out, given = tmp_path / "out.txt", tmp_path / "in.txt"
    stage = made_up(monkeypatch, lambda job: storage.write_text(out, "x"), given=Input("a file"))
    for wrong in (given, provenance.provenance_path(given)):
        storage.write_text(given, "x")
        provenance.write_provenance(given, {"stage": "t"})
        runner.run_stage(stage, Job({"given": [given]}, {"out": out}, Params()))
        wrong.write_bytes(wrong.read_bytes().replace(b"x", b"y").replace(b"t", b"u"))
        with pytest.raises(storage.Damaged, match=wrong.name):
            runner.run_stage(stage, Job({"given": [given]}, {"out": out}, Params()))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two results of one size in the folder of a run, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    paths = [Path("results", name, "model.bin") for name in ("s01", "s02")]
    for path in paths:
        storage.write_text(path, f"of {path.parent.name}")
        provenance.write_provenance(path, {"stage": "t", **place_record(path, "{subject}/model.bin", {})})
    return paths


def reads(stage: Stage, path: Path) -> None:
    runner.run_stage(stage, Job({"given": [path]}, {"out": Path("results/out.txt")}, Params()))


def test_a_result_that_was_swapped_with_its_record_is_not_read(
    results: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any kind: nothing has to stand inside it."""
    stage = made_up(monkeypatch, lambda job: storage.write_text(job.output("out"), "x"), given=Input("a file"))
    reads(stage, results[0])
    for one, two in (results, [provenance.provenance_path(p) for p in results]):
        one.rename("other")
        two.rename(one)
        Path("other").rename(two)
    for path in results:
        with pytest.raises(UserError, match=r"model\.bin: subject: 's0\d' inside a file that was moved or swapped"):
            reads(stage, path)
    found = {p.path.name: p for p in check_folder(Path("results")) if p.path.name == "model.bin"}
    assert "moved or swapped" in found["model.bin"].what and found["model.bin"].remove


def test_a_stage_records_the_place_that_it_wrote_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a swap with the record would pass as intact."""
    monkeypatch.chdir(tmp_path)
    stage = made_up(monkeypatch, lambda job: storage.write_text(job.output("out"), job.keys["subject"]))
    stage = dataclasses.replace(stage, outputs={"out": Output("results/{dataset}/{subject}.txt", "a file")})
    one, two = Path("results/d/s01.txt"), Path("results/d/s02.txt")
    for path in (one, two):
        runner.run_stage(stage, Job({}, {"out": path}, Params(), {"dataset": "d", "subject": path.stem}))
        assert provenance.read_provenance(path)["place"] == {"dataset": "d", "subject": path.stem}
    one.write_bytes(two.read_bytes())
    provenance.provenance_path(one).write_bytes(provenance.provenance_path(two).read_bytes())
    with pytest.raises(UserError, match=r"subject: 's02' inside a file that was moved or swapped; expected 's01'"):
        provenance.input_hash(one)


def test_a_result_in_the_place_of_another_stage_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its record, which fits it; where files are put by hand anything may lie anywhere."""
    monkeypatch.chdir(tmp_path)
    one, two = Path("results/crops/d/s01.h5"), Path("results/flow/d/s01.h5")
    for path in (one, two):
        storage.write_text(path, path.parent.parent.name)
        layout = f"{path.parent.parent.name}/{{dataset}}/{{subject}}.h5"
        provenance.write_provenance(path, {"stage": "t", **place_record(path, layout, {})})
    stage = made_up(monkeypatch, lambda job: storage.write_text(job.output("out"), "x"), given=Input("a file"))
    ours = dataclasses.replace(stage, outputs={"out": Output("results/out/{dataset}/{subject}.txt", "a file")})
    inside, by_hand = Job({"given": [one]}, {"out": Path("results/out/d/s01.txt")}, Params()), Path("results/mine.txt")
    runner.run_stage(ours, inside)
    for a, b in ((one, two), (provenance.provenance_path(one), provenance.provenance_path(two))):
        a.write_bytes(b.read_bytes())
    with pytest.raises(UserError, match=r"s01\.h5: a file that was moved or swapped; expected flow/"):
        runner.run_stage(ours, inside)
    runner.run_stage(ours, Job({"given": [one]}, {"out": by_hand}, Params()))


def test_a_result_without_its_record_is_not_read_and_a_users_own_file_is(
    results: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = made_up(monkeypatch, lambda job: storage.write_text(job.output("out"), "x"), given=Input("a file"))
    copy = Path("models/mine.bin")  # with its record, under another name
    for path, there in zip((results[0], provenance.provenance_path(results[0])),
                           (copy, provenance.provenance_path(copy)), strict=True):  # fmt: skip
        there.parent.mkdir(exist_ok=True)
        there.write_bytes(path.read_bytes())
    storage.write_text("own/weights.bin", "nobody's")
    for path in (copy, Path("own/weights.bin"), tmp_path / "own/weights.bin"):
        reads(stage, path)
    provenance.provenance_path(results[0]).unlink()
    with pytest.raises(UserError, match=r"model\.bin: a result without its record; expected model\.bin\.prov\.json"):
        reads(stage, results[0])


def test_results_that_are_copied_whole_are_where_they_were_written(results: list[Path]) -> None:
    shutil.copytree("results", "elsewhere/old_results")
    for folder in ("results", "elsewhere/old_results", "results/s01"):
        assert list(check_folder(Path(folder))) == []
