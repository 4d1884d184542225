"""`microexp evaluate spotting`: score a file of predictions against a file of ground truths."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from microexp.metrics.foreign.spotting_files import write_predictions
from microexp.metrics.foreign.spotting_inputs import Inputs, Options, files_read, read_inputs
from microexp.metrics.foreign.spotting_log import MICRO_MAX_FRAMES
from microexp.metrics.spotting import OVERALL, Interval, KindCounts, Matching, bootstrap_f1, count, count_subjects, strs
from microexp.records.index import KINDS
from microexp.run.storage import check_not_read

DATASETS = tuple(MICRO_MAX_FRAMES)
MATCHINGS: tuple[Matching, ...] = ("megc", "one_to_one")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp evaluate spotting`."""
    parser.add_argument(
        "predictions",
        type=Path,
        nargs="+",
        help="any number of files: CSVs of intervals (vid,pred_onset,pred_offset,type and the like), logs of the "
        "challenges, or detections.csv of the folds",
    )
    parser.add_argument(
        "ground_truth",
        type=Path,
        help="vid,onset,offset,type and the like, an expressions.csv, or with --dataset a release's sheet; "
        "FILE.xlsx#SHEET names one sheet of a workbook",
    )
    parser.add_argument("--matching", choices=MATCHINGS, default="one_to_one", help="how hits are counted")
    _add_reading(parser)
    parser.add_argument("--write-megc", type=Path, metavar="FILE", help="also write the predictions as MEGC2022 CSV")
    parser.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="samples over subjects for the interval; 0 for none"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the bootstrap")
    parser.add_argument("--subjects", action="store_true", help="also print every subject's counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """What files do not say of themselves."""
    parser.add_argument(
        "--more-truth",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="further ground truths; may be repeated",
    )
    parser.add_argument("--dataset", choices=DATASETS, help="part of a log, form of sheet, and names of videos")
    parser.add_argument(
        "--kind",
        choices=KINDS,
        action="append",
        default=[],
        help="of a file that holds one kind: once for all files, or once for each in their order; only ground truths "
        "of these kinds count then",
    )
    parser.add_argument("--ignore-kinds", action="store_true", help="let intervals of one kind hit those of the other")
    parser.add_argument(
        "--first-frame",
        type=int,
        metavar="N",
        help="number that the predictions give to a video's first frame, where it is another than the ground truths'",
    )
    parser.add_argument(
        "--videos",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="videos.csv with the release's numbers of the frames (default: beside an expressions.csv)",
    )
    parser.add_argument("--min-score", type=float, metavar="S", help="take no prediction of a lower score from a table")
    parser.add_argument(
        "--micro-max-frames",
        type=int,
        metavar="N",
        help="longest micro-expression of a log that does not tell the kinds",
    )
    parser.add_argument("--method", default="aemnet", help="method to take from a detections.csv")
    parser.add_argument("--run-seed", type=int, default=0, metavar="N", help="seed to take from a detections.csv")


def main(args: argparse.Namespace) -> int:
    """Print counts, precision, recall, F1 and its confidence interval.

    Returns:
        1 when a log's own verdicts are contradicted by the ground truths, else 0.
    """
    options = Options(
        dataset=args.dataset,
        kinds=tuple(args.kind),
        ignore_kinds=args.ignore_kinds,
        first_frame=args.first_frame,
        micro_max_frames=args.micro_max_frames,
        method=args.method,
        run_seed=args.run_seed,
        videos=tuple(args.videos),
        min_score=args.min_score,
    )
    truths = [args.ground_truth, *args.more_truth]
    if args.write_megc:
        check_not_read([args.write_megc], files_read(args.predictions, truths, options))
    inputs = read_inputs(args.predictions, truths, options)
    if args.write_megc:
        write_predictions(args.write_megc, inputs.predictions)
    result = evaluate(inputs.predictions, inputs.truths, args.matching, bootstrap=args.bootstrap, seed=args.seed)
    if inputs.kinds_ignored:
        _without_kinds(result)
    result["frame_numbers"] = numbering(options)
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        print("\n".join([*about(inputs, options), as_text(result, args.subjects)]))
    return 1 if inputs.contradicted else 0


def numbering(options: Options) -> str:
    """How frames are numbered."""
    if options.first_frame is None:
        return "as the ground truths count them (the release's own numbers)"
    return f"predictions count from {options.first_frame}, moved to the ground truths' numbers"


def about(inputs: Inputs, options: Options) -> list[str]:
    """How frames are numbered and kinds are told apart, in a line each."""
    lines = [f"frame numbers: {numbering(options)}"]
    if inputs.kinds_ignored:
        lines.append("kinds: not told apart")
    elif options.kinds:
        lines.append(f"kinds: only {' and '.join(k for k in KINDS if k in options.kinds)}, as --kind says")
    return lines


def _without_kinds(result: dict[str, object]) -> None:
    """Leave only what counts both kinds together."""
    result["kinds"] = "ignored"
    subjects = result["subjects"]
    assert isinstance(subjects, dict)
    for row in (result, *subjects.values()):
        for kind in KINDS:
            del row[kind]


def evaluate(
    predictions: Sequence[Interval], truths: Sequence[Interval], matching: Matching, *, bootstrap: int, seed: int
) -> dict[str, object]:
    """Everything that the command prints, as plain values."""
    subjects = count_subjects(predictions, truths, matching)
    limits = bootstrap_f1([subjects], bootstrap, seed) if bootstrap else {}
    pooled = {m: count(predictions, truths, m) for m in MATCHINGS}
    kinds = {k: _plain(pooled[matching], k) | ({"f1_95": limits[k]} if k in limits else {}) for k in (*KINDS, OVERALL)}
    result: dict[str, object] = {"matching": matching, **kinds}
    result["true_positives"] = {m: pooled[m][OVERALL].true_positives for m in MATCHINGS}
    if any(p.emotion for p in predictions):
        result |= _strs(predictions, truths)
    result["subjects"] = {s: {k: _plain(row, k) for k in (*KINDS, OVERALL)} for s, row in subjects.items()}
    return result


def _strs(predictions: Sequence[Interval], truths: Sequence[Interval]) -> dict[str, object]:
    """The challenge's STRS, and where it is another one over every video or in the order of time, those too."""
    score = strs(predictions, truths)
    in_time = sorted(predictions, key=lambda p: (p.subject, p.video, p.onset, p.offset, p.emotion))
    others = {
        "over every video": strs(predictions, truths, every_video=True).strs,
        "with rows in the order of time": strs(in_time, truths).strs,
    }
    return {
        "strs": score.strs,
        "f1_spotting": score.f1_spotting,
        "f1_analysis": score.f1_analysis,
        "strs_otherwise": {name: value for name, value in others.items() if value != score.strs},
    }


def _plain(counts: KindCounts, kind: str) -> dict[str, object]:
    c = counts[kind]
    return {
        "true_positives": c.true_positives, "predictions": c.predictions, "ground_truths": c.truths,
        "precision": c.precision, "recall": c.recall, "f1": c.f1,
    }  # fmt: skip


def as_text(result: dict[str, object], with_subjects: bool) -> str:
    """The result as lines of aligned columns."""
    rows = [kind for kind in (*KINDS, OVERALL) if kind in result]
    head = f"{'':<16}{'TP':>7}{'pred':>7}{'truth':>7}{'prec':>8}{'recall':>8}{'F1':>8}"
    hits = result["true_positives"]
    assert isinstance(hits, dict)
    found = ", ".join(f"{hits[m]} by {m}" for m in MATCHINGS)
    lines = [f"matching: {result['matching']} (true positives overall: {found})", head + "  95 % over subjects"]
    lines += [_line(kind, result[kind]) for kind in rows]
    otherwise = result.get("strs_otherwise", {})
    if "strs" in result:
        parts = f"F1 of spotting {result['f1_spotting']:.4f} x F1 of the analysis {result['f1_analysis']:.4f}"
        lines.append(f"STRS {result['strs']:.4f} ({parts})")
        assert isinstance(otherwise, dict)
        lines += [f"STRS {name} {value:.4f}" for name, value in otherwise.items()]
    subjects = result["subjects"]
    if with_subjects and isinstance(subjects, dict):
        lines += ["", head]
        lines += [_line(f"{s} {kind}", row[kind]) for s, row in subjects.items() for kind in rows]
    return "\n".join(lines)


def _line(name: str, row: object) -> str:
    assert isinstance(row, dict)
    counts = f"{row['true_positives']:>7}{row['predictions']:>7}{row['ground_truths']:>7}"
    limits = "  [{:.4f}, {:.4f}]".format(*row["f1_95"]) if "f1_95" in row else ""
    return f"{name:<16}{counts}{row['precision']:>8.4f}{row['recall']:>8.4f}{row['f1']:>8.4f}{limits}"
