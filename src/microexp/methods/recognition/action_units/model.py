"""What is shipped and applied: the network with its calibration, from maps of any usual form to probabilities.

from microexp.methods.recognition.action_units import load, probabilities, unit_names
from microexp.models import ACTION_UNITS, shipped

model = load(shipped(ACTION_UNITS))
p = probabilities(maps, model)          # (N, units), columns as model.units
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.apexdiff.rest_level import centred
from microexp.errors import UserError
from microexp.models import ACTION_UNITS, shipped
from microexp.run import bundle

if TYPE_CHECKING:
    from microexp.methods.recognition.action_units.network import UnitNetwork

FORMAT = 1
SIZE_PX = 28
SIDES = ("any", "left", "right")
UNSURE = (0.3, 0.7)
"""Between these probabilities no answer is given: it would be wrong in three cases of ten or more."""
BATCH = 512
MOST_CHANNELS = 5


@dataclass(frozen=True)
class UnitModel:
    """A trained network with its calibration.

    Attributes:
        units: numbers of the action units, in the order of the answers.
        network: the network, ready to predict.
        scale, shift: (U, 3): calibrated logit = scale * logit + shift, for shown at all, left, right.
        about: what the file says of itself.
    """

    units: tuple[int, ...]
    network: UnitNetwork
    scale: np.ndarray
    shift: np.ndarray
    about: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What tells the model in a table."""
        return str(self.about.get("name", ACTION_UNITS))


def unit_names(model: UnitModel) -> tuple[str, ...]:
    """`AU1`, `AU2` …: names of the columns of `probabilities`."""
    return tuple(f"AU{unit}" for unit in model.units)


@functools.lru_cache(maxsize=2)
def load(path: Path | None = None) -> UnitModel:
    """Read a model; by default the one that is shipped.

    Raises:
        UserError: when it is no model of action units.
    """
    import torch
    from safetensors.torch import load as tensors

    from microexp.methods.recognition.action_units.network import UnitNetwork

    path = path or shipped(ACTION_UNITS)
    found = bundle.read(path)
    about = found.about
    if about.get("kind") != ACTION_UNITS or about.get("format") != FORMAT:
        raise UserError(file=path, problem="another kind of file", expected="a model of action units")
    try:
        units = tuple(int(u) for u in about["units"])
        network = UnitNetwork(len(units))
        state = {name: t.to(torch.float32) if t.is_floating_point() else t
                 for name, t in tensors(found.parts["network"]).items()}  # fmt: skip
        network.load_state_dict(state)
        scale, shift = (
            np.array(about[name], np.float64).reshape(len(units), len(SIDES)) for name in ("scale", "shift")
        )
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            file=path, problem=f"{type(error).__name__}: {error}", expected="a model of action units"
        ) from error
    return UnitModel(units, network.eval(), scale, shift, about)


def pack(
    network: UnitNetwork, units: Sequence[int], scale: np.ndarray, *, shift: np.ndarray, **about: Any
) -> bundle.Bundle:
    """A model as a file's content; weights are kept in half precision."""
    import torch
    from safetensors.torch import save

    state = {
        name: (t.to(torch.float16) if t.is_floating_point() else t).contiguous()
        for name, t in network.state_dict().items()
    }
    what = {"kind": ACTION_UNITS, "format": FORMAT, "units": list(units), "scale": np.round(scale, 5).tolist(),
            "shift": np.round(shift, 5).tolist(), "unsure": list(UNSURE), **about}  # fmt: skip
    return bundle.Bundle(what, {"network": save(state)})


def probabilities(maps: np.ndarray, model: UnitModel | None = None, px: bool = False) -> np.ndarray:
    """Probability that each action unit is shown, whichever side.

    Args:
        maps: onset-apex flow of N clips, see `prepare`.
        model: by default the shipped one.
        px: see `prepare`.

    Returns:
        (N, U) float64, columns in the order of `model.units`. Each map is answered on its own.

    Raises:
        UserError: as `prepare`.
    """
    return sided(maps, model, px)[..., 0]


def sided(maps: np.ndarray, model: UnitModel | None = None, px: bool = False) -> np.ndarray:
    """(N, U, 3) probabilities: shown at all, on the face's own left, on its right; arguments as `probabilities`."""
    model = model or load()
    return np.asarray(1 / (1 + np.exp(-(model.scale * logits(prepare(maps, px), model) + model.shift))))


def logits(maps: np.ndarray, model: UnitModel) -> np.ndarray:
    """(N, U, 3) float64 raw answers of the network to prepared maps; the same with any number of threads."""
    import torch

    from microexp.methods.training import reproducible

    found = [np.empty((0, len(model.units), len(SIDES)))]
    with reproducible("cpu"), torch.inference_mode():
        for start in range(0, len(maps), BATCH):
            found.append(model.network(torch.from_numpy(maps[start : start + BATCH])).numpy().astype(np.float64))
    return np.concatenate(found)


def of_map(flow: np.ndarray, model: UnitModel | None = None) -> dict[str, float]:
    """Unit -> probability for one onset-apex flow map (s, s, 2) px, as `apexdiff` makes it: `{"AU1": .03, …}`."""
    model = model or load()
    return dict(zip(unit_names(model), probabilities(flow[None], model, px=True)[0].tolist(), strict=True))


def answer(probability: float) -> bool | None:
    """Whether a unit is shown; None: unsure."""
    return None if UNSURE[0] < probability < UNSURE[1] else probability >= UNSURE[1]


def in_words(p: np.ndarray, units: Sequence[int]) -> str:
    """`L12+25?` for probabilities (U, 3): units shown, with their side where only one is, `?`: unsure."""
    parts = []
    for unit, (shown, left, right) in zip(units, p, strict=True):
        said = answer(float(shown))
        if said is False:
            continue
        sides = answer(float(left)), answer(float(right))
        side = "L" if sides == (True, False) else "R" if sides == (False, True) else ""
        parts.append(f"{side}{unit}" + ("?" if said is None else ""))
    return "+".join(parts)


def prepare(maps: np.ndarray, px: bool = False) -> np.ndarray:
    """Maps of any usual form as the network reads them: (N, 2, 28, 28) float32, root mean square 1.

    Args:
        maps: (N, C, h, w) or (N, h, w, C), the first two of 2 to 5 channels u (to the right) and v (down), from onset
            to apex: flow in px of any unit, or 8-bit or 16-bit grey levels as published maps are.
        px: the numbers are flow in px, whatever they look like; else it is found out (`rest_level.centred`).

    Raises:
        UserError: when the shape or the numbers are something else.
    """
    import torch
    import torch.nn.functional as F

    maps = np.asarray(maps)
    if maps.ndim != 4 or min(maps.shape[1], maps.shape[3]) not in range(2, MOST_CHANNELS + 1):
        raise UserError(file="maps", where="shape", got=maps.shape, expected="(N, C, h, w) or (N, h, w, C) of u, v, …")
    if maps.shape[3] <= MOST_CHANNELS:
        maps = np.moveaxis(maps, -1, 1)
    flow = maps[:, :2].astype(np.float32) if px else centred(maps[:, :2], file="maps")
    if not np.isfinite(flow).all():
        raise UserError(file="maps", problem="values that are no numbers", expected="finite flow")
    found = torch.from_numpy(np.ascontiguousarray(flow))
    height, width = found.shape[-2:]
    if min(height, width) >= SIZE_PX:
        found = F.adaptive_avg_pool2d(found, SIZE_PX)
    else:
        found = F.interpolate(found, (SIZE_PX, SIZE_PX), mode="bilinear", align_corners=False)
    found = found / found.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-6)
    return np.asarray(found.numpy())
