"""Options of recognition."""

from __future__ import annotations

from pydantic import Field

from microexp.stage import Params


class MdmlParams(Params):
    """Options of the stage `mdml`."""

    epochs: int = Field(50, ge=1, description="Epochs, fixed before the run.")
    seed: int | None = Field(None, description="Random seed; none takes the run's seed.")


class RecognitionExperiment(Params):
    """One recognition experiment: leave one subject out over its data sets."""

    datasets: list[str] = Field(min_length=1, description="Data sets whose subjects are the folds.")
    classes: dict[str, list[str]] = Field(
        min_length=2, description="Class -> emotions that belong to it; other emotions are left out."
    )
    kinds: list[str] = Field(["micro"], description="Kinds of expression to recognise: micro, macro.")
    sources: list[str] = Field([], description="Further data sets that guide MDML as source domains.")
    mdml: MdmlParams = MdmlParams()
