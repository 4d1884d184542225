"""Safe names for what lies on disk, and which video a row of a sheet means."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

from microexp.reading.release import Found
from microexp.reading.suffixes import VIDEO_SUFFIXES
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
