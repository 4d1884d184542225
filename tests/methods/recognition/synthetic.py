"""Small made-up clips for the tests of recognition."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from microexp.records.clips import ALL_CHANNELS, Clips

EMOTIONS = ("happiness", "disgust", "surprise")
CLASSES = {"positive": ["happiness"], "negative": ["disgust", "repression"], "surprise": ["surprise"]}


def clips_of(
    people: dict[str, list[str]], per_kind: int = 3, kinds: tuple[str, ...] = ("micro",), side: int = 14, seed: int = 0
) -> Clips:
    """Clips in which the emotion moves one corner of the face; `people` is data set -> subjects."""
    rng = np.random.default_rng(seed)
    rows = []
    for dataset, subjects in people.items():
        for subject in subjects:
            for kind in kinds:
                rows += [(dataset, subject, kind, EMOTIONS[i % 3]) for i in range(per_kind)]
    maps = rng.normal(0, 0.5, (len(rows), len(ALL_CHANNELS), side, side)).astype(np.float32)
    for clip, (_, _, kind, emotion) in zip(maps, rows, strict=True):
        at = EMOTIONS.index(emotion) * side // 3
        clip[:3, at : at + side // 3, side // 4 : 3 * side // 4] += 3.0 if kind == "macro" else 1.5
    columns = [np.array(c, dtype=str) for c in zip(*rows, strict=True)]
    number = np.arange(1, len(rows) + 1)
    videos = np.array([f"v{i % 2}" for i in number], dtype=str)
    dataset, subject, kind, emotion = columns
    return Clips(maps, dataset, subject, videos, number, kind, emotion)


def write_shards(clips: Clips, folder: Path) -> list[Path]:
    """The clips as `apexdiff` shards of their subjects."""
    paths = []
    folder.mkdir(parents=True, exist_ok=True)
    for dataset, subject in sorted(set(zip(clips.dataset.tolist(), clips.subject.tolist(), strict=True))):
        part = clips.take((clips.dataset == dataset) & (clips.subject == subject))
        path = folder / f"{dataset}_{subject}.h5"
        with h5py.File(path, "w") as file:
            file["difference"], file["strain"], file["onset_grey"] = part.maps[:, 0], part.maps[:, 3], part.maps[:, 4]
            file["flow"] = np.stack([part.maps[:, 1], part.maps[:, 2]], -1)
            file["expression"] = part.expression
            for column in ("video", "kind", "emotion"):
                file[column] = getattr(part, column).astype(object)
            file.attrs.update({"dataset": dataset, "subject": subject, "size": part.maps.shape[-1]})
        paths.append(path)
    return paths
