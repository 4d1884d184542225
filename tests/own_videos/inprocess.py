"""The workflow without Snakemake and without a process per job: the stages of a plan, one subject after the other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from microexp.pipeline import STAGES
from microexp.plan import Plan, read_plan
from microexp.run import yaml_file
from microexp.run.runner import run_stage
from microexp.run.stage import Job

ORDER = (
    "index-subject", "faces", "crops", "flow", "motion", "landmarks", "apply", "video-tables", "video-page",
    "annotated",
)  # fmt: skip
TARGET = re.compile(r"results/videos/video/video/([^/]+)/(.+)")


def paths(plan: Plan, stage: str, name: str, unit: dict[str, str]) -> list[Path]:
    """The files of an input for one job."""
    found = plan.input(stage, name)
    found = found(unit) if callable(found) else found
    return [Path(p.format(**unit)) for p in ([found] if isinstance(found, str) else found)]


def run(
    folder: Path,
    config: Path,
    targets: Sequence[str],
    cores: int,
    show: Callable[[str], None] = print,
    change: Callable[[dict[str, Any]], None] = lambda options: None,
    until: str | None = None,
) -> int:
    """As `workflow.run_workflow`: what fails for one video is written down, and the next one goes on."""
    if until:
        return 0
    before = Path.cwd()
    options: Any = yaml_file.read(config)
    change(options)
    os.chdir(folder)
    failed = []
    try:
        plan = read_plan(options, config)
        wanted = [match.groups() for match in map(TARGET.fullmatch, targets) if match]
        for subject in dict.fromkeys(subject for subject, _ in wanted):
            unit = {"application": "video", "dataset": "video", "subject": subject}
            stages = [s for s in ORDER if s != "annotated" or (subject, "annotated.mp4") in wanted]
            try:
                for name in stages:
                    _run(plan, name, unit)
            except Exception as error:
                failed.append(f"{subject}: {name}: {error}")
    finally:
        os.chdir(before)
    (folder / "failed.txt").write_text("\n".join(failed))
    return int(bool(failed))


def _run(plan: Plan, name: str, unit: dict[str, str]) -> None:
    stage = STAGES[name]
    inputs = {key: paths(plan, name, key, unit) for key, item in stage.inputs.items() if item.passed}
    outputs = {key: Path(output.path.format(**unit)) for key, output in stage.outputs.items()}
    params = stage.params.model_validate(json.loads(plan.options_for(name, unit)))
    run_stage(stage, Job(inputs, outputs, params, {k: unit[k] for k in stage.keys}, threads=1, device="cpu"))
