"""Reads what the report shows: tables, detections, predictions, logs, exclusions, provenance, alignment of faces."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from microexp.errors import UserError
from microexp.pipeline import STAGES
from microexp.records.faces import Faces
from microexp.run import provenance, storage
from microexp.run.runner import made_by

DERIVED = ("_oracle", "_permuted")
"""How rows end that the stage `detect` derives from a method's own."""


@dataclass(frozen=True)
class ResultTable:
    """A table of one experiment, as the stage `tables` wrote it for the report."""

    kind: str
    experiment: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    complete: bool
    exclusions: tuple[tuple[str, ...], ...]
    details: Mapping[str, Any]

    @property
    def methods(self) -> list[str]:
        """Names in the first column, each once, in order."""
        return list(dict.fromkeys(str(row.get(self.columns[0])) for row in self.rows))

    @property
    def derived(self) -> set[str]:
        """Those of them that are no result: the oracle and the permuted control of another method."""
        names = set(self.methods)
        return {n for n in names if n.endswith(DERIVED) and n.rpartition("_")[0] in names}

    @property
    def differences(self) -> ResultTable | None:
        """How far the methods differ, a table of its own; None where there is one method."""
        found = self.details.get("differences")
        if not found:
            return None
        rows, notes = tuple(found["rows"]), tuple(found["notes"])
        parts = {"title": found["title"], "columns": tuple(found["columns"]), "rows": rows, "notes": notes}
        return replace(self, **parts, details={})


def read_table(path: Path) -> ResultTable:
    """Read a table's JSON form.

    Raises:
        UserError: when it is none.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        table = record["table"]
        known = {"kind", "experiment", "table", "complete", "exclusions"}
        return ResultTable(
            str(record["kind"]),
            str(record["experiment"]),
            str(table["title"]),
            tuple(table["columns"]),
            tuple(table["rows"]),
            tuple(table["notes"]),
            bool(record["complete"]),
            tuple(tuple(map(str, e)) for e in record["exclusions"]),
            {k: v for k, v in record.items() if k not in known},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            file=path, problem=f"{type(error).__name__}: {error}", expected="a table of the stage tables"
        ) from error


@dataclass(frozen=True)
class Rows:
    """Rows of a fold's CSV file, and what its folders say of them (`…/experiment/method/fold/file.csv`)."""

    experiment: str
    method: str
    fold: str
    rows: tuple[Mapping[str, str], ...]


def read_rows(paths: Iterable[Path], columns: Sequence[str]) -> list[Rows]:
    """Fold files, in the order of experiment and fold, methods as they come.

    Raises:
        UserError: when a file lacks one of `columns`.
    """
    found = [Rows(*unit_of(p), tuple(storage.read_csv(p, columns))) for p in paths]
    return sorted(found, key=lambda r: (r.experiment, r.fold))


def unit_of(path: Path) -> tuple[str, str, str]:
    """(experiment, method, fold) of a file of a fold, by its folders."""
    return path.parents[2].name, path.parents[1].name, path.parent.name


@dataclass
class StageRecord:
    """What the provenance files of one stage say together.

    Attributes:
        files: how many were read.
        parameters: each set of parameters that occurs, as (option, value), nested options with dots.
        about: other statements of the stage (device, weights …), each once.
        sources: version and source of microexp -> files that they made.
    """

    stage: str
    files: int = 0
    parameters: list[list[tuple[str, str]]] = field(default_factory=list)
    about: list[tuple[str, str]] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)


KNOWN = {
    "stage", "keys", "parameters", "inputs", "code", "layout", "place", "libraries", "python", "machine", "sha256",
    "size_bytes", "deleted_later",
    provenance.RECORD_HASH,
}  # fmt: skip
"""Statements of a record that say nothing of how its stage worked, or that are elsewhere."""


@dataclass
class Versions:
    """Stages, and what they ran on; a value that differs between files is listed."""

    stages: dict[str, StageRecord] = field(default_factory=dict)
    software: dict[str, list[str]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in one provenance record."""
        stage = self.stages.setdefault(record["stage"], StageRecord(record["stage"]))
        stage.files += 1
        flat = list(flatten(record.get("parameters", {})))
        if flat not in stage.parameters:
            stage.parameters.append(flat)
        for item in flatten({k: v for k, v in record.items() if k not in KNOWN}):
            if item not in stage.about:
                stage.about.append(item)
        version = made_by(record)
        stage.sources[version] += 1
        software = {"microexp": version, "python": record.get("python"), "machine": record.get("machine")}
        for name, value in {**software, **record.get("libraries", {})}.items():
            values = self.software.setdefault(name, [])
            if str(value) not in values:
                values.append(str(value))

    def others(self, own: str) -> dict[str, dict[str, int]]:
        """Stage -> version and source -> files, of what was made by another source than `own` (see `made_by`)."""
        found = {s.stage: {name: n for name, n in s.sources.items() if name != own} for s in self.stages.values()}
        return {stage: sources for stage, sources in found.items() if sources}


def _deleted(records: Mapping[Path, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Records of inputs that the run has deleted; their paths are relative to the run's folder, where jobs work."""
    named = (e["path"] for r in records.values() for part in r["inputs"].values() for e in part if "path" in e)
    paths = [path for path in map(Path, dict.fromkeys(named)) if path not in records and not path.exists()]
    found = [provenance.read_provenance(path) for path in paths if provenance.provenance_path(path).is_file()]
    return [record for record in found if record.get("deleted_later")]


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """(dotted key, value as text) of a nested mapping, keys sorted."""
    for key in sorted(value):
        item = value[key]
        if isinstance(item, Mapping) and item:
            yield from flatten(item, f"{prefix}{key}.")
        else:
            yield prefix + key, item if isinstance(item, str) else json.dumps(item, sort_keys=True)


def read_versions(paths: Iterable[Path]) -> Versions:
    """Versions and parameters of the files that have a provenance beside them; the others are passed over.

    What they were made from and the run has deleted since (the option `keep`) is named as well, from its own record.
    Stages come in the order of the pipeline.
    """
    versions = Versions()
    records = {path: provenance.read_provenance(path) for path in paths if provenance.provenance_path(path).is_file()}
    for record in [*records.values(), *_deleted(records)]:
        versions.add(record)
    order = {name: number for number, name in enumerate(STAGES)}
    versions.stages = dict(sorted(versions.stages.items(), key=lambda item: order.get(item[0], len(order))))
    return versions


# How well faces were found and aligned, as the stage `faces` measured it.


@dataclass(frozen=True)
class Alignment:
    """Quality of the alignment of one video, or the worst of several.

    Attributes:
        scale_px: side of the crop in px of the source; a larger crop shows no more detail.
        jitter_px: noise of the landmarks from frame to frame, source px.
        misses: frames without a face, of those that were looked at.
        looked_at: frames in which a face was looked for.
        drift_px: largest motion of the transform itself, source px per frame.
        motion: how far the head leaves its place, in sides of the crop: below .05 when it is held still, .1 to .25 when
            it is free, and above .3 something is wrong.
        n_faces: people in the picture.
        outside: share of the crop beyond the picture.
        valid: share of the frames that show the face in its place.
    """

    scale_px: float
    jitter_px: float
    misses: int
    looked_at: int
    drift_px: float
    motion: float
    n_faces: int
    outside: float
    valid: float

    def cells(self) -> tuple[str, ...]:
        """The figures as text, in the order of `HEADINGS`."""
        return (
            f"{self.scale_px:.0f}",
            f"{self.jitter_px:.2f}",
            f"{self.misses} / {self.looked_at}",
            f"{self.drift_px:.2f}",
            f"{self.motion:.2f}",
            str(self.n_faces),
            f"{self.outside:.0%}",
            f"{self.valid:.0%}",
        )


HEADINGS = (
    "side of the crop, source px",
    "landmark jitter, px",
    "detector misses",
    "drift, px per frame",
    "head motion, sides of the crop",
    "people in the picture",
    "crop beyond the picture",
    "frames with the face in its place",
)


def alignment_of(faces: Faces) -> Alignment:
    """That of a video that is not excluded."""
    return Alignment(
        scale_px=faces.scale_px,
        jitter_px=faces.jitter_px,
        misses=faces.misses,
        looked_at=faces.looked_at,
        drift_px=faces.drift_px,
        motion=faces.motion_px / faces.scale_px,
        n_faces=faces.n_faces,
        outside=faces.outside,
        valid=float(faces.valid.mean()),
    )


def worst_of(videos: Iterable[Faces]) -> Alignment | None:
    """The worst figure of each kind, all misses; None when every video is excluded."""
    found = [alignment_of(faces) for faces in videos if not faces.excluded]
    if not found:
        return None
    return Alignment(
        scale_px=min(a.scale_px for a in found),
        jitter_px=max(a.jitter_px for a in found),
        misses=sum(a.misses for a in found),
        looked_at=sum(a.looked_at for a in found),
        drift_px=max(a.drift_px for a in found),
        motion=max(a.motion for a in found),
        n_faces=max(a.n_faces for a in found),
        outside=max(a.outside for a in found),
        valid=min(a.valid for a in found),
    )
