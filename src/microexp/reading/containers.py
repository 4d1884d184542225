"""Video files: how many frames they have, when each is shown, and decoding them exactly.

Where every packet has a time of its own (MP4, Matroska, transport streams …), the packets are counted, which needs no
decoding, and the times tell which frame a decoded picture is: jumps are exact, and a frame that damage has swallowed is
known. Where times are missing or in decoding order (AVI with B-frames, raw streams), the file is decoded once to count,
and always read from its start. Decoding uses one thread: with several, what a decoder makes of damage depends on their
number.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from microexp.reading.images import MAX_PIXELS, UPRIGHT, BadVideo, Orientation, from_matrix, too_large, undecodable
from microexp.reading.trees import DEMUXERS

_OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
_EXPECTED = "a video file that can be decoded"

LOOK_AHEAD = 16
"""Frames of a stream with B-frames that are decoded to see whether its times are those of showing."""


@dataclass(frozen=True)
class FileInfo:
    """What a video file is.

    Attributes:
        n_frames: frames, those that damage has made undecodable among them.
        size: width, height as stored, px.
        pixel_aspect: width of a pixel over its height; 1 when it is not said.
        orientation: what brings a frame upright.
        grey: whether it has one channel.
        header_fps: what the header says; None when nothing.
        tick_s: unit of the times.
        pts: (n_frames,) times in ticks, increasing, by which frames are found; empty when they do not tell.
        key_pts: those of the key frames.
        times_s: (n_frames,) seconds since the first frame where the file says them; empty otherwise.
        header_frames: number of frames that the header says; 0 when it does not.
        header_s: length that the header says, s; None when it does not, or may mean the sound.
        notes: what is odd about it, a line each.
    """

    n_frames: int
    size: tuple[int, int]
    pixel_aspect: Fraction
    orientation: Orientation
    grey: bool
    header_fps: float | None
    tick_s: Fraction
    pts: np.ndarray
    key_pts: np.ndarray
    times_s: np.ndarray
    header_frames: int = 0
    header_s: float | None = None
    notes: tuple[str, ...] = ()


def probe(path: Path) -> FileInfo:
    """Look at a video file; the last few answers are remembered as long as the files do not change.

    Raises:
        BadVideo: when it is no video that can be decoded.
        UserError: when it cannot be read.
    """
    about = path.stat()
    return _probe(path, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=64)
def _probe(path: Path, mtime_ns: int, size: int) -> FileInfo:
    import av

    try:
        with open_container(path) as container:
            stream = _video_stream(path, container)
            packets = _packets(path, container, stream)
            header = _header(container, stream)
        notes: list[str] = []
        pts = _trusted_pts(packets, header.reorders)
        first, tells = _first_frames(path, pts, header.reorders)
        if pts is None or not tells:
            shown = np.array([s.pts if s.pts is not None else -1 for s in _slots_of(path)], np.int64)
            n_frames, key_pts, pts = len(shown), np.empty(0, np.int64), np.empty(0, np.int64)
            times = shown
        else:
            n_frames, times = len(pts), pts
            key_pts = np.array(sorted(p.pts for p in packets if p.key and p.pts is not None), np.int64)
    except (av.FFmpegError, UnicodeDecodeError) as error:
        raise undecodable(path, error, _EXPECTED) from error
    if not n_frames:
        raise BadVideo(file=path, problem="no frame", expected="a video file with frames")
    orientation = _orientation(first, notes)
    return FileInfo(
        n_frames, (first.width, first.height), header.pixel_aspect, orientation, header.grey, header.fps, header.tick,
        pts, key_pts, _seconds(times, header.tick), header.frames, header.seconds, tuple(notes),
    )  # fmt: skip


def _seconds(times: np.ndarray, tick: Fraction) -> np.ndarray:
    """Seconds since the first frame, when the times increase all along; else empty: they are not to be trusted."""
    if not len(times) or (times < times[0]).any() or (len(times) > 1 and (np.diff(times) <= 0).any()):
        return np.empty(0)
    seconds: np.ndarray = (times - times[0]) * float(tick)
    return seconds


# --- looking at a file ------------------------------------------------------------------------------------------------


def open_container(path: Path) -> Any:
    """Open a file with one of the readers that never open another file.

    Raises:
        BadVideo: when it is of another kind.
        av.FFmpegError: when it cannot be opened.
    """
    import av

    try:
        return av.open(str(path), options=_OPTIONS)
    except av.error.ArgumentError as error:  # what FFmpeg says of a reader that is not on the list
        expected = "a video that holds its own pictures"
        raise BadVideo(file=path, problem="a playlist, a script or no video", expected=expected) from error


def _video_stream(path: Path, container: Any) -> Any:
    """The video stream, set to be decoded by one thread; never a cover picture where there is another."""
    stream = container.streams.best("video")
    if stream is None:
        raise BadVideo(file=path, problem="no video stream", expected="a video file")
    if stream.codec_context is None:
        raise BadVideo(file=path, problem="an unknown codec", expected=_EXPECTED)
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise too_large(path, width, height)
    stream.thread_type, stream.codec_context.thread_count = "SLICE", 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # the size may change on the way
    return stream


STATE_LENGTH = {"mov", "mp4", "matroska", "webm", "flv"}


@dataclass(frozen=True)
class _Packet:
    pts: int | None
    key: bool


@dataclass(frozen=True)
class _Header:
    fps: float | None
    tick: Fraction
    pixel_aspect: Fraction
    grey: bool
    reorders: bool
    frames: int
    seconds: float | None


def _header(container: Any, stream: Any) -> _Header:
    context = stream.codec_context
    timeless = stream.average_rate is None or stream.start_time is None
    rate = (stream.guessed_rate or stream.average_rate) if timeless else stream.average_rate
    aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
    if not Fraction(1, 4) <= aspect <= 4:  # nonsense: no camera has such pixels
        aspect = Fraction(1)
    return _Header(
        float(rate) if rate else None, Fraction(stream.time_base or Fraction(1, 1000)), Fraction(aspect),
        (context.pix_fmt or "").startswith("gray"), bool(context.has_b_frames), int(stream.frames or 0),
        _header_seconds(container, stream),
    )  # fmt: skip


def _header_seconds(container: Any, stream: Any) -> float | None:
    """The length in the header of formats that state it; of others FFmpeg estimates one."""
    if not STATE_LENGTH & set(container.format.name.split(",")):
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if len(container.streams) > 1 or not container.duration:
        return None
    return float(container.duration / 1e6 - (stream.start_time or 0) * stream.time_base)  # a late start counts in it


def _packets(path: Path, container: Any, stream: Any) -> list[_Packet]:
    """Packets that are shown; damage ends the list, and so may the end of a file that was cut off."""
    import av

    found = []
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                found.append(_Packet(packet.pts, packet.is_keyframe))
    except av.FFmpegError as error:
        failure = undecodable(path, error, _EXPECTED)
        if not isinstance(failure, BadVideo):
            raise failure from error
    return found


def _trusted_pts(packets: list[_Packet], reorders: bool) -> np.ndarray | None:
    """Times of the packets in order of showing, when each has one of its own; None when they do not tell frames apart.

    A stream that is decoded in another order than it is shown in must have times that are out of order; where they
    increase they are times of decoding (as in AVI).
    """
    pts = [p.pts for p in packets]
    known = [p for p in pts if p is not None]
    if len(known) < len(pts) or len(set(known)) < len(pts):
        return None
    increasing = all(b > a for a, b in pairwise(known))
    if reorders and increasing and len(pts) > 1:
        return None
    return np.array(sorted(known), np.int64)


def _first_frames(path: Path, pts: np.ndarray | None, reorders: bool) -> tuple[Any, bool]:
    """The first frame, and whether the times of the first ones are those of the packets, in order.

    Raises:
        BadVideo: when there is no frame.
    """
    first, last = None, -1
    slots = _slots_of(path)
    for number, slot in enumerate(slots):
        first = first or slot.frame
        if pts is None or not reorders or number >= LOOK_AHEAD:
            if first is not None:
                break
            continue
        place = -1 if slot.pts is None else int(np.searchsorted(pts, slot.pts))
        if slot.frame is not None and (place <= last or place == len(pts) or pts[place] != slot.pts):
            return first, False
        last = max(last, place)
    if first is None:
        raise BadVideo(file=path, problem="no frame that can be decoded", expected="a video file with frames")
    return first, True


def _orientation(frame: Any, notes: list[str]) -> Orientation:
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return UPRIGHT
    found = from_matrix(bytes(data))
    if found is None:
        notes.append("turned by an angle that is not a right one: shown as it is stored")
    return found or UPRIGHT


# --- decoding ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slot:
    """One output of the decoder: a frame, or the place of one that is damaged."""

    frame: Any
    pts: int | None


def _slots(path: Path, container: Any, stream: Any) -> Iterator[_Slot]:
    """What the decoder gives, in its order; a packet that it refuses leaves an empty slot where its frame was due.

    Raises:
        UserError: when the file cannot be read.
    """
    import av

    due: list[int] = []  # outputs after which an empty slot follows
    given = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            frames = packet.decode()
        except av.FFmpegError as error:
            failure = undecodable(path, error, _EXPECTED)
            if not isinstance(failure, BadVideo):
                raise failure from error
            due.append(given + int(stream.codec_context.delay or 0))
            continue
        for frame in frames:
            while due and due[0] <= given:
                due.pop(0)
                yield _Slot(None, None)
            given += 1
            yield _Slot(None if frame.is_corrupt else frame, frame.pts)
    for _ in due:
        yield _Slot(None, None)


def _slots_of(path: Path) -> Iterator[_Slot]:
    with open_container(path) as container:
        yield from _slots(path, container, _video_stream(path, container))


def read_file(path: Path, info: FileInfo, wanted: np.ndarray) -> Iterator[np.ndarray | None]:
    """Decode the frames `wanted`, as they are stored: (H, W) or (H, W, 3) uint8 RGB; None for a damaged one.

    Raises:
        BadVideo: when nothing of the file can be decoded.
        UserError: when it cannot be read.
    """
    import av
    from av.video.reformatter import VideoReformatter

    to_pixels = VideoReformatter()  # one for all frames: each sets up its tables anew
    try:
        reader = _Timed(path, info) if info.pts.size else _Counted(path)
        with reader:
            for index in wanted:
                frame = reader.frame(int(index))
                pixels = None if frame is None else to_pixels.reformat(frame, format="gray" if info.grey else "rgb24")
                yield None if pixels is None else np.asarray(pixels.to_ndarray())
    except (av.FFmpegError, UnicodeDecodeError) as error:
        raise undecodable(path, error, _EXPECTED) from error


class _Counted:
    """Frames by their number from the start of the file."""

    def __init__(self, path: Path) -> None:
        self.path, self.at, self.current = path, -1, _Slot(None, None)
        self.slots = _slots_of(path)

    def __enter__(self) -> _Counted:
        return self

    def __exit__(self, *_: object) -> None:
        self.slots.close()  # type: ignore[attr-defined]

    def frame(self, index: int) -> Any:
        """Frame `index`, or None when it is damaged."""
        if index < self.at:
            self.slots.close()  # type: ignore[attr-defined]
            self.slots, self.at = _slots_of(self.path), -1
        while self.at < index:
            self.current = next(self.slots, _Slot(None, None))
            self.at += 1
        return self.current.frame


class _Timed:
    """Frames by their times: forward, with a jump to a key frame where that is shorter.

    A jump may come down too late (program streams), or where the decoder still lacks what came before (streams that
    refresh line by line); the file is then read from its start.
    """

    def __init__(self, path: Path, info: FileInfo) -> None:
        self.path, self.info, self.jumps = path, info, True
        self.container: Any = None

    def __enter__(self) -> _Timed:
        self._restart()
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def _restart(self) -> None:
        if self.container is not None:
            self.container.close()
        self.container = open_container(self.path)
        self.stream = _video_stream(self.path, self.container)
        self._begin(-1)
        self.jumped = False

    def _begin(self, at: int) -> None:
        self.slots = _slots(self.path, self.container, self.stream)
        self.at, self.current = at, _Slot(None, None)

    def frame(self, index: int) -> Any:
        """Frame `index`, or None when it is damaged."""
        key = self._key_frame_before(index)
        if index < self.at or (self.jumps and key > self.at + 1):
            self._go_to(key)
        found = self._forward(index)
        if found is None and self.jumped:  # not where it should be: is it, from the start?
            self.jumps = False
            self._restart()
            found = self._forward(index)
        return found

    def _go_to(self, key: int) -> None:
        if not self.jumps or key == 0:
            self._restart()
            return
        self.container.seek(int(self.info.pts[key]), stream=self.stream)
        self._begin(key - 1)
        self.jumped = True

    def _key_frame_before(self, index: int) -> int:
        if not self.info.key_pts.size:
            return 0
        place = int(np.searchsorted(self.info.key_pts, self.info.pts[index], side="right")) - 1
        return int(np.searchsorted(self.info.pts, self.info.key_pts[max(0, place)]))

    def _forward(self, index: int) -> Any:
        """Decode up to `index`; a picture of another time is damage and is passed over."""
        while self.at < index:
            slot = next(self.slots, None)
            if slot is None:
                self.at, self.current = self.info.n_frames, _Slot(None, None)
                break
            if slot.pts is None:
                continue
            position = int(np.searchsorted(self.info.pts, slot.pts))
            if position < self.info.n_frames and self.info.pts[position] == slot.pts:
                self.at, self.current = position, slot
        return self.current.frame if self.at == index else None
