"""The weights of trained AEM-Nets in a file, and as the first ones of another training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.records.features import Features
from microexp.run import bundle
from microexp.run.options import validate

if TYPE_CHECKING:
    from torch import Tensor

PART = "method.0"


def prefixes(networks: int) -> list[str]:
    """What the names of weights begin with in a file of so many networks; nothing for one alone."""
    return [""] if networks == 1 else [f"{k}/" for k in range(networks)]


def split_weights(weights: Mapping[str, Tensor], networks: int) -> list[dict[str, Tensor]]:
    """The weights of each network of a file."""
    return [
        {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        for prefix in prefixes(networks)
    ]


def start_weights(path: Path, options: AemnetParams, streams: Mapping[str, Features]) -> list[dict[str, Tensor]]:
    """The weights of each network of a model file, for networks of these options on features such as `streams`.

    Raises:
        UserError: when it is no AEM-Net, or network, window or features differ: the first difference is named.
    """
    from safetensors.torch import load

    found = bundle.read(path)
    if found.about.get("reference") != "aemnet" or PART not in found.parts:
        raise UserError(file=path, where="start_from", problem="another kind of file", expected="a model of AEM-Net")
    theirs = validate(AemnetParams, found.about.get("options") or {}, path, where="options")
    ours, known = options.network.model_dump(mode="json"), theirs.network.model_dump(mode="json")
    pairs = {f"network.{name}": (ours[name], known[name]) for name in ours}
    pairs["window_frames"] = (options.window_frames, theirs.window_frames)
    for name, features in streams.items():
        layout = found.about["streams"][name]
        pairs[f"{name}: step_frames"] = (features.step_frame, layout["step_frames"])
        pairs[f"{name}: clip_frames"] = (features.clip_frame, layout["clip_frames"])
        pairs[f"{name}: channels"] = (list(features.channels), layout["channels"])
    for name, (got, expected) in pairs.items():
        if got != expected:
            raise UserError(
                file=path, where=name, got=_short(got), expected=f"{_short(expected)}, as in the model to start from"
            )
    return split_weights(load(found.parts[PART]), theirs.networks)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
