"""Train the spotting model that the package ships, measure it on other people, and write its card.

    python tools/train_spotting.py [--work models] [--people N] [--seconds S] [--cores N]

The ordinary workflow renders the people of `tools/models/spotting.yaml`, trains the fold `all` of `aemnet` on the
stream `motion`, and makes the model file. Its thresholds are then raised, on people of a second seed, until those who
show no expression hardly ever give an unflagged event. `benchmarks/false_alarms.py` measures it on people of a third.
No real face, video or label is read. The same options give the same file. Files in `--work` are used again.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import false_alarms  # noqa: E402

from microexp.methods.spotting.detect import candidates, detections, read_annotations  # noqa: E402
from microexp.methods.spotting.params import DetectParams  # noqa: E402
from microexp.methods.spotting.selection import Choice  # noqa: E402
from microexp.metrics.spotting import OVERALL, Interval, count  # noqa: E402
from microexp.models import SPOTTING  # noqa: E402
from microexp.records.index import KINDS, read_expressions, read_videos  # noqa: E402
from microexp.records.proposals import CALIBRATION, read_proposals  # noqa: E402
from microexp.run import bundle, storage, yaml_file  # noqa: E402

CONFIG = ROOT / "tools/models/spotting.yaml"
MODELS = ROOT / "src/microexp/models"
MODEL = "results/spotting/rendered/aemnet/all/model.safetensors"
SIZE_LIMIT = 3_000_000
THRESHOLD_SEED = 4002
"""Of the people on whom thresholds are raised; the figures are of people of `false_alarms.SEED`."""
THRESHOLD_SIZES = ["320x240", "640x480"]
UNFLAGGED_A_MINUTE = 0.75
"""At most so many unflagged events a minute of those who show nothing; below 1, since a few people decide."""
TEST_SIZES = {"small": false_alarms.SIZES, "640x480": ["640x480"]}


def configuration(args: argparse.Namespace) -> Path:
    """The configuration in the folder of the run, with the number of people and seconds that the command line says."""
    config = dict(yaml_file.read(CONFIG))
    changes = {"subjects": args.people, "seconds": args.seconds}
    config["demo"] = config["demo"] | {name: value for name, value in changes.items() if value is not None}
    path = args.work / "training" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_json(path, config)
    return path


def trained(args: argparse.Namespace) -> Path:
    """Run the workflow; the model file."""
    config = configuration(args)
    false_alarms.snakemake(config.parent, config, [MODEL], args.cores)
    path = config.parent / MODEL
    if path.stat().st_size > SIZE_LIMIT:
        raise SystemExit(f"{path}: {path.stat().st_size} bytes, more than the package should carry")
    return path


def quieter(about: Mapping[str, Any], still: Sequence[Mapping[str, str]], minutes: float) -> dict[str, Any]:
    """The description of a model with both thresholds raised, by the same factor of their odds, as little as is needed.

    Args:
        about: the description of the model file.
        still: events that the model finds where nobody shows an expression (rows of `events.csv`).
        minutes: length of these videos.
    """
    chosen = about["selection"]
    ratios = [odds(float(e["score"])) / odds(chosen[e["kind"]]["threshold"]) for e in still if not e["flags"]]
    factor = raised_by(ratios, int(UNFLAGGED_A_MINUTE * minutes))
    raised = {k: c | {"threshold": factor / (factor + 1 / odds(c["threshold"]))} for k, c in chosen.items()}
    return {**about, "selection": raised, "thresholds_raised_by": factor}


def raised_by(ratios: Sequence[float], most: int) -> float:
    """The least factor, at least 1, that `most` of the ratios reach: half way to the next one, as factors go."""
    falling = sorted(ratios, reverse=True)
    if len(falling) <= most:
        return 1.0
    return math.sqrt(falling[most] * falling[most - 1]) if most else math.nextafter(falling[0], math.inf)


def odds(probability: float) -> float:
    """p / (1 - p)."""
    return probability / (1 - probability)


def about_training(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """People, minutes and expressions that the model was trained on."""
    (dataset,) = {name.partition("/")[0] for name in about["trained_on"]}
    index = folder / "results/index" / dataset
    videos = read_videos(index / "videos.csv")
    shown = read_expressions(index / "expressions.csv", videos)
    return {
        "people": len(about["trained_on"]),
        "minutes": sum(v.n_frames / v.fps for v in videos) / 60,
        "rates": sorted({round(v.fps) for v in videos}),
        "sizes": sorted({(v.width, v.height) for v in videos}),
        "micro": sum(e.kind == "micro" for e in shown),
        "macro": sum(e.kind == "macro" for e in shown),
    }


def inner_f1(folder: Path, about: Mapping[str, Any]) -> dict[str, float]:
    """F1 by kind and overall on the people whom each inner fold did not see, at the thresholds of the model."""
    (dataset,) = {name.partition("/")[0] for name in about["trained_on"]}
    tables = [[folder / "results/index" / dataset / f"{table}.csv"] for table in ("expressions", "videos")]
    options = DetectParams(**about["choice"])
    annotations = read_annotations(*tables, None, options=options)
    proposals = [p for p in read_proposals((folder / MODEL).with_name("proposals.h5")) if p.role == CALIBRATION]
    cleaned = candidates(proposals, annotations, about["duration_s"], options=options)
    choices = {kind: Choice(**chosen) for kind, chosen in about["selection"].items()}
    found = [
        Interval(d.subject, d.video, d.onset, d.offset, d.kind)
        for d in detections("model", 0, cleaned, choices=choices)
    ]
    true = [Interval(e.subject, e.video, e.onset, e.offset, e.kind) for own in annotations.truths.values() for e in own]
    return {kind: counts.f1 for kind, counts in count(found, true, "one_to_one").items()}


def card(
    about: Mapping[str, Any],
    training: Mapping[str, Any],
    args: argparse.Namespace,
    found: Mapping[str, Mapping[str, false_alarms.Figures]],
    known: Mapping[str, float],
) -> str:
    """The model's card; `found` is of people of another seed by size, `known` the F1 of the inner folds."""
    demo = yaml_file.read(args.work / "training" / "config.yaml")["demo"]
    network = about["options"]["network"]
    rows = "\n".join(f"| {name} | {value} |" for name, value in demo["untidy"].items())
    chosen = about["selection"]
    sizes = ", ".join(f"{w} x {h}" for w, h in training["sizes"])
    tested = {", ".join(TEST_SIZES[name]): figures for name, figures in found.items()}
    tables = "\n\n".join(f"Pictures of {px} px:\n\n{false_alarms.table(f)}" for px, f in tested.items())
    seed, people, factor = false_alarms.SEED, args.test_people, about["thresholds_raised_by"]
    fresh = "\n".join(
        f"| people of seed {seed}, {px} px | " + " | ".join(f"{f['model'].f1[k]:.2f}" for k in (*KINDS, OVERALL)) + " |"
        for px, f in tested.items()
    )
    return f"""# The spotting model `{SPOTTING}`

AEM-Net on the stream `motion`. It proposes micro- and macro-expressions in videos at any rate from 25 frames/s.
**It has never seen a real face.** Written by `tools/train_spotting.py`; `make models` makes file and card again.

## Data

{training["people"]} rendered people, {training["minutes"]:.1f} minutes, {training["micro"]} micro- and
{training["macro"]} macro-expressions; rates {", ".join(map(str, training["rates"]))} frames/s, pictures of {sizes} px.
People of seed {args.train_seed}, who are in no demo, test or benchmark. Nothing is shown in
{100 * demo["still"]:.0f} % of the videos, on average. How untidy the recordings are (`demo.untidy` in
docs/configuration.md):

| option | value |
|---|---|
{rows}

## Options

| option | value |
|---|---|
| crops | {about["preprocessing"]["crops"]["size"]} px |
| network | channels {network["channels"]}, stem {network["stem_channels"]}, narrowed to {network["input_channels"]} |
| training | {about["options"]["epochs"]} epochs, a window every {about["options"]["train_stride_frames"]} frames |
| features varied anew in every epoch | {about["options"].get("augment", 0)} (`augment` in docs/configuration.md) |
| threshold, micro | {chosen["micro"]["threshold"]:.3f} |
| threshold, macro | {chosen["macro"]["threshold"]:.3f} |

Thresholds were chosen on proposals of three inner folds, for the best F1 of both kinds together. Then both were
raised, by a factor of {factor:.2f} of their odds. It is the least at which {people} people of seed
{THRESHOLD_SEED}, who show nothing, give at most {UNFLAGGED_A_MINUTE} unflagged events a minute in pictures of
{" and ".join(THRESHOLD_SIZES)} px.

## Figures

{people} rendered people of seed {seed}, once with nothing but sway, blinks, glances, speech,
head turns and seat changes, once with expressions too (`benchmarks/false_alarms.py`). A hit is an IoU of at least .5,
one to one. `recall` and `precision` do not ask for the kind. The threshold of `flow_magnitude` was chosen on the very
people with expressions, which favours it.

{tables}

F1 with the kinds told apart: of the {training["people"]} people, each by the inner fold that had not seen them, at
thresholds that were chosen on them and not raised; and of the {people} people of seed {seed} by the model.
The first line counts false candidates in videos without an expression, too:

| | micro | macro | overall |
|---|---:|---:|---:|
| people of the training, inner folds | {known["micro"]:.2f} | {known["macro"]:.2f} | {known["overall"]:.2f} |
{fresh}

## Limits

- It has never seen a real face, real skin, a real camera or real speech. No figure above says how good it is on them.
- What it finds are candidates. A person has to look at them.
- An expression during speech or a turn of the head is easily missed, and speech is the likeliest false candidate.
- Data must be prepared with the same options of crops, flow and motion; the file holds them and others are refused.

## Licence

CC0 1.0: file and card. The head that was rendered is CC0, and nothing else went in.
"""


def people_of(
    args: argparse.Namespace, folder: str, model: Path, sizes: Sequence[str], *, seed: int = false_alarms.SEED
) -> argparse.Namespace:
    """Options of `benchmarks/false_alarms.py`: a model on as many people as `--test-people` says."""
    words = ["--work", str(args.work / folder), "--spotting", str(model), "--people", str(args.test_people)]
    return false_alarms.parser().parse_args(
        [*words, "--cores", str(args.cores), "--sizes", *sizes, "--seed", str(seed)]
    )


def main() -> None:
    """Train, raise the thresholds, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("models"), help="folder of all runs")
    parser.add_argument("--people", type=int, help="people to train on; none takes the configuration's")
    parser.add_argument("--seconds", type=float, help="seconds of each; none takes the configuration's")
    parser.add_argument("--test-people", type=int, default=12, help="people to raise thresholds and to measure on")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--out", type=Path, default=MODELS, help="where model and card go")
    args = parser.parse_args()
    args.train_seed = yaml_file.read(CONFIG)["seed"]
    path, model = trained(args), args.out / f"{SPOTTING}.safetensors"
    first = bundle.read(path)
    still, _ = false_alarms.applied(people_of(args, "thresholds", path, THRESHOLD_SIZES, seed=THRESHOLD_SEED))
    raised = quieter(first.about, false_alarms.events(still, "model"), false_alarms.minutes_of(still))
    bundle.write(model, bundle.Bundle(raised, first.parts))
    found = {
        name: false_alarms.measure(people_of(args, f"test_{name}", model, sizes)) for name, sizes in TEST_SIZES.items()
    }
    folder = args.work / "training"
    text = card(raised, about_training(folder, raised), args, found, inner_f1(folder, first.about))
    storage.write_text(model.with_suffix(".md"), text)
    kept = {size: {name: asdict(f) for name, f in own.items()} for size, own in found.items()}
    storage.write_json(args.work / "figures.json", kept)
    print(*map(false_alarms.table, found.values()), sep="\n\n")


if __name__ == "__main__":
    main()
