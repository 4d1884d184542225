"""`microexp verify` and `microexp provenance` on made-up shards."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.records import verify
from microexp.run import bundle, provenance, shard_files, storage
from microexp.run import lock as run
from microexp.run.runner import own_record


def shard(path: Path, stage: str, arrays: dict[str, np.ndarray], **attributes: Any) -> Path:
    """A shard with one video (or, for apexdiff, none) and its record."""
    with shard_files.create_shard(path) as file:
        shard_files.set_attributes(file, {"dataset": path.parent.name, "subject": path.stem, "stage": stage})
        group = file if stage == "apexdiff" else file.create_group("v1")
        attributes = {"excluded": "", **ABOUT.get(stage, {}), **attributes}
        shard_files.set_attributes(group, attributes)
        for name, data in arrays.items():
            shard_files.add_array(group, name, data)
    provenance.write_provenance(path, {"stage": stage, "parameters": {"seed": 3}})
    return path


ABOUT: dict[str, dict[str, Any]] = {
    "crops": {"fps": 30.0, "source_fps": 30.0, "source_n_frames": 12},
    "flow": {"fps": 30.0, "bound_px": 1.0, "cut_values": 0},
    "apexdiff": {"size": 4, "excluded": "[]"},
}


def crops(path: Path, frames: int = 12) -> Path:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 255, (frames, 8, 8, 3), dtype=np.uint8)
    return shard(path, "crops", {"frames": images, "frame_index": np.arange(frames, dtype=np.int32)})


def problems(folder: Path) -> dict[str, str]:
    return {p.path.name: p.what for p in verify.check_folder(folder)}


def test_intact_files_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops(tmp_path / "crops" / "a.h5")
    (tmp_path / "README.md").write_text("not a result")
    assert main(["verify", str(tmp_path)]) == 0
    assert "all files are intact" in capsys.readouterr().err


def test_results_of_other_source_are_named_and_are_no_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, code in enumerate((own_record()["code"], {"version": "0.1", "source_sha256": "ab" * 32}, None)):
        path = crops(tmp_path / "crops" / f"{number}.h5")
        provenance.write_provenance(path, {"stage": "crops", **({"code": code} if code else {})})
    assert main(["verify", str(tmp_path)]) == 0
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "note: crops: 1 by 0.1 (source abababababab), not by this source (`snakemake -R crops` makes them again)",
        "all files are intact",
    ]


def test_every_bit_flip_is_noticed(tmp_path: Path) -> None:
    path = crops(tmp_path / "a.h5")
    whole, rng = path.read_bytes(), np.random.default_rng(5)
    for bit in rng.integers(0, len(whole) * 8, 200):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(data))
        assert problems(tmp_path) == {"a.h5": "its bytes have changed since it was written (SHA-256)"}
    path.write_bytes(whole)
    assert problems(tmp_path) == {}


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = crops(tmp_path / "a.h5")
    whole, rng = path.read_bytes(), np.random.default_rng(6)
    for length in rng.integers(0, len(whole), 50):
        path.write_bytes(whole[:length])
        assert problems(tmp_path) == {"a.h5": f"{length} bytes, was written with {len(whole)}"}


def test_a_damaged_chunk_is_found_even_if_the_record_was_made_afterwards(tmp_path: Path) -> None:
    path = crops(tmp_path / "a.h5", frames=40)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    provenance.write_provenance(path, {"stage": "crops"})
    assert problems(tmp_path)["a.h5"].startswith(
        "cannot be read, though its bytes are as they were written: damaged data"
    )


@pytest.mark.parametrize(
    ("stage", "arrays", "attributes", "what"),
    [
        ("crops", {"frames": np.zeros((3, 8, 8, 3), np.uint8)}, {}, "v1: frame_index is missing"),
        (
            "crops",
            {"frames": np.zeros((3, 8, 8, 3), np.uint8), "frame_index": np.zeros(2, np.int32)},
            {},
            "v1: frame_index has shape (2,), expected (T,)",
        ),
        (
            "flow",
            {"flow": np.zeros((3, 8, 7, 2), np.int16)},
            {},
            "v1: flow has shape (3, 8, 7, 2), expected (T-1, S, S, 2)",
        ),
        ("apexdiff", {"difference": np.zeros((2, 4, 4), np.float32)}, {}, "flow is missing"),
        ("flow", {"flow": np.zeros((3, 8, 8, 2), np.float32)}, {}, "v1: flow holds float32, expected int16"),
        ("flow", {"flow": np.zeros((3, 8, 8, 2), np.int16)}, {}, "v1: flow: the attribute scale is missing"),
        (
            "flow",
            {"flow": np.zeros((3, 8, 8, 2), np.int16)},
            {"excluded": "no face"},
            "v1: is excluded, but holds flow",
        ),
        ("crops", {}, {"fps": "30", "excluded": "no face"}, "v1: the attribute fps is '30', expected float"),
    ],
)
def test_shapes_are_checked(
    tmp_path: Path, stage: str, arrays: dict[str, np.ndarray], attributes: dict[str, int], what: str
) -> None:
    shard(tmp_path / "a.h5", stage, arrays, **attributes)
    assert problems(tmp_path) == {"a.h5": what}


@pytest.mark.parametrize(
    ("frames", "clip", "step", "clips"),
    [(900, 8, 2, 446), (901, 8, 2, 447), (900, 16, 16, 56), (9, 8, 2, 1), (8, 8, 2, 1), (5, 8, 4, 1), (1, 8, 1, 1)],
)
def test_as_many_clips_as_i3d_makes_of_a_video_are_intact(
    tmp_path: Path, frames: int, clip: int, step: int, clips: int
) -> None:
    for more, wrong in ((0, {}), (1, {"s.h5": f"v1: features: {clips + 1} snippets, expected {clips}"})):
        arrays = {
            "features": np.zeros((clips + more, 8), np.float32),
            "frame_index": np.arange(frames, dtype=np.float64),
        }
        about = {"clip_frames": clip, "step_frames": step, "n_frames": frames, "fps": 30.0, "channels": ""}
        path = shard(tmp_path / "features" / "i3d_rgb" / "d" / "s.h5", "i3d_rgb", arrays, **about)
        with h5py.File(path, "r+") as file:
            file.attrs["stream"] = "i3d_rgb"
        provenance.write_provenance(path, {"stage": "i3d-rgb"})
        assert problems(tmp_path) == wrong


def test_an_excluded_video_has_no_arrays(tmp_path: Path) -> None:
    shard(tmp_path / "a.h5", "crops", {}, excluded="no face")
    assert problems(tmp_path) == {}


def test_records_and_leftovers(tmp_path: Path) -> None:
    crops(tmp_path / "a.h5")
    (tmp_path / "b.csv").write_text("x")
    (tmp_path / "gone.csv.prov.json").write_text('{"sha256": ""}')
    (tmp_path / ".microexp-tmp-0123-c.h5").write_text("half")
    (tmp_path / "d.csv").write_text("y")
    (tmp_path / "d.csv.prov.json").write_text("{")
    assert problems(tmp_path) == {
        ".microexp-tmp-0123-c.h5": "a temporary file, left by a job that was killed",
        "b.csv": "no provenance",
        "d.csv.prov.json": "a damaged provenance record (its own SHA-256 differs)",
        "gone.csv.prov.json": "a record of gone.csv, which is not there",
    }


def test_delete_removes_what_is_damaged_with_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops(tmp_path / "good.h5")
    path = crops(tmp_path / "bad.h5")
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["verify", str(tmp_path), "--dry-run"]) == 1
    assert f"would delete {path}: " in capsys.readouterr().err and path.exists()
    assert main(["verify", str(tmp_path), "--delete", "--dry-run"]) == 1
    assert path.exists()
    assert main(["verify", str(tmp_path), "--delete"]) == 1
    printed = capsys.readouterr()
    assert f"{path}: " in printed.out and f"deleted {path}: " in printed.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.h5", "good.h5.prov.json"]
    assert main(["verify", str(tmp_path)]) == 0


def test_what_nothing_proves_wrong_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody's notes; a shard that this HDF5 cannot read, though its bytes are those that were written."""
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    odd = tmp_path / "odd.h5"
    odd.write_text("no HDF5")
    provenance.write_provenance(odd, {"stage": "crops"})
    assert main(["verify", str(tmp_path), "--delete"]) == 1
    printed = capsys.readouterr().err
    assert f"kept {notes}: no provenance" in printed and f"kept {odd}: cannot be read" in printed
    assert notes.exists() and odd.exists()


def test_a_damaged_record_is_one_line_and_goes_with_its_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No stage reads a result without an intact record."""
    path = crops(tmp_path / "a.h5")
    record = provenance.provenance_path(path)
    whole, rng = record.read_bytes(), np.random.default_rng(7)
    for bit in rng.integers(0, len(whole) * 8, 100):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << (bit % 8)
        record.write_bytes(bytes(data))
        assert main(["verify", str(tmp_path)]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1 and lines[0].startswith(f"{record}: a damaged provenance record")
    assert main(["verify", str(tmp_path), "--delete"]) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_an_intact_checkpoint_is_no_problem_and_every_flip_in_one_is(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.checkpoint"
    bundle.save(path, "key", bytes(range(256)) * 20)
    whole, rng = path.read_bytes(), np.random.default_rng(8)
    assert problems(tmp_path) == {}
    for bit in rng.integers(0, len(whole) * 8, 300):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(data))
        (problem,) = verify.check_folder(tmp_path)
        assert problem.what == "a damaged checkpoint (SHA-256)" and problem.remove == (path,)


def test_what_the_system_refuses_is_one_line_each_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file or record of another user, a network that fails: nothing is deleted on account of that."""
    paths = [crops(tmp_path / f"{name}.h5") for name in "abcd"]
    paths[3].write_bytes(paths[3].read_bytes()[:-1])
    refused = {str(paths[0]): errno.EACCES, str(provenance.provenance_path(paths[1])): errno.EIO}
    real = io.open

    def opened(file: Any, *arguments: Any, **options: Any) -> Any:
        if number := refused.get(str(file)):
            raise OSError(number, os.strerror(number), str(file))
        return real(file, *arguments, **options)

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr(io, "open", opened)
    assert main(["verify", str(tmp_path), "--delete"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        str(paths[0]), str(paths[1]), str(provenance.provenance_path(paths[1])), str(paths[3])
    ]  # fmt: skip
    assert "Permission denied" in lines[0] and "Input/output error" in lines[1]
    assert [p.exists() for p in paths] == [True, True, True, False]


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (ZeroDivisionError("by nothing"), "could not be checked (ZeroDivisionError: by nothing)"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "cannot be read (Input/output error)"),
    ],
)
def test_whatever_a_check_meets_is_one_line_and_the_rest_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, what: str
) -> None:
    """Nothing is deleted for it."""
    odd, cut = crops(tmp_path / "a.h5"), crops(tmp_path / "b.h5")
    cut.write_bytes(cut.read_bytes()[:-1])

    def check(*_: Any) -> None:
        raise error

    monkeypatch.setattr(verify, "shard_problem", check)
    found = {p.path: p for p in verify.check_folder(tmp_path)}
    assert set(found) == {odd, cut} and found[odd].what == what
    assert found[odd].remove == () and found[cut].remove


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops(tmp_path / "in" / "a.h5")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("/in"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert problems(tmp_path) == {"in": "cannot be looked into (Permission denied)"}


def test_linked_folders_are_looked_into_once(tmp_path: Path) -> None:
    elsewhere = crops(tmp_path / "elsewhere" / "a.h5")
    elsewhere.write_bytes(b"")
    results = tmp_path / "results"
    results.mkdir()
    (results / "crops").symlink_to(elsewhere.parent)
    (elsewhere.parent / "loop").symlink_to(results)
    assert len(list(verify.check_folder(results))) == 1


def test_a_shard_of_another_data_set_does_not_make_a_result_stale(tmp_path: Path) -> None:
    """The input may be gone, as bulky ones are on purpose; one of the same name elsewhere is another matter."""
    one, two = crops(tmp_path / "crops" / "x" / "s.h5", 3), crops(tmp_path / "crops" / "y" / "s.h5", 4)
    with contextlib.chdir(tmp_path.parent):
        relative = Path(tmp_path.name)
        for source in (one, two):
            target = tmp_path / "flow" / source.parent.name / "s.csv"
            storage.write_text(target, "")
            inputs = {"crops": [provenance.input_hash(relative / source.relative_to(tmp_path))]}
            provenance.write_provenance(target, {"stage": "flow", "inputs": inputs})
    one.unlink()
    provenance.provenance_path(one).unlink()
    assert problems(tmp_path) == {}
    crops(two, 5)
    (problem,) = verify.check_folder(tmp_path)
    assert problem.path == tmp_path / "flow" / "y" / "s.csv" and problem.path in problem.remove


def test_nothing_is_deleted_while_a_run_is_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A temporary file may then be the one that a job is writing."""
    results = tmp_path / "results"
    with run.begin(tmp_path), storage.atomic(results / "a.csv") as temporary:
        temporary.write_text("half")
        assert main(["verify", str(results)]) == 1
        assert main(["verify", str(results), "--delete"]) == 2
        assert "another run in this folder" in capsys.readouterr().err
        assert temporary.exists()
    (results / "a.csv.prov.json").write_text("broken")
    assert main(["verify", str(results), "--delete"]) == 1
    assert list(results.iterdir()) == []


def test_a_result_of_an_input_that_has_changed_since_is_named(tmp_path: Path) -> None:
    """Also a name that several files have: one of each stage and data set."""
    one, two = crops(tmp_path / "crops" / "x" / "s.h5", 3), crops(tmp_path / "crops" / "y" / "s.h5", 4)
    foreign = tmp_path / "sheet.csv"
    storage.write_text(foreign, "no record")
    for source, name in [(one, "x.csv"), (two, "y.csv"), (foreign, "z.csv")]:
        storage.write_text(tmp_path / "out" / name, "")
        inputs = {"crops": [provenance.input_hash(source)], "gone": [{"file": "g.csv", "stage": "t", "sha256": "0"}]}
        provenance.write_provenance(tmp_path / "out" / name, {"stage": "flow", "inputs": inputs})
    provenance.write_provenance(foreign, {"stage": "sheet"})
    assert problems(tmp_path) == {}
    crops(one, 5)
    assert problems(tmp_path) == {"x.csv": "was made from another s.h5 (crops) than is there now"}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "no")]) == 2
    assert "no: no such folder" in capsys.readouterr().err


def test_provenance_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = crops(tmp_path / "a.h5")
    record = provenance.read_provenance(path) | {
        "inputs": {"videos": [{"file": "v.csv", "sha256": "ab"}]},
        "weights": [],
    }
    provenance.write_provenance(path, record)
    assert main(["provenance", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == ["stage: crops", "parameters:", "  seed: 3", "inputs:", "  videos:", "    v.csv  ab"]
    assert main(["provenance", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "crops"


def test_provenance_of_a_changed_or_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = crops(tmp_path / "a.h5")
    path.write_bytes(b"other")
    assert main(["provenance", str(path)]) == 1
    assert "has changed since" in capsys.readouterr().out
    assert main(["provenance", str(tmp_path / "no.h5")]) == 2
