"""Spotting on response curves of real videos, through the stream `given`: leave one subject out, one-to-one matching.

    python benchmarks/real_curves.py FOLDER                   # FOLDER/curves.npz and FOLDER/expressions.csv
    python benchmarks/real_curves.py FOLDER --fps 200         # curves of another rate
    python benchmarks/real_curves.py FOLDER --seeds 1 --folds s15 s16

`curves.npz` holds what a detector answered in every frame: `video` (V,) names that begin with the subject's and `_`,
`n_frames` (V,), `level` (frames, K) of all videos one after the other, and `mean`, `step` (V, K), so that a response is
mean + level * step. `expressions.csv` has video, onset, offset (numbers from 1) and kind. Neither is shipped: see
`docs/own_features.md`.

The network and its schedule are fixed in `OPTIONS`, the protocol is that of every experiment: thresholds, top-k and
limits come from training subjects only. Finished folds in `--out` are not run again. Half an hour of CPU time;
with `--permuted` an hour.
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
from scipy.ndimage import gaussian_filter1d

from microexp.features import given
from microexp.features.params import GivenParams
from microexp.methods.find import find_method
from microexp.methods.spotting import detect, fold
from microexp.methods.spotting.params import DetectParams, SpottingFoldParams
from microexp.records.detections import read_detections
from microexp.records.index import Expression, Video, read_videos, write_expressions, write_videos
from microexp.records.tables import Table, markdown
from microexp.report.params import TablesStageParams
from microexp.report.spotting_table import Runs, as_intervals, read_ran, spotting_table
from microexp.report.tables import read_spans, read_truths
from microexp.run.log import track
from microexp.run.names import fold_name
from microexp.run.provenance import input_hash, write_provenance
from microexp.run.runner import source_sha256
from microexp.run.stage import Job
from microexp.run.storage import write_text

DATASET = "curves"
ROWS_FPS = 7.5
"""Rows per second of the series: means of four frames at 30 frames/s."""
WIDTHS_S = (0.1, 0.2, 0.4, 0.8)
"""Standard deviations of the Gaussians that smooth a curve, s: an expression stands out at the one of its length."""
OPTIONS: dict[str, Any] = {
    "network": {
        "streams": ["given"], "stem_channels": [8, 8, 8], "channels": 16, "attention_channels": 8, "head_channels": 12,
    },
    "window_frames": 32, "train_stride_frames": 4, "test_stride_frames": 4, "epochs": 12, "learning_rate": 5.0e-3,
    "batch_size": 32, "networks": 3,
}  # fmt: skip
HELD_OUT_SHARE = 0.4
"""Of the training subjects, who choose the thresholds: fewer than eight choose badly."""
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

    The geometric mean of the level and of the response above the video's mean: a level is a share of the video's own
    largest movement, a response depends on the person and the light. It is smoothed to several widths; the root makes
    strong and weak movements comparable.
    """
    strength = level * np.sqrt(step)
    smooth = [gaussian_filter1d(strength, width * fps, axis=0, mode="constant") for width in WIDTHS_S]
    values = np.sqrt(np.concatenate(smooth, 1))
    starts = np.arange(int((len(level) - 1) * ROWS_FPS / fps) + 1) * fps / ROWS_FPS
    first = np.round(starts).astype(int)
    last = np.clip(np.round(starts + fps / ROWS_FPS).astype(int), first + 1, len(level))
    total = np.pad(np.cumsum(values, 0, dtype=np.float64), ((1, 0), (0, 0)))
    return np.asarray((total[last] - total[first]) / (last - first)[:, None], np.float32)


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
    training = SpottingFoldParams(
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
    protocol = {
        "seeds": args.seeds, "calibrate": args.calibrate, "held_out_share": HELD_OUT_SHARE,
        "permuted_control": args.permuted,
    }  # fmt: skip
    units = [(method, subject) for method in args.methods for subject in subjects]
    folders: dict[str, list[Path]] = {}
    for method, subject in track(units, "folds"):
        folders.setdefault(method, []).append(run_fold(data, args.out, method, subject, protocol))
    text = markdown(make_table(folders, data, subjects))
    write_text(args.out / "table.md", text)
    print(text)


if __name__ == "__main__":
    main()
