"""Options of recognition experiments: what is held out, sources, and which methods are compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from microexp.datasets.classes import RecognitionTask, TaskParams
from microexp.run.names import each_once

DEFAULT_METHODS: dict[str, dict[str, Any]] = {"mdml": {}, "logistic_regression": {}, "majority": {}}
UNIT_METHODS: dict[str, dict[str, Any]] = {
    "both": {"method": "action_units"},
    "subjects": {"method": "action_units", "learn_from": "subjects"},
    "zero_shot": {"method": "action_units", "learn_from": "rendered"},
}
"""Rows of an experiment with `target: action_units` that names none."""


class RecognitionExperiment(RecognitionTask):
    """One recognition experiment: each fold holds out one subject (or one data set)."""

    sources: Annotated[list[str], AfterValidator(each_once)] = Field(
        [], description="Source domains that guide MDML: a data set (`ckplus`) or one kind of it (`demo:macro`)."
    )
    leave: Literal["subject", "dataset"] = Field("subject", description="What a fold holds out.")
    same_people: list[list[str]] = Field(
        [],
        description="More groups of data sets in which the same subject name is the same person; one release read "
        "twice, and SAMM with SAMM Long Videos, are known.",
    )
    seeds: int = Field(3, ge=1, description="Repetitions with other random numbers; each is reported.")
    seed: int | None = Field(None, ge=0, description="First random seed; none takes the run's seed.")
    methods: dict[str, dict[str, Any]] = Field(
        DEFAULT_METHODS,
        min_length=1,
        description="Row of the table -> options of its method; `method` names it where it is not the row's name. With "
        "`target: action_units` the default is `action_units`, learning from both, from subjects alone, and zero-shot.",
    )

    @model_validator(mode="before")
    @classmethod
    def _methods_of_target(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("target") == "action_units":
            return {"methods": UNIT_METHODS, **data}
        return data

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        for source in self.sources:
            if source.partition(":")[2] not in ("", "micro", "macro"):
                raise ValueError(f"source {source!r}: after ':' comes micro or macro")
        return self

    def source_datasets(self) -> list[str]:
        """Data sets named by `sources`, in order, without repetition."""
        return list(dict.fromkeys(source.partition(":")[0] for source in self.sources))


class RecognitionFoldParams(TaskParams):
    """What the stage `recognition-fold` reads."""

    experiment: str = Field(description="Name of the experiment.")
    name: str = Field(description="The method's row in the table.")
    method: str = Field(description="A shipped method, an entry point, or package.module:Class.")
    method_version: int = Field(description="The method's version.")
    options: dict[str, Any] = Field({}, description="Options of the method.")
    sources: list[str] = Field([], description="Source domains: a data set, or one kind of it.")
    leave: Literal["subject", "dataset"] = Field("subject", description="What a fold holds out.")
    applied: bool = Field(
        False,
        description="Whether it is applied to what was spotted, and so trained where no clip is to be predicted too.",
    )
    people: list[list[str]] = Field([], description="Groups of data sets in which one subject name is one person.")
    seeds: int = Field(3, ge=1, description="Repetitions.")
    seed: int = Field(0, ge=0, description="First random seed.")
