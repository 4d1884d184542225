"""What is drawn into the copy of a video, and what is written where there is nothing to draw into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from microexp.records.index import Video, write_videos
from microexp.records.landmarks import write_landmarks
from microexp.report.video import annotated
from microexp.report.video.annotated import COLOURS, EVENT_COLUMNS, POINT, drawn, rate
from microexp.run import storage
from microexp.run.stage import Job, Params

VIDEO = Video("video", "ann", "ann", "ann.mp4", 6, 30.0, 120, 80)


class Film:
    """A decoded video."""

    def __init__(self, images: Iterable[np.ndarray | None], width: int = 120, height: int = 80) -> None:
        self.images, self.width, self.height = list(images), width, height

    def read(self) -> Iterator[np.ndarray | None]:
        return iter(self.images)


def event(onset: int, offset: int, kind: str = "micro", flags: str = "") -> dict[str, str]:
    row = {"event": "1", "onset": str(onset), "offset": str(offset), "kind": kind, "flags": flags}
    return dict.fromkeys(EVENT_COLUMNS, "") | row


def copy(
    film: Film, *events: Mapping[str, str], points: Mapping[int, np.ndarray | None] | None = None, video: Video = VIDEO
) -> list[np.ndarray]:
    return list(drawn(film, video, events, points=points or {}))  # type: ignore[arg-type]


def grey(*levels: int | None, size: tuple[int, int] = (80, 120)) -> list[np.ndarray | None]:
    return [None if v is None else np.full((*size, 3), v, np.uint8) for v in levels]


def framed(image: np.ndarray) -> tuple[int, ...]:
    """Colour at the left edge, half-way down."""
    return tuple(map(int, image[image.shape[0] // 2, 1]))


@pytest.mark.parametrize(("kind", "colour"), [*COLOURS.items(), ("odd", COLOURS["candidate"])])
def test_frames_of_an_event_are_framed_in_the_colour_of_its_kind(kind: str, colour: tuple[int, int, int]) -> None:
    """In the release's numbers, which begin with 1: frames 3 to 4 are the third and the fourth."""
    frames = copy(Film(grey(*[90] * 6)), event(3, 4, kind))
    assert [framed(f) for f in frames] == [(90, 90, 90)] * 2 + [colour] * 2 + [(90, 90, 90)] * 2


def test_numbers_are_those_of_the_release() -> None:
    late = Video("video", "ann", "ann", "ann", 6, 30.0, 120, 80, "101-106")
    frames = copy(Film(grey(*[90] * 6)), event(101, 101), video=late)
    assert [framed(f) == COLOURS["micro"] for f in frames] == [True, *[False] * 5]


def test_flags_are_written_beside_the_kind() -> None:
    plain, flagged = (copy(Film(grey(0)), event(1, 1, flags=f))[0] for f in ("", "blink"))
    inside = np.s_[60:76, 6:110]
    assert (flagged[inside] > 0).sum() > 1.5 * (plain[inside] > 0).sum() > 0


def test_a_damaged_frame_repeats_the_one_before_and_the_first_is_black() -> None:
    frames = copy(Film(grey(None, 50, None, 70)))
    assert [int(f[0, 0, 0]) for f in frames] == [0, 50, 50, 70]
    assert all((f == f[0, 0]).all() for f in frames)


def test_marks_do_not_stay_in_the_frames_that_follow_a_damaged_one() -> None:
    frames = copy(Film(grey(50, None, None)), event(1, 2))
    assert [framed(f) for f in frames] == [COLOURS["micro"], COLOURS["micro"], (50, 50, 50)]


def test_grey_videos_get_colours() -> None:
    (frame,) = copy(Film([np.full((80, 120), 70, np.uint8)]), event(1, 1))
    assert frame.shape == (80, 120, 3) and framed(frame) == COLOURS["micro"] and frame[40, 60].tolist() == [70] * 3


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(121, 81, (80, 120)), (2560, 1440, (720, 1280)), (1440, 2560, (1280, 720)), (3000, 3, (2, 1280)), (1, 1, (2, 2))],
)
def test_sizes_are_even_and_not_above_1280_px(width: int, height: int, size: tuple[int, int]) -> None:
    (frame,) = copy(Film(grey(9, size=(height, width)), width, height))
    assert frame.shape == (*size, 3) and (frame == 9).all()


def test_landmarks_are_drawn_where_the_face_was_seen() -> None:
    places = np.array([[30.0, 20.0], [90.0, 60.0]])
    frames = copy(Film(grey(0, 0, 0)), points={1: places, 2: None})
    assert frames[0][20, 30].tolist() == frames[0][60, 90].tolist() == list(POINT)
    assert not frames[1].any() and not frames[2].any()


def test_landmarks_follow_the_size_of_the_copy() -> None:
    (frame,) = copy(Film(grey(0, size=(1280, 2560)), 2560, 1280), points={1: np.array([[1000.0, 600.0]])})
    assert frame[300, 500].tolist() == list(POINT) and frame.any(2).sum() < 10


@pytest.mark.parametrize(
    ("fps", "exact"), [(30.0, Fraction(30)), (29.97002997, Fraction(30000, 1001)), (12.5, Fraction(25, 2))]
)
def test_rates_are_those_of_containers(fps: float, exact: Fraction) -> None:
    assert rate(fps) == exact


class Asked(Params):
    """No options."""


def job(folder: Path, videos: list[Video]) -> Job[Asked]:
    """A job of the stage on these videos, below `folder`, without an event."""
    write_videos(folder / "videos.csv", videos)
    storage.write_csv(folder / "events.csv", EVENT_COLUMNS, [])
    write_landmarks(folder / "landmarks.csv", [])
    inputs = {name: [folder / f"{name}.csv"] for name in ("videos", "events", "landmarks")}
    return Job(inputs, {"annotated": folder / "out.mp4"}, Asked(), {"root": str(folder)})


def frames_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


@pytest.mark.parametrize("listed", [True, False])
def test_a_second_of_black_where_nothing_can_be_decoded(tmp_path: Path, listed: bool) -> None:
    (tmp_path / "ann.mp4").write_bytes(b"no film at all")
    video = Video("video", "ann", "ann", str(tmp_path / "ann.mp4"), 6, 30.0, 120, 80)
    annotated.run(job(tmp_path, [video] if listed else []))
    found = frames_of(tmp_path / "out.mp4")
    assert found.shape == (1, 120, 160, 3) and found.max() < 20
