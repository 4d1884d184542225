"""Frames of a video, a folder of images or a video file: exact counts, natural order, streamed; and their rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from microexp.reading.containers import FileInfo, probe, read_file
from microexp.reading.images import (
    UPRIGHT,
    BadVideo,
    Depth,
    FrameList,
    first_image,
    frame_number,
    image_size,
    list_frames,
    read_images,
    turned,
    unreadable,
)
from microexp.reading.trees import IMAGE_SUFFIXES, VIDEO_SUFFIXES

# Frame rates from the times of frames: headers are often wrong, and rates may vary.

GAP = 1.5
"""An interval longer than this many usual ones is a gap."""

SAME = 1e-3
"""Rates that differ by less are the same."""

VARIES = 0.2
"""Intervals that differ by more than this share, beyond the unit of the times, make the rate a variable one."""


def gaps(times_s: np.ndarray) -> np.ndarray:
    """(n,) bool: whether time is missing between the frame before and this one.

    Args:
        times_s: (n,) increasing times of frames, s.
    """
    found = np.zeros(len(times_s), bool)
    if len(times_s) > 2:
        steps = np.diff(times_s)
        found[1:] = steps > GAP * np.median(steps)
    return found


def measured_fps(times_s: np.ndarray) -> float | None:
    """Frames per second: intervals over their time, gaps apart, so (n - 1) / (last - first) without any; None for one.

    Args:
        times_s: (n,) increasing times of frames, s.
    """
    if len(times_s) < 2:
        return None
    steps = np.diff(times_s)
    kept = steps[~gaps(times_s)[1:]]
    return float(len(kept) / kept.sum())


def file_rate(times_s: np.ndarray, header_fps: float | None, tick_s: float) -> tuple[float | None, list[str]]:
    """The rate of a video file, and notes on it.

    The header's rate is taken where the times agree with it, as far as their unit can tell.

    Args:
        times_s: (n,) times of the frames; empty when the file has none that can be trusted.
        header_fps: what the header says.
        tick_s: unit of the times.
    """
    measured = measured_fps(times_s)
    if measured is None:
        return header_fps, []
    steps = np.diff(times_s)
    usual = steps[~gaps(times_s)[1:]]
    unsure = max(SAME, 2 * tick_s / float(usual.sum()))
    fps = measured
    for rate in (header_fps, float(round(measured))):
        if rate and abs(measured / rate - 1) <= unsure:
            fps = rate
            break
    notes = []
    if header_fps is None or abs(fps / header_fps - 1) > 0.01:
        said = "nothing" if header_fps is None else f"{header_fps:g}"
        notes.append(f"the header says {said} frames/s, the frames' times {fps:.4g}: kept the times'")
    low, high = np.quantile(steps, [0.02, 1.0])
    if high - low > VARIES * np.median(steps) + 2 * tick_s:
        many = int(gaps(times_s).sum())
        notes.append(
            f"a variable rate: {1000 * low:.0f} to {1000 * high:.0f} ms between frames, {many} gaps: "
            "seconds follow the frames' own times"
        )
    return fps, notes


def number_times(numbers: np.ndarray, fps: float) -> np.ndarray:
    """(n,) seconds of numbered images since the first: the usual step between numbers is one frame.

    Args:
        numbers: (n,) increasing.
        fps: frames per second.
    """
    step = float(np.median(np.diff(numbers))) if len(numbers) > 1 else 1.0
    times: np.ndarray = (numbers - numbers[0]) / (step * fps)
    return times


__all__ = [
    "IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "BadVideo", "FrameList", "VideoSource", "frame_number", "frame_times",
    "image_size", "list_frames", "open_video",
]  # fmt: skip


@dataclass(frozen=True)
class VideoSource:
    """A video that can be read any number of times; nothing stays open between reads.

    All frames come upright, with square pixels, in the size and with the channels of the first one: a frame of another
    size is scaled to it.

    Attributes:
        path: file or folder.
        n_frames: exact number of frames, damaged ones among them.
        fps: frames per second, from the frames' times where they are known; None where the source does not say
            (folders of images).
        width: of the first frame as it is shown, px.
        height: of the first frame as it is shown, px.
        grey: whether the first frame has one channel.
        numbers: (n_frames,) int64 numbers in the file names; 1, 2, ... for a video file.
        frames: image files in order; empty for a video file.
        file: what a video file is; None for a folder.
        depth: bits of the images' values.
        ignored: names of images in the folder that are no frames.
        notes: what is odd about it and was dealt with, a line each.
        cut: the note that a part of it is missing; '' where nothing is.
    """

    path: Path
    n_frames: int
    fps: float | None
    width: int
    height: int
    grey: bool
    numbers: np.ndarray
    frames: tuple[Path, ...] = ()
    file: FileInfo | None = None
    depth: Depth = field(default_factory=Depth)
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cut: str = ""

    def read(
        self, indices: Sequence[int] | np.ndarray | None = None, grey: bool = False
    ) -> Iterator[np.ndarray | None]:
        """Yield frames one by one: (H, W, 3) uint8 RGB, or (H, W) when the source is grey or `grey` is asked for.

        A frame that is damaged comes as None.

        Args:
            indices: 0-based indices in any order; all frames when None. Increasing ones are fastest.
            grey: convert to grey (ITU-R 601 luma).

        Raises:
            BadVideo: when the file cannot be decoded any more.
            UserError: when the file cannot be read.
            IndexError: when an index is out of range.
        """
        wanted = np.arange(self.n_frames) if indices is None else np.asarray(indices, np.int64).reshape(-1)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.n_frames:
            raise IndexError(f"{self.path}: frames {wanted.min()} to {wanted.max()} of {self.n_frames}")
        if self.file is None:
            decoded = read_images(self.frames, wanted, grey or self.grey, depth=self.depth)
        else:
            decoded = read_file(self.path, self.file, wanted)
        for image in decoded:
            yield None if image is None else _conform(image, self, grey or self.grey)

    def times(self, fps: float | None = None) -> np.ndarray:
        """(n_frames,) float64 seconds of each frame since the first one, from its own time where there is one.

        Numbers of image files count as times: where numbers are missing, time passes.

        Args:
            fps: rate to count by where frames have no times of their own; none takes the source's.
        """
        if self.file is not None and self.file.times_s.size:
            return self.file.times_s
        rate = fps or self.fps
        if rate is None:
            raise ValueError(f"{self.path}: frames without times and without a rate")
        if self.file is not None:
            return np.arange(self.n_frames) / rate
        return number_times(self.numbers, rate)


def frame_times(path: str | Path, fps: float) -> np.ndarray:
    """(n_frames,) float64 seconds of each frame of a video since its first one.

    They are the frames' own times where the file has them, else frames are counted; in a folder by the numbers in the
    file names.

    Args:
        path: file or folder: `path` of `videos.csv`, below the root of the data set.
        fps: its rate there, frames/s.

    Raises:
        BadVideo, UserError: as `open_video`.
    """
    return open_video(path).times(fps)


def open_video(path: str | Path) -> VideoSource:
    """Open a folder of frames or a video file; where a file's times tell its frames apart only the first is decoded.

    Raises:
        BadVideo: when there is nothing to read, or nothing that can be decoded.
        UserError: when it cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _open_folder(path)
        if path.is_file():
            return _open_file(path)
    except OSError as error:  # a loop of links, a folder without permission
        raise unreadable(path, error, "a video file or a folder of frames") from error
    what = "a broken link" if path.is_symlink() else "no such file"
    raise BadVideo(file=path, problem=what, expected="a video file or a folder of frames")


WHOLE = 0.95
"""A file that holds such a share of what its header says is whole: headers round."""


def _open_folder(path: Path) -> VideoSource:
    listed = list_frames(path)
    (width, height), grey, depth = first_image(listed.paths)
    notes = () if depth.stored == 8 else (f"{depth.stored}-bit images with values of {depth.used} bits: scaled to 8",)
    return VideoSource(
        path, len(listed.paths), None, width=width, height=height, grey=grey, numbers=listed.numbers,
        frames=listed.paths, depth=depth, ignored=listed.ignored, notes=notes,
    )  # fmt: skip


def _open_file(path: Path) -> VideoSource:
    info = probe(path)
    width, height = _square(*info.size, info.pixel_aspect)
    if info.orientation[0]:
        width, height = height, width
    fps, notes = file_rate(info.times_s, info.header_fps, float(info.tick_s))
    notes = [*info.notes, *notes]
    if info.pixel_aspect != 1:
        notes.append(f"pixels of {info.pixel_aspect}: brought to square ones, {width}x{height} px")
    cut = _cut(info, fps)
    if cut:
        notes.append(cut)
    elif info.header_frames > info.n_frames:
        notes.append(f"the header says {info.header_frames} frames, the file holds {info.n_frames}")
    return VideoSource(
        path, info.n_frames, fps, width, height, info.grey, np.arange(1, info.n_frames + 1), file=info,
        notes=tuple(notes), cut=cut,
    )  # fmt: skip


def _cut(info: FileInfo, fps: float | None) -> str:
    """What to say of a file that holds less than its header says: a recording or a copy that was cut off."""
    if not fps:
        return ""
    held = (float(info.times_s[-1]) if len(info.times_s) else (info.n_frames - 1) / fps) + 1 / fps
    said = max(info.header_frames / fps if info.n_frames < WHOLE * info.header_frames else 0, info.header_s or 0)
    return f"it ends after {held:.1f} of {said:.1f} s: the rest of the file is missing" if held < WHOLE * said else ""


def _square(width: int, height: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Size in square pixels: the side with the larger pixels grows, so that no detail is averaged away."""
    if pixel_aspect >= 1:
        return round(width * pixel_aspect), height
    return width, round(height / pixel_aspect)


def _conform(image: np.ndarray, source: VideoSource, grey: bool) -> np.ndarray:
    """`image` upright, in the size of the source's first frame and with the channels asked for."""
    import cv2

    if source.file is not None and source.file.orientation != UPRIGHT:
        image = np.ascontiguousarray(turned(image, source.file.orientation))
    if image.shape[:2] != (source.height, source.width):
        larger = source.height > image.shape[0] or source.width > image.shape[1]
        how = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
        image = cv2.resize(image, (source.width, source.height), interpolation=how)
    if grey and image.ndim == 3:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    if not grey and image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return image
