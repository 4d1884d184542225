"""The one file of a trained model: every network of a fold, its normalisation, and what it takes to use it again.

Tensors are named `seed0/member0/flow/head2`; the metadata (JSON text in safetensors' header) holds options, classes and
the input's size. Only safetensors: reading runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from microexp import storage
from microexp.errors import UserError
from microexp.recognition.params import CHANNELS, MdmlParams

if TYPE_CHECKING:
    from torch import Tensor

    from microexp.recognition.training import Trained

FORMAT = "microexp mdml 1"


@dataclass(frozen=True)
class Model:
    """What a model file holds.

    Attributes:
        options: as trained.
        classes: names, in the order of the scores.
        runs: (seed of the run, number within the run) of each member.
        trained: the networks, stacked, in evaluation mode.
    """

    options: MdmlParams
    classes: tuple[str, ...]
    runs: tuple[tuple[int, int], ...]
    trained: Trained


def save(
    path: Path, trained: Trained | None, options: MdmlParams, classes: Sequence[str], runs: Sequence[tuple[int, int]]
) -> None:
    """Write all members: `runs` gives each one's (seed of the run, number within the run).

    Without `trained` the file says which options there would be, and holds no network.
    """
    from safetensors.torch import save as to_bytes

    about = {
        "classes": list(classes),
        "options": options.model_dump(mode="json"),
        "runs": [list(run) for run in runs if trained],
        "size_px": next(iter(trained.streams.values())).shape.size if trained else 0,
    }
    metadata = {"format": FORMAT, "model": json.dumps(about, sort_keys=True)}
    tensors = _tensors(trained, runs) if trained else {}
    plain = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    storage.write_bytes(path, _sorted_header(to_bytes(plain, metadata)))


def _tensors(trained: Trained, runs: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for g, (seed, number) in enumerate(runs):
        prefix = f"seed{seed}/member{number}"
        tensors[f"{prefix}/input/mean"] = trained.scaling.mean[g]
        tensors[f"{prefix}/input/factor"] = trained.scaling.factor[g]
        for stream, net in trained.streams.items():
            for name, value in net.member_tensors(g).items():
                tensors[f"{prefix}/{stream}/{name}"] = value
    return tensors


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
    import numpy as np
    import torch
    from safetensors import SafetensorError, safe_open

    from microexp.recognition.batches import Normalisation
    from microexp.recognition.network import Shape, StackedStream
    from microexp.recognition.training import Trained

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        if metadata.get("format") != FORMAT:
            raise UserError(path, "format", repr(metadata.get("format")), repr(FORMAT))
        about = json.loads(metadata["model"])
        options = MdmlParams.model_validate(about["options"])
        runs = tuple((int(s), int(n)) for s, n in about["runs"])
        if not runs:
            raise UserError(path, None, "no network", "a fold with somebody to predict")
        prefixes = [f"seed{s}/member{n}" for s, n in runs]
        streams, columns = {}, {}
        present = input_channels(options)
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
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(path, None, f"no usable model ({error})", "a file written by the stage mdml") from error
    trained = Trained(streams, columns, Normalisation(mean, factor), np.zeros((0, 0, 0)), np.zeros((0, 0, 0)))
    return Model(options, tuple(about["classes"]), runs, trained)


def input_channels(options: MdmlParams) -> tuple[str, ...]:
    """The channels that any stream reads, in the order of the maps."""
    used = {c for channels in options.streams.values() for c in channels}
    return tuple(c for c in CHANNELS if c in used)
