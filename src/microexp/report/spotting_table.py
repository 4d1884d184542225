"""The table of a spotting experiment: every method by kind, with chance level and published figures beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from microexp.datasets.protocols import PUBLISHED
from microexp.errors import UserError
from microexp.metrics.spotting import OVERALL, Counts, Interval, bootstrap_f1, count, count_subjects
from microexp.records.detections import FOLD_RECORD, Detection
from microexp.records.index import KINDS, Video
from microexp.records.tables import Row, Table
from microexp.report.params import TablesStageParams
from microexp.run import provenance
from microexp.run.names import check_identity

COLUMNS = (
    "method", "kind", "f1", "f1_sd", "f1_low", "f1_high", "precision", "recall",
    "true_positives", "predictions", "ground_truths", "chance_f1", "chance_p", "seeds",
)  # fmt: skip
ORACLE = "_oracle"
SELECTION = "spotting/{experiment}/{method}/{fold}/selection.json"

Runs = Mapping[int, Sequence[Interval]]


def as_intervals(
    detections: Sequence[Detection],
    ran: Mapping[str, Iterable[int]],
    videos: Iterable[Video],
    *,
    order: Sequence[str] = (),
) -> dict[str, dict[int, list[Interval]]]:
    """Row of the table -> seed, in order -> detections; a method or a seed that found nothing is a result too.

    Args:
        detections: of all folds.
        ran: row -> seeds that are known to have run.
        videos: give the release's frame numbers, in which everybody counts.
        order: rows that come first, in this order; each is followed by those derived from it (`NAME_oracle`).
    """
    names = [*ran, *(d.method for d in detections)]
    sorted_names = [n for first in order for n in names if n == first or n.startswith(f"{first}_")]
    sorted_names.sort(key=lambda n: [n not in order])  # methods first, then oracles and controls
    found: dict[str, dict[int, list[Interval]]] = {}
    for name in dict.fromkeys([*sorted_names, *names]):
        found[name] = {seed: [] for seed in sorted(ran.get(name, ()))}
    numbering = {v.key: v.numbering for v in videos}
    for d in detections:
        onset, offset = (numbering[d.key].to_number(frame) for frame in (d.onset, d.offset))
        item = Interval(f"{d.dataset}/{d.subject}", d.video, onset, offset, d.kind)
        found[d.method].setdefault(d.seed, []).append(item)
    return {name: dict(sorted(runs.items())) for name, runs in found.items()}


def read_ran(selections: Sequence[Path]) -> dict[str, set[int]]:
    """Row of the table -> seeds that ran, as the `selection.json` of the folds say.

    Raises:
        UserError: when a file is none, of another fold than its path says, or of other rows or seeds than another fold
            of the method: subjects that lack a seed would count as if it had found nothing in them.
    """
    ran: dict[str, set[int]] = {}
    first: dict[str, tuple[Path, dict[str, list[int]]]] = {}
    for path in selections:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            check_identity(path, record, SELECTION)
            seeds = {name: sorted(map(int, own)) for name, own in record["methods"].items()}
            if empty := [name for name, own in seeds.items() if not own]:
                raise ValueError(f"{empty[0]} has no seed")
            seeds[record["oracle"]] = seeds[record["method"]]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise UserError(file=path, problem=problem, expected="selection.json of the stage detect") from error
        other, expected = first.setdefault(record["method"], (path, seeds))
        if seeds != expected:
            raise UserError(file=path, got=_seeds(seeds), expected=f"{_seeds(expected)}, as in {other}: run it again")
        for name, own in seeds.items():
            ran.setdefault(name, set()).update(own)
    return ran


def check_alike(selections: Sequence[Path]) -> None:
    """All folds of a method must have been trained with the same options on the same files, as their records say.

    A run that is stopped twice at the wrong moment may leave detections of an older training beside those of a new one.

    Raises:
        UserError: naming two folds that differ.
    """
    first: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for path in selections:
        if not provenance.provenance_path(path).exists():
            continue
        trained = provenance.read_provenance(path).get(FOLD_RECORD)
        if not trained:  # of microexp before 0.2.0, or of proposals without a record
            continue
        other, expected = first.setdefault(path.parents[1].name, (path, trained))
        if trained == expected:
            continue
        hint = "train all folds again: snakemake -R spotting_fold"
        ours, theirs = (t.get("options", {}) for t in (trained, expected))
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                where, other_is = f"trained with {name}", f"{theirs.get(name)}, as in {other}"
                raise UserError(file=path, where=where, got=ours.get(name), expected=other_is, hint=hint)
        raise UserError(file=path, problem="trained on other files", expected=f"the same as in {other}", hint=hint)


def _seeds(ran: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{name} with seeds {' '.join(map(str, own))}" for name, own in ran.items())


def displaced(
    runs: Sequence[Interval], frames: Mapping[tuple[str, str], tuple[int, int]], rng: np.random.Generator
) -> list[Interval]:
    """The detections moved to random places: all of a video by the same random number of frames, around its end."""
    shifts = {key: int(rng.integers(n)) for key, (_, n) in sorted(frames.items())}
    moved = []
    for item in runs:
        key = (item.subject, item.video)
        first, count = frames[key]
        length = item.offset - item.onset
        onset = first + (item.onset - first + shifts[key]) % max(1, count - length)
        moved.append(replace(item, onset=onset, offset=onset + length))
    return moved


def chance(
    runs: Runs,
    truths: Sequence[Interval],
    frames: Mapping[tuple[str, str], tuple[int, int]],
    *,
    options: TablesStageParams,
) -> dict[str, tuple[float, float]]:
    """Kind -> (mean F1 of displaced detections, share of displacements that reach the run's mean F1)."""
    rng = np.random.default_rng([options.seed or 0, 11])
    observed = _mean_f1(runs, truths, options)
    drawn = []
    for _ in range(options.permutations):
        moved = {seed: displaced(items, frames, rng) for seed, items in runs.items()}
        drawn.append(_mean_f1(moved, truths, options))
    result = {}
    for kind in (*KINDS, OVERALL):
        values = np.array([d[kind] for d in drawn])
        reached = (1 + np.sum(values >= observed[kind])) / (1 + len(values))
        result[kind] = (float(values.mean()), float(reached)) if len(values) else (float("nan"), float("nan"))
    return result


def _mean_f1(runs: Runs, truths: Sequence[Interval], options: TablesStageParams) -> dict[str, float]:
    counts = [count(items, truths, options.matching) for items in runs.values()]
    return {kind: float(np.mean([c[kind].f1 for c in counts])) for kind in (*KINDS, OVERALL)}


def spotting_rows(
    method: str,
    runs: Runs,
    truths: Sequence[Interval],
    *,
    frames: Mapping[tuple[str, str], tuple[int, int]],
    options: TablesStageParams,
) -> list[Row]:
    """One row per kind: F1, its interval and the counts are means over seeds."""
    subjects = sorted({subject for subject, _ in frames})
    by_subject = [count_subjects(run, truths, options.matching, subjects=subjects) for run in runs.values()]
    counts = [{k: sum((row[k] for row in run.values()), Counts()) for k in (*KINDS, OVERALL)} for run in by_subject]
    limits = bootstrap_f1(by_subject, options.bootstrap, options.seed or 0)
    by_chance = chance(runs, truths, frames, options=options)
    rows: list[Row] = []
    for kind in (*KINDS, OVERALL):
        own = [c[kind] for c in counts]
        rows.append(
            {
                "method": method,
                "kind": kind,
                **_measures(own),
                "f1_low": limits[kind][0],
                "f1_high": limits[kind][1],
                "chance_f1": by_chance[kind][0],
                "chance_p": by_chance[kind][1],
                "seeds": len(own),
            }
        )
    return rows


def _measures(counts: Sequence[Counts]) -> dict[str, float | int | None]:
    def mean(name: str) -> float:
        """Mean over the repetitions."""
        return float(np.mean([getattr(c, name) for c in counts]))

    def number(name: str) -> float | int:
        """The same, as a whole number where it is one."""
        value = mean(name)
        return int(value) if value == int(value) else value

    return {
        "f1": mean("f1"),
        "f1_sd": float(np.std([c.f1 for c in counts], ddof=1)) if len(counts) > 1 else None,
        "precision": mean("precision"),
        "recall": mean("recall"),
        "true_positives": number("true_positives"),
        "predictions": number("predictions"),
        "ground_truths": number("truths"),
    }


def published_rows(releases: Sequence[str]) -> list[Row]:
    """Published overall F1 for the data sets of the run that the field reports on."""
    rows: list[Row] = []
    for release in releases:
        for entry in PUBLISHED:
            value = getattr(entry, release, None)
            if isinstance(value, float):
                mark = ", chosen on test" if entry.chosen_on_test else ""
                rows.append({"method": f"{entry.method} (published{mark})", "kind": OVERALL, "f1": value})
    return rows


def spotting_table(
    title: str,
    methods: Mapping[str, Runs],
    truths: Sequence[Interval],
    *,
    frames: Mapping[tuple[str, str], tuple[int, int]],
    options: TablesStageParams,
) -> Table:
    """All methods of an experiment.

    Args:
        title: of the table.
        methods: method -> seed -> detections of all folds.
        truths: ground truths of all subjects.
        frames: (subject as `dataset/name`, video) -> number of the first frame, and how many numbers there are; of
            every video, expression-free ones too.
        options: of the stage.
    """
    rows = [
        row
        for method, runs in methods.items()
        for row in spotting_rows(method, runs, truths, frames=frames, options=options)
    ]
    notes = [
        f"IoU >= .5 on closed intervals, matching {options.matching}; counts pooled over all subjects and videos.",
        f"low, high: 95 % interval of {options.bootstrap} bootstrap samples over subjects, as f1 a mean over seeds; "
        "sd over seeds.",
        f"chance: the same detections at {options.permutations} random displacements within their videos.",
    ]
    if any(name.endswith(ORACLE) for name in methods):
        notes.append(
            "Rows named _oracle chose their threshold on the test subject: no result, they show what that is worth."
        )
    published = published_rows(options.releases)
    if published:
        notes.append("Published rows marked 'chosen on test' picked epoch or threshold on the test subjects.")
    return Table(title, COLUMNS, [*rows, *published], notes)
