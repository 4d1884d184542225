"""`microexp verify` and `microexp provenance` on made-up shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.records import verify
from microexp.run import lock as run
from microexp.run import storage


def shard(path: Path, stage: str, arrays: dict[str, np.ndarray], **attributes: Any) -> Path:
    """A shard with one video (or, for apexdiff, none) and its record."""
    with storage.create_shard(path) as file:
        storage.set_attributes(file, {"dataset": path.parent.name, "subject": path.stem, "stage": stage})
        group = file if stage == "apexdiff" else file.create_group("v1")
        attributes = {"excluded": "", **ABOUT.get(stage, {}), **attributes}
        storage.set_attributes(group, attributes)
        for name, data in arrays.items():
            storage.add_array(group, name, data)
    storage.write_provenance(path, {"stage": stage, "parameters": {"seed": 3}})
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
    storage.write_provenance(path, {"stage": "crops"})
    assert problems(tmp_path)["a.h5"].startswith("cannot be read:")


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
        storage.write_provenance(path, {"stage": "i3d-rgb"})
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
        "b.csv": "no readable provenance",
        "d.csv": "no readable provenance",
        "d.csv.prov.json": "no readable provenance",
        "gone.csv.prov.json": "a record of gone.csv, which is not there",
    }


def test_delete_removes_what_is_damaged_with_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops(tmp_path / "good.h5")
    path = crops(tmp_path / "bad.h5")
    path.write_bytes(path.read_bytes()[:-1])
    assert main(["verify", str(tmp_path), "--delete"]) == 1
    assert f"{path}: " in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.h5", "good.h5.prov.json"]
    assert main(["verify", str(tmp_path)]) == 0


def test_nothing_is_deleted_while_a_run_is_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A temporary file may then be the one that a job is writing."""
    results = tmp_path / "results"
    with run.begin(tmp_path), storage.atomic(results / "a.csv") as temporary:
        temporary.write_text("half")
        assert main(["verify", str(results)]) == 1
        assert main(["verify", str(results), "--delete"]) == 2
        assert "another run in this folder" in capsys.readouterr().err
        assert temporary.exists()
    (results / "b.csv").write_text("no record")
    assert main(["verify", str(results), "--delete"]) == 1
    assert list(results.iterdir()) == []


def test_a_result_of_an_input_that_has_changed_since_is_named(tmp_path: Path) -> None:
    """Also a name that several files have: one of each stage and data set."""
    one, two = crops(tmp_path / "crops" / "x" / "s.h5", 3), crops(tmp_path / "crops" / "y" / "s.h5", 4)
    foreign = tmp_path / "sheet.csv"
    storage.write_text(foreign, "no record")
    for source, name in [(one, "x.csv"), (two, "y.csv"), (foreign, "z.csv")]:
        storage.write_text(tmp_path / "out" / name, "")
        inputs = {"crops": [storage.input_hash(source)], "gone": [{"file": "g.csv", "stage": "t", "sha256": "0"}]}
        storage.write_provenance(tmp_path / "out" / name, {"stage": "flow", "inputs": inputs})
    storage.write_provenance(foreign, {"stage": "sheet"})
    assert problems(tmp_path) == {}
    crops(one, 5)
    assert problems(tmp_path) == {"x.csv": "was made from another s.h5 (crops) than is there now"}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "no")]) == 2
    assert "no: no such folder" in capsys.readouterr().err


def test_provenance_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = crops(tmp_path / "a.h5")
    record = storage.read_provenance(path) | {"inputs": {"videos": [{"file": "v.csv", "sha256": "ab"}]}, "weights": []}
    storage.write_provenance(path, record)
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
