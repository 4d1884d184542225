"""What came out of a run, brought to where the user looks: a folder per video, and `summary.csv` over all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from microexp.faces.viewing import TOO_FEW
from microexp.own_videos.inputs import OwnVideo
from microexp.own_videos.setup import NAME
from microexp.pipeline import STAGES
from microexp.report.video.tables import read_summary
from microexp.run import storage

COLUMNS = (
    "name", "given", "status", "why", "usable", "people", "frames", "fps", "seconds", "events", "unflagged", "kinds",
    "trained", "spotting_model", "recognition_model", "truths", "hits", "page",
)  # fmt: skip
OWN_STAGES = tuple(name for name, stage in STAGES.items() if stage.unit == "own video")
SUMMARY = "summary.json"
FAILED = "a stage failed: run/logs says which, and why"


def targets(videos: Iterable[OwnVideo], annotated: bool) -> list[str]:
    """Files of a run that the videos' folders are made of."""
    stages = [STAGES[name] for name in OWN_STAGES if annotated or name != "annotated"]
    return [
        output.path.format(application=NAME, dataset=NAME, subject=video.name)
        for video in videos
        if not video.problem
        for stage in stages
        for output in stage.outputs.values()
    ]


def collect(
    videos: Sequence[OwnVideo], run: Path, out: Path, *, annotated: bool, face: int | None = None
) -> list[dict[str, Any]]:
    """Copy the results of every video into its folder; their rows of `summary.csv`, in the same order.

    Args:
        videos: of the run.
        run: its folder.
        out: where the videos' folders lie.
        annotated: whether there are marked copies.
        face: number of the face, where every face has results of its own: `NAME/faceN` if a video shows several.
    """
    rows = []
    for video in videos:
        made = [run / name for name in targets([video], annotated)]
        name = video.name if face is None or not _several(made, face) else f"{video.name}/face{face}"
        for source in made:
            if source.is_file():
                (out / name).mkdir(parents=True, exist_ok=True)
                with storage.atomic(out / name / source.name) as temporary:
                    shutil.copyfile(source, temporary)
        rows.append(_row(video, name, out))
    return rows


def _several(made: Sequence[Path], face: int) -> bool:
    """Whether the video of these files shows several people."""
    summaries = [path for path in made if path.name == SUMMARY and path.is_file()]
    return face > 1 or any((read_summary(path).get("people") or 0) > 1 for path in summaries)


def people(rows: Sequence[Mapping[str, Any]]) -> int:
    """How many people were counted in a video, by the rows of its faces; 0 where none of them could be used."""
    return max((row.get("people") or 0 for row in rows), default=0)


def is_face(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], number: int) -> bool:
    """Whether `row`, of face `number`, is about somebody, after the `rows` of the faces before."""
    return number == 1 or (people([*rows, row]) >= number and TOO_FEW not in str(row["why"]))


def has_face(video: OwnVideo, rows: Sequence[Mapping[str, Any]], number: int) -> bool:
    """Whether face `number` is worth a run, after the `rows` of the faces before.

    Nobody is counted where the first face cannot be used: then the second one is looked for, and no other.
    """
    if people(rows):
        return people(rows) >= number
    return number == 2 and not video.problem and all(row["why"] != FAILED for row in rows)


def write_summary(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `summary.csv`."""
    storage.write_csv(out / "summary.csv", COLUMNS, [[row.get(c) for c in COLUMNS] for row in rows])


def _row(video: OwnVideo, name: str, out: Path) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name, "given": video.given}
    path = out / name / SUMMARY
    if video.problem or not path.is_file():
        return about | {"status": "none", "why": video.problem or FAILED, "usable": 0.0, "events": 0}
    found = read_summary(path)
    kinds = " ".join(f"{kind}:{count}" for kind, count in found.get("kinds", {}).items())
    page = f"{name}/page.html" if (out / name / "page.html").is_file() else None
    trained = found.get("trained")
    return {**found, **about, "kinds": kinds, "page": page, "trained": None if trained is None else int(trained)}
