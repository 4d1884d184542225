"""MDML as a method: mutual learning between streams that see different modalities of the same expression, stage by
stage, guided by the feature distributions of several source domains.

All repetitions of a fold are trained together, as stacked networks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.methods.context import Context
from microexp.methods.recognition.base import RecognitionMethod, TrainingClips
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.records.clips import Clips

if TYPE_CHECKING:
    from torch import Tensor

    from microexp.methods.recognition.mdml.training import Trained


@dataclass(frozen=True)
class MdmlModel:
    """The networks of one repetition.

    Attributes:
        options: as trained.
        classes: number of classes.
        size: side of the maps that the networks read, px.
        trained: the networks that are averaged, stacked, in evaluation mode.
    """

    options: MdmlParams
    classes: int
    size: int
    trained: Trained


class MdmlMethod(RecognitionMethod[MdmlModel, MdmlParams]):
    """MDML (micro-expression deep mutual learning)."""

    Options = MdmlParams
    version = 2
    gpu = True
    stacks = True

    def fit(self, training: TrainingClips, options: MdmlParams, context: Context) -> MdmlModel:
        """Train one repetition."""
        return self.fit_many(training, options, [context])[0]

    def fit_many(self, training: TrainingClips, options: MdmlParams, contexts: Sequence[Context]) -> list[MdmlModel]:
        """Train all repetitions in one stack."""
        from microexp.methods.recognition.mdml.members import member_of, network_seeds, pool_of
        from microexp.methods.recognition.mdml.training import train
        from microexp.methods.training import reproducible

        seeds = [seed for context in contexts for seed in network_seeds(options, context.seed)]
        members = [member_of(training, seed, options) for seed in seeds]
        classes = len(training.classes)
        with reproducible(contexts[0].device):  # the result must not depend on the number of threads
            pool = pool_of(training.clips, training.label, options)
            trained = train(
                pool, members, options, classes=classes, device=contexts[0].device, progress=contexts[0].progress
            )
        size, models = pool.maps.shape[-1], []
        for number, context in enumerate(contexts):
            own = range(number * options.members, (number + 1) * options.members)
            for member, g in enumerate(own):
                log_rows(trained, g, member, context=context)
            about = {"classes": classes, "size_px": size}
            models.append(build([network_tensors(trained, g) for g in own], about, options))
        return models

    def predict(self, model: MdmlModel, clips: Clips) -> np.ndarray:
        """Mean over the networks.

        Raises:
            UserError: when the clips lack a channel, or their maps do not come to the model's size.
        """
        from microexp.methods.recognition.mdml.batches import Member
        from microexp.methods.recognition.mdml.members import pool_of
        from microexp.methods.recognition.mdml.training import predict
        from microexp.methods.training import reproducible

        none = np.full(len(clips), -1, dtype=np.int64)
        pool = pool_of(clips, none, model.options)
        if pool.maps.shape[-1] != model.size:
            raise UserError(
                file="clips",
                where="size",
                problem=f"maps of {pool.maps.shape[-1]} px",
                expected=f"{model.size} px, as in training",
            )
        nothing = np.zeros(len(clips))
        member = Member(0, none, nothing.astype(np.float32), nothing.astype(bool), np.arange(len(clips)))
        with reproducible("cpu"):
            found = predict(model.trained, pool, [member] * model.options.members, options=model.options)
        return np.asarray(np.mean(found, axis=0))

    def to_bytes(self, model: MdmlModel) -> bytes:
        """Safetensors: tensors named `0/flow/head2`, and what it takes to build the networks again."""
        from safetensors.torch import save

        tensors = {
            f"{g}/{name}": value.detach().cpu().contiguous().clone()
            for g in range(model.options.members)
            for name, value in sorted(network_tensors(model.trained, g).items())
        }
        about = {"classes": model.classes, "size_px": model.size}
        # one key only: safetensors writes several in no fixed order
        return bytes(save(tensors, {"mdml": json.dumps(about, sort_keys=True)}))

    def from_bytes(self, data: bytes, options: MdmlParams) -> MdmlModel:
        """The networks, on the CPU."""
        from safetensors.torch import load

        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["mdml"])
        tensors = load(data)
        parts = [
            {n.partition("/")[2]: value for n, value in tensors.items() if n.startswith(f"{g}/")}
            for g in range(options.members)
        ]
        return build(parts, about, options)


def network_tensors(trained: Trained, g: int) -> dict[str, Tensor]:
    """All tensors of network `g`: `input/mean`, `flow/head2` and so on."""
    found = {"input/mean": trained.scaling.mean[g], "input/factor": trained.scaling.factor[g]}
    for stream, net in trained.streams.items():
        found |= {f"{stream}/{name}": value for name, value in net.member_tensors(g).items()}
    return found


def build(parts: Sequence[dict[str, Tensor]], about: dict[str, Any], options: MdmlParams) -> MdmlModel:
    """Networks from their tensors, stacked, in evaluation mode."""
    import torch

    from microexp.methods.recognition.mdml.batches import Normalisation
    from microexp.methods.recognition.mdml.network import Shape, StackedStream
    from microexp.methods.recognition.mdml.training import Trained

    present = options.input_channels()
    streams, columns = {}, {}
    for stream, channels in options.streams.items():
        shape = Shape(
            len(channels), about["size_px"], tuple(options.channels), about["classes"], options.head_size,
            options.linear_path,
        )  # fmt: skip
        net = StackedStream(shape, [0] * len(parts)).eval()
        names = list(net.member_tensors(0))
        net.load_members([{n: part[f"{stream}/{n}"].cpu() for n in names} for part in parts])
        streams[stream], columns[stream] = net, [present.index(c) for c in channels]
    scaling = Normalisation(*(torch.stack([p[f"input/{n}"].cpu() for p in parts]) for n in ("mean", "factor")))
    empty = np.zeros((len(parts), 0, 0))
    return MdmlModel(options, about["classes"], about["size_px"], Trained(streams, columns, scaling, empty, empty))


def log_rows(trained: Trained, g: int, member: int, *, context: Context) -> None:
    """The training log of network `g` of the stack, which is number `member` of its repetition."""
    from microexp.methods.recognition.mdml.training import LOG_COLUMNS

    for values, weights in zip(trained.log[g], trained.source_weights[g], strict=True):
        row = {name: float(value) for name, value in zip(LOG_COLUMNS, values, strict=True)}
        sources = {f"weight_source_{i}": float(w) for i, w in enumerate(weights, 1)}
        context.log(member=member, **{**row, "epoch": int(row["epoch"])}, **sources)
