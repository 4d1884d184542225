"""The stage `flow`: shards in, shards out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from microexp.errors import UserError
from microexp.flow.flow import read_grey, to_grey
from microexp.flow.params import FlowParams
from microexp.flow.tvl1 import compute_flow
from microexp.pipeline import STAGES
from microexp.records.flow import open_flow, quantise
from microexp.run import provenance, shard_files
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests.shards import recorded, write_crops

from .conftest import grey, shifted, texture


def colour(count: int) -> np.ndarray:
    """(count, 40, 40, 3) crops with channels that differ, which move a third of a pixel each time."""
    image = texture(40, 40)
    frames = [grey(shifted(image, 0.3 * k, 0)) for k in range(count)]
    return np.stack([np.stack([f, f // 2, 255 - f], -1) for f in frames])


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    videos = {"b": colour(5), "a": colour(1), "grey": colour(3)[..., :1], "lost": "no face found"}
    return write_crops(tmp_path / "crops" / "set" / "s1.h5", videos)


def at(crops: Path, folder: str) -> Path:
    return crops.parents[2] / folder / "set" / "s1.h5"


def run(crops: Path, **options: Any) -> Path:
    out = at(crops, "flow")
    run_stage(STAGES["flow"], Job({"crops": [crops]}, {"flow": out}, FlowParams(**options)))
    return out


def test_every_video_gets_its_flow(crops: Path) -> None:
    path = run(crops)
    with shard_files.open_shard(path) as file, open_flow(path) as shard:
        assert list(file) == ["b", "a", "grey", "lost"]
        found = file["b/flow"]
        assert found.dtype == np.int16
        assert found.chunks == (1, 40, 40, 2)
        assert found.fletcher32
        frames = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in colour(5)])
        expected = compute_flow(frames[:-1], frames[1:])
        np.testing.assert_allclose(shard["b"].read(), expected, atol=0.51 / 512)
        np.testing.assert_allclose(shard["b"].read(1, 3), expected[1:3], atol=0.51 / 512)
        assert file["b"].attrs["bound_px"] == pytest.approx(np.abs(expected).max())
        assert file["b"].attrs["cut_values"] == 0
        assert file["b"].attrs["fps"] == 30
        assert file["a/flow"].shape == (0, 40, 40, 2)
        assert file["grey/flow"].shape == (2, 40, 40, 2)


def test_an_excluded_video_keeps_its_reason(crops: Path) -> None:
    with shard_files.open_shard(run(crops)) as file:
        assert file["lost"].attrs["excluded"] == "no face found"
        assert len(file["lost"]) == 0


def test_what_does_not_fit_is_reported(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(crops, storage_scale_px=1e-6)
    record = json.loads(provenance.provenance_path(out).read_text())
    assert record["cut_values"]["b"] > 0
    assert "values beyond ±0.032767 px were cut" in capsys.readouterr().err
    with shard_files.open_shard(out) as file:
        assert file["b"].attrs["cut_values"] == record["cut_values"]["b"]
        assert file["b"].attrs["bound_px"] > 0.2
        assert np.abs(file["b/flow"][:]).max() == 32767


def test_the_provenance_names_backend_device_and_parameters(crops: Path) -> None:
    record = json.loads(provenance.provenance_path(run(crops, preset="classic", iterations=2)).read_text())
    assert (record["backend"], record["device"]) == ("numba", "cpu")
    assert record["tvl1"]["cubic_a"] == -0.5
    assert record["tvl1"]["iterations"] == 2


def test_runs_and_threads_give_the_same_bytes(crops: Path) -> None:
    first = run(crops).read_bytes()
    run_stage(
        STAGES["flow"], Job({"crops": [crops]}, {"flow": at(crops, "two")}, FlowParams(), threads=2, device="auto")
    )
    assert at(crops, "two").read_bytes() == first


def test_the_largest_motion_is_reported(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(crops)
    with shard_files.open_shard(out) as file:
        bounds = {name: float(file[name].attrs["bound_px"]) for name in ("b", "a", "grey")}
    video = max(bounds, key=lambda name: bounds[name])
    line = f"flow: at most {bounds[video]:.3g} px (in {video}); up to 63.998 px can be stored"
    assert line in capsys.readouterr().err
    recorded = json.loads(provenance.provenance_path(out).read_text())["bound_px"]
    assert bounds[video] <= recorded < bounds[video] + 0.1


def test_crops_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = write_crops(tmp_path / "crops" / "set" / "s1.h5", {"v": colour(3)})
    with h5py.File(path, "r+") as file:
        del file["v/frames"]
        file["v/frames"] = np.zeros((3, 8, 8, 3), np.float32)
    recorded(path, "crops")
    with pytest.raises(UserError, match=r"s1.h5: v: frames holds float32, expected uint8"):
        run(path)
    assert not at(path, "flow").exists()


def test_grey_is_that_of_opencv() -> None:
    frames = colour(3)
    np.testing.assert_array_equal(to_grey(frames)[1], cv2.cvtColor(frames[1], cv2.COLOR_RGB2GRAY))
    assert to_grey(frames[:0]).shape == (0, 40, 40)
    np.testing.assert_array_equal(list(read_grey([frames[:2], frames[2:]])), to_grey(frames))


def test_quantise_rounds_and_counts() -> None:
    units, cut = quantise(np.array([0.0, 0.0014, -0.0006, 40.0, -40.0], np.float32), 0.001)
    np.testing.assert_array_equal(units, [0, 1, -1, 32767, -32767])
    assert cut == 2
