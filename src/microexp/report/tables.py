"""Stage `tables`: all folds of an experiment become one table, as CSV, Markdown, LaTeX, and JSON for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from microexp.datasets.classes import TaskParams, class_in, class_names
from microexp.errors import UserError
from microexp.metrics import action_units, recognition
from microexp.metrics.bootstrap import differences
from microexp.metrics.completeness import check_clips, check_folds, check_methods, labelled_clips
from microexp.metrics.spotting import OVERALL, Interval, count_subjects, f1_figure, strs
from microexp.records.detections import read_detections
from microexp.records.events import read_events
from microexp.records.exclusions import Exclusion, all_exclusions
from microexp.records.index import Video, read_expressions, read_videos
from microexp.records.tables import Table, as_json, write
from microexp.report.params import TablesStageParams
from microexp.report.spotting_table import as_intervals, check_alike, read_ran, spotting_table
from microexp.run import storage
from microexp.run.names import WHOLE_DATASET
from microexp.run.stage import Job

NAMED = 20
"""Exclusions that a table's note names; the report lists all."""
COUNTS = ("true_positives", "predictions", "truths")


class Made(NamedTuple):
    """What an experiment comes to: its table, how far its methods differ (None for one), details for the report."""

    table: Table
    differences: Table | None
    details: Mapping[str, Any]


def read_truths(paths: Sequence[Path], videos: Sequence[Path]) -> list[Interval]:
    """Ground truths of the index, in the release's frame numbers; subjects are named `dataset/subject`."""
    known = [v for path in videos for v in read_videos(path)]
    numbering = {v.key: v.numbering for v in known}
    return [
        Interval(f"{e.dataset}/{e.subject}", e.video, onset, offset, e.kind, e.emotion)
        for path in paths
        for e in read_expressions(path, known)
        for onset, _, offset in [e.released(numbering[e.video_key])]
    ]


def read_spans(paths: Sequence[Path]) -> dict[tuple[str, str], tuple[int, int]]:
    """(dataset/subject, video) -> the release's number of its first frame, and how many numbers its frames span."""
    return {
        (f"{v.dataset}/{v.subject}", v.video): (v.numbering.first, v.numbering.last - v.numbering.first + 1)
        for path in paths
        for v in read_videos(path)
    }


def spotting(job: Job[TablesStageParams], title: str) -> Made:
    """Table and details of a spotting experiment.

    Raises:
        UserError: when a method's folds lack a subject of the index, a detection lies in a video that it does not know,
            or nothing says that a method ran.
    """
    tested = job.params.tested
    truths = [t for t in read_truths(job.inputs["expressions"], job.inputs["videos"]) if _is_tested(t.subject, tested)]
    frames = {k: span for k, span in read_spans(job.inputs["videos"]).items() if _is_tested(k[0], tested)}
    subjects = sorted({subject for subject, _ in frames})
    check_folds([f"{d}/{WHOLE_DATASET}" for d in tested] or subjects, job.inputs["folds"])
    videos = [v for path in job.inputs["videos"] for v in read_videos(path)]
    check_alike(job.inputs["selections"])
    detections = [d for path in job.inputs["folds"] for d in read_detections(path, videos)]
    methods = as_intervals(detections, read_ran(job.inputs["selections"]), videos, order=job.params.methods)
    check_methods(job.params.methods, methods)
    counted = {
        method: [count_subjects(run, truths, job.params.matching, subjects=subjects) for run in runs.values()]
        for method, runs in methods.items()
    }
    per_subject = {
        method: {
            subject: {kind: dict(zip(COUNTS, astuple(c), strict=True)) for kind, c in kinds.items()}
            for subject, kinds in seeds[0].items()
        }
        for method, seeds in counted.items()
    }
    table = spotting_table(title, methods, truths, frames=frames, options=job.params)
    if job.inputs.get("events"):
        table = with_strs(
            table,
            read_spotted(job.inputs["events"], videos),
            named_classes(truths, job.params),
            methods=job.params.methods,
        )
    figures = {
        name: f1_figure(counted[name], job.params.bootstrap, job.params.seed or 0) for name in job.params.methods
    }
    compared = differences(title, figures, "f1", samples=job.params.bootstrap)
    return Made(table, compared, {"per_subject": per_subject})


def named_classes(truths: Sequence[Interval], options: TablesStageParams) -> list[Interval]:
    """Ground truths with their class as emotion; those without one are a class of their own, `others`."""
    assert options.task is not None
    found = []
    for t in truths:
        dataset, subject = t.subject.split("/")
        found.append(
            replace(
                t,
                emotion=class_in(options.task, dataset, subject, video=t.video, emotion=t.emotion, aus="") or "others",
            )
        )
    return found


def read_spotted(paths: Sequence[Path], videos: Sequence[Video]) -> dict[str, list[Interval]]:
    """Method -> what it spotted, in the release's frame numbers, with the class that was recognised."""
    numbering = {v.key: v.numbering for v in videos}
    found: dict[str, list[Interval]] = {}
    for event in (e for path in paths for e in read_events(path, videos)):
        onset, offset = (numbering[event.key].to_number(f) for f in (event.onset, event.offset))
        item = Interval(f"{event.key[0]}/{event.key[1]}", event.key[2], onset, offset, event.kind, event.emotion)
        found.setdefault(event.spotting_model.partition("/")[2], []).append(item)
    return found


def with_strs(
    table: Table, spotted: Mapping[str, Sequence[Interval]], truths: Sequence[Interval], *, methods: Iterable[str]
) -> Table:
    """The table with the spot-then-recognise score of every method, as the reference computes it."""
    scores = {name: strs(spotted.get(name, ()), truths) for name in methods}
    rows = [
        {**row, "f1_analysis": scores[name].f1_analysis, "strs": scores[name].strs}
        if row["kind"] == OVERALL and (name := str(row["method"])) in scores
        else row
        for row in table.rows
    ]
    note = (
        "strs: F1 of spotting times f1_analysis, the harmonic mean of macro precision and recall over all classes of "
        "the ground truth, as github.com/genbing99/STRS-Metric computes them (first seed; no class is `others`)."
    )
    return replace(table, columns=[*table.columns, "f1_analysis", "strs"], rows=rows, notes=[*table.notes, note])


def _is_tested(subject: str, tested: Sequence[str]) -> bool:
    return not tested or subject.partition("/")[0] in tested


def permuted_scores(
    rows: Sequence[recognition.Prediction], classes: Sequence[str], permutations: int, *, seed: int
) -> tuple[float, float]:
    """Mean UF1 and UAR of these predictions against labels that were shuffled within each data set."""
    rng = np.random.default_rng([seed, 12])
    number = {c: i for i, c in enumerate(classes)}
    label = np.array([number[r.label] for r in rows])
    answer = np.array([number[r.prediction] for r in rows])
    groups = [np.flatnonzero([r.dataset == d for r in rows]) for d in sorted({r.dataset for r in rows})]
    drawn = []
    for _ in range(permutations):
        shuffled = label.copy()
        for group in groups:
            shuffled[group] = rng.permutation(label[group])
        matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(matrix, (shuffled, answer), 1)
        score = recognition.scores(matrix)
        drawn.append((score.uf1, score.uar))
    uf1, uar = np.mean(drawn, axis=0) if drawn else (float("nan"), float("nan"))
    return float(uf1), float(uar)


def recognise(job: Job[TablesStageParams], title: str) -> Made:
    """Table and details of a recognition experiment.

    Raises:
        UserError: when the folds do not predict exactly the labelled clips of the index that could be used.
    """
    options = job.params
    if options.task is not None and options.task.target == "action_units":
        return recognise_units(job, title)
    predictions = recognition.read_predictions(job.inputs["folds"])
    check_methods(options.methods, recognition.grouped(predictions))
    if options.task is None:
        classes = recognition.classes_of(predictions)
    else:
        classes = list(class_names(options.task))
        check_clips(_expected(job, options.task), predictions)
    table = recognition.table(title, predictions, classes, samples=options.bootstrap, seed=options.seed or 0)
    groups = recognition.grouped(predictions)
    rows = []
    for row in table.rows:
        part = str(row["part"])
        first = next(iter(groups[str(row["method"])].values()))
        own = [p for p in first if part in (recognition.ALL, p.dataset)]
        uf1, uar = permuted_scores(own, classes, options.permutations, seed=options.seed or 0)
        rows.append({**row, "chance_uf1": uf1, "chance_uar": uar})
    at = list(table.columns).index("accuracy")
    columns = [*table.columns[:at], "chance_uf1", "chance_uar", *table.columns[at:]]
    note = f"chance: the first seed's predictions against {options.permutations} permutations of the labels."
    details = {
        "confusion": {
            method: {"classes": classes, "matrix": recognition.mean_confusion(runs, classes)}
            for method, runs in groups.items()
        }
    }
    figures = {
        method: recognition.uf1_figure(
            list(groups[method].values()), classes, options.bootstrap, seed=options.seed or 0
        )
        for method in options.methods
    }
    compared = differences(title, figures, "uf1", samples=options.bootstrap)
    return Made(replace(table, columns=columns, rows=rows, notes=[*table.notes, note]), compared, details)


def _expected(job: Job[TablesStageParams], task: TaskParams) -> dict[tuple[str, str, str, str], str]:
    """Clip -> what it shows, of all clips that must be predicted."""
    videos = [v for path in job.inputs["videos"] for v in read_videos(path)]
    expressions = [e for path in job.inputs["expressions"] for e in read_expressions(path, videos)]
    return labelled_clips(expressions, task, all_exclusions(job.inputs["shards"], ()))


def recognise_units(job: Job[TablesStageParams], title: str) -> Made:
    """Table of an experiment on action units; errors as of `recognise`."""
    options = job.params
    assert options.task is not None
    predictions = action_units.read_predictions(job.inputs["folds"])
    check_methods(options.methods, recognition.grouped(predictions))
    recognition.check_once(predictions)
    check_clips(_expected(job, options.task), predictions)
    names = class_names(options.task)
    table = action_units.table(title, predictions, names, samples=options.bootstrap, seed=options.seed or 0)
    by_method = {method: [p for p in predictions if p.method == method] for method in options.methods}
    figures = {
        method: action_units.auc_figure(own, names, options.bootstrap, seed=options.seed or 0)
        for method, own in by_method.items()
    }
    return Made(table, differences(title, figures, "auc", samples=options.bootstrap), {})


def with_exclusions(table: Table, exclusions: Sequence[Exclusion], allowed: bool) -> Table:
    """The table with a note on what was excluded; the title says INCOMPLETE unless that is allowed."""
    if not exclusions:
        return table
    listed = "; ".join(map(str, exclusions[:NAMED]))
    more = f"; and {len(exclusions) - NAMED} more, see excluded.csv and the report" if len(exclusions) > NAMED else ""
    title = table.title if allowed else f"INCOMPLETE: {table.title}"
    return replace(table, title=title, notes=[*table.notes, f"Excluded: {listed}{more}"])


def run(job: Job[TablesStageParams]) -> Mapping[str, Any] | None:
    """Read all folds, write the four forms of the table."""
    kind, experiment = job.keys["kind"], job.keys["experiment"]
    makers = {"spotting": spotting, "recognition": recognise}
    if kind not in makers:
        raise UserError(file="command line", where="--kind", got=repr(kind), expected="spotting or recognition")
    if not job.inputs["folds"]:
        raise UserError(
            file="command line",
            where="--folds",
            problem="no file",
            expected="detections.csv or predictions.csv of every fold",
        )
    made = makers[kind](job, f"{kind.capitalize()}, {experiment}")
    exclusions = all_exclusions(job.inputs["shards"], job.inputs["excluded"])
    table = with_exclusions(made.table, exclusions, job.params.allow_exclusions)
    write(
        table,
        csv_path=job.output("csv"),
        markdown_path=job.output("md"),
        latex_path=job.output("tex"),
        below=made.differences,
    )
    record = {
        "kind": kind,
        "experiment": experiment,
        "complete": job.params.allow_exclusions or not exclusions,
        "exclusions": [astuple(e) for e in exclusions],
        "table": as_json(table),
        "differences": as_json(made.differences) if made.differences else None,
        **made.details,
    }
    storage.write_json(job.output("json"), record)
    return None
