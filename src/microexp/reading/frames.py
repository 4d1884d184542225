"""Frames of a video, whether it is a folder of images or a video file: exact counts, natural order, streamed."""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.run.storage import file_sha256

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".m4v", ".wmv", ".mpg", ".mpeg", ".webm"})


class BadVideo(UserError):
    """A video that is damaged or empty, and can be left out; that reading fails (network, rights) is another thing."""


def _unreadable(path: Path, error: OSError, expected: str) -> UserError:
    """What the system said of `path`; only a link to nowhere is the video's own fault."""
    kind = BadVideo if path.is_symlink() and not path.exists() else UserError
    return kind(file=path, problem=error.strerror or error, expected=expected)


_LAST_NUMBER = re.compile(r"(\d+)\D*$")


@dataclass(frozen=True)
class FrameList:
    """Image files of a folder in the order of their numbers.

    Attributes:
        paths: (n) image files.
        numbers: (n,) int64, the last number in each file's name, strictly increasing.
        ignored: names of images without a number, which are no frames.
    """

    paths: tuple[Path, ...]
    numbers: np.ndarray
    ignored: tuple[str, ...] = ()


def frame_number(name: str) -> int | None:
    """The last number in a file's name without its suffix: `reg_img46.jpg` -> 46, `006_1_0001.jpg` -> 1."""
    match = _LAST_NUMBER.search(Path(name).stem)
    return int(match[1]) if match and len(match[1]) <= 18 else None


def list_frames(folder: str | Path) -> FrameList:
    """List the frames of `folder` by number, so that `img10` follows `img9`; hidden files are passed over.

    Raises:
        BadVideo: when it holds no frame, or two files with one number.
        UserError: when the folder cannot be read.
    """
    folder = Path(folder)
    try:
        names = [p.name for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "."]
    except OSError as error:
        raise _unreadable(folder, error, "a folder of frames") from error
    by_number: dict[int, str] = {}
    ignored = []
    for name in sorted(names):
        number = frame_number(name)
        if number is None:
            ignored.append(name)
        elif number in by_number:
            raise BadVideo(
                file=folder,
                where=f"frame {number}",
                problem=f"{by_number[number]} and {name}",
                expected="one file a frame",
            )
        else:
            by_number[number] = name
    if not by_number:
        raise BadVideo(file=folder, problem="no frame", expected="images with numbered names (.jpg, .png, .bmp)")
    order = sorted(by_number)
    return FrameList(tuple(folder / by_number[n] for n in order), np.array(order, np.int64), tuple(ignored))


@dataclass(frozen=True)
class VideoSource:
    """A video that can be read any number of times; nothing stays open between reads.

    All frames come in the size and with the channels of the first one: a frame of another size is scaled to it.

    Attributes:
        path: file or folder.
        n_frames: exact number of decoded frames.
        fps: frames per second; None where the source does not say (folders of images).
        width: of the first frame, px.
        height: of the first frame, px.
        grey: whether the first frame has one channel.
        numbers: (n_frames,) int64 numbers in the file names; 1, 2, ... for a video file.
        frames: image files in order; empty for a video file.
        pts: (n_frames,) presentation times of a video file in ticks, increasing; empty when it has none.
        key_pts: those of its key frames.
        ignored: names of images in the folder that are no frames.
    """

    path: Path
    n_frames: int
    fps: float | None
    width: int
    height: int
    grey: bool
    numbers: np.ndarray
    frames: tuple[Path, ...] = ()
    pts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    key_pts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    ignored: tuple[str, ...] = ()

    def read(self, indices: Sequence[int] | np.ndarray | None = None, grey: bool = False) -> Iterator[np.ndarray]:
        """Yield frames one by one: (H, W, 3) uint8 RGB, or (H, W) when the source is grey or `grey` is asked for.

        Args:
            indices: 0-based indices in any order; all frames when None. Increasing ones are fastest.
            grey: convert to grey (ITU-R 601 luma).

        Raises:
            BadVideo: naming file and frame when one cannot be decoded.
            UserError: when the file cannot be read.
            IndexError: when an index is out of range.
        """
        wanted = np.arange(self.n_frames) if indices is None else np.asarray(indices, np.int64).reshape(-1)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.n_frames:
            raise IndexError(f"{self.path}: frames {wanted.min()} to {wanted.max()} of {self.n_frames}")
        decoded = _read_images(self, wanted, grey or self.grey) if self.frames else _read_file(self, wanted)
        for image in decoded:
            yield _conform(image, self, grey or self.grey)


def open_video(path: str | Path) -> VideoSource:
    """Open a folder of frames or a video file; only the first frame is decoded, a file's packets are counted.

    Raises:
        BadVideo: when there is nothing to read, or the first frame is damaged.
        UserError: when it cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _open_folder(path)
        if path.is_file():
            return _open_file(path)
    except OSError as error:  # a loop of links, a folder without permission
        raise _unreadable(path, error, "a video file or a folder of frames") from error
    what = "a broken link" if path.is_symlink() else "no such file"
    raise BadVideo(file=path, problem=what, expected="a video file or a folder of frames")


# --- folders of images ------------------------------------------------------------------------------------------------


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) in px from the header, without decoding the image.

    Raises:
        BadVideo: when it is no image, or larger than 89 million pixels.
        UserError: when it cannot be read.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadVideo(file=path, problem="a far too large image", expected="at most 89 million pixels") from error
    except (OSError, SyntaxError, ValueError) as error:
        expected = "a JPEG, PNG or BMP image"
        if isinstance(error, OSError) and error.errno:
            raise _unreadable(path, error, expected) from error
        raise BadVideo(file=path, problem="no image data", expected=expected) from error


def _open_folder(path: Path) -> VideoSource:
    frames = list_frames(path)
    image_size(frames.paths[0])
    first = _decode(frames.paths[0])
    height, width = first.shape[:2]
    return VideoSource(
        path, len(frames.paths), None, width, height, first.ndim == 2, frames.numbers, frames.paths,
        ignored=frames.ignored,
    )  # fmt: skip


def _read_images(source: VideoSource, wanted: np.ndarray, grey: bool) -> Iterator[np.ndarray]:
    import cv2

    how = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB  # grey skips half the work of decoding a JPEG
    for index in wanted:
        yield _decode(source.frames[index], how)


def _decode(path: Path, how: int | None = None) -> np.ndarray:
    """The image as OpenCV's flag `how` says; by default (H, W) when it is grey, else (H, W, 3) BGR."""
    import cv2

    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error, "a frame that can be read") from error
    try:
        flag = cv2.IMREAD_ANYCOLOR if how is None else how
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise BadVideo(file=path, problem="a damaged frame", expected="a whole JPEG, PNG or BMP image")
    return np.asarray(image)


def _conform(image: np.ndarray, source: VideoSource, grey: bool) -> np.ndarray:
    """`image` in the size of the source's first frame and with the channels asked for."""
    import cv2

    if image.shape[:2] != (source.height, source.width):
        image = cv2.resize(image, (source.width, source.height), interpolation=cv2.INTER_AREA)
    if grey and image.ndim == 3:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    if not grey and image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return image


# --- video files ------------------------------------------------------------------------------------------------------


def _open_file(path: Path) -> VideoSource:
    """Count packets, which is exact and needs no decoding; `read` checks that as many frames come out."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = _video_stream(path, container)
            rate = stream.average_rate or stream.guessed_rate
            if stream.codec_context is None:
                raise BadVideo(file=path, problem="an unknown codec", expected="a video file that can be decoded")
            grey = (stream.codec_context.pix_fmt or "").startswith("gray")
            packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
            pts = [p.pts for p in packets]
            key_pts = [p.pts for p in packets if p.is_keyframe]
        width, height = _first_size(path)
    except (av.FFmpegError, UnicodeDecodeError) as error:
        raise _undecodable(path, None, error, "a video file that can be decoded") from error
    known = None not in pts and len(set(pts)) == len(pts)
    return VideoSource(
        path, len(packets), float(rate) if rate else None, width, height, grey,
        np.arange(1, len(packets) + 1),
        pts=np.array(sorted(pts) if known else [], np.int64),
        key_pts=np.array(sorted(key_pts) if known else [], np.int64),
    )  # fmt: skip


def _undecodable(path: Path, where: str | None, error: Exception, expected: str) -> UserError:
    """Damage, as the decoder says it, or a failure of the system: FFmpeg has the same words for some of both."""
    if isinstance(error, OSError) and error.errno not in (errno.EIO, errno.EPERM):
        return _unreadable(path, error, expected)
    if isinstance(error, OSError):
        try:
            file_sha256(path)  # reads it all
        except OSError as failure:
            return _unreadable(path, failure, expected)
    return BadVideo(file=path, where=where, got=getattr(error, "strerror", "damaged text"), expected=expected)


def _video_stream(path: Path, container: Any) -> Any:
    if not container.streams.video:
        raise BadVideo(file=path, problem="no video stream", expected="a video file")
    return container.streams.video[0]


def _first_size(path: Path) -> tuple[int, int]:
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(_video_stream(path, container)):
            return frame.width, frame.height
    raise BadVideo(file=path, problem="no frame", expected="a video file with frames")


def _read_file(source: VideoSource, wanted: np.ndarray) -> Iterator[np.ndarray]:
    """Decode forward, jump to a key frame where that is shorter; times tell which frame it is, so jumps are exact."""
    import av

    at = -1  # index of the frame decoded last
    try:
        with av.open(str(source.path)) as container:
            stream = _video_stream(source.path, container)
            stream.thread_type = "AUTO"
            frames, current = container.decode(stream), None
            for index in wanted:
                key = _key_frame_before(source, index)
                if index < at or key > at + 1:
                    container.seek(int(source.pts[key]), stream=stream)
                    frames, at, current = container.decode(stream), key - 1, None
                while current is None or at < index:
                    current = _next(source, frames, at)
                    at = _position(source, current, at)
                if at > index:
                    raise BadVideo(
                        file=source.path,
                        where=f"frame {index}",
                        problem=f"frame {at}",
                        expected="every frame to be decodable",
                    )
                yield np.asarray(current.to_ndarray(format="gray" if source.grey else "rgb24"))
    except (av.FFmpegError, UnicodeDecodeError) as error:
        raise _undecodable(source.path, f"after frame {at}", error, "a video without damage") from error


def _key_frame_before(source: VideoSource, index: int) -> int:
    """Index of the last key frame up to frame `index`; 0 in a file without times, which is read from its start."""
    if not source.key_pts.size:
        return 0
    place = int(np.searchsorted(source.key_pts, source.pts[index], side="right")) - 1
    return int(np.searchsorted(source.pts, source.key_pts[max(0, place)]))


def _next(source: VideoSource, frames: Iterator[Any], at: int) -> Any:
    frame = next(frames, None)
    if frame is None:
        raise BadVideo(
            file=source.path,
            where=f"after frame {at}",
            problem="the end of the data",
            expected=f"{source.n_frames} whole frames",
        )
    return frame


def _position(source: VideoSource, frame: Any, at: int) -> int:
    """Index of a decoded frame, by its time."""
    if not source.pts.size:
        return at + 1
    position = int(np.searchsorted(source.pts, -1 if frame.pts is None else frame.pts))
    if position == source.n_frames or source.pts[position] != frame.pts:
        raise BadVideo(
            file=source.path,
            where=f"after frame {at}",
            problem=f"a frame of unknown time {frame.pts}",
            expected="an intact video",
        )
    return position
