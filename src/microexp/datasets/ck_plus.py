"""CK+, posed expressions from neutral to their peak: a source of macro-expressions.

Lucey et al. 2010, doi:10.1109/CVPRW.2010.5543262
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from microexp.errors import UserError
from microexp.reading.frames import BadVideo, list_frames
from microexp.reading.release import Adapter, Counts, Found, Release, Row
from microexp.reading.rows import ActionUnit, format_aus
from microexp.reading.trees import find_copy, folders

SEQUENCE = re.compile(r"\d{3}")
"""`cohn-kanade-images/S005/001/S005_001_00000001.png`"""

SUBJECT = re.compile(r"S\d{3}", re.IGNORECASE)
LABELS = re.compile(r".*(emotion|facs|landmark).*", re.IGNORECASE)
EMOTIONS = ("", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
"""By the number in `*_emotion.txt`; 0 is neutral."""


class BadLabel(UserError):
    """A label file that is damaged; that reading fails (network, rights) is another thing."""


def find_videos(release: Release) -> list[Found]:
    """Sequences of images, `S005_001` of subject `S005`."""
    found = []
    for path, match in find_copy(release, SEQUENCE):
        subject = path.parent.name.upper()
        if SUBJECT.fullmatch(subject) and not LABELS.fullmatch(release.relative(path.parent.parent)):
            found.append(Found(subject, f"{subject}_{match[0]}", path))
    return found


def read_rows(release: Release) -> list[Row]:
    """One row a sequence: its last frame is apex and offset; emotion and action units from their files, if any."""
    labels = _label_files(release)
    rows = []
    for item in find_videos(release):
        name = item.video.casefold()
        emotion, units = (
            _label(release, labels.get((name, what)), read) for what, read in (("emotion", _emotion), ("facs", _units))
        )
        try:
            last = int(list_frames(item.path).numbers[-1])
        except BadVideo:
            continue  # noted when the video is opened
        rows.append(
            Row(
                release.relative(item.path),
                0,
                item.subject,
                video=item.video,
                onset=None,
                apex=last,
                offset=last,
                kind="macro",
                emotion=emotion,
                aus=units,
            )
        )
    return rows


def _label(release: Release, path: Path | None, read: Callable[[Path], str]) -> str:
    """What a label file says; '' where there is none, or, with a note, where it is damaged."""
    try:
        return read(path) if path else ""
    except BadLabel as error:
        assert path is not None
        release.note(
            release.relative(path), 0, "label", problem=f"{error.what}, not {error.expected}", action="left empty"
        )
        return ""


def _label_files(release: Release) -> dict[tuple[str, str], Path]:
    """(sequence, `emotion` or `facs`) -> file."""
    found = {}
    for folder, _ in folders(release.root, 5):
        if LABELS.fullmatch(release.relative(folder)):
            for path in sorted(folder.glob("*.txt")):
                match = re.fullmatch(r"(S\d{3}_\d{3})_\d+_(emotion|facs)", path.stem, re.IGNORECASE)
                if match:
                    found[match[1].casefold(), match[2].lower()] = path
    return found


def _numbers(path: Path) -> list[list[float]]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return [[float(value) for value in line.split()] for line in lines if line.strip()]
    except ValueError as error:
        raise BadLabel(file=path, problem=error, expected="numbers") from error
    except OSError as error:
        raise UserError(file=path, problem=error.strerror, expected="a label file that can be read") from error


def _emotion(path: Path) -> str:
    rows = _numbers(path)
    if len(rows) != 1 or len(rows[0]) != 1 or rows[0][0] not in range(len(EMOTIONS)):
        raise BadLabel(file=path, got=f"{rows[:2]}"[:40], expected="one number from 0 to 7")
    return EMOTIONS[int(rows[0][0])]


def _units(path: Path) -> str:
    """Lines of action unit and intensity (0: not coded, 1 to 5: A to E)."""
    units = []
    for number, row in enumerate(_numbers(path), 1):
        if not row or not 1 <= row[0] < 100 or (len(row) > 1 and row[1] not in range(6)):
            raise BadLabel(file=path, where=f"row {number}", got=row, expected="an action unit and its intensity")
        units.append(ActionUnit(int(row[0]), intensity=" ABCDE"[int(row[1]) if len(row) > 1 else 0].strip()))
    return format_aus(tuple(units))


def published(release: Release) -> Counts:
    """Lucey et al. 2010: 593 sequences, of which 327 have an emotion."""
    emotions = {
        "surprise": 83, "happiness": 69, "disgust": 59, "anger": 45, "sadness": 28, "fear": 25, "contempt": 18,
    }  # fmt: skip
    return {
        ("subjects", ""): 123, ("videos", ""): 593, ("expressions", ""): 593, ("expressions", "macro"): 593,
    } | {("emotion", f"macro {name}"): n for name, n in emotions.items()}  # fmt: skip


ADAPTER = Adapter(lambda release: [], find_videos, read_rows, published, fps=lambda release: 30.0)
