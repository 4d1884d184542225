"""False candidates a minute on people who show no expression, and recall on the same people when they do.

    python benchmarks/false_alarms.py --work false_alarms          # the shipped model, flow_magnitude beside it
    python benchmarks/false_alarms.py --work false_alarms --spotting MODEL --people 12 --seconds 60
    python benchmarks/false_alarms.py --work false_alarms_640 --sizes 640x480      # pictures as a webcam gives them

Renders people of a seed that no model, demo or test uses, twice: once they show nothing but sway, blinks, glances,
speech, turns of the head and changes of the seat; once they show expressions beside all that. Both runs are the
ordinary workflow with `apply:`, in folders below `--work`; what is there is not computed again. The rule
`flow_magnitude` has no shipped model: its threshold and lengths are chosen on the very people with expressions, which
favours it. `candidates` needs no training; its threshold is the documented one.
A hit is an intersection over union of at least .5, one to one; `any kind` does not ask whether micro and
macro were told apart. Candidates that carry a flag are counted apart, and so are expressions that only they find.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from microexp.methods.untrained import write_candidates_model
from microexp.metrics.spotting import Interval, count
from microexp.models import SPOTTING, shipped
from microexp.records.index import KINDS, read_expressions, read_videos
from microexp.run import bundle, storage

ROOT = Path(__file__).resolve().parents[1]
SEED = 9001
UNTIDY = {
    "speech": 0.15, "gaze": 1.5, "turns": 3, "seat_changes": 1, "flicker": 0.02, "cameras": 0.7,
    "quantisers": [14, 20, 24],
}  # fmt: skip
RULE = "flow_magnitude"
UNTRAINED = "candidates"
DATASET = "rendered_fresh"
SIZES = ["240x180", "288x216", "320x240"]
SHOWN = {"micro": 6, "macro": 3}
"""Expressions of 24 s."""


@dataclass(frozen=True)
class Figures:
    """What one model finds.

    Attributes:
        false_a_minute: candidates a minute where nothing is shown.
        unflagged_a_minute: those of them that carry no flag.
        recall: kind -> share of the expressions that are found as their kind.
        recall_any_kind: share that is found, whatever the kind.
        recall_unflagged: share that is found, whatever the kind, by candidates without a flag.
        precision_any_kind: share of candidates that find one, in the videos with expressions.
        f1: `micro`, `macro` and `overall` -> F1 in the videos with expressions, kinds told apart.
        minutes: without expressions; expressions: in the other videos.
    """

    false_a_minute: float
    unflagged_a_minute: float
    recall: Mapping[str, float]
    recall_any_kind: float
    recall_unflagged: float
    precision_any_kind: float
    f1: Mapping[str, float]
    minutes: float
    expressions: int


def configuration(model: Path, rule: Path | None, shown: bool, args: argparse.Namespace) -> dict[str, Any]:
    """The run of people with or without expressions; data are prepared as the model asks for."""
    expressions = {kind: round(n * args.seconds / 24) if shown else 0 for kind, n in SHOWN.items()}
    sizes = [[int(side) for side in size.split("x")] for size in args.sizes]
    look = {"rates": [25, 30], "sizes": sizes, "untidy": UNTIDY}
    people = {"subjects": args.people, "seconds": args.seconds}
    own_rule = f"results/spotting/fresh/{RULE}/all/model.safetensors"
    found: dict[str, Any] = {
        "seed": args.seed,
        "datasets": {DATASET: {"adapter": "demo"}},
        "demo": {**people, **expressions, **look},
        **bundle.read(model).about["preprocessing"],
        "apply": {
            "model": {"datasets": [DATASET], "spotting": str(model.resolve())},
            "rule": {"datasets": [DATASET], "spotting": str(rule.resolve()) if rule else own_rule},
            UNTRAINED: {"datasets": [DATASET], "spotting": str((args.work / f"{UNTRAINED}.safetensors").resolve())},
        },
    }
    if rule is None:
        found["spotting"] = {"fresh": {"datasets": [DATASET], "methods": {RULE: {}}, "select": {"top_k": [1000]}}}
    return found


def run(folder: Path, config: Mapping[str, Any], cores: int) -> None:
    """Run the workflow up to the events."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    text = json.dumps(config, indent=1) + "\n"  # JSON is YAML
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    people = [f"s{n:02d}" for n in range(1, config["demo"]["subjects"] + 1)]
    targets = [f"results/apply/{name}/{DATASET}/{s}/events.csv" for name in config["apply"] for s in people]
    targets += [f"results/index/{DATASET}/{table}.csv" for table in ("videos", "expressions")]
    if "spotting" in config:
        targets += [f"results/spotting/fresh/{RULE}/all/model.safetensors"]
    snakemake(folder, path, targets, cores)


def snakemake(folder: Path, config: Path, targets: Sequence[str], cores: int) -> None:
    """The ordinary workflow in `folder`, with this Python."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(config.resolve()), "--cores", str(cores), "--rerun-incomplete", *targets]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})


def events(folder: Path, name: str) -> list[dict[str, str]]:
    """Rows of all `events.csv` of a model."""
    rows: list[dict[str, str]] = []
    for path in sorted((folder / "results/apply" / name / DATASET).glob("*/events.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    return rows


def minutes_of(folder: Path) -> float:
    """Length of all videos of a run."""
    videos = read_videos(folder / "results/index" / DATASET / "videos.csv")
    return sum(v.n_frames / v.fps for v in videos) / 60


def figures(still: Path, shown: Path, name: str) -> Figures:
    """What a model found in both runs."""
    index = "results/index/" + DATASET
    minutes = minutes_of(still)
    false = events(still, name)
    listed = read_videos(shown / index / "videos.csv")
    truth = [
        Interval(e.subject, e.video, e.onset, e.offset, e.kind)
        for e in read_expressions(shown / index / "expressions.csv", listed)
    ]
    found = events(shown, name)
    by_kind = count(intervals(found), truth, "one_to_one")
    either = count(_as_one(intervals(found)), _as_one(truth), "one_to_one")["overall"]
    plain = count(_as_one(intervals([e for e in found if not e["flags"]])), _as_one(truth), "one_to_one")["overall"]
    return Figures(
        false_a_minute=len(false) / minutes,
        unflagged_a_minute=sum(not e["flags"] for e in false) / minutes,
        recall={kind: by_kind[kind].recall for kind in KINDS},
        recall_any_kind=either.recall,
        recall_unflagged=plain.recall,
        precision_any_kind=either.precision,
        f1={kind: counts.f1 for kind, counts in by_kind.items()},
        minutes=minutes,
        expressions=len(truth),
    )


def intervals(rows: Sequence[Mapping[str, str]]) -> list[Interval]:
    """Events as intervals; their numbers count from 1, those of ground truth from 0."""
    return [Interval(e["subject"], e["video"], int(e["onset"]) - 1, int(e["offset"]) - 1, e["kind"]) for e in rows]


def _as_one(intervals: Sequence[Interval]) -> list[Interval]:
    return [Interval(i.subject, i.video, i.onset, i.offset, "macro") for i in intervals]


def applied(args: argparse.Namespace) -> tuple[Path, Path]:
    """Apply the model and the rules to people without and with expressions; the folders of both runs."""
    model = args.spotting or shipped(SPOTTING)
    still, shown = args.work / "still", args.work / "shown"
    args.work.mkdir(parents=True, exist_ok=True)
    write_candidates_model(
        args.work / f"{UNTRAINED}.safetensors", bundle.read(model).about["preprocessing"]["crops"]["size"]
    )
    run(shown, configuration(model, None, True, args), args.cores)
    rule = shown / f"results/spotting/fresh/{RULE}/all/model.safetensors"
    run(still, configuration(model, rule, False, args), args.cores)
    return still, shown


def measure(args: argparse.Namespace) -> dict[str, Figures]:
    """Figures of the model and of the rules."""
    still, shown = applied(args)
    names = {"model": "model", RULE: "rule", UNTRAINED: UNTRAINED}
    return {name: figures(still, shown, application) for name, application in names.items()}


def table(found: Mapping[str, Figures]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| | false candidates a minute | without a flag | recall | without a flag | micro / macro, as their kind "
        "| precision | F1, kinds told apart |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, f in found.items():
        kinds = " / ".join(f"{f.recall[kind]:.2f}" for kind in KINDS)
        lines.append(
            f"| {name} | {f.false_a_minute:.1f} | {f.unflagged_a_minute:.1f} | {f.recall_any_kind:.2f} "
            f"| {f.recall_unflagged:.2f} | {kinds} | {f.precision_any_kind:.2f} | {f.f1['overall']:.2f} |"
        )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--work", type=Path, default=Path("false_alarms"), help="folder of both runs")
    found.add_argument("--spotting", type=Path, help="model file; none takes the shipped one")
    found.add_argument("--people", type=int, default=12)
    found.add_argument("--seconds", type=float, default=24.0)
    found.add_argument("--seed", type=int, default=SEED)
    found.add_argument("--sizes", nargs="+", default=SIZES, metavar="WxH", help="sizes of the pictures, px")
    found.add_argument("--cores", type=int, default=1)
    found.add_argument("--json", type=Path, help="write the figures here, too")
    return found


def main() -> None:
    """Measure and print."""
    args = parser().parse_args()
    found = measure(args)
    print(table(found))
    first = found["model"]
    who = f"{args.people} people of seed {args.seed}, pictures of {', '.join(args.sizes)} px"
    print(f"{who}: {first.minutes:.1f} minutes still, {first.expressions} expressions")
    if args.json:
        storage.write_json(args.json, {name: asdict(f) for name, f in found.items()})


if __name__ == "__main__":
    main()
