from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from microexp.apexdiff import apexdiff
from microexp.apexdiff.identity import strain_magnitude
from microexp.apexdiff.params import ApexdiffParams
from microexp.commands.main import main
from microexp.errors import UserError
from microexp.flow.tvl1 import compute_flow
from microexp.pipeline import STAGES
from microexp.records.index import Expression, Video, write_expressions, write_videos
from microexp.run.provenance import read_provenance
from microexp.run.runner import run_stage
from microexp.run.shard_files import open_shard
from microexp.run.stage import Job
from tests import shards

SIZE, N = 64, 20
Y, X = np.mgrid[:SIZE, :SIZE].astype(float)
RISE = np.clip((np.arange(N) - 4) / 8, 0, 1)
"""How far the expression has gone: still up to frame 4, at its apex from frame 12."""


def bump() -> np.ndarray:
    """True motion at the apex: the right mouth corner goes up by 1.2 px."""
    return np.stack([0 * X, -1.2 * np.exp(-((X - 42) ** 2 + (Y - 46) ** 2) / (2 * 6.0**2))], -1)


def frames(channels: int, shift_px: float = 0.0) -> np.ndarray:
    """A textured face with skin that moves by RISE * bump, and as a whole by RISE * shift_px to the right."""
    texture = 128 + 300 * gaussian_filter(np.random.default_rng(0).normal(0, 1, (SIZE + 20, SIZE + 20)), 1.5)
    out = []
    for rise in RISE:
        back = rise * (bump() + np.array([shift_px, 0]))  # where the point seen here came from, to first order
        grey = map_coordinates(texture, [Y + 10 - back[..., 1], X + 10 - back[..., 0]], order=3)
        out.append(np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], channels, -1))
    return np.stack(out)


def expression(number: int = 1, video: str = "v1", onset: int = 4, apex: int = 12, offset: int = 18) -> Expression:
    return Expression("set", "s1", video, number, onset, apex, offset, "micro", "happiness", "12")


def write_crops(path: Path, images: np.ndarray, frame_index: np.ndarray | None = None, source: int = N) -> Path:
    return shards.write_crops(
        path / "set" / "s1.h5", {"v1": images, "bad": "no face found"}, frame_index=frame_index, source_n_frames=source
    )


def make(tmp_path: Path, images: np.ndarray, rows: list[Expression], **options: Any) -> dict[str, Any]:
    """Run the stage; arrays, columns and attributes of its shard."""
    crops = write_crops(tmp_path / "c", images)
    return run(tmp_path, crops, rows, **options)


def write_index(tmp_path: Path, rows: list[Expression]) -> None:
    """Index of the rows, in videos that are as long as the sheet believes."""
    videos = [Video("set", "s1", name, "-", 100, 30.0, SIZE, SIZE) for name in {e.video for e in rows}]
    write_videos(tmp_path / "v.csv", videos)
    write_expressions(tmp_path / "e.csv", rows, videos)


def run(tmp_path: Path, crops: Path, rows: list[Expression], **options: Any) -> dict[str, Any]:
    write_index(tmp_path, rows)
    inputs = {"crops": [crops], "expressions": [tmp_path / "e.csv"], "videos": [tmp_path / "v.csv"]}
    out = tmp_path / "a" / "set" / "s1.h5"
    run_stage(STAGES["apexdiff"], Job(inputs, {"apexdiff": out}, ApexdiffParams(**options)))
    with open_shard(out) as file:
        text = {name: list(file[name].asstr()[:]) for name in ("video", "kind", "emotion", "aus")}
        return {name: file[name][:] for name in file} | text | dict(file.attrs)


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_of_a_known_expression(tmp_path: Path, channels: int) -> None:
    images = frames(channels)
    out = make(tmp_path, images, [expression()], size=32, registration="alignment")
    assert out["difference"].shape == (1, 32, 32) and out["difference"].dtype == np.float32
    assert (out["dataset"], out["subject"], out["size"], out["excluded"]) == ("set", "s1", 32, "[]")
    exact = (images[12, ..., 0].astype(float) - images[4, ..., 0]).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(out["difference"][0], exact, atol=1e-3)
    onset = images[4, ..., 0].astype(float).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(out["onset_grey"][0], onset, atol=1e-3)
    true = bump().reshape(32, 2, 32, 2, 2).mean(axis=(1, 3)) / 2  # px of the stored grid
    moving = np.abs(true[..., 1]) > 0.2
    gain = (out["flow"][0][moving] * true[moving]).sum() / (true[moving] ** 2).sum()
    assert 0.7 < gain < 1.1  # what TV-L1 leaves of a small blob
    assert np.abs(out["flow"][0][:8]).max() < 0.1
    strain = strain_magnitude(bump()).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.corrcoef(out["strain"][0].ravel(), strain.ravel())[0, 1] > 0.7
    assert 0.5 < out["strain"][0].max() / strain.max() < 1.6


def test_no_motion_gives_exact_zeros(tmp_path: Path) -> None:
    out = make(tmp_path, np.repeat(frames(3)[:1], N, 0), [expression()], size=32, flow={"preset": "classic"})
    for name in ("difference", "flow", "strain"):
        assert not out[name].any()


@pytest.mark.long
def test_rigid_registration_takes_the_heads_motion_out(tmp_path: Path) -> None:
    images = frames(1, shift_px=1.0)
    plain = make(tmp_path, images, [expression()], size=32, registration="alignment")
    rigid = make(tmp_path, images, [expression()], size=32)
    still = make(tmp_path, frames(1), [expression()], size=32, registration="alignment")
    inner = np.s_[0, 4:-4, 4:-4]
    for name, share in (("difference", 0.35), ("flow", 0.35)):
        error = {k: np.abs(out[name][inner] - still[name][inner]).mean() for k, out in (("p", plain), ("r", rigid))}
        assert error["r"] < share * error["p"], name


def test_columns_and_exclusions_account_for_every_expression(tmp_path: Path, capsys: Any) -> None:
    rows = [
        expression(1),
        expression(2, onset=5, apex=5, offset=9),
        expression(3, onset=15, apex=30, offset=40),
        expression(1, "bad", 1, 3, 5),
        expression(1, "gone", 1, 3, 5),
        expression(4, onset=0, apex=19, offset=25),
    ]
    out = make(tmp_path, frames(1), rows, size=16)
    assert out["expression"].tolist() == [1, 4] and out["video"] == ["v1", "v1"]
    assert out["onset"].tolist() == [4, 0] and out["apex"].tolist() == [12, 19] and out["offset"].tolist() == [18, 25]
    assert out["kind"] == ["micro"] * 2 and out["emotion"] == ["happiness"] * 2 and out["aus"] == ["12"] * 2
    excluded = json.loads(out["excluded"])
    assert [video for video, _ in excluded] == ["v1", "v1", "bad", "gone"]
    for (_, reason), words in zip(excluded, ("same frame", "20 frames", "no face found", "not among"), strict=True):
        assert words in reason
    assert excluded[1][1].startswith("expression 3: ")
    assert capsys.readouterr().err.count("excluded") == 4


def test_a_subject_without_expressions_has_an_empty_shard(tmp_path: Path) -> None:
    out = make(tmp_path, frames(1), [], size=16)
    assert out["difference"].shape == (0, 16, 16) and out["flow"].shape == (0, 16, 16, 2)
    assert out["video"] == [] and out["subject"] == "s1" and out["excluded"] == "[]"


def test_frames_of_the_source_map_to_the_nearest_crop(tmp_path: Path) -> None:
    images = frames(1)
    crops = write_crops(tmp_path / "c", images, (np.arange(N) * 20 // 3).astype(np.int32), source=134)
    out = run(tmp_path, crops, [expression(onset=27, apex=79, offset=130)], size=64, registration="alignment")
    np.testing.assert_array_equal(out["difference"][0], images[12, ..., 0].astype(np.float32) - images[4, ..., 0])
    assert out["onset"].tolist() == [27] and out["apex"].tolist() == [79]  # as the index has them


def test_maps_may_not_be_larger_than_the_crops(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"apexdiff.size: got 65, expected at most the crops' 64 px"):
        make(tmp_path, frames(1), [expression()], size=65)
    assert not (tmp_path / "a" / "set" / "s1.h5").exists()


def test_flow_options_are_used(tmp_path: Path) -> None:
    options = {"size": 32, "registration": "alignment"}
    one = make(tmp_path, frames(1), [expression()], **options)
    two = make(tmp_path, frames(1), [expression()], **options, flow={"preset": "classic"})
    assert np.abs(one["flow"] - two["flow"]).max() > 1e-3
    np.testing.assert_array_equal(one["difference"], two["difference"])


@pytest.mark.parametrize("option", ["warm_start_pairs", "warm_start_scales", "storage_scale_px"])
def test_options_of_a_videos_flow_are_not_taken(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        ApexdiffParams.model_validate({"flow": {option: 2}})


@pytest.mark.long
def test_expressions_share_calls_of_the_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks, whatever lies between them, and with the same maps as one by one."""
    rows = [expression(k, onset=k, apex=k + 6) for k in range(5)]
    rows.insert(2, expression(9, onset=4, apex=4))
    calls: list[int] = []

    def counted(onsets: np.ndarray, *rest: Any, **more: Any) -> np.ndarray:
        calls.append(len(onsets))
        return compute_flow(onsets, *rest, **more)

    monkeypatch.setattr(apexdiff, "compute_flow", counted)
    monkeypatch.setattr(apexdiff, "PAIRS", 3)
    together = make(tmp_path, frames(1), rows, size=16)
    assert calls == [3, 2]
    assert together["expression"].tolist() == [0, 1, 2, 3, 4]
    for name in ("difference", "flow", "strain", "onset_grey"):
        alone = [run(tmp_path, tmp_path / "c/set/s1.h5", [row], size=16)[name][0] for row in (rows[0], rows[-1])]
        np.testing.assert_array_equal(together[name][[0, -1]], alone)


def test_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    crops = write_crops(tmp_path / "c", frames(3))
    write_index(tmp_path, [expression(1), expression(2, onset=2, apex=9)])
    for n in (1, 2):
        args = ["--crops", str(crops), "--expressions", str(tmp_path / "e.csv"), "--threads", str(n)]
        args += ["--videos", str(tmp_path / "v.csv")]
        assert main(["apexdiff", *args, "--out-apexdiff", str(tmp_path / f"{n}/set/s1.h5"), "--set", "size=32"]) == 0
    one, two = (tmp_path / f"{n}/set/s1.h5" for n in (1, 2))
    assert one.read_bytes() == two.read_bytes()
    record = read_provenance(one)
    assert (record["backend"], record["device"], record["tvl1"]["cubic_a"]) == ("numba", "cpu", -0.75)


def test_grey_is_luma_and_not_rounded() -> None:
    grey = apexdiff.to_grey(np.array([[[[255, 0, 0], [0, 255, 0], [1, 1, 1]]]], np.uint8))
    np.testing.assert_allclose(grey, [[[76.245, 149.685, 1.0]]], rtol=1e-5)
