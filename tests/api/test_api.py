"""`microexp.api`: paths and arrays in, arrays and frames out; nothing is printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from microexp import api
from microexp.errors import UserError
from microexp.records.index import KINDS, Video, read_videos, write_videos
from tests.methods.applied import recognition_model, spotting_model
from tests.methods.recognition import synthetic
from tests.methods.spotting.made_up import write_data
from tests.shards import write_crops


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person of the demo who holds still, then is lifted by a pixel: a folder of 12 frames."""
    import cv2

    from microexp.reading.params import DemoParams
    from microexp.rendered.scene import make_scene, render

    image = render(make_scene(DemoParams(seconds=24, seed=0), "s05_1"), 0, noise=False)
    folder = tmp_path_factory.mktemp("clip")
    for i in range(12):
        frame = np.roll(image, -2 if i >= 6 else 0, axis=0)
        assert cv2.imwrite(str(folder / f"img{i + 1:02d}.png"), frame[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def face(clip: Path) -> api.Aligned:
    return api.align(clip, size=64, fps=30.0)


def test_a_video_is_an_array(clip: Path) -> None:
    found = api.read_video(clip)
    assert found.images.shape == (12, 240, 320, 3) and found.images.dtype == np.uint8
    assert found.fps is None and np.isnan(found.times_s).all() and not found.damaged.any()
    some = api.read_video(clip, [3, 7], grey=True)
    assert some.images.shape == (2, 240, 320)
    assert (some.images[0, 2:] == some.images[1, :-2]).all()
    with pytest.raises(UserError, match="no such file"):
        api.read_video(clip / "none.mp4")


@pytest.mark.long
def test_the_face_is_aligned(face: api.Aligned) -> None:
    assert face.crops.shape == (12, 64, 64, 3) and face.fps == 30
    assert face.frame_index.tolist() == list(range(12)) and np.allclose(face.times_s, np.arange(12) / 30)
    eyes = face.landmarks[[36, 39, 42, 45]].reshape(2, 2, 2).mean(1)
    assert np.allclose(eyes[1, 0] - eyes[0, 0], 0.35, atol=0.02) and np.allclose(eyes[:, 1], 0.36, atol=0.03)


@pytest.mark.long
def test_flow_and_motion_follow_the_face(face: api.Aligned) -> None:
    flow = api.flow(face)
    assert flow.shape == (11, 64, 64, 2) and flow.dtype == np.float32
    assert np.median(flow[5, 16:48, 16:48, 1]) < -0.4 and abs(np.median(flow[4, 16:48, 16:48])) < 0.1
    motion = api.motion(face, flow)
    assert motion.index.name == "seconds" and {"region_mouth", "valid"} <= set(motion.columns)
    assert motion.index[0] == pytest.approx(1 / 30) and np.diff(motion.index) == pytest.approx(2 / 30)
    with pytest.raises(UserError, match="flow of shape"):
        api.motion(face, flow[1:])


def test_flow_takes_arrays() -> None:
    assert api.flow(np.zeros((1, 32, 32), np.uint8)).shape == (0, 32, 32, 2)
    with pytest.raises(UserError, match=r"expected \(T, H, W\)"):
        api.flow(np.zeros((2, 32, 32, 4), np.uint8))
    with pytest.raises(UserError, match="preset"):
        api.flow(np.zeros((2, 32, 32), np.uint8), presett="micro")


@pytest.mark.long
def test_what_align_cannot_do_is_said(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no frame rate \(name it: fps=\)"):
        api.align(clip)
    import cv2

    for i in range(3):
        assert cv2.imwrite(str(tmp_path / f"img{i}.png"), np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(UserError, match="no face found"):
        api.align(tmp_path, fps=30)


def test_features_are_frames(tmp_path: Path) -> None:
    data = write_data(tmp_path, subjects=2, n_frames=120)
    shard = next(path for path in data.features if path.parent.parent.name == "motion")
    found = api.features(shard)
    ((name, table),) = found.items()
    assert name in {v.video for v in read_videos(data.videos)}
    assert table["valid"].dtype == bool and table.index.name == "frame" and table.index.is_monotonic_increasing
    assert table.index[0] >= 0 and table.index[-1] < 120


@pytest.mark.long
def test_a_model_spots_in_the_releases_numbers(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    model = spotting_model(data, tmp_path / "fold", method="flow_magnitude")
    own = [v for v in read_videos(data.videos) if v.subject == "s01"]
    write_videos(tmp_path / "videos.csv", own)
    shards = [path for path in data.features if path.stem == "s01"]
    found = api.spot(tmp_path / "videos.csv", shards, model)
    assert len(found) and set(found["subject"]) == {"s01"} and set(found["kind"]) <= set(KINDS)
    assert (found["onset"] >= 1).all() and np.allclose((found["onset"] - 1) / own[0].fps, found["onset_s"], atol=1e-3)


@pytest.mark.long
def test_a_model_recognises_what_was_spotted(tmp_path: Path) -> None:
    model = recognition_model(tmp_path / "train")
    side = synthetic.clips_of({"demo": ["a"]}).maps.shape[-1]
    images = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), np.uint8)
    crops = tmp_path / "crops" / "d" / "s.h5"
    write_crops(crops, {"v": images})
    write_videos(tmp_path / "videos.csv", [Video("d", "s", "v", "v.mp4", 20, 30.0, 64, 64)])
    events = pd.DataFrame({"video": ["v", "v"], "onset": [3, 5], "offset": [12, 5], "kind": "micro", "score": 0.5})
    found = api.recognise(events, tmp_path / "videos.csv", crops, model=model, size=side)
    p = found[[c for c in found.columns if c.startswith("p_")]].to_numpy()
    assert found["onset"].tolist() == [3, 5] and found["offset"].tolist() == [12, 5]
    assert p[0].sum() == pytest.approx(1, abs=1e-5) and np.isnan(p[1]).all() and 4 <= found["apex"][0] <= 12
    with pytest.raises(UserError, match="got 'w', expected one of v"):
        api.recognise(events.assign(video="w"), tmp_path / "videos.csv", crops, model=model, size=side)


def test_clips_and_action_units(tmp_path: Path) -> None:
    shards = synthetic.write_shards(synthetic.clips_of({"demo": ["a", "b"]}), tmp_path / "apexdiff")
    maps, about = api.clips(shards)
    assert maps.shape[:2] == (len(about), 5) and set(about["subject"]) == {"a", "b"}
    units = api.action_units(shards)
    p = units[[name for name in units.columns if name.startswith("AU")]].to_numpy()
    assert p.shape == (len(about), 18) and ((p > 0) & (p < 1)).all()
    assert units["emotion"].tolist() == about["emotion"].tolist()
    with pytest.raises(UserError, match="expected a model of action units"):
        api.action_units(shards, recognition_model(tmp_path / "train"))


def intervals(*rows: tuple[str, int, int, str]) -> pd.DataFrame:
    return pd.DataFrame([("s1", *row) for row in rows], columns=["subject", "video", "onset", "offset", "kind"])


def test_spotting_is_scored() -> None:
    truths = intervals(("v", 10, 19, "micro"), ("v", 50, 90, "macro"))
    found = intervals(("v", 11, 20, "micro"), ("v", 30, 39, "micro"), ("v", 50, 90, "macro"))
    table = api.score_spotting(found, truths, bootstrap=20)
    assert table.loc["micro", ["true_positives", "predictions", "truths"]].tolist() == [1, 2, 1]
    assert table.loc["overall", "f1"] == pytest.approx(4 / 5) == table.loc["overall", "f1_high"]
    with pytest.raises(UserError, match="no column kind"):
        api.score_spotting(found.drop(columns="kind"), truths)
    with pytest.raises(UserError, match="got 'both', expected micro or macro"):
        api.score_spotting(found.assign(kind="both"), truths)


def test_recognition_is_scored() -> None:
    table = pd.DataFrame({"subject": list("aabb"), "label": list("xyxy"), "prediction": list("xyyy")})
    scores = api.score_recognition(table, bootstrap=20).loc["predictions"]
    assert scores["clips"] == 4 and scores["accuracy"] == 0.75 and scores["uar"] == 0.75
    assert scores["uf1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    with pytest.raises(UserError, match="got 'x', expected one of y"):
        api.score_recognition(table, classes=["y"])


def test_folds_say_who_is_held_out(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "datasets: {demo: {}, demo_b: {adapter: demo, first_number: 2}}\ndemo: {subjects: 2}\n"
        "spotting: {x: {datasets: [demo, demo_b], methods: {random_intervals: {}, flow_magnitude: {}}}}\n"
        "recognition: {y: {datasets: [demo], leave: dataset, methods: {majority: {}},"
        " classes: {p: [happiness], n: [disgust]}}}\n"
    )
    found = api.folds(config)
    spotted = found[(found["kind"] == "spotting") & (found["method"] == "flow_magnitude")]
    assert spotted["held_out"].tolist() == ["demo/s01", "demo/s02", "demo_b/s01", "demo_b/s02"]
    assert found[found["kind"] == "recognition"]["held_out"].tolist() == ["demo"]
    assert spotted["folder"].iloc[0] == "results/spotting/x/flow_magnitude/demo-s01"
    assert list(tmp_path.iterdir()) == [config], "nothing is written"


@pytest.mark.long
def test_nothing_is_printed(clip: Path) -> None:
    code = f"from microexp import api; api.flow(api.align({str(clip)!r}, size=32, fps=30))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_function_says_what_it_gives_and_what_can_go_wrong() -> None:
    functions = [getattr(api, name) for name in api.__all__ if name.islower()]
    assert len(functions) >= 12
    for function in functions:
        assert function.__doc__ and "Raises:" in function.__doc__, function
