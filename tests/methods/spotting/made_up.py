"""Made-up shards in the pipeline's formats, with signals planted where the expressions are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microexp.records.index import Expression, Video, write_expressions, write_videos
from microexp.run.storage import add_array, create_shard, set_attributes

LENGTHS = {"micro": (9, 14), "macro": (22, 46)}


@dataclass(frozen=True)
class MadeUp:
    """Paths of a made-up data set."""

    folder: Path
    features: list[Path]
    motion: list[Path]
    expressions: Path
    videos: Path


def draw_expressions(
    dataset: str, subject: str, video: str, n_frames: int, generator: np.random.Generator, rate: int = 1
) -> list[Expression]:
    """Expressions of both kinds that do not overlap, `rate` times as long as at 30 frames/s."""
    found: list[Expression] = []
    position = int(generator.integers(5, 30))
    while True:
        kind = "micro" if generator.random() < 0.5 else "macro"
        length = rate * int(generator.integers(*LENGTHS[kind]))
        if position + length >= n_frames - 5:
            return found
        end = position + length - 1
        found.append(
            Expression(dataset, subject, video, len(found) + 1, position, (position + end) // 2, end, kind, "x", "")
        )
        position = end + int(generator.integers(30, 90))


def write_data(
    folder: Path,
    subjects: int = 5,
    n_frames: int = 400,
    channels: int = 16,
    step: int = 4,
    clip: int = 8,
    noise: float = 0.5,
    seed: int = 0,
    dataset: str = "fake",
    videos_per_subject: int = 1,
    rate: int = 1,
    index: np.ndarray | None = None,
) -> MadeUp:
    """Feature and motion shards and the annotations of a data set; its last video has no expression.

    Videos have `n_frames` frames, `rate` times 30 a second, of which `index` are kept (none: all).
    """
    index = np.arange(n_frames) if index is None else index
    generator = np.random.default_rng(seed)
    expressions: list[Expression] = []
    videos: list[Video] = []
    for s in range(subjects):
        subject = f"s{s:02d}"
        feature_path = folder / "i3d" / dataset / f"{subject}.h5"
        motion_path = folder / "motion" / dataset / f"{subject}.h5"
        with create_shard(feature_path) as features, create_shard(motion_path) as motion:
            for v in range(videos_per_subject):
                name = f"{subject}_{v}"
                still = (s, v) == (subjects - 1, videos_per_subject - 1) and subjects * videos_per_subject > 3
                planted = [] if still else draw_expressions(dataset, subject, name, n_frames, generator, rate)
                expressions += planted
                videos.append(Video(dataset, subject, name, "-", n_frames, 30.0 * rate, 64, 64))
                write_features(features, name, planted, n_frames, channels, step, clip, noise, generator, index)
                write_motion(motion, name, planted, n_frames, generator)
    write_expressions(folder / "index" / dataset / "expressions.csv", expressions, videos)
    write_videos(folder / "index" / dataset / "videos.csv", videos)
    return MadeUp(
        folder,
        sorted((folder / "i3d" / dataset).glob("*.h5")),
        sorted((folder / "motion" / dataset).glob("*.h5")),
        folder / "index" / dataset / "expressions.csv",
        folder / "index" / dataset / "videos.csv",
    )


def write_features(
    file: object,
    name: str,
    planted: list[Expression],
    n_frames: int,
    channels: int,
    step: int,
    clip: int,
    noise: float,
    generator: np.random.Generator,
    index: np.ndarray | None = None,
) -> None:
    """Features whose first channels rise with micro, whose next ones with macro expressions."""
    index = np.arange(n_frames) if index is None else index
    activity = np.zeros((n_frames, 2))
    for item in planted:
        activity[item.onset : item.offset + 1, 0 if item.kind == "micro" else 1] = 1
    activity = activity[index]
    n_steps = (len(index) - clip) // step + 1
    signal = np.stack([activity[step * i : step * i + clip].mean(0) for i in range(n_steps)])
    features = noise * generator.standard_normal((n_steps, channels))
    quarter = channels // 4
    for half in (0, channels // 2):
        features[:, half : half + quarter] += signal[:, :1] * 2
        features[:, half + quarter : half + 2 * quarter] += signal[:, 1:] * 2
    group = file.create_group(name)  # type: ignore[attr-defined]
    add_array(group, "features", features.astype(np.float32))
    add_array(group, "frame_index", index.astype(np.int32))
    set_attributes(
        group,
        {
            "clip_frames": clip,
            "step_frames": step,
            "n_frames": len(index),
            "fps": 30.0,
            "source_n_frames": n_frames,
            "excluded": "",
        },
    )


def write_motion(
    file: object, name: str, planted: list[Expression], n_frames: int, generator: np.random.Generator
) -> None:
    """Magnitudes that are large while an expression comes and goes."""
    magnitude = 0.05 + 0.02 * generator.random((n_frames - 1, 2))
    for item in planted:
        third = max(2, (item.offset - item.onset) // 3)
        magnitude[item.onset : item.onset + third] += 0.3
        magnitude[item.offset - third : item.offset] += 0.3
    group = file.create_group(name)  # type: ignore[attr-defined]
    add_array(group, "magnitude", magnitude.astype(np.float32))
    add_array(group, "frame_index", np.arange(n_frames, dtype=np.int32))
    set_attributes(group, {"regions": "eyes,mouth", "excluded": "", "fps": 30.0})
