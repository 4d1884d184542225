"""Which files are videos and images, by their names and, where a name does not tell, by their first bytes."""

from __future__ import annotations

from pathlib import Path

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
