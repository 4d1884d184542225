"""Whether predictions hold every clip that they should: those of a list, or as many as a protocol says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from microexp.datasets.megc2019 import dataset_name
from microexp.datasets.protocols import class_of, find_protocol
from microexp.errors import UserError
from microexp.metrics.foreign.spotting_names import person_key, video_key
from microexp.reading.rows import emotion
from microexp.reading.sheets import read_sheets, table

MEGC = "megc2019"
Clip = tuple[str, str, str, str]
"""Data set, subject, video, expression."""

LISTED = {
    "dataset": ("dataset", "database"), "subject": ("subject", "sub"),
    "video": ("sample", "video", "filename", "clip", "vid"), "expression": ("expression",), "label": ("label",),
    "emotion": ("emotion",), "kind": ("kind", "type"),
}  # fmt: skip
"""Columns of a list of clips."""


def differences(protocol: str, clips: Iterable[tuple[str, str, str]]) -> list[str]:
    """How clips (data set, subject, class) differ from a protocol: a line per data set and count that does.

    Raises:
        UserError: when there is no such protocol.
    """
    chosen, clips = find_protocol(protocol), list(clips)
    found: Counter[tuple[str, str]] = Counter((dataset, name) for dataset, _, name in clips)
    expected = dict(chosen.counts)
    found.update((dataset, "subjects") for dataset, _ in {(dataset, subject) for dataset, subject, _ in clips})
    expected |= {(dataset, "subjects"): number for dataset, number in chosen.subjects.items()}
    lines = [
        f"{dataset}: {found[dataset, what]} {what} instead of {number}"
        for (dataset, what), number in expected.items()
        if found[dataset, what] != number
    ]
    foreign = Counter(dataset for dataset, _, _ in clips if dataset not in chosen.datasets)
    return lines + [f"{dataset}: {number} clips of another data set" for dataset, number in sorted(foreign.items())]


def check_expected(clips: Iterable[Clip], path: Path, protocol: str | None = None) -> None:
    """`clips` must be exactly those of a CSV `dataset, subject, video (or sample)[, expression]`, header or none.

    Names count as the same in any usual spelling: `samm,6` and `samm,006`, `s1_ne_01` and `s01_ne_01`.
    With a column `label`, a row without one does not count; with a protocol and a column `emotion` (`expressions.csv`
    of the index; data sets then have the names of their adapters), only micro-expressions with a class count.

    Raises:
        UserError: saying how many are missing, or too many, and naming the first.
    """
    wanted = {_same(clip): clip for clip in _expected(path, protocol)}
    found = {_same(clip): clip for clip in clips}
    for problem, some, others in (("missing", wanted, found), ("not expected", found, wanted)):
        clips_of = [some[key] for key in some.keys() - others.keys()]
        if clips_of:
            first = "/".join(min(clips_of))
            raise UserError(
                file=path,
                problem=f"{len(clips_of)} of {len(some)} clips {problem}, first {first}",
                expected="each once",
            )


def _same(clip: Clip) -> Clip:
    """What is the same for all spellings of a clip."""
    dataset, subject, video, expression = clip
    return dataset_name(dataset).casefold(), person_key(subject), video_key(video), expression


def _expected(path: Path, protocol: str | None) -> list[Clip]:
    optional = ("expression", "label", "emotion", "kind")
    lines = table(read_sheets(path)[0], LISTED, optional=optional, positions=("dataset", "subject", "video", "label"))
    kept = []
    for line in lines:
        dataset, subject, video = dataset_name(line.text("dataset")), line.code("subject"), line.code("video")
        if protocol and "emotion" in line.cells:
            name = class_of(protocol, dataset, emotion(line.cells["emotion"]), subject=subject, video=video)
            counts = name is not None and line.text("kind") in ("", "micro")
        else:
            counts = "label" not in line.cells or line.text("label") != ""
        if counts:
            kept.append((dataset, subject, video, line.code("expression") or "1"))
    return kept
