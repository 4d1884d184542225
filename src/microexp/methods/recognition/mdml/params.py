"""Options of MDML."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from microexp.records.clips import CHANNELS, Channel
from microexp.run.stage import Params


class MutualParams(Params):
    """Stage-wise mutual learning: at each stage a stream also learns from the other streams' class probabilities."""

    weight: float = Field(0.2, ge=0, description="Weight of the term (lambda_I); 0 switches it off.")
    temperature: float = Field(2.5, gt=0, description="Softmax temperature of the exchanged probabilities.")
    ramp: float = Field(0.25, ge=0, le=1, description="Share of the training over which the weight rises from 0.")


class DomainParams(Params):
    """The multi-source network: models the feature distributions of the sources and draws the target's toward them."""

    weight: float = Field(0.1, ge=0, description="Weight of the term (lambda_M); 0 switches it off.")
    by_class: bool = Field(True, description="Class by class where labels allow; else whole domains.")
    others: bool = Field(
        True,
        description="The other target data sets are sources of the held-out subject's data set too; where a whole data "
        "set is held out, those that are left guide each other.",
    )
    label_weight: float = Field(
        0.5, ge=0, description="Weight of the classification loss on labelled clips of `sources` (0: features only)."
    )
    ramp: float = Field(0.25, ge=0, le=1, description="Share of the training over which the weight rises from 0.")


class MdmlParams(Params):
    """Options of the method `mdml`."""

    streams: dict[str, list[Channel]] = Field(
        {"difference": ["difference"], "flow": ["u", "v"]},
        min_length=1,
        description="Stream -> its channels (difference, u, v, strain); one stream makes a plain CNN.",
    )
    identity: Literal["difference", "flow", "median", "strain", "none"] = Field(
        "difference", description="How identity is removed from the inputs (see docs/recognition.md)."
    )
    size: int | None = Field(14, ge=8, description="Side to which the maps are averaged down, px; none keeps theirs.")
    normalise: Literal["scale", "pixel"] = Field(
        "scale", description="Statistic of the training clips: one scale per channel, or mean and sd of every pixel."
    )
    channels: list[int] = Field([8, 16, 16], min_length=1, description="Feature maps of each stage.")
    head_size: int = Field(7, ge=1, description="Side of the grid on which a head sees its stage's features.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout before each head.")
    linear_path: bool = Field(True, description="Add a linear map of the input to the last stage's class scores.")
    balance: Literal["none", "class", "class_and_dataset"] = Field(
        "class", description="What the classification loss is balanced over."
    )
    mutual: MutualParams = MutualParams()
    domain: DomainParams = DomainParams()
    epochs: int = Field(40, ge=1, description="Epochs, fixed before the run.")
    batch_size: int = Field(32, ge=2, description="Clips per training step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak of the one-cycle learning rate.")
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of AdamW.")
    mirror: bool = Field(True, description="Mirror half of the training clips (u changes its sign).")
    shift_px: int = Field(1, ge=0, description="Largest random shift of a training clip, px of the averaged map.")
    mirror_test: bool = Field(True, description="Average the prediction over a clip and its mirror image.")
    members: int = Field(1, ge=1, description="Networks averaged within one run.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(not channels or len(set(channels)) < len(channels) for channels in self.streams.values()):
            raise ValueError("each stream needs at least one channel, and none twice")
        return self

    def input_channels(self) -> tuple[str, ...]:
        """The channels that any stream reads, in the order of the maps."""
        used = {c for channels in self.streams.values() for c in channels}
        return tuple(c for c in CHANNELS if c in used)
