"""Whether predictions hold every clip that they should: those of a list, or as many as a protocol says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from microexp.datasets.megc2019 import dataset_name
from microexp.datasets.protocols import class_of, find_protocol
from microexp.errors import UserError
from microexp.run import storage

MEGC = "megc2019"
Clip = tuple[str, str, str, str]
"""Data set, subject, video, expression."""


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
    """`clips` must be exactly those of a CSV `dataset, subject, video (or sample)[, expression]`.

    With a column `label`, a row without one does not count; with a protocol and a column `emotion` (`expressions.csv`
    of the index, whose data sets then are called as their adapters), only micro-expressions with a class count.

    Raises:
        UserError: saying how many are missing, or too many, and naming the first.
    """
    wanted = set(_expected(path, protocol))
    found = set(clips)
    for problem, clips_of in (("missing", wanted - found), ("not expected", found - wanted)):
        if clips_of:
            first = "/".join(min(clips_of))
            raise UserError(
                file=path,
                problem=f"{len(clips_of)} of {len(wanted)} clips {problem}, first {first}",
                expected="each once",
            )


def _expected(path: Path, protocol: str | None) -> list[Clip]:
    rows = storage.read_csv(path, ("dataset", "subject"))
    video = "sample" if rows and "sample" in rows[0] else "video"
    if rows and video not in rows[0]:
        raise UserError(file=path, where="header", problem=",".join(rows[0]), expected="a column 'video'")
    kept = []
    for row in rows:
        dataset = dataset_name(row["dataset"])
        if protocol and "emotion" in row:
            name = class_of(protocol, dataset, row["emotion"], row["subject"], row[video])
            counts = name is not None and row.get("kind", "micro") == "micro"
        else:
            counts = row.get("label", "some") != ""
        if counts:
            kept.append((dataset, row["subject"], row[video], row.get("expression", "1")))
    return kept
