"""Loads the weights of both streams and says in words what was loaded."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microexp.errors import UserError
from microexp.features.i3d_network import InceptionI3d
from microexp.features.weights import SOURCE, STATE_SHA256, state_sha256
from microexp.run import storage
from microexp.run.storage import MODEL_BYTES, check_size

FIRST_KERNEL = "Conv3d_1a_7x7.conv3d.weight"
CHANNELS = {"rgb": 3, "flow": 2}

State = dict[str, Tensor]


def read_state(path: Path, sha256: str | None) -> State:
    """Tensors of a `.safetensors` file or of a torch file (`.pt`, `.pth`), the latter with `weights_only=True`.

    Raises:
        UserError: when the checksum is not `sha256` (None: any), or the file is damaged, too large, or no state dict.
    """
    check_size(path, MODEL_BYTES, "weights of I3D")
    if sha256 is not None:
        found = storage.file_sha256(path)
        if found != sha256.lower():
            raise UserError(file=path, problem=f"SHA-256 {found}", expected=sha256)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise UserError(file=path, problem=reason, expected="a state dict of I3D as .safetensors or .pt") from error
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):
            raise UserError(file=path, problem=error, expected="a state dict of I3D as .safetensors") from error
        raise
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(file=path, got=type(state).__name__, expected="a state dict: names with tensors")
    return dict(state)


def check_state(state: Mapping[str, Tensor], channels: int, path: Path) -> State:
    """The tensors that the features need, as float32; the classifier, which they do not, is dropped.

    Raises:
        UserError: naming the first tensor that is missing, of another shape, or not finite.
    """
    checked = {}
    with torch.device("meta"):  # shapes only
        expected = InceptionI3d(channels).state_dict()
    for name, like in expected.items():
        if name.startswith("logits.") or name.endswith("num_batches_tracked"):
            continue
        if name not in state:
            raise UserError(
                file=path,
                where=name,
                problem="nothing",
                expected=f"a tensor of shape {tuple(like.shape)}",
                hint="names as in pytorch-i3d",
            )
        value = state[name].float()
        if value.shape != like.shape:
            raise UserError(
                file=path,
                where=name,
                problem=f"shape {tuple(value.shape)}",
                expected=f"{tuple(like.shape)} for {channels} channels",
            )
        if not torch.isfinite(value).all():
            raise UserError(file=path, where=name, problem="a value that is no number", expected="finite weights")
        checked[name] = value
    return checked


def flow_from_rgb(rgb: Mapping[str, Tensor]) -> State:
    """Weights for two flow channels: the mean of the first kernels over the colours, for both components.

    Source: "cross modality pre-training" of temporal segment networks, Wang et al., ECCV 2016, section 3.2.
    """
    mean = rgb[FIRST_KERNEL].mean(1, keepdim=True)
    return {**rgb, FIRST_KERNEL: mean.repeat(1, CHANNELS["flow"], 1, 1, 1)}


def load_rgb(path: Path, sha256: str | None = None) -> tuple[State, dict[str, str]]:
    """State dict of the stream `i3d_rgb`, and what it is.

    The weights are those of the stage `weights`, with a pinned hash, unless `sha256` names another file.

    Raises:
        UserError: when the file is not what it should be.
    """
    state = read_state(path, sha256)
    if sha256 is None and state_sha256(state) != STATE_SHA256:
        hint = "run `microexp weights` again, or give rgb_weights_sha256 for weights of your own"
        raise UserError(file=path, problem="other weights", expected="those of the stage weights", hint=hint)
    source = SOURCE if sha256 is None else f"user's file {path.name}"
    checked = check_state(state, CHANNELS["rgb"], path)
    return checked, {"source": source, "state_sha256": state_sha256(checked)}


def load_flow(
    rgb_path: Path, flow_path: Path | None, rgb_sha256: str | None = None, *, flow_sha256: str | None = None
) -> tuple[State, dict[str, str]]:
    """State dict of the stream `i3d_flow`, and what it is: the user's own, or made from the RGB weights.

    Raises:
        UserError: when a file is not what it should be.
    """
    if flow_path is None:
        state = flow_from_rgb(load_rgb(rgb_path, rgb_sha256)[0])
        source = "RGB weights, first kernels averaged over the colours"
    else:
        state = check_state(read_state(flow_path, flow_sha256), CHANNELS["flow"], flow_path)
        source = f"user's file {flow_path.name}"
    return state, {"source": source, "state_sha256": state_sha256(state)}
