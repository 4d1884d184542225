"""Stage `report`: one self-contained HTML page that shows a whole run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path

from markupsafe import Markup

from microexp.datasets.counts import Count, read_counts
from microexp.records.apexdiff import read_apexdiff
from microexp.records.crops import open_crops
from microexp.records.detections import COLUMNS as DETECTION_COLUMNS
from microexp.records.faces import open_faces
from microexp.records.flow import open_flow
from microexp.records.index import KINDS, Expression, Issue, Video, by_kind, read_expressions, read_issues, read_videos
from microexp.report import page, svg
from microexp.report.collect import (
    HEADINGS,
    Alignment,
    ResultTable,
    Rows,
    read_rows,
    read_table,
    read_versions,
    worst_of,
)
from microexp.report.detected import video_lanes
from microexp.report.methods import adapters_of, describe
from microexp.report.page import render
from microexp.report.params import FrontParams
from microexp.report.subject import expression_pictures, maps_of
from microexp.report.svg import training_panels, training_picture
from microexp.report.tableview import Confusion, Headline, TableView, confusions, headlines, subject_counts, view
from microexp.run import provenance, storage
from microexp.run.names import WHOLE_DATASET, split_fold
from microexp.run.runner import made_by, own_record
from microexp.run.stage import Job

Subject = tuple[str, str]


@dataclass(frozen=True)
class Experiment:
    """What the page shows of one experiment."""

    anchor: str
    table: ResultTable
    view: TableView
    differences: tuple[ResultTable, TableView] | None
    headlines: tuple[Headline, ...]
    confusions: tuple[Confusion, ...]
    folds: str
    curves: tuple[tuple[str, Markup, int], ...]


@dataclass(frozen=True)
class PersonRow:
    """One subject: a row of the overview, a link to its page, pictures."""

    dataset: str
    subject: str
    link: str | None
    videos: int
    seconds: float
    kinds: tuple[int, ...]
    counts: tuple[tuple[str, ...], ...]
    alignment: Alignment | None
    pictures: tuple[tuple[str, str], ...]
    caption: str


@dataclass(frozen=True)
class DataSet:
    """A data set: how much it holds, also against what was published, and what was wrong in its release, by kind."""

    name: str
    subjects: int
    videos: int
    seconds: float
    kinds: tuple[int, ...]
    emotions: tuple[tuple[str, int], ...]
    counts: tuple[Count, ...]
    issues: tuple[tuple[str, tuple[Issue, ...]], ...]
    n_issues: int


def experiments(tables: Sequence[ResultTable], logs: Mapping[tuple[str, str], Sequence[Rows]]) -> list[Experiment]:
    """The tables with what belongs to them; `logs` are training logs by kind and experiment."""
    found = []
    for table in tables:
        folds = logs.get((table.kind, table.experiment), ())
        curves = []
        for method in dict.fromkeys(f.method for f in folds):
            own = [f for f in folds if f.method == method]
            if panels := training_panels(own):
                curves.append((method, training_picture(panels), len(panels)))
        apart = (table.differences, view(table.differences)) if table.differences else None
        anchor, parts = f"{table.kind}-{table.experiment}", (tuple(headlines(table)), tuple(confusions(table)))
        found.append(Experiment(anchor, table, view(table), apart, *parts, folds_text(folds), tuple(curves)))
    return found


def folds_text(folds: Sequence[Rows]) -> str:
    """What the folds hold out, which their names say; empty without any."""
    if not folds:
        return ""
    names = sorted({fold.fold for fold in folds})
    whole = all(split_fold(name)[1] == WHOLE_DATASET for name in names)
    number = f"{len(names)} fold{'' if len(names) == 1 else 's'}"
    return f"{number}, each holds one {'data set' if whole else 'subject'} out."


def read_logs(paths: Iterable[Path]) -> dict[tuple[str, str], list[Rows]]:
    """Training logs by kind and experiment, by their folders `…/{kind}/{experiment}/{method}/{fold}/`."""
    by_experiment: dict[tuple[str, str], list[Path]] = {}
    for path in paths:
        by_experiment.setdefault((path.parents[3].name, path.parents[2].name), []).append(path)
    return {key: read_rows(found, ("epoch",)) for key, found in by_experiment.items()}


def data_sets(
    videos: Sequence[Video],
    expressions: Sequence[Expression],
    counts: Mapping[str, Sequence[Count]],
    *,
    issues: Mapping[str, Sequence[Issue]],
) -> list[DataSet]:
    """What the page shows of each data set, in the order in which the videos name them."""
    found = []
    for name in dict.fromkeys(v.dataset for v in videos):
        own = [v for v in videos if v.dataset == name]
        labels = [e for e in expressions if e.dataset == name]
        kinds = by_kind(issues.get(name, ()))
        found.append(
            DataSet(
                name,
                len({v.subject for v in own}),
                len(own),
                sum(v.n_frames / v.fps for v in own),
                tuple(sum(e.kind == k for e in labels) for k in KINDS),
                tuple(sorted(Counter(e.emotion for e in labels if e.emotion).items(), key=lambda i: (-i[1], i[0]))),
                tuple(counts.get(name, ())),
                tuple((f"{field}: {action}", tuple(listed)) for (field, action), listed in kinds.items()),
                sum(map(len, kinds.values())),
            )
        )
    return found


def people(job: Job[FrontParams], videos: Sequence[Video], expressions: Sequence[Expression]) -> list[PersonRow]:
    """One row per subject, the first of them with pictures of an expression."""
    tables = [t for t in map(read_table, job.inputs["tables"]) if t.details.get("per_subject")]
    links = page_links(job.inputs["pages"], job.output("report"))
    shards = {name: by_subject(job.inputs[name]) for name in ("crops", "apexdiff", "flow", "faces")}
    found: list[PersonRow] = []
    for who in dict.fromkeys((v.dataset, v.subject) for v in videos):
        own = [v for v in videos if (v.dataset, v.subject) == who]
        labels = [e for e in expressions if (e.dataset, e.subject) == who]
        pictures, caption = (
            ([], "") if len(found) >= job.params.gallery else portrait(who, labels, shards, params=job.params)
        )
        found.append(
            PersonRow(
                *who,
                links.get(who),
                len(own),
                sum(v.n_frames / v.fps for v in own),
                tuple(sum(e.kind == k for e in labels) for k in KINDS),
                tuple(tuple(subject_counts(t, "/".join(who), KINDS)) for t in tables),
                alignment(shards["faces"].get(who)),
                tuple(pictures),
                caption,
            )
        )
    return found


def by_subject(paths: Iterable[Path]) -> dict[Subject, Path]:
    """Shards `…/{dataset}/{subject}.h5` by subject."""
    return {(p.parent.name, p.stem): p for p in paths}


def alignment(faces: Path | None) -> Alignment | None:
    """The worst of a subject's videos, from its `faces` shard."""
    if faces is None:
        return None
    with open_faces(faces) as shard:
        return worst_of(shard.values())


def page_links(pages: Iterable[Path], report: Path) -> dict[Subject, str]:
    """Address of each subject's page as seen from the report; the page's provenance names the subject."""
    links = {}
    for path in pages:
        keys = provenance.read_provenance(path)["keys"]
        links[keys["dataset"], keys["subject"]] = Path(os.path.relpath(path, report.parent)).as_posix()
    return links


def portrait(
    who: Subject, labels: Sequence[Expression], shards: Mapping[str, Mapping[Subject, Path]], *, params: FrontParams
) -> tuple[list[tuple[str, str]], str]:
    """Pictures of the subject's macro-expression that moves most pixels most clearly: its longest; and a caption."""
    if who not in shards["crops"]:
        return [], ""
    with ExitStack() as stack:
        crops = stack.enter_context(open_crops(shards["crops"][who]))
        usable = [e for e in labels if crops.usable(e.video) is not None]
        if not usable:
            return [], ""
        chosen = max(usable, key=lambda e: (e.kind == "macro", e.apex - e.onset, -e.onset))
        maps = maps_of(read_apexdiff(shards["apexdiff"][who])[1], chosen) if who in shards["apexdiff"] else {}
        flow = None
        if not maps and who in shards["flow"]:
            flow = stack.enter_context(open_flow(shards["flow"][who])).usable(chosen.video)
        pictures = expression_pictures(chosen, crops[chosen.video], flow, maps=maps, faces=params.faces)
    return pictures, " ".join(t for t in (chosen.kind, chosen.emotion) if t)


def timelines(
    videos: Sequence[Video], expressions: Sequence[Expression], detections: Sequence[Rows], *, limit: int
) -> list[tuple[str, Markup]]:
    """(video, timeline) of the first video of as many subjects as `limit` allows: ground truth and the first method."""
    first: dict[Subject, Video] = {}
    for video in videos:
        first.setdefault((video.dataset, video.subject), video)
    drawn = []
    for video in list(first.values())[:limit] if detections else []:
        lanes = video_lanes(video, expressions, detections, methods=1)
        name = f"{video.dataset} / {video.subject} / {video.video}"
        drawn.append((name, svg.timeline(lanes, video.n_frames, video.fps)))
    return drawn


def run(job: Job[FrontParams]) -> None:
    """Write the page."""
    videos = [v for p in job.inputs["videos"] for v in read_videos(p)]
    expressions = [e for p in job.inputs["expressions"] for e in read_expressions(p, videos)]
    counts = {p.parent.name: read_counts(p) for p in job.inputs["counts"]}
    issues = {p.parent.name: read_issues(p) for p in job.inputs["issues"]}
    tables = [read_table(p) for p in job.inputs["tables"]]
    shown = experiments(tables, read_logs(job.inputs["training"]))
    detections = read_rows(job.inputs["detections"], DETECTION_COLUMNS)
    exclusions = sorted({e for t in tables for e in t.exclusions})
    every = [p for name, paths in job.inputs.items() if name != "pages" for p in paths]
    versions = read_versions(every)
    text = render(
        "report.html",
        title=job.params.title,
        complete=all(t.complete for t in tables),
        exclusions=exclusions,
        experiments=shown,
        pipeline=svg.pipeline(),
        datasets=data_sets(videos, expressions, counts, issues=issues),
        people=people(job, videos, expressions),
        counted=[t.experiment for t in tables if t.details.get("per_subject")],
        timelines=timelines(videos, expressions, detections, limit=job.params.timelines),
        faces=job.params.faces,
        wheel=page.drawing(page.colour_wheel(64)),
        versions=versions,
        own_source=made_by(own_record()),
        methods=describe(versions, tables, videos, expressions=expressions, adapters=adapters_of(job.inputs["videos"])),
        release=dict.fromkeys(v.split()[0] for v in versions.software.get("microexp", [])),
        kinds=KINDS,
        alignment_headings=HEADINGS,
        issue_fields=astuple,
    )
    storage.write_text(job.output("report"), text)
