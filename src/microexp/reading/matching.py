"""Safe names for what lies on disk, which video a row of a sheet means, and where an apex is that no row names."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from microexp.reading.frames import VideoSource
from microexp.reading.release import Found
from microexp.reading.trees import VIDEO_SUFFIXES
from microexp.run.names import safe_names


def with_safe_names(found: Sequence[Found]) -> list[Found]:
    """The same videos under names that are safe as folders and groups; the names on disk are kept as `original`."""
    subjects = safe_names(dict.fromkeys(f.subject for f in found))
    videos = {s: safe_names(dict.fromkeys(f.video for f in found if f.subject == s)) for s in subjects}
    named = []
    for item in found:
        subject, video = subjects[item.subject], videos[item.subject][item.video]
        changed = (subject, video) != (item.subject, item.video)
        named.append(
            replace(item, subject=subject, video=video, original=(item.subject, item.video) if changed else ())
        )
    return named


class Ambiguous(Exception):
    """A row that may mean several videos; the text names them."""


class Matcher:
    """Which video a row means: the exact name first, then any of its usual forms where only one video has it."""

    def __init__(self, found: Iterable[Found]) -> None:
        self.forms: list[dict[tuple[str, str], list[tuple[str, str]]]] = [{}, {}, {}, {}]
        for item in found:
            own = [(item.subject, item.video), *([item.original] if item.original else [])]
            own = list(dict.fromkeys(_plain(*name) for name in own))
            for subject, video in own:
                for place, form in enumerate(_forms(subject, video)):
                    owners = self.forms[place].setdefault(form, [])
                    if (item.subject, item.video) not in owners:
                        owners.append((item.subject, item.video))

    def find(self, subject: str, video: str) -> tuple[str, str] | None:
        """(subject, video) on disk of a row's names; None when there is no such video.

        An empty subject is any.

        Raises:
            Ambiguous: when no video has exactly this name, and several have it but for upper and lower case or suffix.
        """
        wanted = _plain(subject, video)
        for forms, form in zip(self.forms, _forms(*wanted), strict=True):
            owners = forms.get(form, [])
            if not wanted[0]:
                owners = [o for (_, name), found in forms.items() if name == form[1] for o in found]
            if len(owners) > 1:
                raise Ambiguous(" and ".join("/".join(o) for o in sorted(set(owners))))
            if owners:
                return owners[0]
        return None


def _plain(subject: str, video: str) -> tuple[str, str]:
    """Names in one form of Unicode: file systems write `ë` in one or in two characters."""
    return unicodedata.normalize("NFC", subject.strip()), unicodedata.normalize("NFC", video.strip())


def _forms(subject: str, video: str) -> list[tuple[str, str]]:
    """What names are compared by, strictest first: as they are, without a suffix, and both in one case."""
    bare = without_suffix(video)
    folded = subject.casefold()
    return [(subject, video), (subject, bare), (folded, video.casefold()), (folded, bare.casefold())]


def without_suffix(video: str) -> str:
    """A video's name without the suffix of a video file."""
    stem, dot, suffix = video.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in VIDEO_SUFFIXES else video


# Where an expression without an annotated apex has it: at the largest motion away from its onset.

WIDTH_PX = 160
"""Width to which frames are scaled: motion of a whole expression shows well at this size."""


def apex_by_flow(source: VideoSource, onset: int, offset: int) -> int:
    """Index of the frame in `[onset, offset]` that differs most in motion from the onset.

    Dense flow (Farneback 2003) from the onset to each frame, minus its median, which is the motion of the head; the
    apex is the frame with the largest mean magnitude, the first one on a tie. A damaged frame is no apex; where the
    onset is damaged, motion is counted from the first frame that is not.

    Returns:
        The frame; the middle of the interval where no frame can be decoded.

    Raises:
        UserError: when the file cannot be read.
    """
    import cv2

    offset = min(offset, source.n_frames - 1)
    if onset == offset:
        return onset
    size = (WIDTH_PX, max(16, round(WIDTH_PX * source.height / source.width)))
    first: np.ndarray | None = None
    magnitudes = []
    for image in source.read(range(onset, offset + 1), grey=True):
        if image is None:
            magnitudes.append(-1.0)
            continue
        frame = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if first is None:
            first = frame
            magnitudes.append(0.0)
            continue
        flow = cv2.calcOpticalFlowFarneback(first, frame, None, 0.5, 3, 15, 3, 5, 1.1, 0)
        flow -= np.median(flow, axis=(0, 1))
        magnitudes.append(float(np.hypot(flow[..., 0], flow[..., 1]).mean(dtype=np.float64)))
    if first is None:
        return (onset + offset + 1) // 2
    return onset + int(np.argmax(magnitudes))
