"""What each part of AEM-Net is worth: one row per variant, every fold of an experiment, all its seeds.

    make ablation                                # the demo of benchmarks/spotting_ablation.yaml, then this script on it
    python benchmarks/spotting_ablation.py --config config.yaml --results results --out ablation/demo

The rows of the full network and of the baselines are read from the folds that the workflow has run. Variants differ
from the experiment's configuration in what their name says and in nothing else; thresholds are chosen on training
subjects only, as always. Folds that are done are not run again, unless their options, inputs or code have changed.
Prints a Markdown table and writes it, with a CSV, to `--out`.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from microexp.config import Config, load
from microexp.methods.spotting import detect, fold
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.params import DetectParams, SpottingFoldParams
from microexp.metrics.spotting import OVERALL, Interval, count, count_subjects
from microexp.records.detections import read_detections
from microexp.records.index import KINDS, Video, read_videos
from microexp.records.tables import Row, Table, markdown
from microexp.report.spotting_table import Runs, as_intervals, read_ran
from microexp.report.tables import read_truths
from microexp.run.log import track
from microexp.run.names import fold_name
from microexp.run.provenance import input_hash
from microexp.run.runner import source_sha256
from microexp.run.stage import Job
from microexp.run.storage import write_csv, write_text
from microexp.stage_options import stage_options

FULL = "aemnet"
"""The full network's row in the experiment."""
VARIANTS: dict[str, dict[str, object]] = {
    "one stem scale (5, 5, 5)": {"stem_kernels": (5, 5, 5)},
    "no channel attention": {"channel_attention": False},
    "no attention": {"local_attention": False},
    "no top-down pyramid": {"top_down": False},
    "one pyramid level": {"levels": 1},
    "the released code's network": {"fidelity": "released"},
    "I3D flow only": {"streams": ("i3d_flow",)},
    "I3D RGB only": {"streams": ("i3d_rgb",)},
    "I3D flow and motion": {"streams": ("i3d_flow", "motion")},
}
COLUMNS = (
    "variant", "overall", "overall_sd", "micro", "micro_sd", "macro", "macro_sd",
    "difference", "difference_low", "difference_high", "tp", "predictions", "truths",
)  # fmt: skip
SAMPLES = 2000
"""Bootstrap samples of the differences."""


@dataclass(frozen=True)
class Task:
    """One fold of one variant."""

    variant: str
    fold: str
    features: list[Path]
    expressions: list[Path]
    videos: list[Path]
    training: SpottingFoldParams
    choosing: DetectParams
    out: Path


def make_tasks(config: Config, experiment: str, results: Path, out: Path) -> list[Task]:
    """Every fold of every variant."""
    training = SpottingFoldParams.model_validate(stage_options(config, "spotting-fold", experiment, method=FULL))
    choosing = DetectParams.model_validate(stage_options(config, "detect", experiment, method=FULL))
    options = AemnetParams.model_validate(training.options)
    datasets = config.spotting[experiment].datasets
    index = {n: [results / "index" / d / f"{n}.csv" for d in datasets] for n in ("expressions", "videos")}
    subjects = [p.parent for d in datasets for p in sorted((results / "index" / d / "subjects").glob("*/videos.csv"))]
    tasks = []
    for number, (variant, change) in enumerate(VARIANTS.items(), 1):
        changed = options.model_copy(update={"network": options.network.model_copy(update=change)})
        streams = [results / "features" / s / d for s in changed.network.streams for d in datasets]
        update = {"options": changed.model_dump(mode="json"), "permuted_control": False}
        for folder in subjects:
            name = fold_name(folder.parents[1].name, folder.name)
            tasks.append(
                Task(
                    variant, name, [p for f in streams for p in sorted(f.glob("*.h5"))], index["expressions"],
                    index["videos"], training.model_copy(update=update), choosing, out / f"{number:02d}" / name,
                )
            )  # fmt: skip
    return tasks


def depends_on(task: Task) -> str:
    """What a fold's results depend on, as JSON: options, code, and the contents of all inputs."""
    inputs = [*task.features, *task.expressions, *task.videos]
    return json.dumps(
        {
            "options": [task.training.model_dump(mode="json"), task.choosing.model_dump(mode="json")],
            "code": source_sha256(),
            "inputs": [input_hash(path) for path in inputs],
        }
    )


def run_task(task: Task) -> None:
    """Train and detect, unless that was done with the same options, code and inputs."""
    key = depends_on(task)
    done = task.out / "done.json"
    if done.exists() and done.read_text() == key:
        return
    done.unlink(missing_ok=True)  # from here on the files are no longer what it says
    index = {"expressions": task.expressions, "videos": task.videos}
    keys = {"fold": task.fold}
    names = {"trained": "trained.safetensors", "training": "training.csv", "proposals": "proposals.h5"}
    outputs = {name: task.out / file for name, file in names.items()}
    fold.run(Job({"features": task.features, **index}, outputs, task.training, keys, device="cpu"))
    chosen = {"detections": task.out / "detections.csv", "selection": task.out / "selection.json"}
    detect.run(Job({"proposals": [outputs["proposals"]], **index}, chosen, task.choosing, keys))
    write_text(done, key)


def read_runs(folds: list[Path], videos: list[Video]) -> dict[str, Runs]:
    """Row -> seed -> detections, of folders of folds."""
    found = [d for path in folds for d in read_detections(path / "detections.csv", videos)]
    return as_intervals(found, read_ran([path / "selection.json" for path in folds]), videos)


def make_rows(full: list[Path], tasks: list[Task], truths: list[Interval], videos: list[Video]) -> list[Row]:
    """Rows of the workflow's folds `full`, then of the variants; differences are from the full network."""
    runs = {("AEM-Net" if method == FULL else method): own for method, own in read_runs(full, videos).items()}
    for variant in dict.fromkeys(t.variant for t in tasks):
        runs[variant] = read_runs([t.out for t in tasks if t.variant == variant], videos)[FULL]
    people = sorted({truth.subject for truth in truths})
    samples = np.random.default_rng(0).integers(0, len(people), (SAMPLES, len(people)))
    base = bootstrap(runs["AEM-Net"], truths, people, samples)
    rows: list[Row] = []
    for name, own in runs.items():
        row = {"variant": name, **_measures(own, truths)}
        if name != "AEM-Net":
            low, high = np.quantile(bootstrap(own, truths, people, samples) - base, [0.025, 0.975])
            difference = float(row["overall"]) - float(rows[0]["overall"])
            row |= {"difference": difference, "difference_low": float(low), "difference_high": float(high)}
        rows.append(row)
    return rows


def bootstrap(runs: Runs, truths: list[Interval], people: list[str], samples: np.ndarray) -> np.ndarray:
    """Overall F1, mean over seeds, of every sample (a row of indices into `people`)."""
    drawn = []
    for items in runs.values():
        found = count_subjects(items, truths, "one_to_one", subjects=people)
        counts = [found[who][OVERALL] for who in people]
        tp, total = (np.array([[c.true_positives, c.predictions + c.truths] for c in counts])[samples].sum(1)).T
        drawn.append(2 * tp / np.maximum(total, 1))
    return np.asarray(np.mean(drawn, 0))


def _measures(runs: Runs, truths: list[Interval]) -> dict[str, float | str]:
    counts = [count(items, truths, "one_to_one") for items in runs.values()]
    row: dict[str, float | str] = {}
    for kind in (OVERALL, *KINDS):
        values = [c[kind].f1 for c in counts]
        row |= {kind: float(np.mean(values)), f"{kind}_sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}
    row["tp"] = float(np.mean([c[OVERALL].true_positives for c in counts]))
    row["predictions"] = float(np.mean([c[OVERALL].predictions for c in counts]))
    row["truths"] = float(np.mean([c[OVERALL].truths for c in counts]))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--experiment", default="demo")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where index, features and spotting lie")
    parser.add_argument("--out", type=Path, default=Path("ablation/variants"))
    parser.add_argument("--jobs", type=int, default=2, help="folds at the same time, one CPU thread each")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="only these")
    args = parser.parse_args()
    config = load(args.config)
    tasks = make_tasks(config, args.experiment, args.results, args.out)
    folds = list(dict.fromkeys(task.fold for task in tasks))
    methods = [FULL, *(m for m in config.spotting[args.experiment].methods if m != FULL)]
    full = [args.results / "spotting" / args.experiment / method / name for method in methods for name in folds]
    missing = [str(path) for path in full if not (path / "selection.json").exists()]
    if missing or not full:
        parser.exit(2, f"{parser.prog}: error: no finished fold {(missing or ['at all'])[0]}: run snakemake first\n")
    tasks = [task for task in tasks if task.variant in args.variants]
    with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
        list(track(pool.map(run_task, tasks), "ablation: folds", len(tasks)))
    seeds = tasks[0].training.seeds
    videos = [v for path in tasks[0].videos for v in read_videos(path)]
    notes = (
        f"F1, mean and sd over {seeds} seeds, one-to-one matching, pooled over {len(folds)} folds.",
        f"difference: overall, from AEM-Net; 95 % interval over subjects, drawn in pairs, {SAMPLES} bootstrap samples.",
        "aemnet_oracle chooses its thresholds on the held-out subject: no result, only an upper bound.",
        "aemnet_permuted was trained on expressions moved to random places.",
    )
    table = Table(
        f"Ablation on {args.experiment}",
        COLUMNS,
        make_rows(full, tasks, read_truths(tasks[0].expressions, tasks[0].videos), videos),
        notes,
    )
    write_csv(args.out / "ablation.csv", COLUMNS, [[row.get(c, "") for c in COLUMNS] for row in table.rows])
    write_text(args.out / "ablation.md", markdown(table))
    print(markdown(table))


if __name__ == "__main__":
    main()
