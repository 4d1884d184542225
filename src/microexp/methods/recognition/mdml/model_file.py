"""The one file of a trained model: every network of a fold, its normalisation, and what it takes to use it again.

Tensors are named `seed0/member0/flow/head2`, those of the logistic regression that votes (`logistic_share`)
`logistic/weights`; the metadata (JSON text in safetensors' header) holds options, classes and the input's size. Only
safetensors: reading runs no code.

    model = model_file.load(path)
    p = model_file.predict(model, read_shards(paths))     # run's seed -> (N, classes)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microexp.errors import UserError
from microexp.methods.recognition.baselines import Linear, predict_logistic
from microexp.methods.recognition.mdml.views import pool_of
from microexp.methods.recognition.params import MdmlParams
from microexp.records.clips import Clips
from microexp.run import storage

if TYPE_CHECKING:
    from torch import Tensor

    from microexp.methods.recognition.mdml.training import Trained

FORMAT = "microexp mdml 1"
LINEAR = ("mean", "deviation", "weights", "bias")


@dataclass(frozen=True)
class Model:
    """What a model file holds.

    Attributes:
        options: as trained.
        classes: names, in the order of the scores.
        runs: (seed of the run, number within the run) of each member.
        size: side of the maps that the networks read, px.
        trained: the networks, stacked, in evaluation mode.
        linear: the logistic regression that votes, where the options give it a share.
    """

    options: MdmlParams
    classes: tuple[str, ...]
    runs: tuple[tuple[int, int], ...]
    size: int
    trained: Trained
    linear: Linear | None = None


def predict(model: Model, clips: Clips) -> dict[int, np.ndarray]:
    """Run's seed -> class probabilities (N, classes) of all `clips`: what the stage reports.

    The mean over the run's networks, blended with the logistic regression where that has a share.

    Raises:
        UserError: when the clips lack a channel, or their maps do not come to the model's size.
    """
    from microexp.methods.recognition.mdml.batches import Member
    from microexp.methods.recognition.mdml.training import predict as predict_members

    count, options = len(clips), model.options
    pool = pool_of(clips, np.full(count, -1, dtype=np.int64), options)
    if pool.maps.shape[-1] != model.size:
        raise UserError(
            file="clips",
            where="size",
            problem=f"maps of {pool.maps.shape[-1]} px",
            expected=f"{model.size} px, as in training",
        )
    none = np.full(count, -1, dtype=np.int64)
    member = Member(0, none, np.zeros(count, np.float32), np.zeros(count, bool), np.arange(count))
    p = predict_members(model.trained, pool, [member] * len(model.runs), options)
    seeds = dict.fromkeys(seed for seed, _ in model.runs)
    found = {s: np.mean([q for (seed, _), q in zip(model.runs, p, strict=True) if seed == s], axis=0) for s in seeds}
    if model.linear is None:
        return found
    linear = predict_logistic(model.linear, clips, size=model.size, mirror=options.mirror_test)
    return {s: blend(q, linear, options) for s, q in found.items()}


def blend(networks: np.ndarray, linear: np.ndarray, options: MdmlParams) -> np.ndarray:
    """Class probabilities with `logistic_share` of the logistic regression."""
    return np.asarray((1 - options.logistic_share) * networks + options.logistic_share * linear)


def save(path: Path, model: Model) -> None:
    """Write a model."""
    import torch

    trained = model.trained
    tensors: dict[str, Tensor] = {}
    for g, (seed, number) in enumerate(model.runs):
        prefix = f"seed{seed}/member{number}"
        tensors[f"{prefix}/input/mean"] = trained.scaling.mean[g]
        tensors[f"{prefix}/input/factor"] = trained.scaling.factor[g]
        for stream, net in trained.streams.items():
            for name, value in net.member_tensors(g).items():
                tensors[f"{prefix}/{stream}/{name}"] = value
    if model.linear is not None:
        tensors |= {f"logistic/{n}": torch.from_numpy(getattr(model.linear, n)) for n in LINEAR}
    _save(path, model.options, model.classes, model.runs, model.size, tensors)


def save_empty(path: Path, options: MdmlParams, classes: Sequence[str]) -> None:
    """Write a file without a network, for a fold with nobody to predict; `load` refuses it and says so."""
    _save(path, options, classes, (), 0, {})


def _save(
    path: Path,
    options: MdmlParams,
    classes: Sequence[str],
    runs: Sequence[tuple[int, int]],
    size: int,
    tensors: Mapping[str, Tensor],
) -> None:
    from safetensors.torch import save as to_bytes

    about = {
        "classes": list(classes),
        "options": options.model_dump(mode="json"),
        "runs": [list(run) for run in runs],
        "size_px": size,
    }
    metadata = {"format": FORMAT, "model": json.dumps(about, sort_keys=True)}
    plain = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    storage.write_bytes(path, _sorted_header(to_bytes(plain, metadata)))


def _sorted_header(data: bytes) -> bytes:
    """The same file with its JSON header in a fixed order: safetensors writes metadata in hash order."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def load(path: Path) -> Model:
    """Read a model file.

    Raises:
        UserError: when it is not one of ours, is damaged, or its tensors do not fit its options.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    from microexp.methods.recognition.mdml.batches import Normalisation
    from microexp.methods.recognition.mdml.network import Shape, StackedStream
    from microexp.methods.recognition.mdml.training import Trained

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        if metadata.get("format") != FORMAT:
            raise UserError(file=path, where="format", got=repr(metadata.get("format")), expected=repr(FORMAT))
        about = json.loads(metadata["model"])
        options = MdmlParams.model_validate(about["options"])
        runs = tuple((int(s), int(n)) for s, n in about["runs"])
        if not runs:
            raise UserError(file=path, problem="no network", expected="a fold with somebody to predict")
        prefixes = [f"seed{s}/member{n}" for s, n in runs]
        streams, columns = {}, {}
        present = options.input_channels()
        for stream, channels in options.streams.items():
            shape = Shape(
                len(channels),
                about["size_px"],
                tuple(options.channels),
                len(about["classes"]),
                options.head_size,
                options.linear_path,
            )
            net = StackedStream(shape, [0] * len(runs)).eval()
            names = list(net.member_tensors(0))
            net.load_members([{n: tensors[f"{p}/{stream}/{n}"] for n in names} for p in prefixes])
            streams[stream], columns[stream] = net, [present.index(c) for c in channels]
        mean, factor = (torch.stack([tensors[f"{p}/input/{n}"] for p in prefixes]) for n in ("mean", "factor"))
        linear = Linear(*(tensors[f"logistic/{n}"].numpy() for n in LINEAR)) if options.logistic_share else None
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            file=path, problem=f"no usable model ({error})", expected="a file written by the stage mdml"
        ) from error
    trained = Trained(streams, columns, Normalisation(mean, factor), np.zeros((0, 0, 0)), np.zeros((0, 0, 0)))
    return Model(options, tuple(about["classes"]), runs, int(about["size_px"]), trained, linear)
