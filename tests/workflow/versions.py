"""What every stage makes of a tiny input, as a few numbers: stored beside the stage's version in `values.json`.

Results that differ from the stored ones under the same version are an error: finished runs would keep the old ones.
`python tools/store_values.py` stores them again.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  registers blosc
import numpy as np

from microexp.methods.find import SHIPPED, find_method
from microexp.pipeline import STAGES
from microexp.records.detections import Detection, write_detections
from microexp.records.index import Expression, Video, write_expressions, write_videos
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests import shards
from tests.datasets import releases
from tests.methods import applied
from tests.methods.recognition import synthetic
from tests.methods.spotting import made_up, quick
from tests.report.test_tables import Run

STORED = Path(__file__).with_name("values.json")
EXEMPT = {
    "weights": "its output has a SHA-256 in the source",
    "shards": "a list of hashes",
    "report-list": "a list of hashes",
    "report": "a page for people",
    "report-subject": "a page for people",
    "video-page": "a page for people",
    "annotated": "a video for people",
    "landmarks": "what the stage faces sees, written as text",
}
"""Stages without stored values, and why."""
TOLERANCE, LEARNED = 1e-3, 2e-2
"""Largest difference, as a share of the values' spread: other CPUs round otherwise, and training amplifies that."""
DEMO = {"videos": 1, "seconds": 4.0, "micro": 1, "macro": 1, "fps": 10, "seed": 3}
FRAME = {"width": 320, "height": 240}
SIDE = 48
OPTIONS = {
    "aemnet": quick.QUICK,
    "mdml": {"epochs": 2},
}
"""Method -> options with which it is quick."""


@dataclass(frozen=True)
class Case:
    """What a stage makes of a tiny input.

    Attributes:
        make: writes the outputs somewhere below a folder, and returns them.
        stages: all stages that take part; the values are bound to the versions of all.
        tolerance: see `TOLERANCE`.
    """

    make: Callable[[Path], Sequence[Path]]
    stages: tuple[str, ...]
    tolerance: float = TOLERANCE
    method: tuple[str, str] | None = None

    def versions(self) -> dict[str, int]:
        """Stage or method -> version."""
        found = {stage: STAGES[stage].version for stage in self.stages}
        return found | ({self.method[1]: find_method(*self.method).version} if self.method else {})


def run(stage: str, folder: Path, inputs: Mapping[str, Sequence[Path]], options: Mapping[str, Any], **keys: str) -> Any:
    """The outputs of a stage."""
    row = STAGES[stage]
    outputs = {n: folder / o.path.format(**{"dataset": "d", "subject": "s1", **keys}) for n, o in row.outputs.items()}
    given = {name: list(inputs.get(name, ())) for name in row.inputs}
    run_stage(row, Job(given, outputs, row.params.model_validate(options), keys, device="cpu"))
    return list(outputs.values())


# --- inputs -----------------------------------------------------------------------------------------------------------


def images(count: int, speed_px: float = 0.4, side: int = SIDE) -> np.ndarray:
    """(count, side, side, 3) uint8: a smooth pattern that moves to the right and swells."""
    y, x = np.mgrid[:side, :side].astype(np.float64)
    frames = []
    for t in range(count):
        u, v = (x - speed_px * t) / 5.0, y / (7.0 + 0.05 * t)
        grey = 120 + 45 * np.sin(u) * np.cos(v) + 35 * np.sin(0.31 * u + 0.83 * v)
        frames.append(np.stack([grey, 0.8 * grey, 250 - grey], -1))
    return np.asarray(frames).round().astype(np.uint8)


def landmarks() -> np.ndarray:
    """(68, 2) px: a face of about 100 px."""
    from tests.features.test_motion_channels import face

    return np.asarray(face() * 100)


def one_video(folder: Path, n_frames: int, expressions: Sequence[tuple[int, int, int]] = ()) -> dict[str, list[Path]]:
    """Index of the video `v` of `d/s1`."""
    video = Video("d", "s1", "v", "-", n_frames, 30.0, SIDE, SIDE)
    rows = [Expression("d", "s1", "v", i, *row, "micro", "happiness", "12") for i, row in enumerate(expressions, 1)]
    write_videos(folder / "videos.csv", [video])
    write_expressions(folder / "expressions.csv", rows, [video])
    return {"videos": [folder / "videos.csv"], "expressions": [folder / "expressions.csv"]}


def crops_in(folder: Path, count: int) -> Path:
    """A shard of crops with the video `v`."""
    return shards.write_crops(folder / "crops/d/s1.h5", {"v": images(count)})


def flow_in(folder: Path, count: int) -> Path:
    """A shard of flow with the video `v`."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    moves = [np.stack([np.sin(x * 5 + 0.3 * t), 0.5 * np.cos(y * 4 - 0.2 * t)], -1) for t in range(count - 1)]
    return shards.write_flow(folder / "flow/d/s1.h5", {"v": np.asarray(moves)})


# --- stages -----------------------------------------------------------------------------------------------------------


def demo_sheet(folder: Path) -> Sequence[Path]:
    """Two subjects."""
    return run("demo-sheet", folder, {}, {**DEMO, "subjects": 2})


@functools.cache
def demo(folder: Path) -> Sequence[Path]:
    """A video of four seconds."""
    return run("demo", folder, {}, {**DEMO, **FRAME}, subject="s01", video="s01_1")


def index(folder: Path, stage: str = "index", **keys: str) -> Sequence[Path]:
    """A made-up release in the form of CAS(ME)^2."""
    root = releases.cas_me2(folder / "release")
    return run(stage, folder, {}, {"root": str(root)}, dataset="cas_me2", **keys)


def faces(folder: Path) -> Sequence[Path]:
    """Of the rendered video."""
    (video,) = demo(folder)
    write_videos(folder / "demo.csv", [Video("d", "s1", "v", str(video), 40, 10.0, 320, 240)])
    return run("faces", folder, {"videos": [folder / "demo.csv"]}, {})


def crops(folder: Path) -> Sequence[Path]:
    """Of the rendered video, with its faces."""
    found = faces(folder)
    return run("crops", folder, {"videos": [folder / "demo.csv"], "faces": found}, {"size": SIDE})


def flow(folder: Path) -> Sequence[Path]:
    """Of a moving pattern."""
    return run("flow", folder, {"crops": [crops_in(folder, 4)]}, {})


def apexdiff(folder: Path) -> Sequence[Path]:
    """Two expressions of a moving pattern."""
    inputs = {"crops": [crops_in(folder, 12)], **one_video(folder, 12, [(0, 3, 5), (6, 8, 11)])}
    return run("apexdiff", folder, inputs, {"size": 24})


def i3d(folder: Path, stream: str) -> Sequence[Path]:
    """With weights that are drawn at random."""
    from safetensors.torch import save_file

    from microexp.run.storage import file_sha256
    from tests.features.conftest import random_state

    weights = folder / "weights.safetensors"
    save_file(random_state(3), weights)
    inputs = {"crops": [crops_in(folder, 17)], "flow": [flow_in(folder, 17)], "weights": [weights]}
    options = {"size_px": 32, "step_frames": 8, "rgb_weights_sha256": file_sha256(weights)}
    return run(
        f"i3d-{stream}", folder, {n: p for n, p in inputs.items() if n in STAGES[f"i3d-{stream}"].inputs}, options
    )


def motion(folder: Path) -> Sequence[Path]:
    """Of a made-up flow."""
    inputs = {"flow": [flow_in(folder, 40)], "crops": [crops_in(folder, 40)]}
    inputs["faces"] = [shards.write_faces(folder / "faces/d/s1.h5", {"v": landmarks()})]
    return run("motion", folder, inputs, {})


def given(folder: Path) -> Sequence[Path]:
    """A CSV of another program."""
    (folder / "v.csv").write_text("frame,a,b\n" + "\n".join(f"{i},{i / 3},{i % 5}" for i in range(1, 41)))
    return run("given", folder, {**one_video(folder, 40), "files": [folder / "v.csv"]}, {})


def spotting_fold(folder: Path, method: str) -> Sequence[Path]:
    """Four people with planted signals; one is held out."""
    data = made_up.write_data(folder / "data", subjects=4, n_frames=300)
    out = made_up.run_fold(data, folder / "fold", method=method, options=OPTIONS.get(method, {}))
    return [out / "proposals.h5", out / "training.csv"]


def detect(folder: Path) -> Sequence[Path]:
    """With the proposals of a method that learns nothing."""
    data = made_up.write_data(folder / "data", subjects=4, n_frames=300)
    out = made_up.run_fold(data, folder / "fold", method="flow_magnitude")
    return [out / "detections.csv", out / "selection.json"]


def recognition_fold(folder: Path, method: str) -> Sequence[Path]:
    """Clips of three people; one is held out."""
    clips = synthetic.clips_of({"demo": ["a", "b", "c"]}, side=28)
    options = {
        "experiment": "e", "name": "m", "method": method, "options": OPTIONS.get(method, {}), "datasets": ["demo"],
        "method_version": find_method("recognition", method).version, "classes": synthetic.CLASSES, "seeds": 1,
    }  # fmt: skip
    inputs = {"apexdiff": synthetic.write_shards(clips, folder / "apexdiff")}
    keys = {"experiment": "e", "method": "m", "fold": "demo-a"}
    return list(run("recognition-fold", folder, inputs, options, **keys))


def predictions(folder: Path, method: str) -> Sequence[Path]:
    """What such a fold writes as text."""
    return [path for path in recognition_fold(folder, method) if path.suffix == ".csv"]


def events(folder: Path) -> Sequence[Path]:
    """In a pattern that moves and comes back, with what the fold trained that holds out who shows it."""
    trained, *_ = recognition_fold(folder, "logistic_regression")
    there = images(20)
    pictures = np.concatenate([there, there[-2::-1]])
    videos = [Video("demo", "a", "v", "-", len(pictures), 30.0, SIDE, SIDE)]
    found = [("m", 0, 4, 33, "macro", 0.25), ("m", 0, 15, 22, "micro", 0.5), ("other", 0, 3, 9, "micro", 0.5)]
    rows = [Detection(method, seed, "demo", "a", "v", *what) for method, seed, *what in found]
    write_videos(folder / "videos.csv", videos)
    write_detections(folder / "detections.csv", rows, videos)
    moved = folder / "features/motion/demo/a.h5"
    with made_up.create(moved) as shard:
        made_up.write_motion(shard, "v", [], len(pictures), 30.0, np.random.default_rng(0))
    inputs = {
        "detections": [folder / "detections.csv"], "videos": [folder / "videos.csv"], "motion": [moved],
        "crops": [shards.write_crops(folder / "crops/demo/a.h5", {"v": pictures})], "recognisers": [trained],
    }  # fmt: skip
    options = {"experiment": "spot", "name": "m", "apexdiff": {"size": 28}}
    return run("events", folder, inputs, options, experiment="spot", method="m", fold="demo-a")


def model(folder: Path) -> Sequence[Path]:
    """Of a method that learns nothing; and what it finds."""
    data = made_up.write_data(folder / "data", subjects=4, n_frames=300)
    return [applied.spotting_model(data, folder / "fold", method="flow_magnitude")]


def apply(folder: Path) -> Sequence[Path]:
    """A model of a method that learns nothing."""
    (found,) = model(folder)
    return [applied.run_apply(made_up.found_in(folder / "data"), folder / "applied", found)]


def tables(folder: Path) -> Sequence[Path]:
    """Of a spotting experiment with made-up folds."""
    made = Run(folder)
    assert made.tables("spotting", made.detected()) == 0
    return [folder / f"t.{form}" for form in ("csv", "json")]


def video_tables(folder: Path) -> Sequence[Path]:
    """Of a made-up video with three events."""
    from tests.report.video.made import write_inputs

    return run("video-tables", folder, {n: [p] for n, p in write_inputs(folder).items()}, {}, subject="ann",
               dataset="video", application="video")  # fmt: skip


def complete(folder: Path) -> Sequence[Path]:
    """A video without a face."""
    path = shards.write_crops(folder / "crops/d/s1.h5", {"v": images(2), "w": "dark"})
    return run("complete", folder, {"shards": [path]}, {"allow_exclusions": True})


def fold_cases() -> dict[str, Case]:
    """Both stages of a fold, with every shipped method."""
    makers = {"spotting": spotting_fold, "recognition": predictions}
    return {
        f"{kind}-fold {name}": Case(
            functools.partial(makers[kind], method=name), (f"{kind}-fold",), LEARNED, (kind, name)
        )
        for kind, methods in SHIPPED.items()
        for name in methods
    }


CASES: dict[str, Case] = {
    "demo-sheet": Case(demo_sheet, ("demo-sheet",)),
    "demo": Case(demo, ("demo",)),
    "index": Case(index, ("index",)),
    "index-subject": Case(functools.partial(index, stage="index-subject", subject="s15"), ("index-subject",)),
    "faces": Case(faces, ("demo", "faces")),
    "crops": Case(crops, ("demo", "faces", "crops")),
    "flow": Case(flow, ("flow",)),
    "apexdiff": Case(apexdiff, ("apexdiff",)),
    "i3d-rgb": Case(functools.partial(i3d, stream="rgb"), ("i3d-rgb",)),
    "i3d-flow": Case(functools.partial(i3d, stream="flow"), ("i3d-flow",)),
    "motion": Case(motion, ("motion",)),
    "given": Case(given, ("given",)),
    **fold_cases(),
    "detect": Case(detect, ("spotting-fold", "detect"), method=("spotting", "flow_magnitude")),
    "model": Case(model, ("spotting-fold", "detect", "model"), method=("spotting", "flow_magnitude")),
    "apply": Case(apply, ("spotting-fold", "detect", "model", "apply"), method=("spotting", "flow_magnitude")),
    "events": Case(events, ("recognition-fold", "events"), LEARNED, ("recognition", "logistic_regression")),
    "video-tables": Case(video_tables, ("video-tables",)),
    "tables": Case(tables, ("tables",)),
    "complete": Case(complete, ("complete",)),
}


# --- values -----------------------------------------------------------------------------------------------------------


def values_of(path: Path) -> dict[str, Any]:
    """What a file holds: name -> [count, mean, spread, weighted sum] of numbers, or a hash of text."""
    match path.suffix:
        case ".h5":
            return _shard(path)
        case ".csv":
            return _table(path)
        case ".json":
            return _leaves(json.loads(path.read_text(encoding="utf-8")))
        case ".mp4":
            return {"frames": numbers(_decoded(path))}
        case ".safetensors":
            from microexp.run import bundle

            return _leaves({n: v for n, v in bundle.read(path).about.items() if n != "microexp"})
    raise AssertionError(path)


def numbers(values: Any) -> list[float]:
    """Count, mean, spread, and a sum in which every place has a weight of its own."""
    flat = np.nan_to_num(np.asarray(values, np.float64)).ravel()
    if not flat.size:
        return [0.0, 0.0, 0.0, 0.0]
    weights = np.cos(np.arange(flat.size) * 2.399963)
    mean = float(flat.mean())
    return [float(flat.size), mean, float(flat.std()), float((flat - mean) @ weights / np.sqrt(flat.size))]


def hashed(texts: Iterable[str]) -> str:
    """A short hash of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _decoded(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="gray") for frame in file.decode(video=0)])


def _shard(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        for key, value in item.attrs.items():
            found[f"{name}@{key}"] = _either(np.asarray(value).ravel().tolist())
        if isinstance(item, h5py.Dataset):
            found[name] = _either(item[:].ravel().tolist() if item.dtype.kind in "OS" else item[:])

    with h5py.File(path) as file:
        visit("", file)
        file.visititems(visit)
    return found


def _table(path: Path) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: _either([row[name] for row in rows]) for name in rows[0]} if rows else {"rows": [0.0] * 4}


def _leaves(value: Any) -> dict[str, Any]:
    texts: list[str] = []
    figures: list[float] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, Mapping):
            for key in sorted(item):
                visit(f"{name}.{key}", item[key])
        elif isinstance(item, list):
            for part in item:
                visit(name, part)
        elif isinstance(item, (int, float)):
            texts.append(name)
            figures.append(float(item))
        else:
            texts.append(f"{name}={item}")

    visit("", value)
    return {"texts": hashed(texts), "numbers": numbers(figures)}


def _either(values: Any) -> Any:
    try:
        return numbers(np.asarray(values, np.float64))
    except ValueError:
        return hashed(v.decode() if isinstance(v, bytes) else str(v) for v in values)


# --- the guard --------------------------------------------------------------------------------------------------------


def measure(name: str) -> dict[str, Any]:
    """Versions and values of one case, as they are stored."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        values = {path.name: values_of(path) for path in case.make(Path(folder))}
    return {"versions": case.versions(), "values": values}


def problem(name: str, stored: Mapping[str, Any] | None, found: Mapping[str, Any], tolerance: float) -> str | None:
    """What is wrong with a case, or None.

    Args:
        name: of the case.
        stored: versions and values that were stored.
        found: the same, as they are now.
        tolerance: largest difference as a share of the values' spread.
    """
    if stored is None:
        return f"{name}: no stored values: run tools/store_values.py"
    where = _difference(stored["values"], found["values"], tolerance)
    if found["versions"] != stored["versions"]:
        return f"{name}: values of versions {stored['versions']} are stored: run tools/store_values.py"
    if where:
        return f"{name}: {where} differs from the stored values under the same version: raise it, then store again"
    return None


def _difference(stored: Mapping[str, Any], found: Mapping[str, Any], tolerance: float) -> str | None:
    for path in stored.keys() | found.keys():
        one, other = stored.get(path, {}), found.get(path, {})
        for name in sorted(one.keys() | other.keys()):
            if not _alike(one.get(name), other.get(name), tolerance):
                return f"{path}, {name}"
    return None


def _alike(one: Any, other: Any, tolerance: float) -> bool:
    if not isinstance(one, list) or not isinstance(other, list):
        return bool(one == other)
    scale = max(abs(one[1]), one[2], 1e-9)
    return one[0] == other[0] and all(abs(a - b) <= tolerance * scale for a, b in zip(one, other, strict=True))
