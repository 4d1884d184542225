"""Models of small folds, made by the stages, and their application to the subjects of made-up data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from microexp.datasets.classes import KNOWN
from microexp.methods.recognition.action_units.model import pack
from microexp.methods.recognition.action_units.network import UnitNetwork
from microexp.methods.spotting.fits import ALL
from microexp.pipeline import STAGES
from microexp.records.index import read_videos, write_videos
from microexp.run import bundle
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests.methods.recognition import synthetic
from tests.methods.spotting.made_up import MadeUp, run_fold
from tests.shards import write_crops

CLASSES = {"positive": ["happiness"], "negative": ["disgust"], "surprise": ["surprise"]}
PREPROCESSING = {"crops": {"size": 224}, "flow": {"preset": "opencv"}}


def model_of(trained: Path, selection: Path | None, preprocessing: Mapping[str, Any] | None = None) -> Path:
    """The model file beside what was trained."""
    stage = STAGES["model"]
    inputs = {"trained": [trained], "selection": [selection] if selection else []}
    out = trained.with_name("model.safetensors")
    run_stage(stage, Job(inputs, {"model": out}, stage.params(preprocessing=preprocessing or {})))
    return out


def spotting_model(data: MadeUp, folder: Path, **run: Any) -> Path:
    """The model of a method that was trained on all subjects of `data`."""
    out = run_fold(data, folder, ALL, **run)
    return model_of(out / "trained.safetensors", out / "selection.json", PREPROCESSING)


def recognition_model(folder: Path, method: str = "logistic_regression") -> Path:
    """The model of a method that was trained on clips of three people."""
    shards = synthetic.write_shards(synthetic.clips_of({"demo": ["a", "b", "c"]}), folder / "apexdiff")
    stage = STAGES["recognition-fold"]
    params = stage.params(
        experiment="made", name="mine", method=method, method_version=1, datasets=["demo"], classes=CLASSES,
        seeds=1,
    )  # fmt: skip
    outputs = {name: folder / Path(o.path).name for name, o in stage.outputs.items()}
    run_stage(stage, Job({"apexdiff": shards}, outputs, params, {"fold": ALL}, device="cpu"))
    return model_of(outputs["trained"], None, {"crops": {"size": 224}})


def unit_model(path: Path, seed: int = 0) -> Path:
    """A model of action units with random weights."""
    torch.manual_seed(seed)
    network, ones = UnitNetwork(len(KNOWN)).eval(), np.ones((len(KNOWN), 3))
    bundle.write(path, pack(network, KNOWN, 3 * ones, shift=-0.5 * ones, name="made/units"))
    return path


def run_apply(
    data: MadeUp,
    folder: Path,
    model: Path,
    subject: str = "s01",
    *,
    recognition: Path | None = None,
    action_units: Path | None = None,
    crops: Path | None = None,
    **params: Any,
) -> Path:
    """`events.csv` of one subject."""
    folder.mkdir(parents=True, exist_ok=True)
    own = [v for v in read_videos(data.videos) if v.subject == subject]
    write_videos(folder / "videos.csv", own)
    if crops is None:  # without a recognition model nobody looks at the pictures
        blank = {v.video: np.zeros((v.n_frames, 2, 2, 1), np.uint8) for v in own}
        crops = write_crops(folder / "crops" / (own[0].dataset if own else "fake") / f"{subject}.h5", blank)
    inputs = {
        "videos": [folder / "videos.csv"], "crops": [crops], "spotting": [model],
        "features": [p for p in data.features if p.stem == subject],
        "recognition": [recognition] if recognition else [],
        "action_units": [action_units] if action_units else [],
    }  # fmt: skip
    stage = STAGES["apply"]
    out = folder / "events.csv"
    run_stage(stage, Job(inputs, {"events": out}, stage.params(**params), device="cpu"))
    return out
