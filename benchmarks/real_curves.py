"""Spotting on response curves of real videos, through the stream `given`: leave one subject out, one-to-one matching.

    python benchmarks/real_curves.py FOLDER                   # FOLDER/curves.npz and FOLDER/expressions.csv
    python benchmarks/real_curves.py FOLDER --fps 200         # curves of another rate
    python benchmarks/real_curves.py FOLDER --seeds 1 --folds s15 s16

`curves.npz` holds what a detector answered in every frame: `video` (V,) names that begin with the subject's and `_`,
`n_frames` (V,), `level` (frames, K) of all videos one after the other, and `mean`, `step` (V, K), so that a response is
mean + level * step. `expressions.csv` has video, onset, offset (numbers from 1) and kind. Neither is shipped: see
`docs/own_features.md`.

The network and its schedule are fixed in `OPTIONS`, the protocol is that of every experiment: thresholds, top-k and
limits come from training subjects only. Finished folds in `--out` are not run again. About 8 CPU-minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.features import given
from microexp.features.params import GivenParams
from microexp.methods.find import find_method
from microexp.methods.spotting import detect, fold
from microexp.methods.spotting.params import DetectParams, FoldParams
from microexp.records.detections import read_detections
from microexp.records.index import Expression, Video, read_videos, write_expressions, write_videos
from microexp.records.tables import Table, markdown
from microexp.report.spotting_table import Runs, as_intervals, read_ran, spotting_table
from microexp.report.table_params import TablesStageParams
from microexp.report.tables import read_spans, read_truths
from microexp.run.log import track
from microexp.run.names import fold_name
from microexp.run.provenance import input_hash, write_provenance
from microexp.run.runner import source_sha256
from microexp.run.stage import Job
from microexp.run.storage import write_text

DATASET = "curves"
ROWS_FPS = 15.0
"""Rows per second of the series: means of two frames at 30 frames/s."""
LEVEL_SCALE, RESPONSE_SCALE = 33.0, 5.0
MOMENTS_S = (0.5, 2.0)
OPTIONS: dict[str, Any] = {
    "network": {
        "streams": ["given"], "input_channels": 32, "stem_channels": [16, 16, 16], "channels": 48,
        "attention_channels": 24, "head_channels": 24,
    },
    "window_frames": 64, "train_stride_frames": 32, "test_stride_frames": 16, "epochs": 6, "learning_rate": 3.0e-3,
    "batch_size": 32,
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {"aemnet": OPTIONS, "random_intervals": {}}


@dataclass(frozen=True)
class Curves:
    """What FOLDER holds."""

    videos: list[Video]
    expressions: list[Expression]
    series: dict[str, np.ndarray]


def read_curves(folder: Path, fps: float) -> Curves:
    """Videos, their expressions, and the series (rows, channels) of each video."""
    with np.load(folder / "curves.npz", allow_pickle=False) as file:
        names, lengths = [str(n) for n in file["video"]], [int(n) for n in file["n_frames"]]
        level, step = file["level"].astype(np.float32), file["step"].astype(np.float32)
    ends = np.cumsum(lengths)
    videos = [Video(DATASET, n.partition("_")[0], n, "-", t, fps, 1, 1) for n, t in zip(names, lengths, strict=True)]
    series = {
        name: series_of(level[end - length : end], scale, fps)
        for name, length, end, scale in zip(names, lengths, ends, step, strict=True)
    }
    return Curves(videos, list(_expressions(folder / "expressions.csv", videos)), series)


def _expressions(path: Path, videos: Sequence[Video]) -> Iterator[Expression]:
    subjects = {v.video: v.subject for v in videos}
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            onset, offset, video = int(row["onset"]) - 1, int(row["offset"]) - 1, row["video"]
            key = DATASET, subjects[video], video
            yield Expression(*key, number, onset, (onset + offset) // 2, offset, row["kind"], "", "")


def series_of(level: np.ndarray, step: np.ndarray, fps: float) -> np.ndarray:
    """Levels (T, K) of a video as its series (rows, 4 K), averaged over the frames of a row.

    Per curve: the level, the logarithm of the response above the video's mean, and the mean level around.
    """
    share = level / LEVEL_SCALE
    around = [running_mean(share, max(1, round(seconds * fps))) for seconds in MOMENTS_S]
    values = np.concatenate([share, np.log1p(RESPONSE_SCALE * level * step), *around], 1)
    starts = np.arange(int((len(level) - 1) * ROWS_FPS / fps) + 1) * fps / ROWS_FPS
    first = np.round(starts).astype(int)
    last = np.clip(np.round(starts + fps / ROWS_FPS).astype(int), first + 1, len(level))
    total = np.pad(np.cumsum(values, 0, dtype=np.float64), ((1, 0), (0, 0)))
    return np.asarray((total[last] - total[first]) / (last - first)[:, None], np.float32)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """(T, K) mean over `width` values around each; beyond the ends there are zeros."""
    kernel = np.ones(width) / width
    return np.stack([np.convolve(column, kernel, "same")[: len(column)] for column in values.T], 1)


@dataclass(frozen=True)
class Data:
    """Files that the folds read."""

    videos: Path
    expressions: Path
    features: list[Path]


def write_data(curves: Curves, out: Path) -> Data:
    """The index, and the stage `given` of every subject."""
    data = Data(out / "index" / "videos.csv", out / "index" / "expressions.csv", [])
    write_videos(data.videos, curves.videos)
    write_expressions(data.expressions, curves.expressions, curves.videos)
    for subject in sorted({v.subject for v in curves.videos}):
        own = [v for v in curves.videos if v.subject == subject]
        index, files = out / "index" / f"{subject}.csv", []
        write_videos(index, own)
        for video in own:
            files.append(out / "series" / subject / f"{video.video}.npz")
            files[-1].parent.mkdir(parents=True, exist_ok=True)
            np.savez(files[-1], features=curves.series[video.video])
        path = out / "features" / "given" / DATASET / f"{subject}.h5"
        given.run(Job({"videos": [index], "files": files}, {"features": path}, GivenParams(fps=ROWS_FPS)))
        write_provenance(path, {"stage": "given"})
        data.features.append(path)
    return data


def run_fold(data: Data, out: Path, method: str, subject: str, protocol: Mapping[str, Any]) -> Path:
    """Train, propose and detect, unless that was done with the same options, code and inputs."""
    training = FoldParams(
        experiment=DATASET, name=method, method=method, method_version=find_method("spotting", method).version,
        options=METHODS[method], **protocol,
    )  # fmt: skip
    folder, index = out / method / subject, {"expressions": [data.expressions], "videos": [data.videos]}
    inputs = [*data.features, data.expressions, data.videos]
    key = json.dumps([training.model_dump(mode="json"), source_sha256(), [input_hash(p) for p in inputs]])
    done = folder / "done.json"
    if done.exists() and done.read_text(encoding="utf-8") == key:
        return folder
    done.unlink(missing_ok=True)
    names = {"trained": "trained.safetensors", "training": "training.csv", "proposals": "proposals.h5"}
    outputs = {name: folder / file for name, file in names.items()}
    keys = {"fold": fold_name(DATASET, subject)}
    features = data.features if METHODS[method] else []
    fold.run(Job({"features": features, **index}, outputs, training, keys, device="cpu"))
    chosen = {"detections": folder / "detections.csv", "selection": folder / "selection.json"}
    params = DetectParams(experiment=DATASET, name=method)
    detect.run(Job({"proposals": [outputs["proposals"]], **index}, chosen, params, keys))
    write_text(done, key)
    return folder


def make_table(folders: Mapping[str, Sequence[Path]], data: Data, subjects: Sequence[str]) -> Table:
    """The table of an experiment, restricted to the subjects that were held out."""
    people = {f"{DATASET}/{subject}" for subject in subjects}
    videos = [v for v in read_videos(data.videos) if v.subject in subjects]
    truths = [t for t in read_truths([data.expressions], [data.videos]) if t.subject in people]
    frames = {key: span for key, span in read_spans([data.videos]).items() if key[0] in people}
    runs: dict[str, Runs] = {}
    for method, own in folders.items():
        found = [d for folder in own for d in read_detections(folder / "detections.csv", videos)]
        runs |= as_intervals(found, read_ran([folder / "selection.json" for folder in own]), videos, order=[method])
    return spotting_table(
        f"Response curves, {len(people)} folds", runs, truths, frames=frames, options=TablesStageParams()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second of the curves")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", nargs="+", help="only these subjects are held out")
    parser.add_argument("--calibrate", choices=("inner_folds", "held_out"), default="held_out")
    parser.add_argument("--permuted", action="store_true", help="also the control on permuted labels: twice the time")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("build/real_curves"))
    args = parser.parse_args()
    curves = read_curves(args.folder, args.fps)
    data = write_data(curves, args.out)
    subjects = args.folds or sorted({v.subject for v in curves.videos})
    protocol = {"seeds": args.seeds, "calibrate": args.calibrate, "permuted_control": args.permuted}
    units = [(method, subject) for method in args.methods for subject in subjects]
    folders: dict[str, list[Path]] = {}
    for method, subject in track(units, "folds"):
        folders.setdefault(method, []).append(run_fold(data, args.out, method, subject, protocol))
    text = markdown(make_table(folders, data, subjects))
    write_text(args.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    main()
