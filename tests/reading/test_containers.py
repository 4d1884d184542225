"""Videos as people have them: every container and codec at hand, rates, turns, damage; each as a player shows it."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from microexp.errors import UserError
from microexp.reading import containers
from microexp.reading.frames import frame_times, gaps, open_video
from microexp.reading.images import BadVideo
from tests.reading.made import HEIGHT, STEP, WIDTH, number_of, picture, spoil, with_matrix, write

N = 24

WHOLE: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "b_frames.mp4": {"bf": "3", "g": "12"},
    "b_pyramid.mov": {"bf": "3", "g": "24", "x264-params": "b-pyramid=normal"},
    "one_key_frame.mkv": {"bf": "2", "g": "250"},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "b_frames.avi": {"bf": "3"},
    "mpeg4.avi": {"codec": "mpeg4", "bf": "2", "q:v": "2"},
    "xvid.divx": {"codec": "mpeg4", "container": "avi", "bf": "1"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "raw.avi": {"codec": "rawvideo", "pix_fmt": "yuv420p"},
    "ffv1.mkv": {"codec": "ffv1"},
    "huffyuv.avi": {"codec": "huffyuv", "pix_fmt": "yuv422p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "bf": "2", "g": "12"},
    "mpeg1.mpg": {"codec": "mpeg1video", "bf": "2", "g": "12"},
    "dvd.vob": {"codec": "mpeg2video", "container": "vob", "bf": "2", "g": "12"},
    "mpeg2.ts": {"codec": "mpeg2video", "bf": "2", "g": "12"},
    "camera.MTS": {"container": "mpegts", "bf": "2"},
    "h264.m2ts": {"container": "mpegts"},
    "flash.flv": {"codec": "flv"},
    "h264.flv": {"bf": "2"},
    "phone.3gp": {"container": "3gp"},
    "windows.wmv": {"codec": "wmv2", "container": "asf"},
    "msmpeg4.asf": {"codec": "msmpeg4v3", "container": "asf"},
    "moving.gif": {"codec": "gif", "pix_fmt": "rgb8", "fps": 25},
    "raw.h264": {"container": "h264", "bf": "2"},
    "raw.m2v": {"codec": "mpeg2video", "container": "mpeg2video", "bf": "2", "g": "12"},
    "plain.y4m": {"codec": "rawvideo", "container": "yuv4mpegpipe"},
    "vp8.ivf": {"codec": "libvpx", "container": "ivf"},
    "any.nut": {"codec": "mpeg4", "container": "nut", "bf": "2"},
    "broadcast.mxf": {"codec": "mpeg2video", "container": "mxf", "fps": 25},
    "ten_bits.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p10le"},
    "grey.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "slow.mp4": {"fps": 5},
    "fast.mp4": {"fps": 200, "bf": "2"},
    "no suffix": {"container": "matroska"},
    "motion.mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mjpeg", "fps": 25},
}


def test_there_are_enough_kinds() -> None:
    assert len(WHOLE) >= 30


@pytest.mark.parametrize("name", WHOLE)
def test_every_kind_gives_all_frames_at_its_rate(tmp_path: Path, name: str) -> None:
    options = WHOLE[name]
    source = open_video(write(tmp_path / name, N, **options))
    assert (source.n_frames, source.width, source.height) == (N, WIDTH, HEIGHT)
    assert source.fps == pytest.approx(options.get("fps", 30), rel=1e-3)
    frames = list(source.read())
    assert [None if f is None else number_of(f) for f in frames] == list(range(N))
    assert source.grey == (name == "grey.mkv") and not source.notes
    times = source.times()
    np.testing.assert_allclose(times, np.arange(N) / options.get("fps", 30), atol=0.011)
    np.testing.assert_array_equal(frame_times(source.path, float(source.fps or 0)), times)


@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.avi", "mpeg2.mpg", "mpeg2.ts", "raw.h264", "vp8.webm"])
def test_frames_are_the_same_in_any_order(tmp_path: Path, name: str) -> None:
    source = open_video(write(tmp_path / name, N, **WHOLE[name]))
    frames = list(source.read())
    for wanted in ([23], [16, 3, 3, 20], [13, 12], [0, 22, 1]):
        for frame, index in zip(source.read(wanted), wanted, strict=True):
            assert frame is not None and (frame == frames[index]).all()


@pytest.mark.parametrize(
    ("matrix", "corner", "size"),
    [
        ((1, 0, 0, 1), (0, 0), (WIDTH, HEIGHT)),
        ((0, 1, -1, 0), (0, -1), (HEIGHT, WIDTH)),  # a phone held upright
        ((-1, 0, 0, -1), (-1, -1), (WIDTH, HEIGHT)),
        ((0, -1, 1, 0), (-1, 0), (HEIGHT, WIDTH)),
        ((-1, 0, 0, 1), (0, -1), (WIDTH, HEIGHT)),  # mirrored, as by the camera on the front
        ((1, 0, 0, -1), (-1, 0), (WIDTH, HEIGHT)),
        ((0, 1, 1, 0), (0, 0), (HEIGHT, WIDTH)),
        ((0, -1, -1, 0), (-1, -1), (HEIGHT, WIDTH)),
    ],
)
def test_the_display_matrix_turns_the_picture(
    tmp_path: Path, matrix: tuple[int, int, int, int], corner: tuple[int, int], size: tuple[int, int]
) -> None:
    """The stored picture has its top left corner white; x' = a x + c y, y' = b x + d y says where that is shown."""
    source = open_video(with_matrix(write(tmp_path / "v.mp4", 3), *matrix))
    assert (source.width, source.height) == size
    frame = next(source.read([1]))
    assert frame is not None and frame.shape == (size[1], size[0], 3)
    bright = {at: float(frame[at].mean()) for at in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert max(bright, key=lambda at: bright[at]) == corner


def test_an_angle_that_is_not_a_right_one_is_noted(tmp_path: Path) -> None:
    source = open_video(with_matrix(write(tmp_path / "v.mp4", 3), 1, 1, -1, 1))
    assert (source.width, source.height) == (WIDTH, HEIGHT)
    assert any("not a right one" in note for note in source.notes)


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (85, 48)), (Fraction(8, 9), (64, 54))])
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_pixels_become_square(tmp_path: Path, name: str, aspect: Fraction, size: tuple[int, int]) -> None:
    source = open_video(write(tmp_path / name, 4, pixel_aspect=aspect))
    assert (source.width, source.height) == size
    assert all(frame is not None and frame.shape[:2] == size[::-1] for frame in source.read())
    assert any(note.startswith(f"pixels of {aspect}") for note in source.notes)


def test_a_picture_that_grows_too_large_on_the_way_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [write(tmp_path / name, 6, container="mpegts", size=size) for name, size in
             (("a.ts", (WIDTH, HEIGHT)), ("b.ts", (5 * WIDTH, 5 * HEIGHT)))]  # fmt: skip
    (tmp_path / "c.ts").write_bytes(b"".join(path.read_bytes() for path in parts))
    monkeypatch.setattr(containers, "MAX_PIXELS", 2 * WIDTH * HEIGHT)
    shapes = {None if f is None else f.shape[:2] for f in open_video(tmp_path / "c.ts").read()}
    assert shapes == {None, (HEIGHT, WIDTH)}


@pytest.mark.parametrize(("name", "codec"), [("v.mkv", "libx264"), ("v.avi", "mpeg4"), ("v.flv", "libx264")])
def test_what_was_cut_off_is_said(tmp_path: Path, name: str, codec: str) -> None:
    path = write(tmp_path / name, N, fps=6, codec=codec, g="1")
    assert not open_video(path).cut
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    source = open_video(path)
    assert 3 < source.n_frames < 22
    assert source.cut in source.notes
    assert re.fullmatch(r"it ends after [0-3]\.\d of 4\.0 s: the rest of the file is missing", source.cut)


def test_a_late_start_is_nothing_missing(tmp_path: Path) -> None:
    late = [5_000_000 + round(i * 1000 / 30) for i in range(N)]
    assert not open_video(write(tmp_path / "v.mkv", N, times_ms=late)).cut


# --- rates ------------------------------------------------------------------------------------------------------------


def test_a_header_that_is_wrong_is_noted_and_the_times_are_taken(tmp_path: Path) -> None:
    """A browser's recording, with a header that says 1000 frames/s."""
    times = [round(i * 1000 / 29) for i in range(N)]
    source = open_video(write(tmp_path / "v.webm", N, codec="libvpx", fps=1000, times_ms=times))
    assert source.fps == pytest.approx(29, rel=2e-3)
    assert any("the header says" in note for note in source.notes)
    np.testing.assert_allclose(source.times(), np.array(times) / 1000, atol=1e-6)


def test_a_variable_rate_has_gaps_and_its_own_times(tmp_path: Path) -> None:
    times = [40 * i + (600 if i >= 10 else 0) for i in range(N)]
    source = open_video(write(tmp_path / "v.mkv", N, fps=25, times_ms=times))
    assert source.fps == pytest.approx(25)
    assert np.flatnonzero(gaps(source.times())).tolist() == [10]
    assert source.times()[-1] == pytest.approx(1.52, abs=1e-3)
    assert any("a variable rate: 40 to 640 ms" in note for note in source.notes)


def test_missing_numbers_of_images_are_gaps(tmp_path: Path) -> None:
    for number in [1, 2, 3, 9, 10]:
        (tmp_path / f"img{number}.png").write_bytes(cv2.imencode(".png", picture(number))[1].tobytes())
    times = frame_times(tmp_path, 10.0)
    np.testing.assert_allclose(times, [0, 0.1, 0.2, 0.8, 0.9])
    assert np.flatnonzero(gaps(times)).tolist() == [3]


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["h264.mp4", "b_frames.mp4", "mpeg4.avi", "b_frames.avi", "mjpeg.avi", "one_key_frame.mkv"]
)
def test_a_damaged_packet_costs_what_cannot_be_decoded_and_no_more(tmp_path: Path, name: str) -> None:
    path = spoil(write(tmp_path / name, N, **WHOLE[name]), 16)
    source = open_video(path)
    frames = list(source.read())
    bad = [i for i, frame in enumerate(frames) if frame is None]
    assert source.n_frames == N and 1 <= len(bad) <= 4 and 13 <= min(bad) <= max(bad) <= 20
    assert [number_of(f) for f in frames[:13] if f is not None] == list(range(13))
    again = list(source.read(list(range(10, 24))))
    assert [f is None for f in again] == [f is None for f in frames[10:]]


@pytest.mark.parametrize("name", ["mkv", "avi", "ts", "flv", "mpg"])
def test_a_file_that_was_cut_off_is_used_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    codec = {"mpg": "mpeg2video", "flv": "flv"}.get(name, "libx264")
    path = write(tmp_path / f"v.{name}", N, codec=codec, g="8", bf="0", size=(256, 192))
    data = path.read_bytes()
    path.write_bytes(data[: int(0.7 * len(data))])
    source = open_video(path)
    numbers = [number_of(f) for f in source.read() if f is not None]
    assert 8 <= len(numbers) <= source.n_frames < N
    assert numbers[:8] == list(range(8))


NOTHING = {
    "empty.mp4": b"",
    "text.mov": b"not a video at all, but some words",
    "concat.mp4": b"ffconcat version 1.0\nfile other.mp4\n",
    "playlist.ts": b"#EXTM3U\n#EXTINF:10,\nother.mp4\n#EXT-X-ENDLIST\n",
    "session.mp4": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "manifest.mp4": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_video_is_one_line_and_opens_no_other_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / "other.mp4", 4)
    (tmp_path / name).write_bytes(NOTHING[name])
    with pytest.raises(BadVideo, match=name) as caught:
        open_video(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "v.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with pytest.raises(BadVideo, match="no video stream"):
        open_video(tmp_path / "v.mp4")


# --- images -----------------------------------------------------------------------------------------------------------


def test_an_image_that_is_far_too_large_is_not_decoded(tmp_path: Path) -> None:
    small = cv2.imencode(".bmp", picture(3))[1].tobytes()
    for number in (1, 2, 3):
        (tmp_path / f"img{number}.bmp").write_bytes(small)
    (tmp_path / "img2.bmp").write_bytes(small[:18] + struct.pack("<ii", 30_000, 30_000) + small[26:])
    assert [frame is None for frame in open_video(tmp_path).read()] == [False, True, False]


@pytest.mark.parametrize(("bits", "largest"), [(8, 200), (10, 1000), (12, 4000), (16, 60_000)])
@pytest.mark.parametrize("grey", [True, False])
def test_values_of_any_depth_keep_their_levels(tmp_path: Path, bits: int, largest: int, grey: bool) -> None:
    ramp = np.linspace(0, largest, WIDTH).astype(np.uint16)
    image = np.repeat(ramp[None], HEIGHT, axis=0)
    for number in range(3):
        data = image if grey else np.repeat(image[..., None], 3, axis=2)
        (tmp_path / f"img{number}.png").write_bytes(cv2.imencode(".png", data)[1].tobytes())
    source = open_video(tmp_path)
    frame = next(source.read([1]))
    assert frame is not None and frame.dtype == np.uint8 and source.grey == grey
    line = frame[0] if grey else frame[0, :, 0]
    np.testing.assert_array_equal(line, ramp >> (bits - 8))
    assert source.notes == (f"16-bit images with values of {bits} bits: scaled to 8",)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_exif_turns_images_and_nothing_is_said_of_their_size(
    tmp_path: Path, orientation: int, corner: tuple[int, int]
) -> None:
    from PIL import Image

    from microexp.reading.frames import image_size

    for number in range(2):
        about = Image.Exif()
        about[0x0112] = orientation
        Image.fromarray(picture(5)).save(tmp_path / f"img{number}.jpg", exif=about)
    source = open_video(tmp_path)
    size = (HEIGHT, WIDTH) if orientation in (6, 8) else (WIDTH, HEIGHT)
    assert (source.width, source.height) == size == image_size(tmp_path / "img0.jpg")
    frame = next(source.read([1]))
    assert frame is not None and frame.shape[:2] == size[::-1]
    assert float(frame[corner].mean()) > 240


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png", ".bmp", ".jpg"])
def test_images_of_every_kind(tmp_path: Path, suffix: str) -> None:
    for number in range(4):
        (tmp_path / f"f_{number}{suffix}").write_bytes(cv2.imencode(suffix, picture(number))[1].tobytes())
    assert [number_of(f) for f in open_video(tmp_path).read() if f is not None] == [0, 1, 2, 3]


def test_a_folder_without_a_rate_needs_one(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(cv2.imencode(".png", picture(1))[1].tobytes())
    source = open_video(tmp_path)
    assert source.fps is None and source.times(25.0).tolist() == [0]
    with pytest.raises(ValueError, match="without a rate"):
        source.times()


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.mp4: no such file"):
        open_video(tmp_path / "gone.mp4")
    assert STEP * N < 235
