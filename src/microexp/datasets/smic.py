"""SMIC: micro-expression clips by three cameras, HS 100, VIS and NIR 25 frames/s.

Li et al. 2013, doi:10.1109/FG.2013.6553717
"""

from __future__ import annotations

import re
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.release import Adapter, Counts, Found, Release, Row
from microexp.reading.trees import find_copy

CLIP = re.compile(r"s(\d{1,2})_(ne|po|sur)_(\d{1,2})", re.IGNORECASE)
"""`HS/s1/micro/negative/s1_ne_01`: the label is the folder's; copies write the subject s1 or s01."""

EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}
RATES = {"HS": 100.0, "VIS": 25.0, "NIR": 25.0}


def part(release: Release) -> str:
    """The camera: HS unless the option `release` says otherwise."""
    wanted = (release.options.release or "HS").upper()
    if wanted not in RATES:
        raise UserError(
            file="config", where=f"datasets.{release.name}.release", got=repr(wanted), expected="HS, VIS or NIR"
        )
    return wanted


def find_videos(release: Release) -> list[Found]:
    """Clips of the camera, with names brought to the form `s01_ne_01`; non-micro clips have other names."""
    return [Found(_subject(match), _name(match), path) for path, match in _clips(release)]


def _clips(release: Release) -> list[tuple[Path, re.Match[str]]]:
    return find_copy(release, CLIP, part(release), parts=RATES)


def _subject(match: re.Match[str]) -> str:
    return f"s{int(match[1]):02d}"


def _name(match: re.Match[str]) -> str:
    return f"{_subject(match)}_{match[2].lower()}_{int(match[3]):02d}"


def read_rows(release: Release) -> list[Row]:
    """One row a clip, from its first to its last frame; the release has no apex."""
    rows = []
    for path, match in _clips(release):
        label = EMOTIONS[match[2].lower()]
        folder = path.parent.name.lower()
        where = release.relative(path)
        if folder in EMOTIONS.values() and folder != label:
            release.note(where, 0, "emotion", problem=f"{match[0]} lies in {folder}", action=f"read as {folder}")
            label = folder
        rows.append(
            Row(
                where,
                0,
                _subject(match),
                video=_name(match),
                onset=None,
                apex=None,
                offset=None,
                kind="micro",
                emotion=label,
                aus="",
            )
        )
    return rows


def published(release: Release) -> Counts:
    """Li et al. 2013."""
    if part(release) != "HS":
        return {("subjects", ""): 8, ("videos", ""): 71, ("expressions", ""): 71, ("expressions", "micro"): 71}
    return {
        ("subjects", ""): 16, ("videos", ""): 164, ("expressions", ""): 164, ("expressions", "micro"): 164,
        ("emotion", "micro negative"): 70, ("emotion", "micro positive"): 51, ("emotion", "micro surprise"): 43,
    }  # fmt: skip


ADAPTER = Adapter(
    lambda release: [], find_videos, read_rows, published, fps=lambda release: RATES[part(release)], clips=True
)
