"""Shards of the stage `flow`: optical flow between consecutive crops, as 16-bit numbers with a scale.

With the default scale that is exact to 0.001 px, where 8 bits over ±20 px lose 0.05 px of a micro-motion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from microexp.records.shard import (
    Array,
    Attribute,
    Growing,
    Kind,
    Lazy,
    Shard,
    Stored,
    Subject,
    Writer,
    create_file,
    open_videos,
)
from microexp.run.shard_files import add_array, set_attributes

LARGEST = np.iinfo(np.int16).max

ARRAYS = {
    "flow": Array(
        ("T-1", "S", "S", 2),
        "int16",
        "x, y motion from each of the T crops to the next, in units of `scale` px",
        attributes={"scale": Attribute("float", "px per unit")},
    ),
    "valid": Array(
        ("T-1",), "bool", "whether the motion is one of the face; where it is not, the flow is 0", optional=True
    ),
}
ATTRIBUTES = {
    "fps": Attribute("float", "rate of the crops, frames per second", "always"),
    "bound_px": Attribute("float", "largest component before it was stored, px"),
    "cut_values": Attribute("int", "numbers that did not fit into 16 bits and were cut"),
}


def quantise(flow: np.ndarray, scale_px: float) -> tuple[np.ndarray, int]:
    """Flow in px as int16 units of `scale_px`, and how many numbers were cut because they do not fit."""
    units = np.rint(flow * np.float32(1 / scale_px))
    cut = int(np.count_nonzero(np.abs(units) > LARGEST))
    return np.clip(units, -LARGEST, LARGEST).astype(np.int16), cut


class Flow(Stored):
    """The flow of one video."""

    KIND = Kind("flow", "optical flow between consecutive crops", ARRAYS, attributes=ATTRIBUTES)

    @property
    def units(self) -> Lazy:
        """(T-1, S, S, 2) int16 in units of `scale_px`, in the file until sliced."""
        data: Lazy = self.array("flow")
        return data

    @property
    def valid(self) -> np.ndarray:
        """(T-1,) bool: whether each motion is one of the face, with no gap or cut in between."""
        if "valid" not in self.group:
            return np.ones(len(self), bool)
        return np.asarray(self.array("valid")[()])

    @property
    def scale_px(self) -> float:
        """Px per unit."""
        return float(self.array("flow").attrs["scale"])

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """(n, S, S, 2) float32 px of the frames [start, stop)."""
        flow: np.ndarray = self.units[start:stop].astype(np.float32) * np.float32(self.scale_px)
        return flow

    def __len__(self) -> int:
        return len(self.units)

    @property
    def side(self) -> int:
        """S, px."""
        return self.units.shape[1]

    @property
    def fps(self) -> float:
        """Rate of the crops, frames per second."""
        return float(self.value("fps"))

    @property
    def bound_px(self) -> float:
        """Largest component before it was stored, px."""
        return float(self.value("bound_px"))

    @property
    def cut_values(self) -> int:
        """Numbers that did not fit into 16 bits and were cut."""
        return int(self.value("cut_values"))


class FlowWriter(Writer[Flow]):
    """A shard of flow in the making."""

    def stream(
        self,
        video: str,
        pairs: Iterable[np.ndarray],
        *,
        shape: tuple[int, ...],
        scale_px: float,
        fps: float,
        valid: np.ndarray | None = None,
    ) -> tuple[float, int]:
        """Write the flow of a video, one pair of frames at a time.

        Args:
            video: its name.
            pairs: (S, S, 2) float px each.
            shape: (T-1, S, S, 2) of all together.
            scale_px: px per stored unit.
            fps: rate of the crops.
            valid: (T-1,) bool, pairs in which the motion is one of the face; None for all.

        Returns:
            The largest component, px, and how many numbers did not fit into 16 bits.
        """
        group = self.file.create_group(video)
        out = Growing(add_array(group, "flow", shape=shape, dtype=np.int16))
        out.data.attrs["scale"] = scale_px
        bound, cut = 0.0, 0
        for pair in pairs:
            bound = max(bound, float(np.abs(pair).max()))
            units, more = quantise(pair, scale_px)
            out.append(units[None])
            cut += more
        out.finish()
        add_array(group, "valid", np.ones(shape[0], bool) if valid is None else valid)
        set_attributes(group, {"excluded": "", "fps": fps, "bound_px": bound, "cut_values": cut})
        return bound, cut


def open_flow(path: Path, of: Subject | None = None) -> AbstractContextManager[Shard[Flow]]:
    """Open a shard for reading, see `shard.open_videos`."""
    return open_videos(path, Flow, of)


@contextmanager
def create_flow(path: Path, subject: Subject) -> Iterator[FlowWriter]:
    """Make a shard; errors as of `shard.create_file`."""
    with create_file(path, Flow.KIND, subject) as file:
        yield FlowWriter(file, Flow)
