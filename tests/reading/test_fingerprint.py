"""Fingerprints of videos: content alone, and quickly where nothing changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from microexp.reading import fingerprint as module
from microexp.reading.fingerprint import Fingerprints, fingerprint


def folder(path: Path, frames: int = 6, size: int = 3000) -> Path:
    path.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for number in range(frames):
        (path / f"img{number}.jpg").write_bytes(rng.bytes(size))
    return path


def video(path: Path, size: int = 20_000) -> Path:
    path.write_bytes(np.random.default_rng(4).bytes(size))
    return path


@pytest.mark.parametrize("make", [folder, video])
def test_a_copy_has_the_same_and_dates_do_not_matter(tmp_path: Path, make: object) -> None:
    one = make(tmp_path / "one")  # type: ignore[operator]
    two = tmp_path / "elsewhere" / "two"
    two.parent.mkdir()
    shutil.copytree(one, two) if one.is_dir() else shutil.copy(one, two)
    os.utime(two, ns=(5, 5))
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("what", ["byte", "swap", "name", "fewer", "longer"])
def test_another_content_has_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool, what: str) -> None:
    """Also of large videos, of which blocks are read: what sits at the end of a frame, its size, order and names."""
    if not full:
        monkeypatch.setattr(module, "FULL_BYTES", 0)
        monkeypatch.setattr(module, "SAMPLE_BYTES", 6 * 512)
        monkeypatch.setattr(module, "LEAST_BYTES", 512)
    path = folder(tmp_path / "v")
    before = fingerprint(path)
    one, two = path / "img1.jpg", path / "img2.jpg"
    first, second = one.read_bytes(), two.read_bytes()
    if what == "byte":
        one.write_bytes(first[:-1] + bytes([first[-1] ^ 1]))
    elif what == "swap":
        one.write_bytes(second)
        two.write_bytes(first)
    elif what == "name":
        one.rename(path / "img17.jpg")
    elif what == "fewer":
        one.unlink()
    else:
        one.write_bytes(first + b"x")
    assert fingerprint(path) != before


def test_every_byte_of_an_ordinary_file_counts(tmp_path: Path) -> None:
    path = video(tmp_path / "v.mp4", 2000)
    whole, seen = path.read_bytes(), {fingerprint(path)}
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 128]) + whole[place + 1 :])
        seen.add(fingerprint(path))
    assert len(seen) == 1 + len(range(0, len(whole), 7))


def test_files_that_are_no_frames_do_not_matter(tmp_path: Path) -> None:
    path = folder(tmp_path / "v")
    before = fingerprint(path)
    (path / "Thumbs.db").write_text("x")
    (path / "._img1.jpg").write_text("x")
    assert fingerprint(path) == before


def test_nothing_is_read_again_that_the_file_system_says_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "JUST_NOW_S", -1)
    path, notes = folder(tmp_path / "v"), tmp_path / "notes.json"
    known = Fingerprints(notes)
    first = known.of(path)
    known.save()
    monkeypatch.setattr(module, "fingerprint", lambda _: "read again")
    assert Fingerprints(notes).of(path) == first
    frame = path / "img3.jpg"
    state = frame.stat()
    frame.write_bytes(bytes(state.st_size))
    os.utime(frame, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Fingerprints(notes).of(path) == "read again", "overwritten in place, with its old size and date"
    notes.write_text("[1]")
    assert Fingerprints(notes).of(path) == "read again"


def test_what_changed_just_now_is_read_again_next_time(tmp_path: Path) -> None:
    """It may change within the same tick of the clock."""
    path, notes = video(tmp_path / "v.mp4"), tmp_path / "notes.json"
    known = Fingerprints(notes)
    known.of(path)
    known.save()
    assert not notes.exists()


def test_what_cannot_be_read_is_for_the_index_to_say(tmp_path: Path) -> None:
    assert Fingerprints(tmp_path / "n").of(tmp_path / "no.mp4") == ""
