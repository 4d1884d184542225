"""MDML with each of its parts switched off in turn, on `apexdiff` shards (such as the demo's), leave one subject out.

    python benchmarks/mdml_parts.py CONFIG EXPERIMENT [--results results] [--seeds 5] [--identity]

Takes the experiment's method `mdml` as CONFIG has it, and its other methods beside it, and reads the shards under
RESULTS/apexdiff. With `--identity` the ways of identity removal are compared instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from microexp.commands.recognise import read_experiment
from microexp.datasets.classes import class_names
from microexp.methods.recognition import loso
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.methods.recognition.params import RecognitionFoldParams
from microexp.metrics import recognition as evaluation
from microexp.records.clips import Clips
from microexp.records.tables import markdown

OFF: dict[str, Any] = {"weight": 0.0}
PARTS: dict[str, dict[str, Any]] = {
    "MDML": {},
    "without mutual learning": {"mutual": OFF},
    "without multi-source": {"domain": OFF},
    "sources as a whole, not by class": {"domain": {"by_class": False}},
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


def variant(method: RecognitionFoldParams, name: str, change: dict[str, Any]) -> RecognitionFoldParams:
    options = dict(method.options)
    for key, value in change.items():
        merged = isinstance(value, dict) and key != "streams"
        options[key] = {**options[key], **value} if merged else value
    checked = MdmlParams.model_validate(options).model_dump(mode="json")
    return method.model_copy(update={"name": name, "options": checked})


def compare(
    methods: Sequence[RecognitionFoldParams], clips: Clips, seeds: int, identity: bool
) -> list[evaluation.Prediction]:
    """Predictions of the experiment's other methods and of the variants of its MDML."""
    changes = IDENTITY if identity else PARTS
    mdml = next(m for m in methods if m.method == "mdml")
    others = [m for m in methods if m.method != "mdml"]
    rows = []
    for method in (*others, *(variant(mdml, name, change) for name, change in changes.items())):
        start = time.process_time()
        rows += loso.predict_all(clips, method.model_copy(update={"seeds": seeds}))
        print(f"{method.name}: {time.process_time() - start:.0f} CPU-s", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("experiment")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--identity", action="store_true", help="compare the ways of identity removal")
    args = parser.parse_args()
    torch.set_num_threads(1)
    methods, clips = read_experiment(args.config, args.experiment, args.results / "apexdiff")
    if not any(m.method == "mdml" for m in methods):
        parser.exit(2, f"{parser.prog}: error: {args.experiment} has no method mdml\n")
    rows = compare(methods, clips, args.seeds, args.identity)
    print(markdown(evaluation.table(f"MDML on {args.experiment}", rows, class_names(methods[0]))))


if __name__ == "__main__":
    main()
