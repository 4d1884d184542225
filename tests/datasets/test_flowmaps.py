import csv

import cv2
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.datasets import flowmaps, protocols
from microexp.errors import UserError
from microexp.methods.recognition.mdml.members import pool_of
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.records.clips import read_shards


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
    clips = flowmaps.read_maps(path, zero="mode", scale="range")
    assert clips.maps.shape == (6, 3, 28, 28) and clips.channels == ("u", "v", "strain")
    assert (clips.maps[:, :2, 10:] == 0).all()
    np.testing.assert_allclose(clips.maps[:, 2], parts["flow"][..., 2] / 255, atol=1e-6)
    np.testing.assert_allclose(clips.maps[:, 0], (parts["flow"][..., 0] - 90.0) / 255, atol=1e-6)
    assert clips.emotion.tolist() == ["negative", "positive", "surprise"] * 2
    assert clips.key(4) == ("samm", "x", "c4", 1)
    middle = flowmaps.read_maps(path, zero="middle", scale="range")
    np.testing.assert_allclose(middle.maps[:, 1], parts["flow"][..., 1] / 255 - 0.5, atol=1e-6)
    scaled = flowmaps.read_maps(path)
    np.testing.assert_allclose(np.square(scaled.maps).mean((2, 3)), 1, atol=1e-3)


def write_index(folder, parts, header=("dataset", "subject", "sample", "label", "u", "v", "strain"), names=True):
    """The same clips as grey images (or, with a column `image`, colour images) under an index CSV."""
    with (folder / "index.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(header)
        for i, flow in enumerate(parts["flow"]):
            files = [f"{i}_{c}.png" for c in header[4:]]
            for k, name in enumerate(files):
                whole = header[4].lower() == "image"
                assert cv2.imwrite(str(folder / name), flow[..., ::-1] if whole else flow[..., k])
            label = protocols.CLASSES[parts["label"][i]].title() if names else parts["label"][i]
            rows.writerow([parts["dataset"][i], parts["subject"][i], parts["sample"][i], label, *files])
    return folder / "index.csv"


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (("dataset", "subject", "sample", "label", "u", "v", "strain"), True),
        (("Dataset", "SUBJECT", "sample", "Label", "U", "V", "OS"), False),
        (("dataset", "subject", "sample", "label", "image"), False),
    ],
)
def test_a_folder_of_images_reads_like_the_npz(npz, tmp_path, header, names):
    path, parts = npz
    index = write_index(tmp_path, parts, header, names)
    read, expected = flowmaps.read_maps(index), flowmaps.read_maps(path)
    assert np.array_equal(read.maps, expected.maps) and np.array_equal(read.emotion, expected.emotion)
    if header[-1] == "image":
        turned = flowmaps.read_maps(index, zero="middle", order="bgr")
        assert np.array_equal(turned.maps[:, 1], flowmaps.read_maps(path, zero="middle").maps[:, 1])
        assert not np.array_equal(turned.maps, read.maps)
    last = tmp_path / f"3_{header[-1]}.png"
    last.unlink()
    with pytest.raises(UserError, match=rf"row 5, \w+: got '3_{header[-1]}\.png'"):
        flowmaps.read_maps(index)


def test_strain_may_be_missing_unless_it_is_needed(npz, tmp_path):
    _, parts = npz
    clips = flowmaps.read_maps(write_index(tmp_path, parts, ("dataset", "subject", "sample", "label", "u", "v")))
    assert clips.channels == ("u", "v")
    label = np.zeros(len(clips), np.int64)
    assert pool_of(clips, label, MdmlParams(streams={"flow": ["u", "v"]})).channels == ("u", "v")
    with pytest.raises(UserError, match="no strain in the clips"):
        pool_of(clips, label, MdmlParams(streams={"flow": ["u", "v", "strain"]}))
    with pytest.raises(UserError, match="u, v and strain"):
        flowmaps.write_shards(clips, tmp_path / "apexdiff")


SAME = {
    "float": lambda p: {"flow": p["flow"].astype(np.float32)},
    "float to 1": lambda p: {"flow": p["flow"] / 255},
    "float from -1": lambda p: {"flow": p["flow"] / 127.5 - 1},
    "16 bit": lambda p: {"flow": p["flow"].astype(np.uint16) * 257},
    "int64": lambda p: {"flow": p["flow"].astype(np.int64)},
    "channels first": lambda p: {"flow": np.moveaxis(p["flow"], -1, 1)},
    "no channels": lambda p: {"channels": None},
    "upper-case channels": lambda p: {"channels": np.array(["U", "V", "OS"])},
    "other order": lambda p: {"flow": p["flow"][..., ::-1], "channels": np.array(["os", "v", "u"])},
    "float labels": lambda p: {"label": p["label"].astype(float)},
    "labels as digits": lambda p: {"label": p["label"].astype(str)},
    "labels as words": lambda p: {"label": np.array(["Negative", "positive", "SURPRISE"])[p["label"]]},
    "bytes": lambda p: {"subject": p["subject"].astype("S")},
    "spelling of data sets": lambda p: {"dataset": np.array(["SMIC-HS"] * 4 + ["SAMM"] * 2)},
    "upper-case keys": lambda p: {"flow": None, "FLOW": p["flow"]},
}


@pytest.mark.parametrize("form", SAME)
def test_the_same_maps_in_other_forms_read_alike(npz, tmp_path, form):
    path, parts = npz
    parts["flow"][:, 0, 0], parts["flow"][:, 0, 1] = 0, 255  # each image fills its range
    np.savez(path, **parts)
    changed = {k: v for k, v in {**parts, **SAME[form](parts)}.items() if v is not None}
    np.savez(tmp_path / "other.npz", **changed)
    read, expected = flowmaps.read_maps(tmp_path / "other.npz"), flowmaps.read_maps(path)
    np.testing.assert_allclose(read.maps, expected.maps, atol=1e-5)
    assert [read.key(i) for i in range(6)] == [expected.key(i) for i in range(6)]
    assert read.emotion.tolist() == expected.emotion.tolist()


def test_names_are_cleaned(npz, tmp_path):
    _, parts = npz
    samples = np.array(["a-1", "a 2", "sub/a3", "../a4", "a5.png", "a\\6"])
    np.savez(tmp_path / "n.npz", **{**parts, "sample": samples})
    found = flowmaps.read_maps(tmp_path / "n.npz").video.tolist()
    assert found == ["a_1", "a_2", "sub_a3", "a4", "a5.png", "a_6"]


def test_flow_in_px_keeps_its_magnitude(npz, tmp_path):
    _, parts = npz
    px = np.random.default_rng(0).normal(0.2, 2, parts["flow"].shape)
    px[..., 2] = abs(px[..., 2])
    np.savez(tmp_path / "px.npz", **{**parts, "flow": px})
    np.testing.assert_allclose(flowmaps.read_maps(tmp_path / "px.npz").maps, np.moveaxis(px, -1, 1), rtol=1e-6)


def test_digits_mean_the_classes_in_the_order_given(npz):
    read = flowmaps.read_maps(npz[0], classes=("Surprise", "negative", "positive"))
    assert read.emotion.tolist() == ["surprise", "negative", "positive"] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.array([0, 1, 3, 0, 1, 2])}, "clip 3, label: got '3'"),
        ({"label": np.array([0, 1, 0.5, 0, 1, 2])}, "clip 3, label: got '0.5'"),
        ({"label": np.array([0, 1, np.nan, 0, 1, 2])}, "clip 3, label: got 'nan'"),
        ({"channels": np.array(["u", "v", "w"])}, "flow"),
        ({"subject": np.array(["a"])}, "different length"),
        ({"sample": np.array(["/.."] * 6)}, "sample"),
        ({"sample": np.array(["a", "a", "b", "c", "d", "e"])}, "smic/s1/a: this clip twice"),
        ({"subject": np.array(["s1"] * 6, dtype=object)}, "save text with"),
        ({"flow": np.zeros((6, 28, 14, 3), np.uint8)}, "28 x 14 px; expected square"),
        ({"flow": np.full((6, 28, 28, 3), np.nan)}, "no numbers"),
        ({"flow": np.full((6, 28, 28, 3), 1e6)}, "values from"),
        ({"label": None}, "label"),
    ],
)
def test_what_does_not_fit_is_named(npz, tmp_path, change, message):
    parts = {k: v for k, v in {**npz[1], **change}.items() if v is not None}
    np.savez(tmp_path / "bad.npz", **parts)
    with pytest.raises(UserError, match=message):
        flowmaps.read_maps(tmp_path / "bad.npz")


def test_the_command_writes_apexdiff_shards(npz, tmp_path, capsys):
    out = tmp_path / "apexdiff"
    assert main(["flowmaps", str(npz[0]), str(out), "--second-view", "v_minus_u"]) == 0
    shown = capsys.readouterr().out
    assert "6 clips of 3 subjects" in shown and "smic: 2 subjects, 4 clips: 2 negative, 1 positive, 1 surprise" in shown
    paths = sorted(out.rglob("*.h5"))
    assert [p.relative_to(out).as_posix() for p in paths] == ["samm/x.h5", "smic/s1.h5", "smic/s2.h5"]
    clips, expected = read_shards(paths), flowmaps.read_maps(npz[0])
    order = [expected.video.tolist().index(v) for v in clips.video]
    assert np.array_equal(clips.maps[:, 1:4], expected.maps[order])
    u, v = np.abs(expected.maps[order, 0]), np.abs(expected.maps[order, 1])
    np.testing.assert_allclose(clips.maps[:, 0], v - u)
    assert (out / "samm" / "x.h5.prov.json").is_file()
