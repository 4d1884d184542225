import csv

import cv2
import numpy as np
import pytest

from microexp.cli import main
from microexp.errors import UserError
from microexp.recognition import flowmaps
from microexp.recognition.clips import read_shards


@pytest.fixture
def npz(tmp_path):
    """A made-up file of the published form: 6 clips of 3 subjects, each image min-maxed."""
    rng = np.random.default_rng(0)
    flow = rng.integers(0, 256, (6, 28, 28, 3), dtype=np.uint8)
    flow[:, 10:, :, 0] = 90  # the face at rest: most of the image has one level
    flow[:, 10:, :, 1] = 200
    path = tmp_path / "maps.npz"
    parts = {
        "flow": flow,
        "label": np.array([0, 1, 2, 0, 1, 2]),
        "subject": np.array(["s1", "s1", "s2", "s2", "x", "x"]),
        "dataset": np.array(["smic"] * 4 + ["samm"] * 2),
        "sample": np.array([f"c{i}" for i in range(6)]),
        "channels": np.array(["u", "v", "os"]),
    }
    np.savez(path, **parts)
    return path, parts


def test_an_npz_becomes_clips_with_rest_at_zero(npz):
    path, parts = npz
    clips = flowmaps.read_npz(path, zero="mode", scale="range")
    assert clips.maps.shape == (6, 3, 28, 28) and clips.channels == ("u", "v", "strain")
    assert (clips.maps[:, :2, 10:] == 0).all()
    np.testing.assert_allclose(clips.maps[:, 2], parts["flow"][..., 2] / 255, atol=1e-6)
    np.testing.assert_allclose(clips.maps[:, 0], (parts["flow"][..., 0] - 90.0) / 255, atol=1e-6)
    assert clips.emotion.tolist() == ["negative", "positive", "surprise"] * 2
    assert clips.key(4) == ("samm", "x", "c4", 1)
    middle = flowmaps.read_npz(path, zero="middle", scale="range")
    np.testing.assert_allclose(middle.maps[:, 1], parts["flow"][..., 1] / 255 - 0.5, atol=1e-6)
    scaled = flowmaps.read_npz(path)
    np.testing.assert_allclose(np.square(scaled.maps).mean((2, 3)), 1, atol=1e-3)


def test_a_folder_of_images_reads_like_the_npz(npz, tmp_path):
    path, parts = npz
    with (tmp_path / "index.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["dataset", "subject", "sample", "label", "u", "v", "strain"])
        for i in range(6):
            names = [f"{i}_{c}.png" for c in flowmaps.CHANNELS]
            for k, name in enumerate(names):
                cv2.imwrite(str(tmp_path / name), parts["flow"][i, :, :, k])
            label = flowmaps.MEGC_CLASSES[parts["label"][i]]
            rows.writerow([parts["dataset"][i], parts["subject"][i], parts["sample"][i], label, *names])
    read, expected = flowmaps.read_index(tmp_path / "index.csv"), flowmaps.read_npz(path)
    assert np.array_equal(read.maps, expected.maps) and np.array_equal(read.emotion, expected.emotion)
    (tmp_path / "3_v.png").unlink()
    with pytest.raises(UserError, match=r"row 5, v: got '3_v\.png'"):
        flowmaps.read_index(tmp_path / "index.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.array([0, 1, 3, 0, 1, 2])}, "label: got 3"),
        ({"channels": np.array(["u", "v", "w"])}, "flow"),
        ({"subject": np.array(["a"])}, "different length"),
        ({"sample": np.array(["../x"] * 6)}, r"\.\./x"),
        ({"label": None}, "label"),
    ],
)
def test_what_does_not_fit_is_named(npz, tmp_path, change, message):
    parts = {k: v for k, v in {**npz[1], **change}.items() if v is not None}
    np.savez(tmp_path / "bad.npz", **parts)
    with pytest.raises(UserError, match=message):
        flowmaps.read_npz(tmp_path / "bad.npz")


def test_the_command_writes_apexdiff_shards(npz, tmp_path, capsys):
    out = tmp_path / "apexdiff"
    assert main(["flowmaps", str(npz[0]), str(out), "--second-view", "v_minus_u"]) == 0
    assert "6 clips of 3 subjects" in capsys.readouterr().out
    paths = sorted(out.rglob("*.h5"))
    assert [p.relative_to(out).as_posix() for p in paths] == ["samm/x.h5", "smic/s1.h5", "smic/s2.h5"]
    clips, expected = read_shards(paths), flowmaps.read_npz(npz[0])
    order = [expected.video.tolist().index(v) for v in clips.video]
    assert np.array_equal(clips.maps[:, 1:4], expected.maps[order])
    u, v = np.abs(expected.maps[order, 0]), np.abs(expected.maps[order, 1])
    np.testing.assert_allclose(clips.maps[:, 0], v - u)
    assert (out / "samm" / "x.h5.prov.json").is_file()
