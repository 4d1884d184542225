"""Small made-up clips for the tests of recognition."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microexp.records.apexdiff import write_apexdiff
from microexp.records.clips import ALL_CHANNELS, Clips, split
from tests.shards import recorded

EMOTIONS = ("happiness", "disgust", "surprise")
CLASSES = {"positive": ["happiness"], "negative": ["disgust"], "surprise": ["surprise"]}


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
    """The clips as `apexdiff` shards of their subjects: `{folder}/{dataset}/{subject}.h5`."""
    paths = []
    for who, record in split(clips).items():
        path = folder / who.dataset / f"{who.subject}.h5"
        write_apexdiff(path, who, record)
        paths.append(recorded(path, "apexdiff"))
    return paths
