"""`microexp recognise`: all folds of an experiment at once, stacked, without Snakemake.

For `apexdiff` shards that are there already, such as flow maps that others published: each clip is predicted by the
models that never saw its subject, as by the stage `recognition-fold`, for every method of the experiment.
"""

from __future__ import annotations

import argparse
from dataclasses import astuple
from pathlib import Path

from microexp import config as configuration
from microexp import stage_options
from microexp.datasets.classes import check_emotions, class_names, labels_of
from microexp.errors import UserError
from microexp.methods.recognition.params import RecognitionFoldParams
from microexp.metrics import action_units
from microexp.metrics import recognition as evaluation
from microexp.records.clips import Clips, read_shards
from microexp.records.predictions import COLUMNS
from microexp.records.tables import as_json, markdown, write
from microexp.run import storage
from microexp.run.log import log


def read_experiment(config: Path, name: str, folder: Path) -> tuple[list[RecognitionFoldParams], Clips]:
    """Each method of the experiment `name` of a configuration, and the clips of all its data sets below `folder`.

    Raises:
        UserError: when there is no such experiment, or a data set has no shard.
    """
    read = configuration.load(config)
    if name not in read.recognition:
        raise UserError(
            file=config, where="recognition", problem=f"no {name!r}", expected="one of " + ", ".join(read.recognition)
        )
    experiment = read.recognition[name]
    paths: list[Path] = []
    for dataset in dict.fromkeys((*experiment.datasets, *experiment.source_datasets())):
        found = sorted((folder / dataset).glob("*.h5"))
        if not found:
            raise UserError(file=folder / dataset, problem="no shard", expected="the apexdiff shards of all subjects")
        paths += found
    options = [
        stage_options.stage_options(read, "recognition-fold", name, method=method) for method in experiment.methods
    ]
    clips = read_shards(paths)
    check_emotions(clips.emotion, experiment, config, where=f"recognition.{name}")
    return [RecognitionFoldParams.model_validate(o) for o in options], clips


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp recognise`."""
    parser.add_argument("config", type=Path, help="configuration that holds the experiment")
    parser.add_argument("experiment", help="its name under `recognition`")
    parser.add_argument("out", type=Path, help="folder for predictions.csv and table.csv, .md, .tex and .json")
    parser.add_argument("--apexdiff", type=Path, default=Path("results/apexdiff"), help="folder of the shards")
    parser.add_argument("--bootstrap", type=int, default=1000, help="samples over subjects for the intervals")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def main(args: argparse.Namespace) -> int:
    """`microexp recognise CONFIG EXPERIMENT OUT`: predict every clip, write and print the table."""
    import torch

    from microexp.methods.recognition import loso
    from microexp.run.devices import pick_device

    torch.set_num_threads(1)  # the result must not depend on the number of threads
    methods, clips = read_experiment(args.config, args.experiment, args.apexdiff)
    first, device = methods[0], str(pick_device(args.device))
    without = int((labels_of(clips, first) < 0).sum())
    log(f"recognise {args.experiment}: {len(clips)} clips, {without} of them without a class or unit")
    title = f"Recognition, {args.experiment}"
    if first.target == "action_units":
        units = [row for method in methods for row in loso.predict_units(clips, method)]
        names = class_names(first)
        table = action_units.table(title, units, names, samples=args.bootstrap, seed=first.seed)
        columns = (*COLUMNS, *(f"p_{name}" for name in names))
        cells = [(*(getattr(r, c) for c in COLUMNS), *r.p.values()) for r in units]
        storage.write_csv(args.out / "predictions.csv", columns, cells)
    else:
        rows = [row for method in methods for row in loso.predict_all(clips, method, device=device)]
        table = evaluation.table(title, rows, class_names(first), samples=args.bootstrap, seed=first.seed)
        storage.write_csv(args.out / "predictions.csv", COLUMNS, map(astuple, rows))
    csv, md, tex = (args.out / f"table.{suffix}" for suffix in ("csv", "md", "tex"))
    write(table, csv_path=csv, markdown_path=md, latex_path=tex)
    storage.write_json(args.out / "table.json", as_json(table))
    print(markdown(table), end="")
    return 0
