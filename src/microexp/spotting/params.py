"""Options of spotting."""

from __future__ import annotations

from pydantic import Field

from microexp.stage import Params


class AemnetParams(Params):
    """Options of the stage `aemnet`."""

    epochs: int = Field(30, ge=1, description="Epochs, fixed before the run.")
    seed: int | None = Field(None, description="Random seed; none takes the run's seed.")


class DetectParams(Params):
    """Options of the stage `detect`."""

    nms_iou: float = Field(0.2, ge=0, le=1, description="IoU above which the less confident proposal goes.")


class SpottingExperiment(Params):
    """One spotting experiment: leave one subject out over its data sets."""

    datasets: list[str] = Field(min_length=1, description="Data sets whose subjects are the folds.")
    aemnet: AemnetParams = AemnetParams()
    detect: DetectParams = DetectParams()
