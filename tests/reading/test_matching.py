"""Which video a row of a sheet means, and under which names videos go."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from microexp.reading.matching import Ambiguous, Matcher, with_safe_names, without_suffix
from microexp.reading.release import Found


def found(*names: tuple[str, str]) -> list[Found]:
    return [Found(subject, video, Path(f"/d/{subject}/{video}")) for subject, video in names]


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("a.mp4", "a"), ("A.MOV", "A"), ("a.b.mkv", "a.b"), ("a.jpg", "a.jpg"), ("15_0101.1", "15_0101.1"), ("a", "a"),
        (".mp4", ".mp4"), ("", ""), ("a.mp4.mp4", "a.mp4"),
    ],
)  # fmt: skip
def test_only_the_suffix_of_a_video_is_taken_away(name: str, bare: str) -> None:
    assert without_suffix(name) == bare


@pytest.mark.parametrize("video", ["Clip1", "clip1", "CLIP1.MP4", "Clip1.avi", " Clip1 "])
@pytest.mark.parametrize("subject", ["Ann", "ann", "ANN ", ""])
def test_a_row_finds_its_video_in_any_usual_form(subject: str, video: str) -> None:
    matcher = Matcher(found(("Ann", "Clip1"), ("Bob", "Clip2")))
    assert matcher.find(subject, video) == ("Ann", "Clip1")


@pytest.mark.parametrize(
    ("subject", "video"), [("Ann", "Clip2"), ("Cid", "Clip1"), ("", "Clip3"), ("Ann", ""), ("Ann", "1")]
)
def test_a_row_of_no_video_finds_none(subject: str, video: str) -> None:
    assert Matcher(found(("Ann", "Clip1"), ("Bob", "Clip2"))).find(subject, video) is None


def test_the_exact_name_goes_before_a_similar_one() -> None:
    matcher = Matcher(found(("ann", "clip"), ("ann", "Clip"), ("ann", "clip.mp4")))
    for name in ("clip", "Clip", "clip.mp4"):
        assert matcher.find("ann", name) == ("ann", name)


def test_a_name_that_several_have_is_not_guessed() -> None:
    matcher = Matcher(found(("ann", "clip"), ("ann", "Clip"), ("bob", "x")))
    with pytest.raises(Ambiguous, match="ann/Clip and ann/clip"):
        matcher.find("ann", "CLIP")
    assert matcher.find("ann", "X") is None and matcher.find("bob", "X") == ("bob", "x")


def test_without_a_subject_a_video_of_two_people_is_not_guessed() -> None:
    matcher = Matcher(found(("ann", "1"), ("bob", "1"), ("bob", "2")))
    with pytest.raises(Ambiguous, match="ann/1 and bob/1"):
        matcher.find("", "1")
    assert matcher.find("", "2") == ("bob", "2") and matcher.find("ann", "1") == ("ann", "1")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_either_form_of_unicode_means_the_same(form: str) -> None:
    (on_disk,) = with_safe_names(found(("zoë", unicodedata.normalize(form, "é.mp4"))))
    for asked in ("NFC", "NFD"):
        name = unicodedata.normalize(asked, "é")
        assert Matcher([on_disk]).find(unicodedata.normalize(asked, "zoë"), name) == (on_disk.subject, on_disk.video)


def test_safe_names_stay_and_others_keep_what_they_were() -> None:
    plain, odd = with_safe_names(found(("ann", "clip_1"), ("my subject", "a/b?")))
    assert (plain.subject, plain.video, plain.original) == ("ann", "clip_1", ())
    assert odd.original == ("my subject", "a/b?")
    assert not set(" /?") & set(odd.subject + odd.video)
    assert Matcher([plain, odd]).find("my subject", "a/b?") == (odd.subject, odd.video)


def test_names_that_would_become_one_stay_apart() -> None:
    named = with_safe_names(found(("ann", "a b"), ("ann", "a-b"), ("ann", "a_b"), ("a n", "a b")))
    assert len({(item.subject, item.video) for item in named}) == 4
    assert [item.path for item in named] == [
        item.path for item in found(("ann", "a b"), ("ann", "a-b"), ("ann", "a_b"), ("a n", "a b"))
    ]
