"""`events.csv`: what models found in a subject's videos, in the release's frame numbers and in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from microexp.errors import UserError
from microexp.records.features import Key
from microexp.records.index import Video
from microexp.run import storage

COLUMNS = (
    "dataset", "subject", "video", "event", "onset", "apex", "offset", "onset_s", "apex_s", "offset_s", "kind", "score",
    "emotion", "spotting_model", "recognition_model",
)  # fmt: skip
"""Then one column `p_<class>` per class of the recognition model."""


@dataclass(frozen=True)
class Event:
    """A detected expression with what was recognised: 0-based source frames (in memory alone).

    Attributes:
        apex: frame of the largest displacement from the onset; None where no recognition model asked for it.
        probabilities: class -> probability; empty without a recognition model.
    """

    key: Key
    onset: int
    offset: int
    kind: str
    score: float
    spotting_model: str
    apex: int | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    recognition_model: str = ""

    def at(self, apex: int) -> Event:
        """The event with this frame as its apex."""
        return replace(self, apex=apex)


def write_events(path: Path, events: Iterable[Event], videos: Iterable[Video], classes: Sequence[str]) -> None:
    """Write `events.csv`, events numbered from 1 within their video."""
    known = {v.key: v for v in videos}
    rows: list[tuple[object, ...]] = []
    counted: dict[Key, int] = {}
    for event in events:
        video = known[event.key]
        counted[event.key] = counted.get(event.key, 0) + 1
        frames = (event.onset, event.apex, event.offset)
        numbers = [None if f is None else video.numbering.to_number(f) for f in frames]
        seconds = [None if f is None else round(f / video.fps, 3) for f in frames]
        best = max(event.probabilities, key=lambda c: event.probabilities[c]) if event.probabilities else None
        rows.append(
            (
                *event.key, counted[event.key], *numbers, *seconds, event.kind, event.score, best,
                event.spotting_model, event.recognition_model or None, *(event.probabilities.get(c) for c in classes),
            )
        )  # fmt: skip
    storage.write_csv(path, (*COLUMNS, *(f"p_{c}" for c in classes)), rows)


def read_events(path: Path, videos: Iterable[Video]) -> list[Event]:
    """Read `events.csv`; its frame numbers become indices, seconds are not read.

    Raises:
        UserError: naming file and row of the first value that does not fit, or a video not among `videos`.
    """
    known = {v.key: v for v in videos}
    found = []
    for number, row in enumerate(storage.read_csv(path, COLUMNS), 2):
        key = (row["dataset"], row["subject"], row["video"])
        if key not in known:
            raise UserError(file=path, where=f"row {number}", got="/".join(key), expected="a video of the index")
        numbering = known[key].numbering
        try:
            onset, offset = (numbering.to_index(int(row[c])) for c in ("onset", "offset"))
            apex = numbering.to_index(int(row["apex"])) if row["apex"] else None
            classes = {c.removeprefix("p_"): float(v) for c, v in row.items() if c.startswith("p_") and v}
            score = float(row["score"])
        except ValueError as error:
            raise UserError(file=path, where=f"row {number}", problem=error, expected="numbers") from error
        models = row["spotting_model"], row["recognition_model"]
        found.append(Event(key, onset, offset, row["kind"], score, models[0], apex, classes, models[1]))
    return found
