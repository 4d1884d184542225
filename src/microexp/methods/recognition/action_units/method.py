"""`action_units` as a recognition method: the shipped model as it is, or regressions that learn from its answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from microexp.errors import UserError
from microexp.methods.context import Context
from microexp.methods.recognition.action_units import model as shipped_model
from microexp.methods.recognition.base import RecognitionMethod, TrainingClips
from microexp.methods.recognition.logistic_regression import Linear, fit
from microexp.records.clips import Clips
from microexp.run.stage import Params

SIZE_PX = 14
"""Side of the maps that a regression reads the pixels of."""
C = 2e-3
"""Inverse regularisation of the regressions on standardised features; set before any result was seen."""


class ActionUnitsOptions(Params):
    """Options of the method `action_units`."""

    learn_from: Literal["both", "subjects", "rendered"] = Field(
        "both",
        description="rendered: the shipped model as it is, which has seen no real face (zero-shot). subjects: a "
        "class-balanced logistic regression on the flow of the training subjects. both: the mean of the two, in "
        "log-odds (for emotions: the regression reads the shipped model's answers, too).",
    )


@dataclass(frozen=True)
class Fitted:
    """What was learned: a two-class regression per unit, or one over the emotions; none where nothing was to learn.

    Attributes:
        names: of the classes, or of the units.
        options: of the method.
        regressions: of the classes together, or of each unit; None: the shipped model answers.
    """

    names: tuple[str, ...]
    options: ActionUnitsOptions
    regressions: tuple[Linear | None, ...]


class ActionUnits(RecognitionMethod[Fitted, ActionUnitsOptions]):
    """Several units at once where these are the target; else the emotion, told from the units and the flow."""

    Options = ActionUnitsOptions
    seeded = False
    targets: ClassVar[tuple[str, ...]] = ("emotion", "action_units")

    def fit(self, training: TrainingClips, options: ActionUnitsOptions, context: Context) -> Fitted:
        """Regressions on the clips like those to recognise.

        Raises:
            UserError: when emotions are to be learned from rendered units alone.
        """
        if options.learn_from == "rendered":
            if training.units is None:
                raise UserError(
                    file=context.label, where="learn_from", got="'rendered'", expected="both or subjects for emotions"
                )
            return Fitted(training.classes, options, (None,) * len(training.classes))
        clips, label = training.targets()
        answers = training.units is None and options.learn_from == "both"
        both = np.concatenate([features(clips, answers), features(clips, answers, mirror=True)])
        if training.units is None:
            return Fitted(training.classes, options, (fit(both, np.tile(label, 2), len(training.classes), c=C),))
        shown = training.units[training.target]
        found: list[Linear | None] = []
        for u in range(shown.shape[1]):
            own = np.tile(shown[:, u], 2).astype(np.int64)
            found.append(fit(both, own, 2, c=C) if 0 < own.sum() < len(own) else None)
        return Fitted(training.classes, options, tuple(found))

    def predict(self, model: Fitted, clips: Clips) -> np.ndarray:
        """Class probabilities (N, classes), or (N, units) probabilities that each unit is shown.

        A unit that the training subjects did not show, or all of them did, is answered by the shipped model. With
        `both`, the log-odds of regression and shipped model are averaged.
        """
        both = model.options.learn_from == "both"
        if len(model.regressions) == 1 and len(model.names) > 1:
            assert model.regressions[0] is not None
            return model.regressions[0].predict(features(clips, both))
        shipped = shipped_model.probabilities(flow_of(clips), px=True)
        x = features(clips, answers=False)
        columns = []
        for unit, regression in enumerate(model.regressions):
            own = shipped[:, unit] if regression is None else regression.predict(x)[:, 1]
            columns.append(_between(own, shipped[:, unit]) if both else own)
        return np.stack(columns, 1)

    def to_bytes(self, model: Fitted) -> bytes:
        """Safetensors, the names in the header."""
        from safetensors.numpy import save

        arrays = {
            f"{k}.{name}": np.ascontiguousarray(getattr(r, name))
            for k, r in enumerate(model.regressions)
            if r is not None
            for name in ("mean", "deviation", "weights", "bias")
        }
        about = json.dumps({"names": model.names, "count": len(model.regressions)})
        return bytes(save({**arrays, "about": np.frombuffer(about.encode(), np.uint8)}))

    def from_bytes(self, data: bytes, options: ActionUnitsOptions) -> Fitted:
        """What was learned."""
        from safetensors.numpy import load

        arrays = load(data)
        about = json.loads(arrays["about"].tobytes())
        found = tuple(
            Linear(*(arrays[f"{k}.{n}"] for n in ("mean", "deviation", "weights", "bias")))
            if f"{k}.bias" in arrays
            else None
            for k in range(about["count"])
        )
        return Fitted(tuple(about["names"]), options, found)


def flow_of(clips: Clips) -> np.ndarray:
    """(N, 2, s, s) u, v of clips."""
    return clips.maps[:, [clips.channels.index(c) for c in ("u", "v")]]


def _between(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Probabilities from the mean of the log-odds of `p` and `q`."""
    yes, no = np.sqrt(p * q), np.sqrt((1 - p) * (1 - q))
    return np.asarray(yes / np.maximum(yes + no, 1e-300))


def features(clips: Clips, answers: bool, mirror: bool = False) -> np.ndarray:
    """(N, D) what the regressions read: u and v at 14 px, root mean square 1.

    Args:
        clips: N clips.
        answers: add the shipped model's raw answers.
        mirror: of the mirror images.
    """
    flow = flow_of(clips)
    if mirror:
        flow = flow[..., ::-1] * np.array([-1.0, 1.0], np.float32).reshape(1, 2, 1, 1)
    maps = shipped_model.prepare(flow, px=True)
    half = SIZE_PX, maps.shape[-1] // SIZE_PX
    parts: list[np.ndarray] = [maps.reshape(len(maps), 2, *half, *half).mean((3, 5)).reshape(len(maps), -1)]
    if answers:
        parts.append(shipped_model.logits(maps, shipped_model.load())[..., 0])
    return np.concatenate(parts, 1).astype(np.float64)
