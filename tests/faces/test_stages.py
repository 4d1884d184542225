"""The stages `faces` and `crops` on small videos."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from microexp.commands.main import main
from microexp.errors import UserError
from microexp.faces import crops, faces
from microexp.faces.geometry import scale_of
from microexp.faces.params import CropsParams, FacesParams
from microexp.faces.watch import Watch
from microexp.flow.flow import to_grey
from microexp.pipeline import STAGES
from microexp.reading import images
from microexp.reading.fingerprint import fingerprint
from microexp.reading.frames import VideoSource
from microexp.records.crops import create_crops, open_crops
from microexp.records.faces import open_faces
from microexp.records.index import read_videos, write_videos
from microexp.records.shard import Subject
from microexp.records.validity import Reason
from microexp.rendered.video import write_video
from microexp.run.provenance import read_provenance
from microexp.run.runner import run_stage
from microexp.run.shard_files import open_shard
from microexp.run.stage import Job
from tests.faces.conftest import moved

Make = Callable[..., Path]


def at(out: Path) -> Path:
    """`x.h5` as a place that says whom the shard is of: `x/set/s1.h5`."""
    return out.with_suffix("") / "set" / "s1.h5"


def find(index: Path, out: Path, **options: Any) -> Path:
    run_stage(STAGES["faces"], Job({"videos": [index]}, {"faces": at(out)}, FacesParams(**options)))
    return at(out)


def crop(index: Path, shard: Path, out: Path, **options: Any) -> Path:
    run_stage(STAGES["crops"], Job({"videos": [index], "faces": [shard]}, {"crops": at(out)}, CropsParams(**options)))
    return at(out)


@pytest.fixture
def swaying(face: np.ndarray, make_folder: Make) -> Path:
    return make_folder("v1", [moved(face, 3 * np.sin(t / 3)) for t in range(12)])


def test_faces_and_crops_of_a_folder(swaying: Path, make_index: Make, tmp_path: Path) -> None:
    index = make_index({"v1": (swaying, 12)})
    shard = find(index, tmp_path / "f.h5", landmark_frames=4)
    with open_shard(shard) as file:
        assert dict(file.attrs) == {"dataset": "set", "subject": "s1", "stage": "faces"}
        group, attrs = file["v1"], file["v1"].attrs
        assert attrs["excluded"] == "" and attrs["misses"] == 0 and attrs["looked_at"] == 6
        assert 0 < attrs["jitter_px"] < 2 and 1 < attrs["motion_px"] < 6 and attrs["drift_px"] == 0
        assert attrs["scale"] == pytest.approx(1 / scale_of(group["alignment"][:]))
        np.testing.assert_array_equal(group["reference"][:], np.median(group["landmarks"][:].astype(float), axis=0))
        assert group["frames"].dtype == np.int32 and group["landmarks"].shape == (6, 68, 2)
        assert (group["boxes"][:, 2] > group["boxes"][:, 0]).all()
    with open_shard(crop(index, shard, tmp_path / "c.h5", size=64)) as file:
        group = file["v1"]
        assert group["frames"].shape == (12, 64, 64, 3) and group["frames"].dtype == np.uint8
        np.testing.assert_array_equal(group["frame_index"][:], np.arange(12))
        assert group.attrs["fps"] == group.attrs["source_fps"] == 30 and group.attrs["source_n_frames"] == 12
        assert group["frames"][:].std() > 20


@pytest.mark.long
def test_a_still_video_has_still_crops(face: np.ndarray, make_folder: Make, make_index: Make, tmp_path: Path) -> None:
    """No motion in the frames, none in the crops: not one grey level, though the landmarks of noisy frames differ."""
    index = make_index({"v1": (make_folder("v1", [face] * 6), 6)})
    shard = find(index, tmp_path / "f.h5")
    with open_shard(crop(index, shard, tmp_path / "c.h5", size=96)) as file:
        frames = file["v1"]["frames"][:]
    assert (frames == frames[0]).all()


def test_grey_videos_have_one_channel(grey: np.ndarray, make_folder: Make, make_index: Make, tmp_path: Path) -> None:
    index = make_index({"v1": (make_folder("v1", [grey] * 3), 3)})
    shard = find(index, tmp_path / "f.h5")
    with open_shard(crop(index, shard, tmp_path / "c.h5", size=32)) as file:
        assert file["v1"]["frames"].shape == (3, 32, 32, 1)


def test_colour_videos_are_stored_in_grey_on_request_and_flow_sees_no_difference(
    swaying: Path, make_index: Make, tmp_path: Path
) -> None:
    index = make_index({"v1": (swaying, 12)})
    shard = find(index, tmp_path / "f.h5")
    stored = [crop(index, shard, tmp_path / f"c{grey}.h5", size=32, grey=grey) for grey in (False, True)]
    with open_crops(stored[0]) as colour, open_crops(stored[1]) as grey:
        one, other = colour["v1"], grey["v1"]
        assert one.frames.shape[-1] == 3 and other.frames.shape == (*one.frames.shape[:-1], 1)
        assert np.array_equal(to_grey(one.frames[:]), to_grey(other.frames[:]))
        assert np.array_equal(one.reason, other.reason) and one.frames[:].std() > 0


@pytest.mark.long
def test_resampling(swaying: Path, make_index: Make, tmp_path: Path) -> None:
    index = make_index({"v1": (swaying, 12)}, fps=200.0)
    shard = find(index, tmp_path / "f.h5")
    with open_shard(crop(index, shard, tmp_path / "all.h5", size=32)) as file:
        every = file["v1"]["frames"][:]
    with open_shard(crop(index, shard, tmp_path / "c.h5", size=32, fps=60.0)) as file:
        group = file["v1"]
        np.testing.assert_array_equal(group["frame_index"][:], [0, 3, 6, 10])
        np.testing.assert_array_equal(group["frames"][:], every[[0, 3, 6, 10]])
        assert group.attrs["fps"] == 60 and group.attrs["source_fps"] == 200


@pytest.mark.long
def test_slow_alignment_follows_the_head(face: np.ndarray, make_folder: Make, make_index: Make, tmp_path: Path) -> None:
    folder = make_folder("v1", [moved(face, 0.15 * t) for t in range(60)])
    index = make_index({"v1": (folder, 60)}, fps=6.0)  # 10 s
    both = {}
    for how in ("fixed", "slow"):
        shard = find(index, tmp_path / f"{how}.h5", alignment=how, slow_step_s=0.5, landmark_frames=6)
        with open_shard(shard) as file:
            assert ("alignments" in file["v1"]) == (how == "slow")
            assert (file["v1"].attrs["drift_px"] > 0) == (how == "slow")
        with open_shard(crop(index, shard, tmp_path / f"{how}.c.h5", size=64)) as file:
            both[how] = file["v1"]["frames"][15:45].astype(float)
    motion = {how: np.abs(frames[-1] - frames[0]).mean() for how, frames in both.items()}
    assert motion["slow"] < 0.5 * motion["fixed"]


@pytest.mark.long
def test_bad_videos_are_left_out_with_a_reason_and_the_others_stand(
    swaying: Path, face: np.ndarray, make_folder: Make, make_index: Make, tmp_path: Path, capsys: Any
) -> None:
    blank = make_folder("blank", [np.full((120, 160, 3), 90, np.uint8)] * 4)
    half = make_folder("half", [face] + [np.full_like(face, 90)] * 3)
    broken = make_folder("broken", [face] * 4)
    (broken / "img3.png").write_bytes(b"")
    gone = make_folder("gone", [face] * 4)
    (gone / "img3.png").unlink()
    (gone / "img3.png").symlink_to("/nowhere/img3.png")
    empty = tmp_path / "data" / "empty.mp4"
    empty.write_bytes(b"no video")
    index = make_index(
        {
            "blank": (blank, 4),
            "half": (half, 4),
            "broken": (broken, 4),
            "gone": (gone, 4),
            "empty": (empty, 9),
            "v1": (swaying, 12),
        }
    )
    shard = find(index, tmp_path / "f.h5")
    out = crop(index, shard, tmp_path / "c.h5", size=32)
    reasons = {
        "blank": "no face found in any of 4 frames",
        "half": "a face in its place in 1 of 4 frames only",
        "broken": "",
        "gone": "",
        "empty": "empty.mp4: ",
        "v1": "",
    }
    for path in (shard, out):
        with open_shard(path) as file:
            assert list(file) == list(reasons)
            for name, reason in reasons.items():
                assert str(file[name].attrs["excluded"]).startswith(reason)
                assert bool(len(file[name])) == (reason == "")
                assert str(tmp_path) not in file[name].attrs["excluded"]
    assert "set/s1/blank is excluded: no face found" in capsys.readouterr().err
    with open_crops(out) as file:
        assert [Reason(r).name for r in file["broken"].reason] == ["NONE", "REPEATED", "DAMAGED", "REPEATED"]
        assert (file["gone"].reason == file["broken"].reason).all()


@pytest.mark.long
def test_a_frame_damaged_between_the_looks_is_found_by_crops(
    swaying: Path, make_index: Make, tmp_path: Path, capsys: Any
) -> None:
    index = make_index({"v1": (swaying, 12)})
    shard = find(index, tmp_path / "f.h5")
    (swaying / "img12.png").write_bytes(b"\x89PNG")
    with open_shard(crop(index, shard, tmp_path / "c.h5", size=32)) as file:
        reason, frames = file["v1"]["reason"][:], file["v1"]["frames"][:]
        assert reason.tolist() == [0] * 11 + [Reason.DAMAGED]
        assert file["v1"]["valid"][:].tolist() == [True] * 11 + [False]
        np.testing.assert_array_equal(frames[11], frames[10])  # no motion


@pytest.mark.long
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_cannot_be_read_now_is_an_error_and_no_exclusion(
    swaying: Path, face: np.ndarray, make_index: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    number: int, kind: str,
) -> None:  # fmt: skip
    """A network that fails for a moment must not exclude a video."""
    video = swaying
    if kind == "file":
        video = tmp_path / "v1.mp4"
        write_video(video, [face] * 12, 30)
    index = make_index({"v1": (video, 12)})
    shard = find(index, tmp_path / "f.h5", landmark_frames=4)

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number)) if kind == "folder" else av.error.OSError(number, "")

    if kind == "file":
        monkeypatch.setattr(av, "open", fail)
        monkeypatch.setattr(images, "file_sha256", fail)
    else:
        whole = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", lambda path: fail() if path.suffix == ".png" else whole(path))
    for step in (lambda: find(index, tmp_path / "g.h5"), lambda: crop(index, shard, tmp_path / "c.h5")):
        with pytest.raises(UserError, match=r"(img1\.png|v1\.mp4): \w"):
            step()
    assert not at(tmp_path / "g.h5").exists() and not at(tmp_path / "c.h5").exists()


@pytest.mark.long
def test_the_provenance_tells_which_videos_were_read(
    swaying: Path, face: np.ndarray, make_index: Make, tmp_path: Path
) -> None:
    file = tmp_path / "v2.mp4"
    write_video(file, [face] * 9, 30)
    index = make_index({"v1": (swaying, 12), "v2": (file, 9)})
    known = {"v1": fingerprint(swaying), "v2": fingerprint(file)}
    write_videos(index, [replace(video, fingerprint=known[video.video]) for video in read_videos(index)])
    shard = find(index, tmp_path / "f.h5", landmark_frames=2)
    job = Job({"videos": [index]}, {"faces": at(tmp_path / "g.h5")}, FacesParams(landmark_frames=2))
    assert faces.run(job)["videos"] == known
    cutting = Job({"videos": [index], "faces": [shard]}, {"crops": at(tmp_path / "c.h5")}, CropsParams(size=32))
    assert crops.run(cutting)["videos"] == known
    with (swaying / "img3.png").open("ab") as image:
        image.write(b"x")
    with pytest.raises(UserError, match="has changed since it was indexed"):
        faces.run(job)


@pytest.mark.long
def test_the_usable_part_is_used(face: np.ndarray, make_folder: Make, make_index: Make, tmp_path: Path) -> None:
    blank = np.full_like(face, 90)
    pictures = [moved(face, t / 9) if 4 <= t < 9 else blank for t in range(30)]
    index = make_index({"v1": (make_folder("v1", pictures), 30)})
    shard = find(index, tmp_path / "f.h5", landmark_frames=5)
    with open_faces(shard) as file:
        assert file["v1"].excluded == "" and file["v1"].looked_at == 10
        assert np.flatnonzero(file["v1"].valid).tolist() == [4, 5, 6, 7, 8]
        assert set(file["v1"].reason[~file["v1"].valid]) == {Reason.NO_FACE}
    with open_crops(crop(index, shard, tmp_path / "c.h5", size=32)) as file:
        assert np.flatnonzero(file["v1"].valid_pairs).tolist() == [4, 5, 6, 7]
    with open_faces(find(index, tmp_path / "g.h5", max_missed=0.5)) as file:
        assert file["v1"].excluded == "a face in its place in 5 of 30 frames only"


@pytest.mark.long
def test_given_landmarks(swaying: Path, make_index: Make, tmp_path: Path) -> None:
    index = make_index({"v1": (swaying, 12)})
    with open_shard(find(index, tmp_path / "f.h5")) as file:
        frames, landmarks, alignment = (file["v1"][n][:] for n in ("frames", "landmarks", "alignment"))
    np.savez(tmp_path / "s1_v1.npz", frames=frames, landmarks=landmarks)
    options = {"backend": "given", "landmarks": f"{tmp_path}/{{subject}}_{{video}}.npz"}
    with open_shard(find(index, tmp_path / "g.h5", **options)) as file:
        np.testing.assert_allclose(file["v1"]["alignment"][:], alignment, atol=1e-9)
    job = Job({"videos": [index]}, {"faces": at(tmp_path / "h.h5")}, FacesParams(**options))
    assert faces.run(job)["landmarks"][0]["file"] == "s1_v1.npz"
    with pytest.raises(UserError, match="s2_v1"):
        find(index, tmp_path / "i.h5", backend="given", landmarks=str(tmp_path / "s2_{video}.npz"))
    with pytest.raises(UserError, match=r"faces.landmarks: nothing"):
        find(index, tmp_path / "i.h5", backend="given")
    assert not at(tmp_path / "i.h5").exists()


def test_fan_backend_without_weights(swaying: Path, make_index: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"faces.weights"):
        find(make_index({"v1": (swaying, 12)}), tmp_path / "f.h5", backend="face_alignment")


def test_what_the_user_can_mend_is_one_line(swaying: Path, make_index: Make, tmp_path: Path, capsys: Any) -> None:
    def status(index: Path) -> tuple[int, str]:
        code = main(["faces", "--videos", str(index), "--out-faces", str(at(tmp_path / "f.h5"))])
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert not at(tmp_path / "f.h5").exists()
        return code, last

    code, line = status(make_index({"v1": (tmp_path / "nowhere.mp4", 12)}))
    assert code == 2 and "videos.csv: video v1: path" in line and "nowhere.mp4" in line
    code, line = status(make_index({"v1": (swaying, 13)}))
    assert code == 2 and "n_frames: got 13, expected 12" in line and "index" in line
    code = main(["faces", "--videos", "x", "--out-faces", "y", "--set", "landmark_frame=3"])
    assert code == 2 and "landmark_frames" in capsys.readouterr().err


@pytest.mark.long
def test_crops_need_the_faces_of_the_same_index(swaying: Path, make_index: Make, tmp_path: Path) -> None:
    shard = find(make_index({"v1": (swaying, 12)}), tmp_path / "f.h5")
    with pytest.raises(UserError, match=r"s1.h5: video v2.*run the stage faces again"):
        crop(make_index({"v2": (swaying, 12)}), shard, tmp_path / "c.h5")


@pytest.mark.long
def test_same_bytes_whatever_the_threads(swaying: Path, make_index: Make, tmp_path: Path) -> None:
    index = make_index({"v1": (swaying, 12)})
    for n in (1, 2):
        args = ["--videos", str(index), "--threads", str(n)]
        assert main(["faces", *args, "--out-faces", str(at(tmp_path / f"f{n}.h5")), "--set", "alignment=slow"]) == 0
        more = ["--faces", str(at(tmp_path / f"f{n}.h5")), "--out-crops", str(at(tmp_path / f"c{n}.h5"))]
        assert main(["crops", *args, *more, "--set", "size=48"]) == 0
    for stage in "fc":
        assert at(tmp_path / f"{stage}1.h5").read_bytes() == at(tmp_path / f"{stage}2.h5").read_bytes()
    record = read_provenance(at(tmp_path / "f1.h5"))
    assert "300-W" in record["licence"] and record["parameters"]["alignment"] == "slow"


class Counting(VideoSource):
    """A long video that knows how many of its frames are alive."""

    def read(self, indices: Any = None, grey: bool = False) -> Iterator[np.ndarray]:
        alive: list[Any] = []
        for i in indices:
            frame = np.full((self.height, self.width, 3), i % 256, np.uint8)
            alive = [*(r for r in alive if r() is not None), weakref.ref(frame)]
            assert len(alive) <= 3
            yield frame


@pytest.mark.long
def test_a_long_video_is_never_held(tmp_path: Path) -> None:
    source = Counting(Path("x"), 500, 30.0, 40, 30, False, np.arange(500))
    alignment = np.array([[1 / 16, 0, 0], [0, 1 / 16, 0]])[None]
    index = np.arange(500, dtype=np.int32)
    faces_at: Any = SimpleNamespace(alignments=lambda f: alignment, segments=lambda f: np.zeros(len(f), np.int16))
    path = at(tmp_path / "c.h5")
    with create_crops(path, Subject("set", "s1")) as shard:
        about = {"fps": 30.0, "source_fps": 30.0, "source_n_frames": 500}
        shard.stream("v", index, crops.crops_of(source, index, faces_at, size=16, watch=Watch()), **about)
    with open_shard(path) as file:
        np.testing.assert_array_equal(file["v"]["frames"][:, 3, 3, 0], index % 256)
