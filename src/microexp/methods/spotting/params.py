"""Options of spotting experiments: what is held out, how thresholds are chosen, and which methods are compared."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from microexp.run.names import each_once
from microexp.run.stage import Params

DEFAULT_METHODS: dict[str, dict[str, Any]] = {"aemnet": {}, "flow_magnitude": {}, "random_intervals": {}}


class CalibrationParams(Params):
    """Who proposes for the training subjects, so that thresholds are chosen without the held-out subject."""

    calibrate: Literal["inner_folds", "held_out"] = Field(
        "inner_folds",
        description="Calibration proposals come from inner folds over the training subjects, or from a held-out share "
        "of them (cheaper; the method then trains on the others alone).",
    )
    inner_folds: int = Field(3, ge=2, description="Inner folds over the training subjects.")
    held_out_share: float = Field(0.25, gt=0, lt=1, description="held_out: share of the training subjects.")
    permuted_control: bool = Field(
        False, description="Also train a control on expressions moved to random places of their videos."
    )


class ChoiceParams(Params):
    """How proposals become detections; threshold and top-k per kind are chosen on calibration proposals."""

    maximise: Literal["overall", "kinds"] = Field(
        "overall",
        description="Choose for the best F1 over both kinds (a kind may then stay silent), or for each kind's own F1.",
    )
    matching: Literal["one_to_one", "megc"] = Field("one_to_one", description="Matching while choosing.")
    top_k: tuple[int, ...] = Field((1, 2, 3, 5, 8, 12, 20), min_length=1, description="Candidates for top-k per video.")
    overlap_iou: float = Field(0.2, ge=0, le=1, description="IoU above which the less confident proposal is removed.")
    consensus: int = Field(
        0, ge=0, description="Proposals of the confident set that must support a detection; 0 turns it off."
    )
    consensus_iou: float = Field(0.5, ge=0, le=1, description="IoU above which a proposal supports another.")
    confident: int = Field(50, ge=1, description="Size of the confident set per video and kind.")
    duration_quantile: float = Field(
        0.02, ge=0, lt=0.5, description="Limits are these quantiles of the training lengths, from either end."
    )
    duration_margin: float = Field(0.2, ge=0, description="Limits are widened by this share.")


class SelectParams(CalibrationParams, ChoiceParams):
    """The honest protocol, the same for all methods of an experiment."""


class SpottingExperiment(Params):
    """One spotting experiment: leave one subject out over its data sets, or train on others (`train_on`)."""

    datasets: Annotated[list[str], AfterValidator(each_once)] = Field(
        min_length=1, description="Data sets; each of their subjects is a fold, or with train_on each data set."
    )
    train_on: Annotated[list[str], AfterValidator(each_once)] = Field(
        [],
        description="Data sets to train and to choose thresholds on, in place of the other subjects of `datasets`; "
        "each of `datasets` is then held out as a whole, and with it the same people elsewhere.",
    )
    recognise_with: str | None = Field(
        None,
        pattern="^[^/]+/[^/]+$",
        description="Spot, then recognise: EXPERIMENT/METHOD of `recognition`. Its folds recognise each detection "
        "of the same held-out subject (first seeds). Adds events.csv and the STRS.",
    )
    select: SelectParams = SelectParams()
    seeds: int = Field(1, ge=1, description="Repetitions with other random numbers; each is reported.")
    seed: int | None = Field(None, ge=0, description="First random seed; none takes the run's seed.")
    same_people: list[list[str]] = Field(
        [],
        description="More groups of data sets in which the same subject name is the same person; one release read "
        "twice, and SAMM with SAMM Long Videos, are known.",
    )
    methods: dict[str, dict[str, Any]] = Field(
        DEFAULT_METHODS,
        min_length=1,
        description="Row of the table -> options of its method; `method` names it where it is not the row's name.",
    )

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        both = sorted(set(self.datasets) & set(self.train_on))
        if both:
            raise ValueError(f"{both[0]} is trained on and tested: leave it out of train_on")
        return self


class SpottingFoldParams(CalibrationParams):
    """What the stage `spotting-fold` reads."""

    experiment: str = Field(description="Name of the experiment.")
    name: str = Field(description="The method's row in the table.")
    method: str = Field(description="A shipped method, an entry point, or package.module:Class.")
    method_version: int = Field(description="The method's version.")
    options: dict[str, Any] = Field({}, description="Options of the method.")
    seeds: int = Field(1, ge=1, description="Repetitions.")
    seed: int = Field(0, ge=0, description="First random seed.")
    people: list[list[str]] = Field([], description="Groups of data sets in which one subject name is one person.")
    train_on: list[str] = Field([], description="Data sets that are trained on; none: all but who is held out.")


class DetectParams(ChoiceParams):
    """What the stage `detect` reads."""

    experiment: str = Field("", description="Name of the experiment.")
    name: str = Field("method", description="The method's row in the table.")
    people: list[list[str]] = Field([], description="Groups of data sets in which one subject name is one person.")
    train_on: list[str] = Field([], description="Data sets that are trained on; none: all but who is held out.")
