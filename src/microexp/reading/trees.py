"""Finding folders and videos under a release's root: any upper or lower case, links without loops, never outside."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.release import Release

# Which files are videos and images, by their names and, where a name does not tell, by their first bytes.

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp"})

_VIDEO = (
    ".mp4 .m4v .mov .qt .3gp .3g2 .3gpp .mj2 .f4v .mkv .mk3d .webm .avi .divx .xvid .wmv .asf .flv .mpg .mpeg .mpe "
    ".mp2v .m1v .m2v .mpv .m2p .ps .vob .evo .ts .mts .m2ts .m2t .tod .mod .trp .ogv .ogm .gif .apng .h264 .264 .avc "
    ".h265 .265 .hevc .h263 .h261 .mjpg .mjpeg .mxf .nut .dv .dif .y4m .ivf .rm .rmvb .wtv .amv .obu .av1"
)
VIDEO_SUFFIXES = frozenset(_VIDEO.split())

_READERS = (
    "mov,mp4,m4a,3gp,3g2,mj2 matroska,webm avi asf flv live_flv mpeg mpegts mpegvideo m4v ogg gif apng webp_anim h261 "
    "h263 h264 hevc vvc mjpeg mjpeg_2000 mxf nut dv yuv4mpegpipe ivf rm wtv amv obu av1 cavsvideo dirac vc1"
)
DEMUXERS = ",".join(_READERS.split())
"""FFmpeg's readers of files that hold their own pictures. Playlists and scripts (concat, hls, dash, sdp, image2 …) are
not among them: they make FFmpeg open other files."""

_HEADS = (
    (4, (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, (b"\x1aE\xdf\xa3", b"FLV\x01", b"GIF8", b"OggS", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"YUV4MPEG2")),
    (0, (b"0&\xb2u\x8ef\xcf\x11", b"DKIF", b"nut/multimedia", b"\x06\x0e+4\x02\x05\x01\x01", b".RMF")),
    (0, (b"\x00\x00\x00\x01g", b"\x00\x00\x00\x01\x67", b"\x00\x00\x00\x01@", b"\x00\x00\x01g")),
)
"""(place, first bytes) of the usual containers and of raw H.264 and HEVC."""


def is_video_name(name: str) -> bool:
    """Whether a file of this name is a video."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def looks_like_video(path: Path) -> bool:
    """Whether a file begins as videos do, whatever its name; False when it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(600)
    except OSError:
        return False
    if head[:4] == b"RIFF":
        return head[8:12] in (b"AVI ", b"AVIX", b"AMV ")
    transport = any(
        len(head) > start + 2 * step and all(head[start + i * step] == 0x47 for i in range(3))
        for start, step in ((0, 188), (4, 192))
    )
    return transport or any(head[at:].startswith(signs) for at, signs in _HEADS)


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which `spNO.10` follows `spNO.9`."""
    return [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in re.split(r"(\d+)", text[:500])]


def children(folder: Path) -> list[Path]:
    """Folders and video files directly inside `folder`, in natural order; hidden ones are passed over.

    Raises:
        UserError: when the folder cannot be read.
    """
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] in "._" or entry.name.startswith("__MACOSX"):
                    continue
                if _is_folder(entry) or Path(entry.name).suffix.lower() in VIDEO_SUFFIXES:
                    found.append(folder / entry.name)
    except OSError as error:
        raise UserError(file=folder, problem=error.strerror, expected="a folder that can be read") from error
    return sorted(found, key=lambda p: natural(p.name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def folders(root: Path, depth: int, stop: re.Pattern[str] | None = None) -> Iterator[tuple[Path, list[Path]]]:
    """Yield `root` and the folders below it, nearest first, each with its children.

    Args:
        root: where to start.
        depth: how many levels below `root` to look at.
        stop: folders with a name that matches are not searched (those that hold frames are large).
    """
    level, seen = [root], {root.resolve()}
    for _ in range(depth + 1):
        below = []
        for folder in level:
            kids = children(folder)
            yield folder, kids
            for child in kids:
                if not child.is_dir() or (stop and stop.fullmatch(child.name)):
                    continue
                real = child.resolve()
                if real not in seen:
                    seen.add(real)
                    below.append(child)
        level = below


def parents_of(root: Path, pattern: re.Pattern[str], depth: int) -> dict[Path, list[Path]]:
    """Folders below `root` -> their children (folders, video files) with a stem that fits `pattern`, nearest first."""
    found = {}
    for folder, kids in folders(root, depth, stop=pattern):
        matching = [kid for kid in kids if pattern.fullmatch(stem(kid))]
        if matching:
            found[folder] = matching
    return found


def stem(path: Path) -> str:
    """Name of a video without the suffix of a video file; the whole name of a folder (which may hold dots)."""
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir() else path.name


def find_file(
    root: Path, patterns: tuple[str, ...], depth: int = 3, *, stop: re.Pattern[str] | None = None
) -> list[Path]:
    """Files with a name that matches one of the regular expressions (any case), nearest first.

    Args:
        root: where to start.
        patterns: regular expressions of the whole name, in order of preference.
        depth: how many levels below `root` to look at.
        stop: folders that are not searched.
    """
    found = []
    for folder, _ in folders(root, depth, stop):
        for name in sorted(p.name for p in _files(folder)):
            for rank, pattern in enumerate(patterns):
                if re.fullmatch(pattern, name, re.IGNORECASE):
                    found.append((rank, len(folder.parts), folder / name))
                    break
    return [path for _, _, path in sorted(found)]


def _files(folder: Path) -> list[Path]:
    suffixes = {".xlsx", ".xls", ".csv", ".xlsm", ".txt"}
    return [p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.name[0] not in "._~" and p.is_file()]


# Which of the copies of a release that lie under one root is read: raw or cropped, frames or video files.


def start_folder(release: Release) -> Path:
    """Where videos are looked for: the option `videos`, else the whole root.

    Raises:
        UserError: when the option names no folder.
    """
    start = release.root / (release.options.videos or "")
    if not start.is_dir():
        raise UserError(file=start, where="option videos", problem="no such folder", expected="a folder with videos")
    return start


def find_copy(
    release: Release, pattern: re.Pattern[str], part: str | None = None, *, parts: Collection[str] = ()
) -> list[tuple[Path, re.Match[str]]]:
    """Videos of one copy, with the match of their folder's or file's stem.

    Raw copies are preferred to cropped ones and folders of frames to video files; the options `frames` and `videos`
    choose otherwise.

    Args:
        release: what is read.
        pattern: stem of a video's folder or file, at any depth.
        part: name of a folder on the way (any case) that the wanted part of the release has, such as `HS`.
        parts: names of all such parts; a copy that has none of them holds only the wanted part.

    Raises:
        UserError: when the copy that was asked for is not there.
    """
    holders = parents_of(start_folder(release), pattern, depth=6)
    if part is not None:
        other = [h for h in holders if _has_part(release, h, parts) and not _has_part(release, h, [part])]
        holders = {h: kids for h, kids in holders.items() if h not in other}
    kids = [kid for holder, below in _by_kind(release, holders).items() for kid in below]
    with_frames = [kid for kid in kids if kid.is_dir()]
    found = [(kid, pattern.fullmatch(stem(kid))) for kid in with_frames or kids]
    return [(kid, match) for kid, match in found if match]


def _has_part(release: Release, folder: Path, parts: Collection[str]) -> bool:
    wanted = {part.casefold() for part in parts}
    names = [release.root.name, *Path(release.relative(folder)).parts]
    return any(wanted & set(re.split(r"[\W_]+", name.casefold())) for name in names)


def _by_kind(release: Release, holders: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    cropped = {h: kids for h, kids in holders.items() if is_cropped(release, h)}
    raw = {h: kids for h, kids in holders.items() if h not in cropped}
    wanted = release.options.frames
    if wanted == "auto":
        return raw or cropped
    chosen = cropped if wanted == "cropped" else raw
    if holders and not chosen:
        there = "raw" if raw else "cropped"
        raise UserError(
            file=release.root, where="option frames", got=wanted, expected=there, hint=f"only {there} frames are there"
        )
    return chosen


def is_cropped(release: Release, folder: Path) -> bool:
    """Whether a folder's path below the root, or the root's own name, says that faces were cut out."""
    return "crop" in release.relative(folder).casefold() or "crop" in release.root.name.casefold()
