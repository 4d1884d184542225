"""Which frames count: segments, people, repeated pictures, and how stages pass it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from microexp.faces.crops import resampled_frames, sampled_frames
from microexp.faces.observe import Face, Looks, Person, choose, people, same_person, with_other_places
from microexp.faces.params import CropsParams, FacesParams
from microexp.faces.segments import (
    NO_FACE,
    NO_PLACE,
    UNKNOWN,
    FaceGeometry,
    find_segments,
    labels_of,
    refine,
    spread_labels,
)
from microexp.faces.viewing import reasons
from microexp.faces.watch import Watch, merge, repeated
from microexp.features.params import MotionParams
from microexp.flow.params import FlowParams
from microexp.pipeline import STAGES
from microexp.records.crops import Crops, open_crops
from microexp.records.faces import Faces, open_faces
from microexp.records.features import Files, list_features
from microexp.records.flow import open_flow
from microexp.records.index import Video, write_videos
from microexp.records.validity import Reason, in_words, valid_frames, valid_pairs
from microexp.rendered.video import write_video
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests.faces.conftest import moved
from tests.shards import write_crops

Make = Callable[..., Path]
GEOMETRY = FaceGeometry(0.35, 0.36, 1280, 720)
FACE = np.random.default_rng(0).normal(0, 20, (68, 2))
FACE[36:42], FACE[42:48], FACE[31:36] = (-35, -20), (35, -20), (0, 30)


def at(x: float, y: float = 300.0, scale: float = 1.0) -> np.ndarray:
    """Landmarks (68, 2) of a face in a place, its eyes 70 px apart, so that the crop has 200 px."""
    return FACE * scale + [x, y]


def face_at(x: float, side: float = 100.0, y: float = 300.0) -> Face:
    return Face(np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2]), at(x, y), 1.0)


# --- segments ---------------------------------------------------------------------------------------------------------


def test_a_head_that_stays_is_one_segment_with_the_median_of_all() -> None:
    landmarks = np.array([at(300 + 20 * np.sin(i)) for i in range(48)])
    (only,) = find_segments(landmarks, GEOMETRY)
    np.testing.assert_array_equal(only.reference, np.median(landmarks, axis=0))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("jump", [60.0, 200.0, 640.0])
def test_a_jump_of_the_reference_opens_a_segment(share: float, jump: float) -> None:
    first = round(48 * share)
    landmarks = np.array([at(300 if i < first else 300 + jump) for i in range(48)])
    segments = find_segments(landmarks, GEOMETRY)
    labels = labels_of(landmarks, segments, GEOMETRY)
    assert len(segments) == 2 and (np.diff(labels) != 0).sum() == 1 and np.flatnonzero(np.diff(labels))[0] == first - 1
    for landmark, label in zip(landmarks, labels, strict=True):
        assert GEOMETRY.off(landmark[None], segments[label].alignment)[0] < 0.01


def test_single_wrong_landmarks_are_out_and_no_segment() -> None:
    landmarks = np.array([at(900 if i in (7, 30) else 300) for i in range(48)])
    segments = find_segments(landmarks, GEOMETRY)
    labels = labels_of(landmarks, segments, GEOMETRY)
    assert len(segments) == 1 and np.flatnonzero(labels == NO_PLACE).tolist() == [7, 30]


def test_a_face_that_leaves_the_picture_has_no_place() -> None:
    landmarks = np.array([at(20.0), at(-30.0)])
    segments = [GEOMETRY.segment(landmarks[:1]), GEOMETRY.segment(landmarks[1:])]
    assert labels_of(landmarks, segments, GEOMETRY).tolist() == [0, NO_PLACE]


@pytest.mark.parametrize("change", [1, 17, 36, 71])
def test_the_frame_of_the_change_is_found_by_halving(change: int) -> None:
    truth = np.array([0] * change + [NO_FACE] * (72 - change))
    asked: list[int] = []

    def look(frames: np.ndarray) -> list[Face | None]:
        asked.extend(frames.tolist())
        return [face_at(300) if truth[f] == 0 else None for f in frames]

    def label(looks: Looks) -> np.ndarray:
        return np.where(looks.seen, 0, NO_FACE)

    first = np.array([0, 24, 48, 71])
    looks = refine(Looks(first, tuple(look(first)), np.zeros(4, bool)), look, label)
    np.testing.assert_array_equal(spread_labels(looks.frames, label(looks), 72), truth)
    assert len(asked) <= 4 + 6 and (np.diff(looks.frames) > 0).all()


def test_frames_in_doubt_are_not_usable() -> None:
    labels = spread_labels(np.array([2, 6, 9]), np.array([0, NO_FACE, 1]), 12)
    assert labels.tolist() == [0, 0, 0, -1, -1, -1, -1, -1, -1, 1, 1, 1]
    labels = spread_labels(np.array([2, 4, 6]), np.array([0, UNKNOWN, 0]), 8)
    assert labels.tolist() == [0] * 8  # a damaged look tells nothing


def test_reasons_of_segments_and_times() -> None:
    times = np.array([0, 0.1, 0.2, 0.9, 1.0, 1.1, 1.2, 1.3])
    found = reasons(np.array([0, 0, 0, 0, NO_FACE, 1, NO_PLACE, 1]), times)
    assert [Reason(r).name for r in found] == ["NONE"] * 3 + ["GAP", "NO_FACE", "CUT", "OUTSIDE", "NONE"]


# --- pairs ------------------------------------------------------------------------------------------------------------


def test_motion_counts_between_valid_frames_and_out_of_repeated_ones() -> None:
    r = Reason
    reason = np.array(
        [r.NONE, r.NONE, r.REPEATED, r.NONE, r.GAP, r.NO_FACE, r.NONE, r.CUT, r.DAMAGED, r.REPEATED, r.NONE]
    )
    valid = valid_frames(reason)
    assert valid.tolist() == [True, True, False, True, True, False, True, True, False, False, True]
    pairs = valid_pairs(valid, reason)
    # 0-1; 1-2 none; 2-3 from what is repeated; a gap; no face; no face; a cut; damaged …
    assert pairs.tolist() == [True, False, True, False, False, False, False, False, False, False]
    assert in_words(reason) == "1 no face, 2 repeated, 1 after a gap, 1 after a cut, 1 damaged"
    assert valid_pairs(valid[:1], reason[:1]).shape == (0,)


def test_flow_is_zero_and_marked_where_it_is_not_motion_of_the_face(tmp_path: Path) -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8), (0, 0), 2)
    pictures = np.stack([np.roll(texture, t, axis=1) for t in range(6)])[..., None]
    path = write_crops(tmp_path / "crops" / "set" / "s1.h5", {"all": pictures, "some": pictures})
    import h5py

    with h5py.File(path, "r+") as file:
        reason = np.array([0, 0, Reason.NO_FACE, 0, Reason.GAP, 0], np.uint8)
        file["some"]["reason"], file["some"]["valid"] = reason, valid_frames(reason)
        inside = np.ones((1, 40, 40), bool)
        inside[:, :, :15] = False
        file["some"]["inside"] = inside
    from tests.shards import recorded

    recorded(path, "crops")
    out = tmp_path / "flow" / "set" / "s1.h5"
    run_stage(STAGES["flow"], Job({"crops": [path]}, {"flow": out}, FlowParams()))
    with open_flow(out) as shard:
        assert shard["all"].valid.all()
        assert shard["some"].valid.tolist() == [True, False, False, False, True]
        every, some = shard["all"].read(), shard["some"].read()
        np.testing.assert_array_equal(some[[1, 2, 3]], 0)
        np.testing.assert_array_equal(some[[0, 4], :, 15:], every[[0, 4], :, 15:])
        np.testing.assert_array_equal(some[:, :, :15], 0)
        assert np.abs(every[:, :, :15]).max() > 0.1


# --- repeated pictures and cuts ---------------------------------------------------------------------------------------


def changes(pattern: str, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Changes of pictures: n of a new one, r of a repeated one that a codec has changed by `noise`."""
    generator = np.random.default_rng(seed)
    real = 0.5 * np.exp(0.15 * generator.normal(size=len(pattern)))
    still = noise * np.exp(0.3 * generator.normal(size=len(pattern)))
    return np.concatenate([[np.nan], np.where(np.array(list(pattern)) == "n", real, still)])


@pytest.mark.parametrize("pattern", ["rn" * 60, "rrn" * 40, "nr" * 60, "rnrrn" * 24, "rrrn" * 30])
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.12])
def test_patterns_of_repeated_pictures_are_found(pattern: str, noise: float) -> None:
    found = repeated(changes(pattern, noise))[1:]
    wanted = np.array(list(pattern)) == "r"
    assert (found & wanted).sum() >= 0.9 * wanted.sum() and not (found & ~wanted).any()


def test_single_repeated_pictures_are_found() -> None:
    pattern = "nnnnnnnrnnnnnnnnnnnnnnnrnnnnnnnnnnnrnnnnnnnnnnnnnnnnnnnnn"
    assert np.flatnonzero(repeated(changes(pattern, 0.05))).tolist() == [8, 24, 36]


@pytest.mark.parametrize("seed", range(20))
def test_real_motion_is_never_a_repeated_picture(seed: int) -> None:
    """Noise, blinks, and frames that a codec smooths in turn."""
    change = changes("n" * 200, seed=seed)
    change[50:53] *= [6, 2, 5]
    change[120:160] *= np.linspace(1, 5, 40)
    assert not repeated(change).any()
    smoothed = change * np.tile([1.0, 0.8, 0.75], 67)[:201]
    assert not repeated(smoothed).any()


def test_a_cut_and_damage_are_seen_in_the_crops() -> None:
    generator = np.random.default_rng(0)
    one, two = (cv2.GaussianBlur(generator.integers(0, 255, (64, 64, 3)).astype(np.uint8), (0, 0), 4) for _ in range(2))
    watch = Watch()
    for crop in (one, one + 1, None, one + 2, two, two + 1):
        watch.see(crop)
    assert [Reason(r).name for r in watch.reasons(np.arange(6) / 30)] == [
        "NONE", "NONE", "DAMAGED", "NONE", "CUT", "NONE"
    ]  # fmt: skip


def test_a_cut_between_the_frames_that_are_kept_is_not_lost() -> None:
    found = np.array([0, 0, 0, Reason.CUT, 0, 0, Reason.NO_FACE, 0], np.uint8)
    kept = np.array([0, 2, 4, 6, 7])
    merged = merge(found, kept, kept / 30, pictures=np.array([0, Reason.REPEATED, 0, 0, Reason.DAMAGED], np.uint8))
    assert [Reason(r).name for r in merged] == ["NONE", "REPEATED", "CUT", "NO_FACE", "DAMAGED"]


def test_frames_are_chosen_by_their_own_times() -> None:
    even = np.arange(400) / 200
    np.testing.assert_array_equal(sampled_frames(even, 200.0, 30.0), resampled_frames(400, 200.0, 30.0))
    gap = np.concatenate([np.arange(50) / 100, 2 + np.arange(50) / 100])
    chosen = sampled_frames(gap, 100.0, 25.0)
    np.testing.assert_allclose(np.diff(gap[chosen])[:12], 0.04, atol=0.011)
    assert (np.diff(gap[chosen]) > 1).sum() == 1 and len(chosen) in (26, 27)
    np.testing.assert_array_equal(sampled_frames(gap, 100.0, None), np.arange(100))


# --- people -----------------------------------------------------------------------------------------------------------


def test_people_are_followed_by_their_places() -> None:
    looks = [
        [face_at(300 + 5 * i, 80), face_at(900 - 5 * i, 120)] if i % 3 else [face_at(900 - 5 * i, 120)]
        for i in range(12)
    ]
    found = people(looks)
    assert sorted(len(p.faces) for p in found) == [8, 12]
    assert choose(found, "largest").side == 120  # type: ignore[union-attr]
    assert choose(found, "left").side == choose(found, 1).side == 80  # type: ignore[union-attr]
    assert choose(found, "right").side == choose(found, 2).side == 120  # type: ignore[union-attr]
    assert choose(found, 3) is None and choose([], "largest") is None


def test_who_stays_is_larger_than_who_only_passes() -> None:
    looks = [[face_at(300, 80), face_at(900, 100)] if i < 4 else [face_at(300, 80)] for i in range(24)]
    found = people(looks)
    chosen = choose(found, "largest")
    assert chosen is not None and len(chosen.faces) == 24
    assert len(with_other_places(chosen, found).faces) == 24


def test_a_person_in_another_seat_is_the_same_one_unless_both_were_seen() -> None:
    moved_over = people([[face_at(300)]] * 5 + [[face_at(900, 110)]] * 5)
    assert len(with_other_places(moved_over[0], moved_over).faces) == 10
    both = people([[face_at(300), face_at(900)]] * 5 + [[face_at(900)]] * 5)
    assert len(with_other_places(both[0], both).faces) == 5
    assert same_person([face_at(310), face_at(900)], [face_at(300)]).box[0] == 260  # type: ignore[union-attr]
    assert same_person([face_at(900)], [face_at(300)]) is None
    assert Person({0: face_at(300)}).centre_x == 300


# --- through the stages, on rendered faces ----------------------------------------------------------------------------


def through(tmp_path: Path, pictures: list[np.ndarray], fps: int = 30, **options: Any) -> tuple[Path, Path]:
    """Faces and crops of a video of these pictures."""
    video = tmp_path / "v.mp4"
    write_video(video, pictures, fps)
    height, width = pictures[0].shape[:2]
    write_videos(tmp_path / "videos.csv", [Video("set", "s1", "v", str(video), len(pictures), fps, width, height)])
    shards = tmp_path / "faces/set/s1.h5", tmp_path / "crops/set/s1.h5"
    inputs = {"videos": [tmp_path / "videos.csv"]}
    run_stage(STAGES["faces"], Job(inputs, {"faces": shards[0]}, FacesParams(landmark_frames=6, **options)))
    job = Job({**inputs, "faces": [shards[0]]}, {"crops": shards[1]}, CropsParams(size=64))
    run_stage(STAGES["crops"], job)
    return shards


def motion_in(tmp_path: Path, pictures: list[np.ndarray], fps: int) -> tuple[np.ndarray, np.ndarray]:
    """Speed of the facial regions (n, R) of a video of these pictures, and which steps are valid."""
    seen, cut = through(tmp_path, pictures, fps)
    moved_at, out = tmp_path / "flow/set/s1.h5", tmp_path / "features/motion/set/s1.h5"
    run_stage(STAGES["flow"], Job({"crops": [cut]}, {"flow": moved_at}, FlowParams()))
    inputs = {"flow": [moved_at], "faces": [seen], "crops": [cut]}
    run_stage(STAGES["motion"], Job(inputs, {"features": out}, MotionParams()))
    with Files() as files:
        (found,) = list_features([out], files)
        columns = [i for i, name in enumerate(found.channels) if name.startswith("region_")]
        return found.read(0, found.n_steps)[:, columns], found.valid()


@pytest.mark.long
@pytest.mark.parametrize("times", [2, 3])
def test_repeated_frames_leave_the_motion_as_it_is(face: np.ndarray, tmp_path: Path, times: int) -> None:
    """A film of 30 frames/s that was recorded at 60 or 90: the same motion, of the same strength."""
    generator = np.random.default_rng(0)
    pictures = []
    for t in range(24):
        picture = moved(face, np.sin(t / 3), 0.5 * np.cos(t / 4)).astype(int)
        pictures.append(np.clip(picture + generator.integers(-2, 3, picture.shape), 0, 255).astype(np.uint8))
    (tmp_path / "once").mkdir()
    (tmp_path / "often").mkdir()
    once, valid = motion_in(tmp_path / "once", pictures, 30)
    often, still = motion_in(tmp_path / "often", [p for p in pictures for _ in range(times)], 30 * times)
    n = min(len(once), len(often))
    assert valid.all() and still[: n - 1].all()
    np.testing.assert_allclose(often[: n - 1].mean(0), once[: n - 1].mean(0), rtol=0.4)
    with open_crops(tmp_path / "often/crops/set/s1.h5") as cut:
        repeats = np.arange(24 * times) % times > 0
        assert ((cut["v"].reason == Reason.REPEATED) == repeats).mean() > 0.95
        assert cut["v"].valid_pairs.sum() >= 22


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.concatenate([left, right], axis=1)


def looks_like(crop: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(crop.ravel(), other.ravel())[0, 1])


@pytest.mark.long
def test_a_change_of_the_seat_keeps_both_halves_in_place(face: np.ndarray, tmp_path: Path) -> None:
    empty = np.full_like(face, 90)
    pictures = [beside(moved(face, t / 9), empty) if t < 13 else beside(empty, moved(face, t / 9)) for t in range(24)]
    shards = through(tmp_path, pictures)
    with open_faces(shards[0]) as seen, open_crops(shards[1]) as cut:
        found: Faces = seen["v"]
        shown: Crops = cut["v"]
        assert found.valid.all() and np.flatnonzero(found.reason == Reason.CUT).tolist() == [13]
        assert found.motion_px / found.scale_px < 0.05
        assert set(found.segments(np.arange(24))[:13]) != set(found.segments(np.arange(24))[13:])
        assert np.flatnonzero(~shown.valid_pairs).tolist() == [12]
        assert looks_like(shown.frames[2], shown.frames[20]) > 0.9


@pytest.mark.long
def test_a_short_clip_is_looked_at_more_often_where_more_than_one_place_is_seen(
    face: np.ndarray, tmp_path: Path
) -> None:
    """Six looks do for a still face; an empty picture at the end takes as many as a long video has."""
    still = [moved(face, t / 9) for t in range(24)]
    gone = [*still[:20], *[np.full_like(face, 90)] * 4]
    looked_at = []
    for name, pictures in (("still", still), ("gone", gone)):
        (tmp_path / name).mkdir()
        with open_faces(through(tmp_path / name, pictures)[0]) as seen:
            looked_at.append(seen["v"].looked_at)
            assert seen["v"].valid.tolist() == [picture.std() > 1 for picture in pictures]
    assert looked_at == [6, 12]


@pytest.mark.long
def test_the_larger_of_two_is_taken_and_others_on_request(face: np.ndarray, tmp_path: Path) -> None:
    second = np.full_like(face, 90)
    small = cv2.resize(face[:, ::-1], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    second[40 : 40 + small.shape[0], 30 : 30 + small.shape[1]] = small
    pictures = [beside(moved(second, t / 9), moved(face, t / 9)) for t in range(6)]
    for which, right in (("largest", True), ("left", False), (2, True), (1, False)):
        (tmp_path / str(which)).mkdir()
        shards = through(tmp_path / str(which), pictures, choose=which)
        with open_faces(shards[0]) as seen:
            assert seen["v"].n_faces == 2 and seen["v"].valid.all()
            assert (seen["v"].reference[:, 0].mean() > face.shape[1]) == right
    (tmp_path / "3").mkdir()
    with open_faces(through(tmp_path / "3", pictures, choose=3)[0]) as seen:
        assert seen["v"].excluded == "2 faces in it, but faces.choose (--face) asks for number 3"


@pytest.mark.long
def test_a_tight_picture_is_warned_of_and_its_border_is_no_motion(
    face: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_faces(through(tmp_path, [moved(face, t / 9) for t in range(4)])[0]) as seen:
        points = seen["v"].reference
        assert seen["v"].outside == 0
    (x0, y0), (x1, y1) = (points.min(0) - 8).astype(int), (points.max(0) + 8).astype(int)
    x1, y1 = x1 - (x1 - x0) % 2, y1 - (y1 - y0) % 2
    capsys.readouterr()
    (tmp_path / "tight").mkdir()
    shards = through(tmp_path / "tight", [np.ascontiguousarray(moved(face, t / 9)[y0:y1, x0:x1]) for t in range(4)])
    assert "of the crop lie beyond the picture" in capsys.readouterr().err
    with open_faces(shards[0]) as seen, open_crops(shards[1]) as cut:
        inside = cut["v"].inside(1)
        assert inside is not None and inside.mean() == pytest.approx(1 - seen["v"].outside, abs=0.02)
        assert 0.03 < seen["v"].outside < 0.6 and inside[32, 32] and not inside[0, 32]


@pytest.mark.long
def test_the_published_crop_is_the_one_of_the_field(face: np.ndarray, tmp_path: Path) -> None:
    """Brows near the top edge, the chin near the bottom one: what cropped releases and their flow maps show."""
    with open_faces(through(tmp_path, [moved(face, t / 9) for t in range(4)], crop="published")[0]) as seen:
        matrix, points = seen["v"].alignment, seen["v"].reference
    places = points @ matrix[:, :2].T + matrix[:, 2]
    left, right = places[36:42].mean(0), places[42:48].mean(0)
    assert right[0] - left[0] == pytest.approx(0.49, abs=0.02)
    assert (left[1] + right[1]) / 2 == pytest.approx(0.25, abs=0.02)
    assert 0 < places[17:27, 1].min() < 0.2 and 0.85 < places[8, 1] < 1.1
    options = FacesParams(crop="published")
    assert (options.eye_distance, options.eye_height) == (0.49, 0.25)
    assert FacesParams(crop="published", eye_height=0.3).eye_height == 0.3
    assert FacesParams.model_validate(options.model_dump()) == options
    assert (FacesParams().eye_distance, FacesParams().eye_height) == (0.35, 0.36)
