"""`events.csv`: what models found in a subject's videos, in the release's frame numbers and in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from microexp.errors import UserError
from microexp.records.features import Key
from microexp.records.index import Video
from microexp.run import storage

COLUMNS = (
    "dataset", "subject", "video", "event", "onset", "apex", "offset", "onset_s", "apex_s", "offset_s", "kind", "score",
    "emotion", "spotting_model", "recognition_model", "flags",
)  # fmt: skip
"""Then one column `p_<class>` per class of the recognition model, and those of `UNIT_COLUMNS` and one per action unit
(`AU12`: its probability) where a model of action units was applied."""
UNIT_COLUMNS = ("action_units", "action_unit_model")
"""`L12+25?`: units that are shown, with their side where only one half shows it, `?` where the model is unsure."""


@dataclass(frozen=True)
class Event:
    """A detected expression with what was recognised: 0-based source frames (in memory alone).

    Attributes:
        apex: frame of the largest displacement from the onset; None where no recognition model asked for it.
        probabilities: class -> probability; empty without a recognition model.
        flags: what else may have moved, or hides a part, as of `spotting.candidates.flags_of`; in the file with `+`
            between.
        units: action units in words, see `UNIT_COLUMNS`.
        unit_probabilities: `AU12` -> probability that it is shown; empty without a model of action units.
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
    flags: tuple[str, ...] = ()
    units: str = ""
    unit_probabilities: Mapping[str, float] = field(default_factory=dict)
    unit_model: str = ""

    @property
    def emotion(self) -> str:
        """The most probable class; empty without a recognition model."""
        return max(self.probabilities, key=lambda c: self.probabilities[c]) if self.probabilities else ""


def write_events(
    path: Path, events: Iterable[Event], videos: Iterable[Video], *, classes: Sequence[str], units: Sequence[str] = ()
) -> None:
    """Write `events.csv`, events numbered from 1 within their video; `units`: names of a model's action units."""
    known = {v.key: v for v in videos}
    rows: list[tuple[object, ...]] = []
    counted: dict[Key, int] = {}
    for event in events:
        video = known[event.key]
        counted[event.key] = counted.get(event.key, 0) + 1
        frames = (event.onset, event.apex, event.offset)
        numbers = [None if f is None else video.numbering.to_number(f) for f in frames]
        seconds = [None if f is None else round(f / video.fps, 3) for f in frames]
        rows.append(
            (
                *event.key, counted[event.key], *numbers, *seconds, event.kind, event.score,
                event.emotion or None, event.spotting_model, event.recognition_model or None,
                "+".join(event.flags) or None, *(event.probabilities.get(c) for c in classes),
                *((event.units, event.unit_model or None, *map(event.unit_probabilities.get, units)) if units else ()),
            )
        )  # fmt: skip
    of_units = (*UNIT_COLUMNS, *units) if units else ()
    storage.write_csv(path, (*COLUMNS, *(f"p_{c}" for c in classes), *of_units), rows)


def read_events(path: Path, videos: Iterable[Video], *, others: bool = False) -> list[Event]:
    """Read `events.csv`; its frame numbers become indices, seconds are not read.

    Args:
        path: the file.
        videos: those of which the events are wanted.
        others: whether it may hold events of other videos, which are passed over.

    Raises:
        UserError: naming file and row of the first value that does not fit, or a video not among `videos`.
    """
    known = {v.key: v for v in videos}
    found = []
    for number, row in enumerate(storage.read_csv(path, COLUMNS), 2):
        key = (row["dataset"], row["subject"], row["video"])
        if key not in known and others:
            continue
        if key not in known:
            raise UserError(file=path, where=f"row {number}", got="/".join(key), expected="a video of the index")
        numbering = known[key].numbering
        try:
            onset, offset = (numbering.to_index(int(row[c])) for c in ("onset", "offset"))
            apex = numbering.to_index(int(row["apex"])) if row["apex"] else None
            classes = {c.removeprefix("p_"): float(v) for c, v in row.items() if c.startswith("p_") and v}
            units = {c: float(v) for c, v in row.items() if c.startswith("AU") and v}
            score = float(row["score"])
        except ValueError as error:
            raise UserError(file=path, where=f"row {number}", problem=error, expected="numbers") from error
        models = row["spotting_model"], row["recognition_model"]
        flags = tuple(filter(None, row["flags"].split("+")))
        of_units = row.get("action_units", ""), units, row.get("action_unit_model", "")
        found.append(
            Event(key, onset, offset, row["kind"], score, models[0], apex, classes, models[1], flags, *of_units)
        )
    return found
