"""The shards and tables of one made-up video, and its own tables and page made by the stages."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from microexp.features.params import MotionParams
from microexp.methods.untrained import stream_layout, write_candidates_model
from microexp.pipeline import STAGES
from microexp.records.crops import create_crops
from microexp.records.events import Event, write_events
from microexp.records.faces import create_faces
from microexp.records.features import Layout, create_features
from microexp.records.index import Expression, Video, write_expressions, write_videos
from microexp.records.landmarks import Look, write_landmarks
from microexp.records.shard import Subject
from microexp.records.validity import Reason
from microexp.run.runner import run_stage
from microexp.run.stage import Job
from tests.shards import recorded

N, FPS, SIDE = 120, 30.0, 96
KEY = ("video", "ann", "ann")
VIDEO = Video(*KEY, "ann.mp4", N, FPS, 320, 240)
WHOM = Subject("video", "ann")
BLINK = range(60, 64)
HIDDEN = range(100, 110)
MODEL = "candidates/flow_magnitude"
EVENTS = (Event(KEY, 20, 34, "micro", 1.25, MODEL), Event(KEY, 56, 70, "micro", 0.7, MODEL, flags=("blink", "gap")))
TRUTHS = (Expression(*KEY, 1, 21, 26, 33, "micro", "", ""), Expression(*KEY, 2, 80, 84, 90, "micro", "", ""))


def points(opening: float = 0.3, shift: float = 0.0) -> np.ndarray:
    """(68, 2) px of a face 100 px wide, with the eyes open by this share of their width."""
    found = np.stack([np.linspace(110, 210, 68), np.linspace(60, 190, 68)], 1)
    for first, x in ((36, 140.0), (42, 180.0)):
        half = 10 * opening
        found[first : first + 6] = [
            (x - 10, 100), (x - 4, 100 - half), (x + 4, 100 - half), (x + 10, 100), (x + 4, 100 + half),
            (x - 4, 100 + half),
        ]  # fmt: skip
    found[33] = (160, 130)
    return found + np.array([shift, 0])


def looks() -> list[Look]:
    """A blink, and a stretch in which nobody is seen."""
    shown = []
    for frame in range(N):
        seen = None if frame in HIDDEN else points(0.12 if frame in BLINK else 0.3)
        shown.append(Look(frame + 1, frame / FPS, 0.0 if seen is None else 1.4, seen))
    return shown


def reasons() -> np.ndarray:
    """(N,) what is the matter with each frame."""
    found = np.zeros(N, np.uint8)
    found[HIDDEN.start : HIDDEN.stop] = Reason.NO_FACE
    return found


def crop(frame: int) -> np.ndarray:
    """(96, 96, 3) something like a face that moves a little in the events."""
    image = np.full((SIDE, SIDE, 3), 150, np.uint8)
    lift = 2 * np.exp(-(((frame - 27) / 3) ** 2)) + np.exp(-(((frame - 62) / 3) ** 2))
    for x in (34, 62):
        cv2.circle(image, (x, 35), 5, (40, 40, 60), -1)
        cv2.line(image, (x - 8, round(26 - lift)), (x + 8, round(26 - lift)), (60, 40, 30), 2)
    cv2.ellipse(image, (48, 70), (14, 5), 0, 0, 360, (160, 60, 70), -1)
    return image


def write_inputs(folder: Path) -> dict[str, Path]:
    """Everything that the stages of one's own video read, by the name of the input."""
    found = {
        "videos": folder / "videos.csv", "expressions": folder / "expressions.csv", "found": folder / "found.csv",
        "landmarks": folder / "landmarks.csv", "spotting": folder / "spotting.safetensors",
        "faces": folder / "faces/video/ann.h5", "crops": folder / "crops/video/ann.h5",
        "motion": folder / "motion/video/ann.h5",
    }  # fmt: skip
    for path in (found["faces"], found["crops"], found["motion"]):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_videos(found["videos"], [VIDEO])
    write_expressions(found["expressions"], TRUTHS, [VIDEO])
    write_events(found["found"], EVENTS, [VIDEO], classes=())
    write_landmarks(found["landmarks"], looks())
    write_candidates_model(found["spotting"], SIDE)
    _write_faces(found["faces"])
    with create_crops(found["crops"], WHOM) as shard:
        about = {"fps": FPS, "source_fps": FPS, "source_n_frames": N}
        more = {"times": np.arange(N) / FPS, "valid": reasons() == 0, "reason": reasons()}
        shard.stream("ann", np.arange(N, dtype=np.int32), map(crop, range(N)), more=lambda: more, **about)
    recorded(found["crops"], "crops")
    _write_motion(found["motion"])
    return found


def _write_faces(path: Path) -> None:
    seen = np.stack([points()] * 2).astype(np.float32)
    arrays = {
        "frames": np.array([0, N - 1], np.int32), "landmarks": seen,
        "boxes": np.array([[110, 60, 210, 190]] * 2, np.float32), "score": np.ones(2, np.float32),
        "reference": points(), "alignment": np.array([[0.005, 0, -0.3], [0, 0.005, -0.2]]),
        "valid": reasons() == 0, "reason": reasons(),
    }  # fmt: skip
    about = {
        "n_frames": N, "width": 320, "height": 240, "fps": FPS, "looked_at": 2, "misses": 0, "n_faces": 2,
        "jitter_px": 0.1, "motion_px": 1.0, "scale": 200.0, "outside": 0.0, "drift_px": 0.0,
    }  # fmt: skip
    with create_faces(path, WHOM) as shard:
        shard.add("ann", arrays, **about)
    recorded(path, "faces")


def _write_motion(path: Path) -> None:
    layout = stream_layout(MotionParams())
    step = layout["step_frames"]
    n = (N - 1) // step
    values = np.full((n, len(layout["channels"])), 0.01, np.float32)
    time = np.arange(n) * step
    brows = layout["channels"].index("region_brows")
    values[:, brows] += 0.2 * np.exp(-(((time - 27) / 4) ** 2))
    valid = ~np.isin(time, HIDDEN)
    with create_features(path, "motion", WHOM) as out:
        kept = Layout(step, layout["clip_frames"], 30.0, tuple(layout["channels"]))
        out.add("ann", values, kept, frame_index=np.arange(N, dtype=float), valid=valid)
    recorded(path, "motion")


def run_one(name: str, inputs: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Run a stage of one's own video; returns its outputs, which are also put among the inputs."""
    stage = STAGES[name]
    outputs = {key: folder / Path(output.path).name for key, output in stage.outputs.items()}
    given = {key: [inputs[key]] if key in inputs else [] for key in stage.inputs}
    run_stage(stage, Job(given, outputs, stage.params(), {}, device="cpu"))
    inputs.update(outputs)
    return outputs


def video_page(folder: Path) -> Path:
    """The page of the made-up video."""
    inputs = write_inputs(folder / "made")
    run_one("video-tables", inputs, folder)
    return run_one("video-page", inputs, folder)["page"]
