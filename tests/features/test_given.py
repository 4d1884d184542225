"""The stage `given`: series of other programs, laid on the frames of the videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.features.given import files_of, read_series
from microexp.features.params import GivenSource
from microexp.pipeline import STAGES
from microexp.records.features import Features, Files, list_features
from microexp.records.index import Video, write_videos
from microexp.run.runner import run_stage
from microexp.run.shard_files import open_shard
from microexp.run.stage import Job

OPENFACE = "frame, face_id, timestamp, confidence, success, AU04_r, AU12_r"


def openface(path: Path, rows: int, failed: tuple[int, ...] = (), first: int = 1) -> Path:
    """A CSV as OpenFace's FeatureExtraction writes it: blanks behind the commas, frames from 1 on."""
    lines = [OPENFACE] + [
        f"{first + i}, 0, {i / 30:.3f}, 0.98, {int(i not in failed)}, {i / 10:.2f}, {1 + i:.2f}" for i in range(rows)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def npz(path: Path, features: object, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, features=features, **more)  # type: ignore[arg-type]
    return path


def run(folder: Path, files: list[Path], videos: list[Video] | None = None, **options: object) -> Path:
    """The shard of subject s1 of `set`: its video `v` has 40 frames at 30 a second."""
    videos = [Video("set", "s1", "v", "-", 40, 30.0, 64, 64)] if videos is None else videos
    write_videos(folder / "videos.csv", videos)
    out = folder / "features" / "given" / "set" / "s1.h5"
    stage = STAGES["given"]
    job = Job({"videos": [folder / "videos.csv"], "files": files}, {"features": out}, stage.params(**options))
    run_stage(stage, job)
    return out


def read(path: Path, video: str = "v") -> tuple[Features, np.ndarray, np.ndarray]:
    with Files() as files:
        found = {f.video: f for f in list_features([path], files)}[video]
        return found, found.read(0, found.n_steps), found.valid()


def test_a_csv_of_openface(tmp_path: Path) -> None:
    found, values, valid = read(run(tmp_path, [openface(tmp_path / "in/v.csv", 40, failed=(3, 7))]))
    assert found.channels == ("AU04_r", "AU12_r") and (found.stream, found.key) == ("given", ("set", "s1", "v"))
    assert (found.step_frame, found.clip_frame, found.n_frames, found.fps) == (1, 1, 40, 30.0)
    assert np.allclose(values[:, 0], np.arange(40) / 10) and np.allclose(values[:, 1], 1 + np.arange(40))
    assert np.flatnonzero(~valid).tolist() == [3, 7]
    assert np.array_equal(found.frame_index, np.arange(40)) and found.origin_frame == 0


def test_an_npz_with_names_and_validity(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(40, 3))
    usable = np.arange(40) != 5
    found, values, valid = read(run(tmp_path, [npz(tmp_path / "in/v.npz", data, channels=list("xyz"), valid=usable)]))
    assert found.channels == ("x", "y", "z") and np.allclose(values, data) and np.array_equal(valid, usable)
    bare, _, _ = read(run(tmp_path, [npz(tmp_path / "in/v.npz", data)]))
    assert bare.channels == ("c0", "c1", "c2")


def test_values_that_are_no_numbers_make_a_row_unusable(tmp_path: Path) -> None:
    data = np.ones((40, 2))
    data[4, 1], data[6, 0], data[8, 0] = np.nan, np.inf, 1e38
    _, values, valid = read(run(tmp_path, [npz(tmp_path / "in/v.npz", data)]))
    assert np.flatnonzero(~valid).tolist() == [4, 6, 8] and np.isfinite(values).all()
    assert (values[[4, 6, 8]] == 0).all() and (values[valid] == 1).all()


def test_columns_are_chosen_and_missing_ones_are_named(tmp_path: Path) -> None:
    path = openface(tmp_path / "in/v.csv", 40)
    found, values, _ = read(run(tmp_path, [path], columns=["AU12_r"]))
    assert found.channels == ("AU12_r",) and values.shape == (40, 1)
    with pytest.raises(UserError, match=r"v\.csv: columns: no AU45_r; expected AU04_r, AU12_r"):
        run(tmp_path, [path], columns=["AU12_r", "AU45_r"])


def test_an_index_column_without_a_name_is_no_channel(tmp_path: Path) -> None:
    """As tables of pandas have it."""
    lines = [",motion,label", *(f"{i},{i / 2},x" for i in range(40))]
    (tmp_path / "v.csv").write_text("\n".join(lines))
    found, values, _ = read(run(tmp_path, [tmp_path / "v.csv"]))
    assert found.channels == ("motion",) and np.allclose(values[:, 0], np.arange(40) / 2)


def test_a_series_at_another_rate_lies_on_the_same_time(tmp_path: Path) -> None:
    """100 rows at 50 a second cover 400 frames at 200."""
    videos = [Video("set", "s1", "v", "-", 400, 200.0, 64, 64)]
    path = npz(tmp_path / "in/v.npz", np.arange(100.0)[:, None], fps=50.0)
    found, values, _ = read(run(tmp_path, [path], videos))
    assert found.fps == 50 and np.array_equal(found.frame_index, 4 * np.arange(100))
    assert found.to_source(np.array([10.5])).tolist() == [42] and values[10] == 10
    bare = npz(tmp_path / "in/v.npz", np.arange(100.0)[:, None])
    told, _, _ = read(run(tmp_path, [bare], videos, fps=50.0))
    assert np.array_equal(told.frame_index, found.frame_index)


@pytest.mark.parametrize(("rows", "rate"), [(38, None), (40, None), (41, None), (67, 50.0), (20, 15.0)])
def test_series_that_fit_are_taken(tmp_path: Path, rows: int, rate: float | None) -> None:
    """A frame more (counted twice) or a few less at the end are usual."""
    found, _, _ = read(run(tmp_path, [npz(tmp_path / "in/v.npz", np.ones((rows, 1)))], fps=rate))
    assert found.n_steps == rows and found.frame_index.max() <= 39


@pytest.mark.parametrize(("rows", "rate"), [(42, None), (400, None), (60, None), (20, None), (30, None), (40, 25.0)])
def test_a_wrong_rate_or_length_is_refused(tmp_path: Path, rows: int, rate: float | None) -> None:
    with pytest.raises(UserError, match=rf"v\.npz: {rows} rows at .* expected the time of 40 frames at 30") as error:
        run(tmp_path, [npz(tmp_path / "in/v.npz", np.ones((rows, 1)))], fps=rate)
    assert "given.fps and given.first_frame" in str(error.value)
    assert not (tmp_path / "features/given/set/s1.h5").exists()


def test_the_first_frame_is_the_releases_number(tmp_path: Path) -> None:
    """A release that calls its first frame 46: the series begins at its frame 50."""
    videos = [Video("set", "s1", "v", "-", 40, 30.0, 64, 64, numbers="46-85")]
    data = np.arange(36.0)[:, None]
    by_file, values, _ = read(run(tmp_path, [npz(tmp_path / "in/v.npz", data, first_frame=50)], videos))
    assert np.array_equal(by_file.frame_index, np.arange(4, 40)) and values[0] == 0
    by_option, _, _ = read(run(tmp_path, [npz(tmp_path / "in/v.npz", data)], videos, first_frame=50))
    assert np.array_equal(by_option.frame_index, by_file.frame_index)
    for outside in (45, 3, 86, -2):
        with pytest.raises(UserError, match=r"v\.npz: first_frame: .* expected one of 46-85"):
            run(tmp_path, [npz(tmp_path / "in/v.npz", data)], videos, first_frame=outside)


def test_videos_without_a_series_are_excluded_with_the_reason(tmp_path: Path) -> None:
    videos = [Video("set", "s1", name, "-", 40, 30.0, 64, 64) for name in ("w", "v")]
    path = run(tmp_path, [openface(tmp_path / "in/v.csv", 40)], videos)
    with open_shard(path) as file:
        assert file["w"].attrs["excluded"] == "no series of another program" and not len(file["w"])
        assert file["v"].attrs["excluded"] == ""
    with Files() as files:
        assert [f.video for f in list_features([path], files)] == ["v"]
        assert list_features([run(tmp_path, [], [])], files) == []  # a subject without any video


def test_two_files_for_one_video_are_refused(tmp_path: Path) -> None:
    files = [openface(tmp_path / "in/v.csv", 40), npz(tmp_path / "in/v.npz", np.ones((40, 1)))]
    with pytest.raises(UserError, match=r"v\.npz: a second series beside v\.csv"):
        run(tmp_path, files)


def test_faces_of_several_people_in_one_file_are_refused(tmp_path: Path) -> None:
    path = openface(tmp_path / "in/v.csv", 20)
    body = path.read_text().splitlines()
    path.write_text("\n".join([body[0], *(line for line in body[1:] for _ in range(2))]))
    with pytest.raises(UserError, match=r"v\.csv: row 3, frame: got 1 after 1, expected numbers that rise by one"):
        run(tmp_path, [path])
    gap = openface(tmp_path / "in/v.csv", 40).read_text().splitlines()
    path.write_text("\n".join([*gap[:10], *gap[11:]]))
    with pytest.raises(UserError, match=r"row 11, frame"):
        run(tmp_path, [path])


DAMAGED = {
    "empty.csv": b"",
    "header.csv": b"a,b\n",
    "words.csv": b"a,b\n" + b"x,y\n" * 40,
    "ragged.csv": b"a,b\n1,2\n3\n",
    "double.csv": b"a,a\n" + b"1,2\n" * 40,
    "comma.csv": b'"a,b",c\n' + b"1,2\n" * 40,
    "binary.csv": bytes(range(256)),
    "text.npz": b"no zip",
    "empty.npz": b"",
    "zip.npz": b"PK\x03\x04" + b"\0" * 40,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_series_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(DAMAGED[name])
    with pytest.raises(UserError, match=name.replace(".", r"\.")) as error:
        read_series(path, None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arrays",
    [
        {"other": np.ones((40, 2))},
        {"features": np.ones(40)},
        {"features": np.float64(3)},
        {"features": np.ones((40, 2, 2))},
        {"features": np.ones((40, 2)), "channels": ["a"]},
        {"features": np.ones((40, 2)), "channels": ["a", "a"]},
        {"features": np.ones((40, 2)), "channels": ["a,b", "c"]},
        {"features": np.ones((40, 2)), "valid": np.ones(39, bool)},
        {"features": np.ones((40, 2)), "fps": 0.0},
        {"features": np.ones((40, 2)), "fps": np.nan},
        {"features": np.array([["a"]] * 40)},
        {"features": np.array([[{}]] * 40, object)},
        {"features": np.empty((0, 2))},
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, object]) -> None:
    np.savez(tmp_path / "v.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"v\.npz"):
        read_series(tmp_path / "v.npz", None)


def sheet(path: Path, header: str, row: str, rows: int = 40, **odd: str) -> Path:
    """A CSV with `row` (with {i} and {frame}) in every row but those of `odd`, by number from 0."""
    lines = [odd.get(f"row{i}", row).format(i=i, frame=i + 1) for i in range(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ({"header": "1,0.1,0.2", "row": "{frame},0.1,0.2"}, "row 1: got '1, 0.1, 0.2', expected a header"),
        ({"header": "frame,AU1", "row": "{frame},0.5", "row7": "{frame},high"}, "row 9, AU1: got 'high'"),
        ({"header": "frame,AU1", "row": '{frame},0.5', "row7": '{frame},"1,234"'}, "row 9, AU1: got '1,234'"),
    ],
)  # fmt: skip
def test_cells_that_are_no_numbers_are_named(tmp_path: Path, file: dict[str, str], says: str) -> None:
    with pytest.raises(UserError) as error:
        read_series(sheet(tmp_path / "v.csv", **file), None)
    assert says.replace("'1, 0.1, 0.2'", "1, 0.1, 0.2") in str(error.value)


def test_decimal_commas_missing_values_and_words_for_success(tmp_path: Path) -> None:
    row, failed = '{frame},True,"0,5",a', '{frame},False,"0,5",b'
    path = sheet(tmp_path / "in/v.csv", "frame,success,AU1,what", row, row3=failed, row5="{frame},True,n/a,c")
    found, values, valid = read(run(tmp_path, [path]))
    assert found.channels == ("AU1",) and np.flatnonzero(~valid).tolist() == [3, 5]
    assert (values[valid] == 0.5).all()


@pytest.mark.parametrize("first", [0, 1, 11])
def test_numbers_of_frames_that_begin_elsewhere_need_a_word(tmp_path: Path, first: int) -> None:
    path = openface(tmp_path / "in/v.csv", 40, first=first)
    if first < 2:
        assert read(run(tmp_path, [path]))[0].frame_index[0] == 0
        return
    with pytest.raises(UserError, match="row 2, frame: got 11, expected 0 or 1 for the first row"):
        run(tmp_path, [path])
    short = openface(tmp_path / "in/v.csv", 30, first=first)
    assert read(run(tmp_path, [short], first_frame=11))[0].frame_index[0] == 10


def test_a_series_without_a_valid_row_is_excluded(tmp_path: Path) -> None:
    path = run(tmp_path, [openface(tmp_path / "in/v.csv", 40, failed=tuple(range(40)))])
    with open_shard(path) as file:
        assert file["v"].attrs["excluded"] == "no valid row in the series of another program"


def test_files_of_a_subject(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for path in ("set/s1/b.csv", "set/s1/a.NPZ", "set/s1/notes.txt", "s2/v.csv"):
        openface(root / path, 2)
    source = GivenSource(root=str(root))
    assert [p.name for p in files_of(source, "set", "s1", alone=False)] == ["a.NPZ", "b.csv"]
    assert [p.name for p in files_of(source, "set", "s2", alone=True)] == ["v.csv"]
    for who, alone in (("s2", False), ("s3", True)):  # with several data sets, s2 may be anybody's
        assert files_of(source, "set", who, alone=alone) == []
    with pytest.raises(UserError, match=r"given\.root: got .*nowhere"):
        files_of(GivenSource(root=str(tmp_path / "nowhere")), "set", "s1", alone=True)
    with pytest.raises(UserError, match=r"given\.root"):
        files_of(GivenSource(), "set", "s1", alone=True)
