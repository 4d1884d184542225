"""What came out of a run, brought to where the user looks: a folder per video, and `summary.csv` over all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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


def collect(videos: Sequence[OwnVideo], run: Path, out: Path, *, annotated: bool) -> list[dict[str, Any]]:
    """Copy the results of every video into its folder, and write `summary.csv`; its rows are returned."""
    rows = []
    for video in videos:
        folder = out / video.name
        for name in targets([video], annotated):
            source = run / name
            if source.is_file():
                folder.mkdir(parents=True, exist_ok=True)
                with storage.atomic(folder / source.name) as temporary:
                    shutil.copyfile(source, temporary)
        rows.append(_row(video, folder))
    storage.write_csv(out / "summary.csv", COLUMNS, [[row.get(c) for c in COLUMNS] for row in rows])
    return rows


def _row(video: OwnVideo, folder: Path) -> dict[str, Any]:
    about: dict[str, Any] = {"name": video.name, "given": video.given}
    path = folder / "summary.json"
    if video.problem or not path.is_file():
        return about | {"status": "none", "why": video.problem or FAILED, "usable": 0.0, "events": 0}
    found = read_summary(path)
    kinds = " ".join(f"{kind}:{count}" for kind, count in found.get("kinds", {}).items())
    page = f"{video.name}/page.html" if (folder / "page.html").is_file() else None
    trained = found.get("trained")
    return {**found, **about, "kinds": kinds, "page": page, "trained": None if trained is None else int(trained)}
