"""`events.csv`: what models found in a subject's videos, in the release's frame numbers and in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from microexp.records.features import Key
from microexp.records.index import Video
from microexp.run import storage

COLUMNS = (
    "dataset", "subject", "video", "event", "onset", "apex", "offset", "onset_s", "apex_s", "offset_s", "kind", "score",
    "emotion", "spotting_model", "recognition_model",
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
    units: str = ""
    unit_probabilities: Mapping[str, float] = field(default_factory=dict)
    unit_model: str = ""


def write_events(
    path: Path, events: Iterable[Event], videos: Iterable[Video], classes: Sequence[str], units: Sequence[str] = ()
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
        best = max(event.probabilities, key=lambda c: event.probabilities[c]) if event.probabilities else None
        rows.append(
            (
                *event.key, counted[event.key], *numbers, *seconds, event.kind, event.score, best,
                event.spotting_model, event.recognition_model or None, *(event.probabilities.get(c) for c in classes),
                *((event.units, event.unit_model or None, *map(event.unit_probabilities.get, units)) if units else ()),
            )
        )  # fmt: skip
    of_units = (*UNIT_COLUMNS, *units) if units else ()
    storage.write_csv(path, (*COLUMNS, *(f"p_{c}" for c in classes), *of_units), rows)
