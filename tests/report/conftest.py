from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microexp.apexdiff.apexdiff import COLUMNS
from microexp.datasets.counts import Count, write_counts
from microexp.records.apexdiff import Apexdiff, write_apexdiff
from microexp.records.detections import Detection, write_detections
from microexp.records.index import (
    Expression,
    Issue,
    Video,
    write_expressions,
    write_issues,
    write_videos,
)
from microexp.records.predictions import write_predictions
from microexp.records.shard import Subject
from microexp.records.training import write_training
from microexp.report.spotting_table import COLUMNS as SPOTTING
from microexp.run import provenance, storage
from tests import shards

SUBJECTS = ("ann", "bob")
FRAMES, SIDE = 90, 32


def record(path: Path, stage: str, **more: object) -> Path:
    """A provenance as the runner writes it."""
    base = {
        "stage": stage,
        "keys": {},
        "parameters": {"size": 32, "nested": {"rate": 0.5}},
        "inputs": {},
        "code": {"version": "1.2.3", "source_sha256": "ab" * 32},
        "libraries": {"numpy": "9.9"},
        "python": "3.11",
        "machine": "m",
    }
    provenance.write_provenance(path, {**base, **more})
    return path


class Tree:
    """A finished run on two subjects under `root`, with made-up figures; `bob` has a second, excluded video."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.videos = [Video("toy", s, f"{s}_1", f"{s}_1.mp4", FRAMES, 30.0, 320, 240) for s in SUBJECTS]
        self.videos.append(Video("toy", "bob", "bob_2", "bob_2.mp4", 60, 30.0, 320, 240))
        self.expressions = [
            Expression("toy", s, f"{s}_1", i, 10 + 40 * i, 15 + 40 * i, 22 + 40 * i, kind, emotion, "12")
            for s in SUBJECTS
            for i, (kind, emotion) in enumerate([("micro", "happiness"), ("macro", "disgust")])
        ]
        self.write_index()
        for who in SUBJECTS:
            self.write_shards(who)
            self.write_folds(who)
        self.write_tables()

    def path(self, *parts: str) -> Path:
        return self.root.joinpath(*parts)

    def write_index(self) -> None:
        base = self.path("index", "toy")
        write_videos(base / "videos.csv", self.videos)
        write_expressions(base / "expressions.csv", self.expressions, self.videos)
        write_issues(base / "issues.csv", [Issue("sheet.xlsx", 7, "apex", "after <offset>", "clipped")])
        write_counts(
            base / "counts.csv", [Count("toy", "videos", "", 5, 4, 3), Count("toy", "frames", "", None, None, 7)]
        )
        for who in SUBJECTS:
            write_videos(base / who / "videos.csv", [v for v in self.videos if v.subject == who])
            own = [e for e in self.expressions if e.subject == who]
            write_expressions(base / who / "expressions.csv", own, self.videos)

    def write_shards(self, who: str) -> None:
        rng = np.random.default_rng(len(who))
        names = [v.video for v in self.videos if v.subject == who]
        files = {k: self.path(k, "toy", f"{who}.h5") for k in ("faces", "crops", "flow", "motion")}
        files["motion"] = self.path("features", "motion", "toy", f"{who}.h5")

        def each(shape: tuple[int, ...], scale: float = 1) -> dict[str, np.ndarray | str]:
            return {n: "no <face> found" if n == "bob_2" else scale * rng.random(shape) for n in names}

        quality = {"jitter_px": 0.31, "misses": 2, "looked_at": 48, "scale": 130.8, "drift_px": 0.02}
        shards.write_faces(files["faces"], each((68, 2), 200), **quality)
        images = each((FRAMES, SIDE, SIDE, 3), 255)
        shards.write_crops(
            files["crops"], {n: i if isinstance(i, str) else i.astype(np.uint8) for n, i in images.items()}
        )
        moves = each((FRAMES - 1, SIDE, SIDE, 2), 2)
        shards.write_flow(files["flow"], {n: m if isinstance(m, str) else m - 1 for n, m in moves.items()})
        shards.write_features(files["motion"], each((FRAMES - 1, 4)))
        for kind, path in files.items():
            record(path, kind, device="cpu")
        own = [e for e in self.expressions if e.subject == who]
        columns: dict[str, Any] = {n: [getattr(e, n) for e in own] for n in COLUMNS}
        grey = {
            n: rng.normal(0, 9, (len(own), 16, 16)).astype(np.float32) for n in ("difference", "strain", "onset_grey")
        }
        flow = rng.normal(0, 1, (len(own), 16, 16, 2)).astype(np.float32)
        path = self.path("apexdiff", "toy", f"{who}.h5")
        write_apexdiff(path, Subject("toy", who), Apexdiff(**grey, flow=flow, **columns))
        record(path, "apexdiff")

    def write_folds(self, who: str) -> None:
        def fold(kind: str, experiment: str, method: str) -> Path:
            return self.path(kind, experiment, method, f"toy-{who}")

        found = {
            "aemnet": [(0, 11, 23, "micro", 0.9), (0, 75, 80, "macro", 0.4), (1, 0, 5, "macro", 0.3)],
            "flow_magnitude": [(0, 50, 62, "macro", 3.0)],
        }
        for method, rows in found.items():
            detections = [Detection(method, seed, "toy", who, f"{who}_1", *row) for seed, *row in rows]
            path = fold("spotting", "main", method)
            write_detections(path / "detections.csv", detections, self.videos)
            log: list[dict[str, Any]] = []
            if method == "aemnet":
                log = [{"variant": "method", "seed": 0, "fit": "main", "epoch": e, "loss": 1.0 / e} for e in (1, 2, 3)]
                log.append({"variant": "permuted", "seed": 0, "fit": "main", "epoch": 1, "loss": 7.0})
            write_training(path / "training.csv", log)
            record(path / "detections.csv", "detect")
            record(path / "training.csv", "spotting-fold")
        for method in ("mdml", "majority"):
            path = fold("recognition", "rec", method)
            answers = [(method, 0, "toy", who, f"{who}_1", i, ("pos", "neg")[i], "pos") for i in (0, 1)]
            write_predictions(path / "predictions.csv", answers, ())
            log = []
            if method == "mdml":
                log = [
                    {"variant": "method", "seed": s, "fit": "all", "epoch": e, "loss": 2.0 / e, "accuracy": 0.2 * e}
                    for s in (0, 1)
                    for e in (1, 2, 3)
                ]
            write_training(path / "training.csv", log)

    def write_tables(self, complete: bool = True) -> None:
        rows = [
            dict.fromkeys(SPOTTING)
            | {"method": m, "kind": k, "f1": f1, "f1_low": 0.1, "f1_high": 0.7, "chance_f1": 0.05}
            for m, f1 in (("aemnet", 0.512), ("random", 0.034))
            for k in ("micro", "macro", "overall")
        ]
        rows.append({"method": "Somebody (published)", "kind": "overall", "f1": 0.3})
        count = {"true_positives": 1, "predictions": 2, "truths": 3}
        title = ("" if complete else "INCOMPLETE: ") + "Spotting, main"
        exclusions = [["toy", "bob", "bob_2", "no <face> found"]]
        common = {"complete": complete, "exclusions": exclusions}
        storage.write_json(
            self.path("tables", "spotting_main.json"),
            {
                "kind": "spotting",
                "experiment": "main",
                "table": {"title": title, "columns": list(SPOTTING), "rows": rows, "notes": ["A <note>."]},
                "per_subject": {"aemnet": {f"toy/{s}": {"micro": count, "macro": count} for s in SUBJECTS}},
                **common,
            },
        )
        columns = ["method", "part", "clips", "uf1", "uf1_sd", "chance_uf1", "f1_pos", "n_pos"]
        recognition = [["mdml", "all", 4, 0.75, 0.01, 0.33, 0.8, 2], ["majority", "all", 4, 0.25, None, 0.33, 0.5, 2]]
        storage.write_json(
            self.path("tables", "recognition_rec.json"),
            {
                "kind": "recognition",
                "experiment": "rec",
                "table": {
                    "title": "Recognition, rec",
                    "columns": columns,
                    "rows": [dict(zip(columns, r, strict=True)) for r in recognition],
                    "notes": [],
                },
                "confusion": {"mdml": {"classes": ["neg", "pos"], "matrix": [[1.5, 0.5], [0.0, 2.0]]}},
                **common,
                "exclusions": [],
            },
        )
        for path in [self.path("tables", f"{n}.json") for n in ("spotting_main", "recognition_rec")]:
            record(path, "tables")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("run") / "results")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "results")
