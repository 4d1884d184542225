"""One's own videos through the workflow: the folder before it, the run itself, and one line a video after it."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from microexp.errors import UserError
from microexp.faces.viewing import TOO_FEW
from microexp.methods.untrained import write_candidates_model
from microexp.models import SHIPPED, SPOTTING, shipped
from microexp.own_videos.inputs import OwnVideo
from microexp.own_videos.labels import Label
from microexp.pipeline import STAGES
from microexp.report.video.tables import read_summary
from microexp.run import bundle, storage
from microexp.run.workflow import snakefile

# The configuration of a run on one's own videos: made of the model, which says how its data must be prepared.

NAME = "video"
"""Of the data set and of the application in the configuration."""
SECTIONS = {"i3d-rgb": "i3d", "i3d-flow": "i3d"}
"""Stage -> section of the configuration, where they differ."""
CROP_SIZE_PX = 96
"""Side of the crops where no model says it: that of the demo, three times as fast as 224."""
UNTRAINED = Path("candidates")
"""In place of a model: what stands out, without any training."""
CANDIDATES = "candidates.safetensors"
SHEET = "annotations.csv"
"""In the folder of links: named, since folders of frames may hold sheets of their own."""


@dataclass(frozen=True)
class ModelChoice:
    """Which spotting model is applied.

    Attributes:
        spotting: file of the spotting model.
        about: what to tell the user, in a line.
    """

    spotting: Path
    about: str


WRITTEN = "# Written by `microexp video`"
"""How a configuration of this command begins."""


def choose_models(model: Path | None, folder: Path) -> ModelChoice:
    """The user's own spotting model, else the one that is shipped; for `UNTRAINED` a file in `folder` that needs none.

    Raises:
        UserError: when the user's file is no spotting model.
    """
    if model == UNTRAINED:
        path = folder / CANDIDATES
        write_candidates_model(path, CROP_SIZE_PX)
        return ModelChoice(path.resolve(), "candidates by motion that stands out; no trained model was asked for")
    if model is not None:
        about = bundle.read(model).about
        if about.get("kind") != "spotting":
            raise UserError(file=model, got=about.get("kind"), expected="a spotting model (see docs/apply.md)")
        return ModelChoice(model.resolve(), f"events by your model {about.get('experiment')}/{about.get('method')}")
    return ModelChoice(shipped(SPOTTING), f"events by the model {SPOTTING} that microexp ships")


def configuration(
    choice: ModelChoice, videos: Path, *, face: str | int, fps: float | None, annotated: bool
) -> dict[str, Any]:
    """The configuration of the run.

    Args:
        choice: the models.
        videos: folder of links.
        face: which face is taken where there are several.
        fps: rate of folders of frames and of files that say none.
        annotated: whether a marked copy of each video is wanted.
    """
    dataset: dict[str, Any] = {"adapter": "folder", "root": str(videos.resolve()), "videos": ".", "sheet": SHEET}
    if fps is not None:
        dataset["source_fps"] = fps
    found: dict[str, Any] = {"allow_exclusions": True, "datasets": {NAME: dataset}, "faces": {"choose": face}}
    about = bundle.read(choice.spotting).about
    for stage, options in about.get("preprocessing", {}).items():
        section = found.setdefault(SECTIONS.get(stage, stage), {})
        section |= options
    rates = [r for s, layout in about.get("streams", {}).items() if s != "motion" for r in layout["fps"]]
    if rates:
        dataset["fps"] = float(rates[0])
    application: dict[str, Any] = {"datasets": [NAME], "spotting": str(choice.spotting), "each_video": True}
    application["action_units"] = SHIPPED
    if annotated:
        application["annotated"] = True
    return found | {"apply": {NAME: application}}


def check_folder(out: Path) -> None:
    """Refuse a folder of results that is somebody else's: what lies there would be written over.

    Raises:
        UserError: when a file that this command writes is there and is not of it.
    """
    for name, start in (("config.yaml", WRITTEN), ("summary.csv", ",".join(COLUMNS[:3]))):
        path = out / name
        if path.is_file() and not path.read_bytes().startswith(start.encode()):
            expected = "another folder, or none: --out"
            raise UserError(
                file=path, problem="is there already, and `microexp video` has not made it", expected=expected
            )


def write_configuration(path: Path, options: Mapping[str, Any]) -> None:
    """Write it as YAML, with a line that says what writes it."""
    text = yaml.safe_dump(dict(options), sort_keys=False, allow_unicode=True)
    storage.write_text(path, f"{WRITTEN}, which writes it anew each time.\n{text}")


# Runs the workflow as a process of its own, and shows what of its words tells a user how far it is.

LOG = "workflow.log"
PROGRESS = re.compile(r"\d+ of \d+ steps \(\d+%\) done")
ERROR = re.compile(r"microexp: error: .*|.*Error in rule (\w+).*|.*LockException.*")


def run_workflow(
    folder: Path,
    config: Path,
    targets: Sequence[str],
    *,
    cores: int,
    show: Callable[[str], None] = print,
    until: str | None = None,
) -> int:
    """Make `targets` in `folder`; what can be made is made, whatever fails.

    Args:
        folder: working folder of the run.
        config: its configuration.
        targets: files, relative to `folder`.
        cores: CPU cores.
        show: takes a line for the user.
        until: the last rule of interest: what comes after it is not made.

    Returns:
        Snakemake's exit status; its whole output is in `folder`/workflow.log.

    Raises:
        UserError: when Snakemake is not installed.
    """
    if importlib.util.find_spec("snakemake") is None:
        raise UserError(file="snakemake", problem="not installed", hint="pip install 'microexp[workflow]'")
    folder.mkdir(parents=True, exist_ok=True)
    line = [*_snakemake(folder, config, cores), "--keep-going", "--rerun-incomplete", "--nocolor"]
    line += ["--until", until] if until else []
    line += ["--", *targets]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        (folder / LOG).open("w", encoding="utf-8") as log,
        subprocess.Popen(
            line, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for text in process.stdout:
            log.write(text)
            if PROGRESS.search(text) or ERROR.match(text.strip()):
                show("  " + text.strip())
    return process.returncode


def outdated(folder: Path, config: Path, targets: Sequence[str]) -> set[str]:
    """Those of `targets` that a run which failed did not make, older files among them: a stage before them failed.

    Where the workflow cannot even say, it made nothing: then it is all of them.
    """
    line = [*_snakemake(folder, config, cores=1), "--summary", "--", *targets]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, errors="replace")
    if done.returncode:
        return set(targets)
    table = csv.DictReader(done.stdout.splitlines(), delimiter="\t")
    current = {row["output_file"] for row in table if row["plan"] == "no update"}
    return set(targets) - current


def _snakemake(folder: Path, config: Path, cores: int) -> list[str]:
    line = [sys.executable, "-P", "-m", "snakemake", "-s", str(snakefile()), "--directory", str(folder.resolve())]
    return [*line, "--configfile", str(config.resolve()), "--cores", str(cores)]


COLUMNS = (
    "name", "given", "status", "why", "usable", "people", "frames", "fps", "seconds", "events", "unflagged", "kinds",
    "trained", "spotting_model", "recognition_model", "truths", "hits", "page",
)  # fmt: skip
OWN_STAGES = tuple(name for name, stage in STAGES.items() if stage.unit == "own video")
SUMMARY = "summary.json"
FILES = tuple(Path(output.path).name for name in OWN_STAGES for output in STAGES[name].outputs.values())
"""Of a video's folder."""
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
    videos: Sequence[OwnVideo],
    run: Path,
    out: Path,
    *,
    annotated: bool,
    face: int | None = None,
    old: Collection[str] = (),
    known: Mapping[str, Sequence[Label]] | None = None,
) -> list[dict[str, Any]]:
    """Copy the results of every video into its folder; their rows of `summary.csv`, in the same order.

    Args:
        videos: of the run.
        run: its folder.
        out: where the videos' folders lie.
        annotated: whether there are marked copies.
        face: number of the face, where every face has results of its own: `NAME/faceN` if a video shows several.
        old: files of the run that an earlier command made and this one could not make anew: they count as missing.
        known: name of a video -> its known expressions, where the user gave some.
    """
    rows = []
    for video in videos:
        made = [run / name for name in targets([video], annotated) if name not in old]
        name = video.name if face is None or not _several(made, face) else f"{video.name}/face{face}"
        there = [source for source in made if source.is_file()]
        if SUMMARY not in {source.name for source in there}:
            there = []  # a stage failed: what the stages before it made stays in the run's own folder
        forget(out / name, keep=[source.name for source in there])
        for source in there:
            (out / name).mkdir(parents=True, exist_ok=True)
            with storage.atomic(out / name / source.name) as temporary:
                shutil.copyfile(source, temporary)
        rows.append(_row(video, name, out, (known or {}).get(video.name, ())))
    return rows


def forget(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove what an earlier run left in a video's folder, and the folder if nothing else is in it.

    A folder without a summary is nobody's results: it stays as it is.
    """
    if folder.is_symlink() or not (folder / SUMMARY).is_file():
        return
    for name in FILES:
        if name not in keep:
            (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def forget_unlisted(videos: Iterable[OwnVideo], rows: Iterable[Mapping[str, Any]], out: Path) -> None:
    """Remove earlier results of faces that this run has no row of."""
    listed = {row["name"] for row in rows}
    for video in videos:
        for folder in (*sorted((out / video.name).glob("face*")), out / video.name):
            if folder.relative_to(out).as_posix() not in listed:
                forget(folder)


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


def _row(video: OwnVideo, name: str, out: Path, known: Sequence[Label]) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name, "given": video.given}
    path = out / name / SUMMARY
    if video.problem or not path.is_file():
        missed = {"truths": len(known), "hits": 0} if known else {}
        return about | {"status": "none", "why": video.problem or FAILED, "usable": 0.0, "events": 0, **missed}
    found = read_summary(path)
    kinds = " ".join(f"{kind}:{count}" for kind, count in found.get("kinds", {}).items())
    page = f"{name}/page.html" if (out / name / "page.html").is_file() else None
    trained = found.get("trained")
    about["why"] = "; ".join(filter(None, [found.get("why"), _beyond(found, known)])) or None
    return {**found, **about, "kinds": kinds, "page": page, "trained": None if trained is None else int(trained)}


def _beyond(found: Mapping[str, Any], known: Sequence[Label]) -> str:
    """What to say of expressions that begin where the video has ended: seconds taken for frames, or another video."""
    seconds, frames = found.get("seconds") or 0.0, found.get("frames") or 0
    late = sum(label.onset > (seconds if label.in_seconds else frames) for label in known)
    return f"{late} of {len(known)} known expressions lie beyond its end: frames or seconds?" if late else ""
