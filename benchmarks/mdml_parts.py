"""MDML with each of its parts switched off in turn, on `apexdiff` shards (such as the demo's), leave one subject out.

    python benchmarks/mdml_parts.py CONFIG EXPERIMENT [--results results] [--seeds 5] [--identity]

Takes the experiment as CONFIG has it and reads its shards under RESULTS/apexdiff. With `--identity` the ways of
identity removal are compared instead.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from microexp.commands.recognise import read_experiment
from microexp.methods.recognition import loso
from microexp.methods.recognition.classes import class_names
from microexp.methods.recognition.params import MdmlParams, RecognitionExperiment
from microexp.metrics import recognition as evaluation
from microexp.records.tables import markdown

OFF: dict[str, Any] = {"weight": 0.0}
PARTS: dict[str, dict[str, Any]] = {
    "MDML": {},
    "without mutual learning": {"mutual": OFF},
    "without multi-source": {"domain": OFF},
    "sources as a whole, not by class": {"domain": {"by_class": False}},
    "sources by MMD, not moments": {"domain": {"model": "mmd"}},
    "without learned source weights": {"domain": {"learn_weights": False}},
    "without labels of the sources": {"domain": {"label_weight": 0.0}},
    "without class balance": {"balance": "none"},
    "without mirror": {"mirror": False, "mirror_test": False},
    "without the difference stream": {"streams": {"flow": ["u", "v"]}},
    "without the flow stream": {"streams": {"difference": ["difference"]}},
    "without the linear path": {"linear_path": False},
    "with strain in the flow stream": {"streams": {"difference": ["difference"], "flow": ["u", "v", "strain"]}},
}
IDENTITY: dict[str, dict[str, Any]] = {
    f"identity: {way}": {"identity": way} for way in ("difference", "flow", "median", "strain", "none")
}


def variant(experiment: RecognitionExperiment, change: dict[str, Any], seeds: int) -> RecognitionExperiment:
    options = experiment.mdml.model_dump()
    for key, value in change.items():
        merged = isinstance(value, dict) and key != "streams"
        options[key] = {**options[key], **value} if merged else value
    options["seeds"] = seeds
    return experiment.model_copy(update={"mdml": MdmlParams.model_validate(options)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("experiment")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--identity", action="store_true", help="compare the ways of identity removal")
    args = parser.parse_args()
    torch.set_num_threads(1)
    experiment, clips = read_experiment(args.config, args.experiment, args.results / "apexdiff")
    changes = IDENTITY if args.identity else PARTS
    variants = {name: variant(experiment, change, args.seeds) for name, change in changes.items()}
    rows = loso.compare(clips, variants, log=lambda line: print(line, file=sys.stderr))
    print(markdown(evaluation.table(f"MDML on {args.experiment}", rows, class_names(experiment))))


if __name__ == "__main__":
    main()
