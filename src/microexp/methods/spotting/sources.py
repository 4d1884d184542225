"""The files of a fold: features and annotations of training subjects, those of who is held out kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.methods.people import Sides
from microexp.methods.spotting.base import SpottingVideo, Truth
from microexp.methods.spotting.fits import Subject
from microexp.methods.spotting.params import SpottingFoldParams
from microexp.records.features import Features, Files, Key, list_features, unit_of
from microexp.records.index import Expression, Video, read_expressions, read_videos
from microexp.run.stage import Job

RATE_TOLERANCE = 0.02
"""30 and 29.97 frames a second are the same to a model."""


@dataclass(frozen=True)
class Sources:
    """The files of a fold, with those of the people who are held out kept apart.

    Attributes:
        videos: all videos of the index.
        truth: annotations of training subjects alone.
        shards: feature shards by data set and subject, any stream.
        sides: who is trained on and who is held out.
    """

    videos: Mapping[Key, Video]
    truth: Truth
    shards: Mapping[Subject, Sequence[Path]]
    sides: Sides

    @classmethod
    def of(cls, job: Job[SpottingFoldParams], held_out: Subject | None) -> Sources:
        """Read the index; feature shards are known by their names alone.

        Raises:
            UserError: when there is nothing of the held-out subject.
        """
        listed = [v for path in job.inputs["videos"] for v in read_videos(path)]
        videos = {(v.dataset, v.subject, v.video): v for v in listed}
        sides = Sides.of(held_out, {k[:2] for k in videos}, job.params.people, train_on=job.params.train_on)
        truth: dict[Key, list[Expression]] = {}
        for path in job.inputs["expressions"]:
            for item in read_expressions(path, listed):
                seen = item.is_inside(videos[item.video_key].n_frames)
                if seen and sides.is_training((item.dataset, item.subject)):
                    truth.setdefault((item.dataset, item.subject, item.video), []).append(item)
        shards: dict[Subject, list[Path]] = {}
        for path in sorted(job.inputs["features"]):
            _, dataset, subject = unit_of(path)
            shards.setdefault((dataset, subject), []).append(path)
        known = shards or {k[:2] for k in videos}
        if held_out is not None and not any(map(sides.is_held_out, known)):
            raise UserError(
                file="command line",
                where="--features" if shards else "--fold",
                problem=f"no {'shard' if shards else 'video'} of {'/'.join(held_out)}",
                expected="the held-out subject's too" if shards else "a subject of the index",
            )
        return cls(videos, truth, shards, sides)

    def training_paths(self) -> list[Path]:
        """Feature shards of training subjects."""
        return [p for subject, paths in sorted(self.shards.items()) if self.sides.is_training(subject) for p in paths]

    def training_videos(self, streams: Sequence[str], files: Files) -> list[SpottingVideo]:
        """Videos of training subjects.

        Raises:
            UserError: when there is none, or a stream is missing or laid out in several ways.
        """
        if self.sides.train_on and not any(self.sides.is_training(key[:2]) for key in self.videos):
            raise UserError(
                file="index",
                where="train_on",
                problem="everybody in it is tested too",
                expected="somebody who is not in the data set that is tested",
            )
        made = {unit_of(path)[0] for path in self.training_paths()}
        for stream in streams:
            if stream not in made:
                raise UserError(file="features", problem=f"no shard of the stream {stream}", expected="one per subject")
        keys = [key for key in self.videos if self.sides.is_training(key[:2])]
        found = self._videos(keys, streams, self.training_paths(), files)
        if not found:
            raise UserError(file="features", problem="no usable training video", expected="at least one")
        return found

    def test_videos(
        self, streams: Sequence[str], files: Files, *, like: Sequence[SpottingVideo]
    ) -> list[SpottingVideo]:
        """Videos of those who are held out; their features must be laid out as those of `like`."""
        keys = [key for key in self.videos if self.sides.is_held_out(key[:2])]
        paths = [p for subject, own in sorted(self.shards.items()) if self.sides.is_held_out(subject) for p in own]
        found = self._videos(keys, streams, paths, files)
        check_layout([*like[:1], *found], streams)
        if self.sides.train_on:
            check_rates(found, like, streams)
        return found

    def _videos(
        self, keys: Sequence[Key], streams: Sequence[str], paths: Sequence[Path], files: Files
    ) -> list[SpottingVideo]:
        features: dict[Key, dict[str, Features]] = {}
        for item in list_features([p for p in paths if unit_of(p)[0] in streams], files):
            features.setdefault(item.key, {})[item.stream] = item
        videos = []
        for key in sorted(keys):
            own = features.get(key, {})
            if set(own) == set(streams):
                videos.append(SpottingVideo(*key, self.videos[key].n_frames, self.videos[key].fps, own))
        check_layout(videos, streams)
        return videos


def check_layout(videos: Sequence[SpottingVideo], streams: Sequence[str]) -> None:
    """Every stream must be laid out the same way in all videos.

    Raises:
        UserError: naming the first shard that differs.
    """
    for stream in streams:
        of_stream = [v.streams[stream] for v in videos]
        for item in of_stream:
            like = of_stream[0]
            got, expected = ((f.step_frame, f.clip_frame, f.n_channels) for f in (item, like))
            if got != expected:
                raise UserError(
                    file=item.path, where="step, clip, channels", got=got, expected=f"{expected} as in {like.path}"
                )
            if item.channels != like.channels:
                name, other = next((a, b) for a, b in zip(item.channels, like.channels, strict=True) if a != b)
                raise UserError(
                    file=item.path, where="channels", got=repr(name), expected=f"{other!r} as in {like.path}"
                )


def check_rates(videos: Sequence[SpottingVideo], like: Sequence[SpottingVideo], streams: Sequence[str]) -> None:
    """Data sets that are tested must be seen at a rate of those that are trained on.

    Raises:
        UserError: naming the first shard of another rate.
    """
    for stream in streams:
        rates = sorted({v.streams[stream].fps for v in like})
        for item in (v.streams[stream] for v in videos):
            if not np.isclose(item.fps, rates, rtol=RATE_TOLERANCE).any():
                expected = f"{', '.join(f'{rate:g}' for rate in rates)}, as in training"
                raise UserError(
                    file=item.path, where="fps", got=item.fps, expected=expected, hint="datasets.NAME.fps resamples"
                )


# What a method proposes, checked against its contract and without what lies where the face cannot be seen.

USABLE_SHARE = 0.5
"""A detection needs this share of usable features: with less, most of it was not seen."""


def usable_share(features: Features, intervals: np.ndarray) -> np.ndarray:
    """Share of the features of one stream that rest on usable frames, within each interval.

    Args:
        features: of the stream.
        intervals: (n, 2) onset and offset, source frames.

    Returns:
        (n,) in [0, 1]; an interval between two features has the share of the one that is nearest.
    """
    sums = np.concatenate([[0], np.cumsum(features.valid())])
    slots = (features.to_frames(intervals) - features.origin_frame) / features.step_frame
    first = np.clip(np.floor(slots[:, 0]), 0, features.n_steps - 1).astype(int)
    last = np.clip(np.floor(slots[:, 1]), first, features.n_steps - 1).astype(int)
    share: np.ndarray = (sums[last + 1] - sums[first]) / (last + 1 - first)
    return share


def without_unseen(
    found: Mapping[str, tuple[np.ndarray, np.ndarray]], video: SpottingVideo
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The proposals of which every stream has seen enough, see `USABLE_SHARE`; annotations there count as missed.

    Args:
        found: kind -> intervals (n, 2) in source frames, and scores (n,).
        video: with the streams that the method reads; one without any drops nothing.
    """
    kept: dict[str, Any] = {}
    for kind, (intervals, scores) in found.items():
        seen = np.ones(len(intervals), bool)
        for features in video.streams.values():
            if len(intervals) and not features.valid().all():
                seen &= usable_share(features, intervals) >= USABLE_SHARE
        kept[kind] = intervals[seen], scores[seen]
    return kept
