"""Made-up methods, as somebody else would write them: small, random, resumable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from microexp.methods.context import Context
from microexp.methods.spotting.base import FitRequest, Found, SpottingMethod, SpottingVideo, Truth
from microexp.records.index import KINDS
from microexp.run.stage import NoParams, Params


class SlowParams(Params):
    """Options of `Slow`."""

    epochs: int = 3


@dataclass
class Weights:
    """A linear score per kind, and how far its training is."""

    values: np.ndarray
    epoch: int = 0

    def pack(self) -> bytes:
        return json.dumps({"values": self.values.tolist(), "epoch": self.epoch}).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Weights:
        found = json.loads(data)
        return cls(np.array(found["values"]), found["epoch"])


class Slow(SpottingMethod[Weights, SlowParams]):
    """Noisy steps towards the mean feature of each kind's expressions."""

    Options = SlowParams

    def streams(self, options: SlowParams) -> tuple[str, ...]:
        return ("i3d_rgb",)

    def fit(self, videos: Sequence[SpottingVideo], truth: Truth, options: SlowParams, *, context: Context) -> Weights:
        model = self.start(videos) if context.state is None else Weights.unpack(context.state)
        while model.epoch < options.epochs:
            self.step(model, videos, truth, context)
            context.keep(model.pack)
        return model

    def start(self, videos: Sequence[SpottingVideo]) -> Weights:
        return Weights(np.zeros((2, videos[0].streams["i3d_rgb"].n_channels)))

    def step(self, model: Weights, videos: Sequence[SpottingVideo], truth: Truth, context: Context) -> None:
        noise = np.random.default_rng([context.seed, model.epoch]).normal(0, 0.01, model.values.shape)
        total = np.zeros_like(model.values)
        for video in videos:
            stream = video.streams["i3d_rgb"]
            data = stream.read(0, stream.n_steps)
            middle = stream.to_source(np.arange(stream.n_steps) * stream.step_frame + stream.clip_frame / 2)
            for item in truth.get(video.key, ()):
                inside = (middle >= item.onset) & (middle <= item.offset)
                total[KINDS.index(item.kind)] += data[inside].sum(0) if inside.any() else 0
        model.values = model.values + total / (1 + np.abs(total).max()) + noise
        model.epoch += 1
        context.log(epoch=model.epoch, videos=len(videos), norm=np.float32(np.abs(model.values).sum()))
        context.progress(model.epoch, model.epoch)

    def propose(self, model: Weights, video: SpottingVideo) -> Found:
        stream = video.streams["i3d_rgb"]
        scores = stream.read(0, stream.n_steps) @ model.values.T
        found = {}
        for k, kind in enumerate(KINDS):
            half = (6, 16)[k]
            best = np.argsort(-scores[:, k], kind="stable")[:12]
            middle = stream.to_source(best * stream.step_frame + stream.clip_frame / 2)
            ends = np.clip(np.stack([middle - half, middle + half], 1), 0, video.n_frames - 1)
            found[kind] = (ends, scores[best, k])
        return found

    def to_bytes(self, model: Weights) -> bytes:
        return model.pack()

    def from_bytes(self, data: bytes, options: SlowParams) -> Weights:
        return Weights.unpack(data)


class Stacked(Slow):
    """The same, with all fits trained epoch by epoch side by side."""

    stacks = True

    def fit_many(self, requests: Sequence[FitRequest], options: SlowParams, context: Context) -> list[Weights]:
        models = [self.start(r.videos) for r in requests]
        if context.state is not None:
            models = [Weights.unpack(text.encode()) for text in json.loads(context.state)]
        while models[0].epoch < options.epochs:
            for model, request in zip(models, requests, strict=True):
                self.step(model, request.videos, request.truth, request.context)
            context.keep(lambda: json.dumps([m.pack().decode() for m in models]).encode())
        return models


class Fixed(SpottingMethod[int, NoParams]):
    """Gives whatever a test puts into `FOUND` and `BYTES`; reads nothing."""

    FOUND: ClassVar[Any] = {}
    BYTES: ClassVar[Any] = b"x"
    seeded = False

    def streams(self, options: NoParams) -> tuple[str, ...]:
        return ()

    def fit(self, videos: Sequence[SpottingVideo], truth: Truth, options: NoParams, *, context: Context) -> int:
        context.log(epoch=1, seed=99, fit="mine")
        return 1

    def propose(self, model: int, video: SpottingVideo) -> Found:
        return self.FOUND  # type: ignore[no-any-return]

    def to_bytes(self, model: int) -> bytes:
        return self.BYTES  # type: ignore[no-any-return]

    def from_bytes(self, data: bytes, options: NoParams) -> int:
        return 1


class TooFew(Stacked):
    """Loses a model."""

    def fit_many(self, requests: Sequence[FitRequest], options: SlowParams, context: Context) -> list[Weights]:
        return super().fit_many(requests, options, context)[1:]


class Stranger(Slow):
    """Reads a stream that nobody made."""

    def streams(self, options: SlowParams) -> tuple[str, ...]:
        return ("given",)
