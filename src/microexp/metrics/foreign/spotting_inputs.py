"""What `microexp evaluate spotting` is given, brought into one form: any files of intervals, names, kinds, numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from microexp.datasets.index import load_adapter
from microexp.errors import UserError
from microexp.metrics.foreign.spotting_files import (
    is_detections,
    is_fraction,
    is_own_form,
    is_truths,
    no_frame,
    read_detected,
    read_predictions,
    read_truths,
)
from microexp.metrics.foreign.spotting_log import (
    contradictions,
    is_log,
    log_differences,
    log_predictions,
    read_log,
)
from microexp.metrics.foreign.spotting_names import check_videos, match_names, name_subjects, rename
from microexp.metrics.spotting import Interval
from microexp.reading.intervals import ROW_EXCLUDED, as_frame, decimal_point
from microexp.reading.params import IndexParams
from microexp.reading.read import read_rows
from microexp.reading.release import Release
from microexp.reading.sheets import open_named, split_name
from microexp.records.index import KINDS, Video, read_videos
from microexp.run.log import log
from microexp.run.storage import file_sha256

# The annotation sheets of the micro-expression grand challenges, read as their official script reads them.


def read_sheet(path: Path, dataset: str) -> list[Interval]:
    """Ground truths of a release's annotation sheet in the release's own numbering, every row counted.

    Halves of frames are rounded up, and an offset of 0 means the apex, as in the official script; other fractions are
    refused. Nothing is clipped to the video. A row that occurs again counts once.

    Args:
        path: of the sheet; `file.xlsx#sheet` names one of a workbook's sheets.
        dataset: the adapter that knows the release.

    Raises:
        UserError: when a row has no frame numbers, or an offset before its onset.
    """

    release = Release(dataset, path.parent, IndexParams(sheet=path.name))
    found = []
    for row in read_rows(load_adapter(dataset, dataset), release):
        for name, cell in (("onset", row.onset), ("offset", row.offset)):
            if _is_fraction(cell):
                raise no_frame(path, f"row {row.row}: {name}", cell)
        (onset, _), (apex, _), (offset, _) = as_frame(row.onset), as_frame(row.apex), as_frame(row.offset)
        if offset == 0 and apex is not None:
            offset = apex
        if onset is None or offset is None:
            raise UserError(
                file=path, where=f"row {row.row}", problem=f"{row.onset!r} to {row.offset!r}", expected="frame numbers"
            )
        if offset < onset:
            raise UserError(
                file=path,
                where=f"row {row.row}",
                got=f"{onset} to {offset}",
                expected="an offset that is not before the onset",
            )
        found.append(Interval(row.subject, row.video, onset, offset, row.kind, row.emotion))
    for issue in release.issues:
        if issue.action == ROW_EXCLUDED:
            raise UserError(
                file=path, where=f"row {issue.row}: {issue.field}", got=issue.problem, expected="a row of the release"
            )
    return found


def _is_fraction(cell: object) -> bool:
    try:
        return is_fraction(float(decimal_point(str(cell).strip())))
    except ValueError:  # no plain number: what it is, is found out later
        return False


@dataclass(frozen=True)
class Options:
    """How files are read.

    Attributes:
        dataset: says which part of a log is read, which form of sheet, which names of videos.
        kinds: of the files of predictions: one for all, or one each; empty where the files tell.
        ignore_kinds: whether an interval of one kind may hit one of the other.
        first_frame: what the predictions call the first frame of a video, where they do not count as the ground truths.
        micro_max_frames: longest micro-expression of a log that holds both kinds.
        method: to take from `detections.csv`.
        run_seed: the same.
        videos: `videos.csv` of the data sets.
        min_score: of predictions in tables with a column of scores; None takes all.
    """

    dataset: str | None = None
    kinds: tuple[str, ...] = ()
    ignore_kinds: bool = False
    first_frame: int | None = None
    micro_max_frames: int | None = None
    method: str = "aemnet"
    run_seed: int = 0
    videos: tuple[Path, ...] = ()
    min_score: float | None = None


@dataclass
class Inputs:
    """Predictions and ground truths under the same names, in the ground truths' numbers.

    Attributes:
        predictions: in the order of the files.
        truths: of the kinds that the predictions are of.
        kinds_ignored: whether all have one kind, which then says nothing.
        contradicted: logs with a verdict that the ground truths do not bring about.
    """

    predictions: list[Interval]
    truths: list[Interval]
    kinds_ignored: bool
    contradicted: list[Path] = field(default_factory=list)


def read_inputs(predictions: Sequence[Path], truths: Sequence[Path], options: Options) -> Inputs:
    """Read all files.

    Raises:
        UserError: in one line, naming the file, when one does not fit, is given twice, or the two sides do not meet.
    """
    _check_files(predictions, "predictions")
    _check_files(truths, "ground truths")
    for path in options.videos:
        read_videos(path)  # says what is wrong with a named file, also where nothing needs it
    kinds = _kinds_of(predictions, options.kinds)
    real = _read_all_truths(truths, options)
    if options.kinds:
        real = [t for t in real if not t.kind or t.kind in kinds]
    inputs = Inputs([], real, False)
    lengths = _read_predictions(inputs, dict(zip(predictions, kinds, strict=True)), truths, options)
    _settle_kinds(inputs, options)
    found, real = match_names(inputs.predictions, inputs.truths)
    _check_no_copy(found, lengths)
    inputs.predictions, inputs.truths = name_subjects(found, real), name_subjects(real, found)
    check_videos(inputs.predictions, inputs.truths)
    if options.first_frame is not None:
        inputs.predictions = _renumbered(inputs.predictions, options.first_frame, _numberings(truths, options))
    return inputs


def files_read(predictions: Sequence[Path], truths: Sequence[Path], options: Options) -> list[Path]:
    """Every file that `read_inputs` reads, workbooks without the names of their sheets."""
    named = [Path(split_name(str(path))[0]) for path in (*predictions, *truths)]
    return [*named, *_videos_files(truths, options)]


def _check_files(paths: Sequence[Path], what: str) -> None:
    """Raise for a file that is not there, or is given again under whatever name."""
    seen: dict[object, Path] = {}
    for path in paths:
        file = Path(split_name(str(path))[0])
        if not file.is_file():
            raise UserError(file=path, problem="no such file", expected="a file of intervals")
        if split_name(str(path))[1]:
            open_named(file, split_name(str(path))[1])  # says which sheets there are
        keys: list[object] = [(file.resolve(), split_name(str(path))[1])]
        if (
            len([line for line in file.read_bytes().splitlines() if line.strip()]) > 1
        ):  # folds that found nothing are alike
            keys.append((file_sha256(file), split_name(str(path))[1]))
        for key in keys:
            if key in seen:
                again = "given twice" if seen[key] == path else f"the same file as {seen[key]}"
                raise UserError(file=path, problem=again, expected=f"each file of {what} once")
        seen |= dict.fromkeys(keys, path)


def _kinds_of(predictions: Sequence[Path], kinds: Sequence[str]) -> list[str]:
    if len(kinds) not in (0, 1, len(predictions)):
        expected = f"one for all files, or one for each of the {len(predictions)} files in their order"
        raise UserError(file="command line", where="--kind", problem=f"{len(kinds)} kinds", expected=expected)
    return list(kinds) if len(kinds) == len(predictions) else [kinds[0] if kinds else ""] * len(predictions)


def _read_all_truths(paths: Sequence[Path], options: Options) -> list[Interval]:
    """Ground truths of all files, a video under the name that the first file has for it.

    Raises:
        UserError: when one is in two files; what is in one file was settled when it was read.
    """
    found: list[Interval] = []
    for path in paths:
        items, found = match_names(_read_truths(path, options), found, file=path)
        seen = {replace(t, emotion="") for t in found}
        again = next((t for t in items if replace(t, emotion="") in seen), None)
        if again is not None:
            where = f"{again.video}, {again.onset:g} to {again.offset:g}"
            raise UserError(file="ground truths", where=where, problem="is in two files", expected="each once")
        found += items
    return found


def _read_truths(path: Path, options: Options) -> list[Interval]:
    """Ground truths of a file: a release's sheet where its data set is named, else any table of intervals."""
    dataset = options.dataset
    table = is_own_form(path) or (dataset is None and is_truths(path))
    if table:
        found = read_truths(path)
    elif dataset or split_name(str(path))[0].lower().endswith((".xlsx", ".xls")):
        found = read_sheet(path, _dataset(options))
    else:
        read_truths(path)  # says which columns it lacks
        raise UserError(file=path, problem="no such columns", hint="a release's sheet needs --dataset")
    return rename(found, dataset) if dataset else found


def _dataset(options: Options) -> str:
    if options.dataset is None:
        raise UserError(
            file="command line",
            where="--dataset",
            problem="nothing",
            expected="cas_me2 or samm_lv for a log or a release's sheet",
        )
    return options.dataset


def _read_predictions(
    inputs: Inputs, kinds: Mapping[Path, str], truths: Sequence[Path], options: Options
) -> dict[Path, int]:
    """Read all predictions; returns how many each file has, in their order, folds aside."""
    lengths: dict[Path, int] = {}
    detected = [path for path in kinds if is_detections(path)]
    if detected:
        inputs.predictions += _read_detections(detected, kinds, truths, options)
    for path, kind in kinds.items():
        if path in detected:
            continue
        if is_log(path):
            found = _read_log(path, kind, inputs, options)
        else:
            found = read_predictions(path, kind, options.min_score)
        lengths[path] = len(found)
        inputs.predictions += rename(found, options.dataset) if options.dataset else found
    return lengths


def _check_no_copy(predictions: Sequence[Interval], lengths: Mapping[Path, int]) -> None:
    """Raise when two files hold the same predictions, in whatever form and order: one is a copy of the other."""
    seen: dict[frozenset[tuple[Interval, int]], Path] = {}
    end = len(predictions) - sum(lengths.values())
    for path, length in lengths.items():
        items, end = predictions[end : end + length], end + length
        content = frozenset(Counter(replace(p, kind="", emotion="") for p in items).items())
        other = seen.setdefault(content, path) if items else path
        if other != path:
            raise UserError(file=path, problem=f"the same predictions as {other}", expected="each once")


def _read_detections(
    paths: Sequence[Path], kinds: Mapping[Path, str], truths: Sequence[Path], options: Options
) -> list[Interval]:
    """Detections of the folds; a video can be held out in one of them only."""
    videos = _numberings(truths, options)
    found: list[Interval] = []
    holder: dict[tuple[str, str], Path] = {}
    by_path = read_detected(paths, options.method, options.run_seed, videos=videos or None)
    for path, items in by_path.items():
        for item in items:
            other = holder.setdefault((item.subject, item.video), path)
            if other != path:
                raise UserError(
                    file=path,
                    where=f"{item.subject}/{item.video}",
                    problem=f"is in {other} too",
                    expected="one fold",
                )
            if kinds[path] in ("", item.kind):
                found.append(item)
    return found


def _numberings(truths: Sequence[Path], options: Options) -> dict[tuple[str, str], Video]:
    """(`dataset/subject`, video) -> video, of `--videos` or of the `videos.csv` beside an index's expressions."""
    paths = _videos_files(truths, options)
    return {(f"{v.dataset}/{v.subject}", v.video): v for path in paths for v in read_videos(path)}


def _videos_files(truths: Sequence[Path], options: Options) -> Sequence[Path]:
    beside = [path.with_name("videos.csv") for path in truths if path.name == "expressions.csv"]
    return options.videos or [path for path in beside if path.is_file()]


def _read_log(path: Path, kind: str, inputs: Inputs, options: Options) -> list[Interval]:
    """Predictions of a log; whether its own verdicts agree with the ground truths is said."""
    pairs = read_log(path, _dataset(options))
    found = log_predictions(pairs, _dataset(options), options.micro_max_frames, kind=kind)
    if options.first_frame is None:
        truths = [t for t in inputs.truths if kind in ("", t.kind)]
        sides = [[replace(i, kind=KINDS[0]) for i in s] if options.ignore_kinds else s for s in (found, truths)]
        differences = log_differences(pairs, *sides)
        if differences:
            count = len(differences)
            log(f"{path}: differs from the ground truths: {differences[0]} ({count} differences in all)")
        wrong = contradictions(differences)
        if wrong:
            hint = "" if kind else "; name the kind of a log of one kind with --kind"
            log(f"{path}: {len(wrong)} of its own verdicts are contradicted, first {wrong[0]}{hint}")
            inputs.contradicted.append(path)
    return found


def _settle_kinds(inputs: Inputs, options: Options) -> None:
    """Every interval needs a kind, unless none has one or kinds are ignored."""
    sides = (inputs.predictions, inputs.truths)
    none = any(sides) and not any(item.kind for side in sides for item in side)
    if none or options.ignore_kinds:
        inputs.kinds_ignored = True
        inputs.predictions, inputs.truths = ([replace(item, kind=KINDS[0]) for item in side] for side in sides)
        return
    for name, side in zip(("predictions", "ground truths"), sides, strict=True):
        without = [item for item in side if not item.kind]
        if without:
            raise UserError(
                file=name,
                where=f"{without[0].video}, {without[0].onset:g} to {without[0].offset:g}",
                problem="no kind",
                expected="micro or macro",
                hint="--kind names that of a file of predictions, --ignore-kinds does without",
            )


def _renumbered(items: Iterable[Interval], first: int, videos: Mapping[tuple[str, str], Video]) -> list[Interval]:
    """Intervals that count from `first` in the release's numbers, which begin with 1 where nothing tells them."""
    found = []
    for item in items:
        video = videos.get((item.subject, item.video))
        spans = [number - first for number in (item.onset, item.offset)]
        if video is None:
            onset, offset = (index + 1 for index in spans)
        else:
            onset, offset = (video.numbering.to_number(int(index)) + index % 1 for index in spans)
        found.append(replace(item, onset=onset, offset=offset))
    return found
