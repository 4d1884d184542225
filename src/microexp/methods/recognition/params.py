"""Options of recognition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from microexp.run.stage import Params

CHANNELS = ("difference", "u", "v", "strain")
"""Maps of an expression: apex - onset in grey levels; flow to the right and down in px; strain magnitude."""

SAME_PEOPLE = {"samm_lv": "samm"}
"""Adapter -> the adapter with whose release it shares its subjects: SAMM Long Videos were filmed with SAMM's people."""

Channel = Literal["difference", "u", "v", "strain"]


class MutualParams(Params):
    """Stage-wise mutual learning: at each stage a stream also learns from the other streams' class probabilities."""

    weight: float = Field(0.2, ge=0, description="Weight of the term (lambda_I); 0 switches it off.")
    temperature: float = Field(2.5, gt=0, description="Softmax temperature of the exchanged probabilities.")
    ramp: float = Field(0.25, ge=0, le=1, description="Share of the training over which the weight rises from 0.")


class DomainParams(Params):
    """The multi-source network: models the feature distributions of the sources and draws the target's toward them."""

    weight: float = Field(0.1, ge=0, description="Weight of the term (lambda_M); 0 switches it off.")
    model: Literal["moments", "mmd"] = Field(
        "moments", description="Distribution model per stage: mean and variance, or a multi-kernel MMD."
    )
    by_class: bool = Field(True, description="Class by class where labels allow; else whole domains.")
    learn_weights: bool = Field(True, description="Learn how much each source guides; else all guide alike.")
    entropy: float = Field(0.1, ge=0, description="Keeps learned source weights from settling on one source.")
    others: bool = Field(
        True,
        description="The other target data sets are sources of the held-out subject's data set too; where a whole data "
        "set is left out, those that are left guide each other.",
    )
    label_weight: float = Field(
        0.5, ge=0, description="Weight of the classification loss on labelled clips of `sources` (0: features only)."
    )
    ramp: float = Field(0.25, ge=0, le=1, description="Share of the training over which the weight rises from 0.")


class MdmlParams(Params):
    """Options of MDML's network and training."""

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
    stage_weights: list[float] | None = Field(None, description="Weight of each stage's loss; none weighs all alike.")
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
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Label smoothing of the classification loss.")
    mirror: bool = Field(True, description="Mirror half of the training clips (u changes its sign).")
    shift_px: int = Field(1, ge=0, description="Largest random shift of a training clip, px of the averaged map.")
    mirror_test: bool = Field(True, description="Average the prediction over a clip and its mirror image.")
    predict: Literal["last", "all"] = Field("last", description="Average the heads of the last stage, or of all.")
    logistic_share: float = Field(
        0.0, ge=0, le=1, description="Share of a logistic regression on the flow in the prediction; 0 leaves it out."
    )
    seeds: int = Field(3, ge=1, description="Runs with different random numbers; each is reported.")
    members: int = Field(1, ge=1, description="Networks averaged within one run.")
    seed: int | None = Field(None, ge=0, description="First random seed; none takes the run's seed.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(not channels or len(set(channels)) < len(channels) for channels in self.streams.values()):
            raise ValueError("each stream needs at least one channel, and none twice")
        if self.stage_weights is not None and len(self.stage_weights) != len(self.channels):
            raise ValueError("stage_weights needs one number per stage, as channels has")
        return self

    def input_channels(self) -> tuple[str, ...]:
        """The channels that any stream reads, in the order of the maps."""
        used = {c for channels in self.streams.values() for c in channels}
        return tuple(c for c in CHANNELS if c in used)


class RecognitionTask(Params):
    """Which expressions are to be recognised, and as what."""

    datasets: list[str] = Field(min_length=1, description="Data sets whose subjects are the folds.")
    classes: dict[str, list[str]] | None = Field(
        None, min_length=2, description="Class -> emotions that belong to it; other emotions are left out."
    )
    protocol: str | None = Field(None, description="Name of a published choice of classes, instead of `classes`.")
    adapters: dict[str, str] = Field(
        {}, description="Data set -> adapter that read it, for protocols; filled in from the data sets' own options."
    )
    kinds: list[Literal["micro", "macro"]] = Field(
        ["micro"], min_length=1, description="Kinds of expression to recognise."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.classes is None) == (self.protocol is None):
            raise ValueError("needs either classes or a protocol")
        emotions = [e for members in (self.classes or {}).values() for e in members]
        if len(set(emotions)) < len(emotions):
            raise ValueError("classes hold an emotion twice")
        return self


class RecognitionExperiment(RecognitionTask):
    """One recognition experiment: leave one subject (or one data set) out over its data sets."""

    sources: list[str] = Field(
        [], description="Source domains that guide MDML: a data set (`ckplus`) or one kind of it (`demo:macro`)."
    )
    leave: Literal["subject", "dataset"] = Field("subject", description="What a fold leaves out.")
    same_people: list[list[str]] = Field(
        [],
        description="More groups of data sets in which the same subject name is the same person; one release read "
        "twice, and SAMM with SAMM Long Videos, are known.",
    )
    mdml: MdmlParams = MdmlParams()

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        for source in self.sources:
            if source.partition(":")[2] not in ("", "micro", "macro"):
                raise ValueError(f"source {source!r}: after ':' comes micro or macro")
        return self

    def source_datasets(self) -> list[str]:
        """Data sets named by `sources`, in order, without repetition."""
        return list(dict.fromkeys(source.partition(":")[0] for source in self.sources))

    def people(self, adapters: Mapping[str, str | None]) -> list[list[str]]:
        """Groups of data sets in which the same subject name is the same person.

        Those of `same_people`, and two data sets read by one adapter, or by two that are known to show the same people
        (data set -> adapter; a data set that is not there has its own name's). Groups that overlap are one.
        """
        used = list(dict.fromkeys((*self.datasets, *self.source_datasets())))
        known: dict[str, list[str]] = {}
        for name in used:
            adapter = adapters.get(name) or name
            known.setdefault(SAME_PEOPLE.get(adapter, adapter), []).append(name)
        merged: list[list[str]] = []
        for group in (*self.same_people, *(group for group in known.values() if len(group) > 1)):
            overlapping = [m for m in merged if set(m) & set(group)]
            joined = dict.fromkeys(name for m in (*overlapping, group) for name in m)
            merged = [m for m in merged if m not in overlapping] + [list(joined)]
        return merged

    def with_adapters(self, adapters: Mapping[str, str | None]) -> Self:
        """The experiment with what it needs to know of its data sets' adapters (data set -> adapter).

        `adapters` itself for a protocol; and `same_people` as `people` finds them.
        """
        used = dict.fromkeys((*self.datasets, *self.source_datasets()))
        known = {name: adapters.get(name) or name for name in used} if self.protocol else {}
        return self.model_copy(update={"adapters": known, "same_people": self.people(adapters)})
