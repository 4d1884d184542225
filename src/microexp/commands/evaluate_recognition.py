"""`microexp evaluate recognition`: UF1, UAR and accuracy of the predictions of any method."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from microexp.datasets import protocols
from microexp.errors import UserError
from microexp.metrics import completeness, recognition
from microexp.metrics.foreign import recognition_log
from microexp.metrics.recognition import Prediction
from microexp.records.tables import as_json, markdown, write
from microexp.run import storage

DECIMALS = 4
"""As the field prints its scores."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("files", nargs="+", type=Path, help="predictions.csv of all folds, or MEGC2019 log files")
    parser.add_argument(
        "--classes", help="names in order, comma-separated (default: of a log negative,positive,surprise)"
    )
    parser.add_argument(
        "--datasets", default="", help="names that a log's headers may begin with besides casme2, smic and samm"
    )
    parser.add_argument("--expected", type=Path, help="CSV of all clips (dataset,subject,video): none may be missing")
    parser.add_argument("--protocol", help="protocol with published counts to be met: status 1 when they are not")
    parser.add_argument(
        "--bootstrap", type=int, default=1000, help="samples over subjects for the interval; 0 for none"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the bootstrap")
    parser.add_argument("--confusion", action="store_true", help="print the confusion matrices as well")
    parser.add_argument("--out", type=Path, help="write OUT.csv, OUT.md, OUT.tex and OUT.json as well")


def main(args: argparse.Namespace) -> int:
    """Score the files; each method and seed must hold each clip exactly once."""
    outputs = _outputs(args.out)
    storage.check_not_read(outputs.values(), [*args.files, *filter(None, [args.expected])])
    classes = args.classes.split(",") if args.classes else None
    found = read(args.files, classes, args.datasets.split(",") if args.datasets else [])
    if classes is None and not any(is_csv(path) for path in args.files):
        classes = list(protocols.CLASSES)
    table = recognition.table("Recognition", found, classes, samples=args.bootstrap, seed=args.seed)
    print(markdown(table, DECIMALS), end="")
    if args.confusion:
        print(confusions(found, classes), end="")
    if args.out:
        write(table, csv_path=outputs["csv"], markdown_path=outputs["md"], latex_path=outputs["tex"])
        storage.write_json(outputs["json"], as_json(table))
    return is_complete(found, args.expected, args.protocol)


def _outputs(out: Path | None) -> dict[str, Path]:
    """The files that `--out` names, by their kind."""
    return {kind: out.with_name(f"{out.name}.{kind}") for kind in ("csv", "md", "tex", "json")} if out else {}


def is_complete(found: list[Prediction], expected: Path | None, protocol: str | None) -> int:
    """Print how many clips there are, and how they differ from the protocol; 1 when that was asked for and they do.

    Raises:
        UserError: when clips of `expected` are missing.
    """
    one = next(iter(next(iter(recognition.grouped(found).values())).values()))
    subjects = {(p.dataset, p.subject) for p in one}
    print(f"\n{len(one)} clips of {len(subjects)} subjects")
    if expected:
        completeness.check_expected((p.clip for p in one), expected, protocol)
    megc = {p.label for p in one} <= set(protocols.CLASSES)
    name = protocol or (completeness.MEGC if megc else None)
    lines = completeness.differences(name, ((p.dataset, p.subject, p.label) for p in one)) if name else []
    if lines:
        print(f"not the whole of {name}: " + "; ".join(lines))
    return 1 if lines and protocol else 0


def is_csv(path: Path) -> bool:
    """Whether a file holds predictions; any other is a log, whatever its name."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = set(file.readline().strip().split(","))
    except OSError:
        return path.suffix.lower() == ".csv"
    if {"method", "prediction"} <= header:
        return True
    return path.suffix.lower() == ".csv" and not recognition_log.is_log(path)


def read(files: list[Path], classes: list[str] | None, datasets: Sequence[str] = ()) -> list[Prediction]:
    """Predictions of CSV files and logs together.

    Raises:
        UserError: when a file does not fit, or all hold nothing.
    """
    found = recognition.read_predictions([path for path in files if is_csv(path)])
    for path in files:
        if not is_csv(path):
            found += recognition_log.read_log(path, classes or protocols.CLASSES, datasets=datasets)
    if not found:
        raise UserError(file=files[0], problem="no prediction", expected="at least one")
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
