from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microexp.errors import UserError
from microexp.reading.frames import BadVideo, frame_number, image_size, list_frames, open_video

from .conftest import image


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("img_1.jpg", 1), ("img001.jpg", 1), ("reg_img46.jpg", 46), ("006_1_0001.jpg", 1), ("006_05562.jpg", 5562),
        ("image559740.bmp", 559740), ("S005_001_00000011.png", 11), ("12.PNG", 12), ("frame 7 (copy).jpg", 7),
        ("cover.jpg", None), ("1" * 40 + ".jpg", None),
    ],
)  # fmt: skip
def test_frame_numbers_of_all_releases(name: str, number: int | None) -> None:
    assert frame_number(name) == number


def test_order_is_numeric_over_four_digits(tmp_path: Path, make_frames) -> None:
    folder = make_frames(tmp_path / "016_7", [*range(1, 4), 9999, 10000, 11770], "016_7_{:04d}.jpg")
    frames = list_frames(folder)
    assert frames.numbers.tolist() == [1, 2, 3, 9999, 10000, 11770]
    assert [p.name for p in frames.paths][-2:] == ["016_7_10000.jpg", "016_7_11770.jpg"]


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.sets(st.integers(0, 10**6), min_size=1, max_size=12), padding=st.integers(1, 6))
def test_any_numbers_come_back_in_order(tmp_path_factory, numbers: set[int], padding: int) -> None:
    folder = tmp_path_factory.mktemp("f")
    for n in numbers:
        (folder / f"a9_{n:0{padding}d}.bmp").touch()
    assert list_frames(folder).numbers.tolist() == sorted(numbers)


def test_hidden_and_foreign_files_are_no_frames(tmp_path: Path, make_frames) -> None:
    folder = make_frames(tmp_path / "v", [5, 6])
    for name in ("._img5.jpg", "Thumbs.db", "notes7.txt", "cover.jpg"):
        (folder / name).write_bytes(b"x")
    frames = list_frames(folder)
    assert frames.numbers.tolist() == [5, 6]
    assert frames.ignored == ("cover.jpg",)


def test_two_files_of_one_number(tmp_path: Path, make_frames) -> None:
    folder = make_frames(tmp_path / "v", [1])
    make_frames(folder, [1], "img{:03d}.jpg")
    with pytest.raises(UserError, match=r"v: frame 1: img001.jpg and img1.jpg"):
        list_frames(folder)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".JPEG"])
@pytest.mark.parametrize("grey", [True, False])
def test_images_grey_and_colour(tmp_path: Path, suffix: str, grey: bool) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    for n in range(3):
        picture = image(50 * n + 20, grey=grey)
        if not grey:
            picture[..., 2] = 200  # red in OpenCV's order
        (folder / f"img{n + 1}{suffix}").write_bytes(cv2.imencode(suffix, picture)[1].tobytes())
    source = open_video(folder)
    frames = list(source.read())
    assert (source.n_frames, source.width, source.height, source.fps) == (3, 16, 12, None)
    assert source.grey == (grey and suffix != ".bmp") or suffix == ".bmp"  # BMP stores grey as a palette
    expected = (12, 16) if source.grey else (12, 16, 3)
    assert all(f.shape == expected and f.dtype == np.uint8 for f in frames)
    if not grey:
        assert frames[0][0, 0, 0] > 190 and frames[0][0, 0, 2] < 60  # RGB
    assert [round(float(f[..., -1].mean() if f.ndim == 3 else f.mean()), -1) for f in frames] == [20, 70, 120]
    assert next(source.read([1], grey=True)).shape == (12, 16)


def test_indices_in_any_order(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / f"{n}.png").write_bytes(cv2.imencode(".png", image(10 * n))[1].tobytes())
    got = [int(f[0, 0, 0]) for f in open_video(tmp_path).read([3, 0, 0, 4])]
    assert got == [30, 0, 0, 40]
    with pytest.raises(IndexError):
        next(open_video(tmp_path).read([5]))


def test_mixed_sizes_and_channels_follow_the_first_frame(tmp_path: Path) -> None:
    for n, picture in enumerate([image(60), image(60, 32, 24), image(60, grey=True)]):
        (tmp_path / f"{n}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    frames = list(open_video(tmp_path).read())
    assert [f.shape for f in frames] == [(12, 16, 3)] * 3
    assert all((f == 60).all() for f in frames)


@pytest.mark.parametrize("data", [b"\xff\xd8 not an image", b"", None])
def test_a_damaged_frame_in_the_middle_costs_itself_only(tmp_path: Path, make_frames, data: bytes | None) -> None:
    folder = make_frames(tmp_path / "v", range(1, 6))
    if data is None:
        (folder / "img3.jpg").unlink()
        (folder / "img3.jpg").symlink_to(tmp_path / "nowhere.jpg")
    else:
        (folder / "img3.jpg").write_bytes(data)
    source = open_video(folder)
    assert source.n_frames == 5
    assert [frame is None for frame in source.read()] == [False, False, True, False, False]
    assert [frame is None for frame in source.read([2, 4, 2], grey=True)] == [True, False, True]


def test_a_damaged_first_frame_does_not_decide_the_size(tmp_path: Path, make_frames) -> None:
    folder = make_frames(tmp_path / "v", range(1, 4))
    (folder / "img1.jpg").write_bytes(b"")
    source = open_video(folder)
    assert (source.width, source.height, source.n_frames) == (16, 12, 3)
    for number in range(1, 4):
        (folder / f"img{number}.jpg").write_bytes(b"")
    with pytest.raises(BadVideo, match=r"img1\.jpg: no image data"):
        open_video(folder)


def test_links_and_loops(tmp_path: Path, make_frames) -> None:
    real = make_frames(tmp_path / "real", [1, 2])
    (tmp_path / "link").symlink_to(real)
    assert open_video(tmp_path / "link").n_frames == 2
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match="/a: "):
        open_video(tmp_path / "a")
    (real / "img4.jpg").mkdir()
    with pytest.raises(UserError, match=r"img4\.jpg: Is a directory"):
        list(open_video(real).read())


@pytest.mark.parametrize("name", ["missing", "empty", "text.mp4", "text.txt"])
def test_nothing_to_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "text.txt").write_text("no video")
    with pytest.raises(UserError, match=name):
        open_video(tmp_path / name)


def test_image_size_reads_headers_only(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = cv2.imencode(".png", image(9, 40, 30))[1].tobytes()
    path.write_bytes(data[:64])
    assert image_size(path) == (40, 30)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"a\.png"):
        image_size(path)


def test_image_bomb_is_refused(tmp_path: Path) -> None:
    small = cv2.imencode(".bmp", image(0))[1].tobytes()
    for side in (11_000, 60_000):  # the header says it is huge, the file is tiny
        (tmp_path / "img1.bmp").write_bytes(small[:18] + struct.pack("<ii", side, side) + small[26:])
        with pytest.raises(UserError, match=r"img1\.bmp.*89 million"):
            open_video(tmp_path)


def test_every_image_is_measured_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A far too large one in the middle of a folder costs itself alone, and no memory."""
    small = cv2.imencode(".bmp", image(0))[1].tobytes()
    huge = small[:18] + struct.pack("<ii", 30_000, 30_000) + small[26:]
    for number, data in enumerate([small, huge, small]):
        (tmp_path / f"img{number}.bmp").write_bytes(data)
    real = cv2.imdecode
    decoded: list[bytes] = []
    monkeypatch.setattr(cv2, "imdecode", lambda data, flag: decoded.append(data.tobytes()) or real(data, flag))
    assert [frame is None for frame in open_video(tmp_path).read()] == [False, True, False]
    assert decoded and set(decoded) == {small}


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "2"}),
        ("a.mp4", "libx264", {"bf": "0"}),
        ("a.avi", "mjpeg", {}),
        ("a.mkv", "ffv1", {}),
        ("a.avi", "mpeg4", {"q": "1"}),
    ],
)
def test_video_files_count_and_seek_exactly(tmp_path: Path, make_video, name: str, codec: str, options) -> None:
    source = open_video(make_video(tmp_path / name, 40, codec=codec, **options))
    assert (source.n_frames, source.fps, source.width, source.height) == (40, 30, 32, 32)
    assert source.numbers.tolist() == list(range(1, 41))
    frames = list(source.read())
    assert len(frames) == 40
    levels = [float(f.mean()) / 4 for f in frames]
    assert np.abs(np.array(levels) - np.arange(40)).max() < 1.2  # lossy, but in order
    for wanted in ([39], [0, 25, 26], [33, 3, 3, 12], [17, 16]):
        picked = list(source.read(wanted))
        assert all((p == frames[i]).all() for p, i in zip(picked, wanted, strict=True))


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_a_video_cut_off_keeps_what_is_left_of_it(tmp_path: Path, make_video, name: str) -> None:
    path = make_video(tmp_path / name, 40, codec="mjpeg")
    source = open_video(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames = list(source.read())  # opened when it was whole: the count stays
    assert len(frames) == 40 and frames[39] is None and frames[0] is not None
    shorter = open_video(path)
    assert 10 < shorter.n_frames < 30
    whole = [f for f in shorter.read() if f is not None]
    assert len(whole) >= shorter.n_frames - 1
    assert all((a == b).all() for a, b in zip(whole, frames, strict=False))


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_a_bad_video_and_nothing_else(tmp_path: Path, make_video, seed: int) -> None:
    """Whatever the decoder makes of it: it can be excluded, and there is never a traceback."""
    rng = np.random.default_rng(seed)
    path = make_video(tmp_path / "v.mkv", 5)
    whole = path.read_bytes()
    for _ in range(100):
        data = bytearray(whole)
        for place in rng.integers(0, 500, rng.integers(1, 40)):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data[: rng.integers(200, len(data))]))
        with suppress(BadVideo):
            list(open_video(path).read())
