"""Videos are known by their names, or by how they begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from microexp.reading.trees import DEMUXERS, IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_video_name, looks_like_video
from tests.reading.made import write


@pytest.mark.parametrize("name", ["a.mp4", "A.MOV", "b.c.mkv", "clip.MtS", "x.webm", "007.avi"])
def test_usual_names_of_videos(name: str) -> None:
    assert is_video_name(name)


@pytest.mark.parametrize("name", ["a.txt", "mp4", "a.mp4.txt", "a.", "", ".mp4", "a.jpg", "a.m3u8", "a.sdp", "a.xlsx"])
def test_other_names(name: str) -> None:
    assert not is_video_name(name)


def test_a_suffix_is_of_one_kind() -> None:
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES
    assert all(s.startswith(".") and s == s.lower() for s in VIDEO_SUFFIXES | IMAGE_SUFFIXES)


@pytest.mark.parametrize("reader", ["concat", "hls", "dash", "sdp", "image2", "lavfi", "rtsp", "tee"])
def test_readers_that_open_other_files_are_not_used(reader: str) -> None:
    assert reader not in DEMUXERS.split(",")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov", "ts", "flv"])
def test_what_is_written_as_a_video_begins_as_one(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"clip.{suffix}", 3)
    assert looks_like_video(path.rename(tmp_path / "no suffix"))


HEADS = {
    "a wave file": b"RIFF\x00\x00\x00\x00WAVEfmt ",
    "a still picture": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "text": b"ftyp is what it says, but not where it counts",
    "nothing": b"",
    "one sync byte": b"\x47" + bytes(600),
    "two sync bytes": (b"\x47" + bytes(187)) * 2 + bytes(300),
    "a playlist": b"#EXTM3U\nfile:///etc/passwd\n",
    "a workbook": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_begins_otherwise_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(HEADS[name])
    assert not looks_like_video(tmp_path / "x")


@pytest.mark.parametrize(("start", "step"), [(0, 188), (4, 192)])
def test_a_transport_stream_is_known_by_three_of_its_packets(tmp_path: Path, start: int, step: int) -> None:
    data = bytearray(600)
    for packet in range(3):
        data[start + packet * step] = 0x47
    (tmp_path / "x").write_bytes(bytes(data))
    assert looks_like_video(tmp_path / "x")
    (tmp_path / "x").write_bytes(bytes(data[: start + 2 * step]))
    assert not looks_like_video(tmp_path / "x"), "the third one is not there"


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert not looks_like_video(tmp_path / "missing")
    assert not looks_like_video(tmp_path)
