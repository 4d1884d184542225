"""The numbers that a release gives to the frames of a video: what people read, beside the indices that stages use.

Inside the project a frame is a 0-based index into the decoded video. A release counts otherwise: from 1, from the
number in the first file's name, with gaps where files are missing. Everything that a person or another program reads
has the release's numbers, and a video's `Numbering` (column `numbers` of `videos.csv`) translates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, Self, TypeVar

import numpy as np

from microexp.errors import UserError

Side = Literal["exact", "nearest", "first_from", "last_to"]
"""Which index a number has that no frame has: none (an error), that of the nearest frame (of two as near the earlier),
of the first frame after it, or of the last one before it."""

Whole = TypeVar("Whole", int, np.ndarray)
"""A whole number, or an array of them: what is asked of one is answered with one."""
MAX_NUMBER = 10**18
"""Names of files hold numbers of at most 18 digits."""
_EXPECTED = "ranges of frame numbers such as 7-206 or 1-100,105-300"
_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18})(?:/(\d{1,18}))?)?")


@dataclass(frozen=True, order=True)
class Numbering:
    """Numbers of the n decoded frames, strictly increasing, as runs (first, last, step).

    Beyond either end numbers go on one by one, so that every index has a number and comes back from it: an index below
    0 or from n on is a frame that the video does not have.
    """

    runs: tuple[tuple[int, int, int], ...]

    @classmethod
    def counting(cls, n_frames: int, first: int = 1) -> Self:
        """`n_frames` numbers without a gap, from `first` on."""
        return cls(((first, first + n_frames - 1, 1),))

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Self:
        """The numbering of a list of strictly increasing numbers, at least one."""
        values = np.fromiter(numbers, np.int64)
        steps = np.diff(values)
        if not len(values) or values[0] < 0 or (steps < 1).any():
            raise UserError(where="frame numbers", got=values[:3].tolist(), expected="numbers that increase")
        runs, start = [], 0
        while start < len(values):
            step = int(steps[start]) if start < len(steps) else 1
            other = np.flatnonzero(steps[start:] != step)
            end = start + (int(other[0]) if len(other) else len(steps) - start)
            if step > 1 and end - start < 2:  # two numbers apart are no run with a step
                end, step = start, 1
            runs.append((int(values[start]), int(values[end]), step))
            start = end + 1
        return cls(tuple(runs))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `7-206`, `1-100,105-300`, `5`, or `1-199/2` for every second number.

        Raises:
            UserError: when it is nothing of the kind, or its numbers do not increase.
        """
        runs, before = [], -1
        for part in text.split(","):
            match = _RANGE.fullmatch(part.strip())
            if match is None:
                raise UserError(where="numbers", got=repr(text), expected=_EXPECTED)
            first, step = int(match[1]), int(match[3] or 1)
            last = int(match[2] or first)
            if not before < first <= last or step < 1 or (last - first) % step:
                raise UserError(where="numbers", got=repr(text), expected=f"{_EXPECTED}, increasing")
            runs.append((first, last, step))
            before = last
        return cls(tuple(runs))

    def __str__(self) -> str:
        return ",".join(
            f"{first}" if first == last else f"{first}-{last}" + (f"/{step}" if step > 1 else "")
            for first, last, step in self.runs
        )

    def __len__(self) -> int:
        return sum((last - first) // step + 1 for first, last, step in self.runs)

    @property
    def first(self) -> int:
        """Number of frame 0."""
        return self.runs[0][0]

    @property
    def last(self) -> int:
        """Number of the last frame."""
        return self.runs[-1][1]

    @cached_property
    def values(self) -> np.ndarray:
        """(n,) int64 number of each frame."""
        return np.concatenate([np.arange(first, last + 1, step, dtype=np.int64) for first, last, step in self.runs])

    def to_number(self, index: Whole) -> Whole:
        """The release's number of each index; of any shape, whole."""
        at, n = np.asarray(index, np.int64), len(self)
        inside = np.clip(at, 0, n - 1)
        found: np.ndarray = self.values[inside] + (at - inside)
        return found if isinstance(index, np.ndarray) else int(found)

    def to_index(self, number: Whole, side: Side = "exact") -> Whole:
        """The index of each number; the inverse of `to_number`.

        Numbers outside of the video have indices outside of it, but for the side `exact`.

        Raises:
            UserError: with the side `exact`, for a number that no frame has.
        """
        wanted = np.asarray(number, np.int64)
        after = np.searchsorted(self.values, wanted)  # first frame from the number on
        has = self.values[np.minimum(after, len(self) - 1)] == wanted
        if side == "exact" and not has.all():
            missing = int(np.atleast_1d(wanted)[~np.atleast_1d(has)][0])
            raise UserError(where="frame number", got=missing, expected=f"one of {self}")
        before = np.where(has, after, after - 1)
        inside = {"first_from": after, "last_to": before}.get(side, self._nearer(wanted, before, after))
        found = np.where(wanted < self.first, wanted - self.first, inside)
        found = np.where(wanted > self.last, wanted - self.last + len(self) - 1, found)
        return found if isinstance(number, np.ndarray) else int(found)

    def _nearer(self, wanted: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        top = len(self) - 1
        low, high = np.clip(before, 0, top), np.clip(after, 0, top)
        nearest: np.ndarray = np.where(wanted - self.values[low] <= self.values[high] - wanted, low, high)
        return nearest

    def interval_to_indices(self, onset: int, offset: int) -> tuple[int, int]:
        """The frames that the closed interval [onset, offset] of numbers shows, as a closed interval of indices.

        It is clipped to the video. One that lies before or after the whole video keeps its length out there; where all
        numbers fall into a gap, it becomes the frame nearest to its onset.
        """
        if offset < self.first or onset > self.last:
            return self.to_index(onset, "nearest"), self.to_index(offset, "nearest")
        start = max(self.to_index(onset, "first_from"), 0)
        end = min(self.to_index(offset, "last_to"), len(self) - 1)
        if end < start:
            start = end = self.to_index(onset, "nearest")
        return start, end

    def gaps(self) -> int:
        """How many numbers between the first and the last one no frame has."""
        return self.last - self.first + 1 - len(self)


@lru_cache(maxsize=4096)
def parse_numbering(text: str) -> Numbering:
    """`Numbering.parse`, remembered: every expression of a video asks for its video's."""
    return Numbering.parse(text)
