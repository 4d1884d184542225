"""`microexp evaluate recognition`: UF1, UAR and accuracy of the predictions of any method."""

from __future__ import annotations

import argparse
from pathlib import Path

from microexp import storage
from microexp.errors import UserError
from microexp.evaluation import recognition, recognition_log
from microexp.evaluation.recognition import Prediction
from microexp.evaluation.table import as_json, markdown, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "files", nargs="+", type=Path, help="predictions.csv of all folds, or MEGC2019 log files (.txt)"
    )
    parser.add_argument(
        "--classes", help="names in order, comma-separated (default: of a log negative,positive,surprise)"
    )
    parser.add_argument(
        "--bootstrap", type=int, default=1000, help="samples over subjects for the interval; 0 for none"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the bootstrap")
    parser.add_argument("--confusion", action="store_true", help="print the confusion matrices as well")
    parser.add_argument("--out", type=Path, help="write OUT.csv, OUT.md, OUT.tex and OUT.json as well")


def main(args: argparse.Namespace) -> int:
    """Score the files; each method and seed must hold each clip exactly once."""
    classes = args.classes.split(",") if args.classes else None
    found = read(args.files, classes)
    if classes is None and all(path.suffix == ".txt" for path in args.files):
        classes = list(recognition_log.MEGC_CLASSES)
    table = recognition.table("Recognition", found, classes, args.bootstrap, args.seed)
    print(markdown(table), end="")
    if args.confusion:
        print(confusions(found, classes), end="")
    if args.out:
        write(table, *(args.out.with_name(args.out.name + suffix) for suffix in (".csv", ".md", ".tex")))
        storage.write_json(args.out.with_name(args.out.name + ".json"), as_json(table))
    return 0


def read(files: list[Path], classes: list[str] | None) -> list[Prediction]:
    """Predictions of CSV files and logs together.

    Raises:
        UserError: when a file is of neither kind, or holds nothing.
    """
    found = recognition.read_predictions([path for path in files if path.suffix == ".csv"])
    for path in files:
        if path.suffix == ".txt":
            found += recognition_log.read_log(path, classes or recognition_log.MEGC_CLASSES)
        elif path.suffix != ".csv":
            raise UserError(path, None, f"a file ending in {path.suffix!r}", "predictions.csv or a log ending in .txt")
    if not found:
        raise UserError(files[0], None, "no prediction", "at least one")
    return found


def confusions(predictions: list[Prediction], classes: list[str] | None) -> str:
    """The confusion matrices of each method, in all and per data set, averaged over the seeds, as text."""
    names = classes or recognition.classes_of(predictions)
    width = max(map(len, (*names, "truth")))
    lines = []
    for method, runs in recognition.grouped(predictions).items():
        for part in recognition.parts(predictions):
            chosen = {s: [p for p in rows if part in (recognition.ALL, p.dataset)] for s, rows in runs.items()}
            lines += ["", f"{method}, {part} (rows: truth)", " " * width + "".join(f"  {n:>{width}}" for n in names)]
            for name, row in zip(names, recognition.mean_confusion(chosen, names), strict=True):
                lines.append(f"{name:>{width}}" + "".join(f"  {value:>{width}.1f}" for value in row))
    return "\n".join(lines) + "\n"
