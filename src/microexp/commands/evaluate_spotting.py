"""`microexp evaluate spotting`: score a file of predictions against a file of ground truths."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from microexp.errors import UserError
from microexp.metrics.foreign.release_sheet import read_sheet
from microexp.metrics.foreign.spotting_files import (
    is_detections,
    is_truths,
    read_detected,
    read_predictions,
    read_truths,
    write_predictions,
)
from microexp.metrics.foreign.spotting_log import (
    MICRO_MAX_FRAMES,
    Pair,
    is_log,
    log_differences,
    log_predictions,
    read_log,
)
from microexp.metrics.foreign.spotting_names import check_videos, name_subjects, rename
from microexp.metrics.spotting import (
    KINDS,
    OVERALL,
    Interval,
    KindCounts,
    Matching,
    bootstrap_f1,
    count,
    count_subjects,
    strs,
)
from microexp.run.log import log

DATASETS = tuple(MICRO_MAX_FRAMES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp evaluate spotting`."""
    parser.add_argument(
        "predictions",
        type=Path,
        nargs="+",
        help="vid,pred_onset,pred_offset,type (MEGC2022), a MEGC2020 log, or detections.csv of any number of folds",
    )
    parser.add_argument(
        "ground_truth", type=Path, help="vid,onset,offset,type, an expressions.csv, or with --dataset a release's sheet"
    )
    parser.add_argument("--matching", choices=("megc", "one_to_one"), default="one_to_one", help="how hits are counted")
    parser.add_argument(
        "--more-truth", type=Path, action="append", default=[], metavar="FILE", help="truths of a further data set"
    )
    parser.add_argument("--dataset", choices=DATASETS, help="whose part of a log, whose sheet, whose names of videos")
    parser.add_argument("--micro-max-frames", type=int, metavar="N", help="longest micro-expression of a log")
    parser.add_argument("--method", default="aemnet", help="method to take from a detections.csv")
    parser.add_argument("--run-seed", type=int, default=0, metavar="N", help="seed to take from a detections.csv")
    parser.add_argument("--write-megc", type=Path, metavar="FILE", help="also write the predictions as MEGC2022 CSV")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="samples over subjects; 0 for none")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--subjects", action="store_true", help="also print every subject's counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def main(args: argparse.Namespace) -> int:
    """Print counts, precision, recall, F1 and its confidence interval; returns 0."""
    paths = [args.ground_truth, *args.more_truth]
    for path in (*args.predictions, *paths):
        if not path.is_file():
            raise UserError(file=path, problem="no such file", expected="a file of intervals")
    truths = [t for path in paths for t in _read_truths(path, args)]
    predictions = _read_predictions(args, truths)
    predictions, truths = name_subjects(predictions, truths), name_subjects(truths, predictions)
    check_videos(predictions, truths)
    if args.write_megc:
        write_predictions(args.write_megc, predictions)
    result = evaluate(predictions, truths, args.matching, args.bootstrap, args.seed)
    print(json.dumps(result, indent=1) if args.json else as_text(result, args.subjects))
    return 0


def _read_predictions(args: argparse.Namespace, truths: Sequence[Interval]) -> list[Interval]:
    detected = [path for path in args.predictions if is_detections(path)]
    found = read_detected(detected, args.method, args.run_seed) if detected else []
    for path in args.predictions:
        if is_log(path):
            pairs = read_log(path, _dataset(args))
            own = log_predictions(pairs, _dataset(args), args.micro_max_frames)
            _compare(path, pairs, own, truths)
            found += own
        elif path not in detected:
            found += read_predictions(path)
    return rename(found, args.dataset) if args.dataset else found


def _compare(path: Path, pairs: Sequence[Pair], predictions: Sequence[Interval], truths: Sequence[Interval]) -> None:
    """Warn where a log's own verdicts are others than the ground truths bring about."""
    differences = log_differences(pairs, predictions, truths)
    if differences:
        log(f"{path}: differs from the ground truths: {differences[0]} ({len(differences)} differences in all)")


def _read_truths(path: Path, args: argparse.Namespace) -> list[Interval]:
    if is_truths(path):
        found = read_truths(path)
    elif args.dataset or path.suffix.lower() in (".xlsx", ".xls"):
        found = read_sheet(path, _dataset(args))
    else:
        raise UserError(
            file=path,
            problem="no such columns",
            expected="vid, onset, offset and type",
            hint="a release's sheet needs --dataset",
        )
    return rename(found, args.dataset) if args.dataset else found


def _dataset(args: argparse.Namespace) -> str:
    if args.dataset is None:
        raise UserError(
            file="command line",
            where="--dataset",
            problem="nothing",
            expected="cas_me2 or samm_lv for a log or a release's sheet",
        )
    return str(args.dataset)


def evaluate(
    predictions: Sequence[Interval], truths: Sequence[Interval], matching: Matching, bootstrap: int, seed: int
) -> dict[str, object]:
    """Everything that the command prints, as plain values."""
    subjects = count_subjects(predictions, truths, matching)
    limits = bootstrap_f1(subjects, bootstrap, seed) if bootstrap else {}
    pooled = count(predictions, truths, matching)
    kinds = {k: _plain(pooled, k) | ({"f1_95": limits[k]} if k in limits else {}) for k in (*KINDS, OVERALL)}
    result: dict[str, object] = {"matching": matching, **kinds}
    if any(p.emotion for p in predictions):
        result["strs"] = strs(predictions, truths)
    result["subjects"] = {s: {k: _plain(row, k) for k in (*KINDS, OVERALL)} for s, row in subjects.items()}
    return result


def _plain(counts: KindCounts, kind: str) -> dict[str, object]:
    c = counts[kind]
    return {
        "true_positives": c.true_positives, "predictions": c.predictions, "ground_truths": c.truths,
        "precision": c.precision, "recall": c.recall, "f1": c.f1,
    }  # fmt: skip


def as_text(result: dict[str, object], with_subjects: bool) -> str:
    """The result as lines of aligned columns."""
    head = f"{'':<16}{'TP':>7}{'pred':>7}{'truth':>7}{'prec':>8}{'recall':>8}{'F1':>8}"
    lines = [f"matching: {result['matching']}", head + "  95 % over subjects"]
    lines += [_line(kind, result[kind]) for kind in (*KINDS, OVERALL)]
    if "strs" in result:
        lines.append(f"STRS {result['strs']:.4f}")
    subjects = result["subjects"]
    if with_subjects and isinstance(subjects, dict):
        lines += ["", head]
        lines += [_line(f"{s} {kind}", row[kind]) for s, row in subjects.items() for kind in (*KINDS, OVERALL)]
    return "\n".join(lines)


def _line(name: str, row: object) -> str:
    assert isinstance(row, dict)
    counts = f"{row['true_positives']:>7}{row['predictions']:>7}{row['ground_truths']:>7}"
    limits = "  [{:.4f}, {:.4f}]".format(*row["f1_95"]) if "f1_95" in row else ""
    return f"{name:<16}{counts}{row['precision']:>8.4f}{row['recall']:>8.4f}{row['f1']:>8.4f}{limits}"
