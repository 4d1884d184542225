"""Options of optical flow, and the three named parameter sets."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from pydantic import Field, field_validator

from microexp.run.stage import Params


@dataclass(frozen=True)
class Tvl1:
    """Every parameter of TV-L1, with no default left open. Grey levels run from 0 to 255, flow is in px.

    The first ten are those of OpenCV's `DualTVL1OpticalFlow`, there called tau, lambda, theta, scalesNumber, scaleStep,
    warpingsNumber, outerIterations, innerIterations, epsilon and medianFiltering; its gamma (change of light) is always
    0 here. The last five are additions.
    """

    tau: float
    data_weight: float
    theta: float
    scales: int
    scale_step: float
    warps: int
    outer_iterations: int
    iterations: int
    epsilon_px: float
    median_px: int
    interpolation: Literal["cubic", "spline"]
    cubic_a: float
    gradient: Literal["central", "five_point"]
    shading_sigma_px: float
    shading_share: float


_OPENCV = Tvl1(
    tau=0.25,
    data_weight=0.15,
    theta=0.3,
    scales=5,
    scale_step=0.8,
    warps=5,
    outer_iterations=10,
    iterations=30,
    epsilon_px=0.01,
    median_px=5,
    interpolation="cubic",
    cubic_a=-0.75,
    gradient="central",
    shading_sigma_px=0.0,
    shading_share=0.0,
)

PRESETS: dict[str, Tvl1] = {
    # the defaults of OpenCV's CPU implementation: comparable with the literature
    "opencv": _OPENCV,
    # the same model with a warp that keeps ramps, without median, always the same number of steps
    "classic": replace(_OPENCV, outer_iterations=1, epsilon_px=0.0, median_px=1, cubic_a=-0.5),
    # made for faces that move less than about 3 px (docs/flow.md has the measurements behind each number): a warp
    # without sub-pixel bias, and most of the slow shading taken out, since light does not move with the skin
    "micro": replace(
        _OPENCV,
        data_weight=0.2,
        scales=3,
        scale_step=0.5,
        warps=3,
        outer_iterations=1,
        iterations=20,
        epsilon_px=0.0,
        median_px=1,
        interpolation="spline",
        gradient="five_point",
        shading_sigma_px=3.0,
        shading_share=0.8,
    ),
}


Preset = Literal["opencv", "classic", "micro"]

GRADIENT_FLOOR = 1.1920929e-07
"""Below this squared gradient a pixel has no say (FLT_EPSILON, as in OpenCV)."""
GPU_BACKENDS = ("torch", "opencv_cuda")
"""Backends that use a GPU: where there is one, and always."""


class Tvl1Params(Params):
    """Options of the flow between two images, for both `flow` and `apexdiff`; what is null comes from the preset.

    The bounds keep every number finite in 32 bits, whatever the images hold.
    """

    backend: Literal["auto", "numba", "torch", "opencv", "opencv_cuda"] = Field(
        "auto",
        description="Implementation; auto is numba on any machine, GPU or not. torch uses a GPU where there is one, "
        "opencv_cuda needs one.",
    )
    preset: Preset = Field("micro", description="Named set of TV-L1 parameters.")
    tau: float | None = Field(None, ge=1e-4, le=0.25, description="Time step of the dual update.")
    data_weight: float | None = Field(
        None, ge=1e-4, le=100, description="OpenCV's lambda: weight of the data term; smaller is smoother."
    )
    theta: float | None = Field(
        None, ge=1e-3, le=10, description="Tightness between the flow and its auxiliary variable."
    )
    scales: int | None = Field(None, ge=1, le=20, description="Most pyramid levels (none is below 16 px).")
    scale_step: float | None = Field(None, ge=0.1, le=0.95, description="Size ratio of neighbouring levels.")
    warps: int | None = Field(None, ge=1, le=1000, description="Warps of the second image per level.")
    outer_iterations: int | None = Field(
        None, ge=1, le=1000, description="Blocks of iterations per warp, a median before each."
    )
    iterations: int | None = Field(None, ge=1, le=10_000, description="Iterations per block.")
    epsilon_px: float | None = Field(
        None,
        ge=0,
        le=10,
        description="A block stops when the RMS change per iteration is below this, px; 0 never stops.",
    )
    median_px: Literal[1, 3, 5] | None = Field(None, description="Side of the median filter, px; 1 is none.")
    interpolation: Literal["cubic", "spline"] | None = Field(
        None, description="Warp: cubic convolution, or the cubic spline through all pixels."
    )
    cubic_a: float | None = Field(
        None, ge=-1, le=0, description="Slope of the bicubic kernel: -0.5 is exact on ramps, OpenCV has -0.75."
    )
    gradient: Literal["central", "five_point"] | None = Field(None, description="Derivative of the second image.")
    shading_sigma_px: float | None = Field(
        None, ge=0, le=100, description="Width (sigma) of the blur that tells shading from detail, px; 0 keeps all."
    )
    shading_share: float | None = Field(None, ge=0, le=1, description="Share of the shading that is taken out.")

    def tvl1(self) -> Tvl1:
        """The preset with this object's own values in place."""
        preset = PRESETS[self.preset]
        own = {f.name: getattr(self, f.name) for f in fields(Tvl1)}
        return Tvl1(**{k: getattr(preset, k) if v is None else v for k, v in own.items()})


class FlowParams(Tvl1Params):
    """Options of the stage `flow`: those of TV-L1, and what only a video has."""

    warm_start_pairs: int = Field(
        0,
        ge=0,
        le=64,
        description="Pairs in a row that start from the flow of the pair before; 0 starts each from nothing.",
    )
    warm_start_scales: int = Field(1, ge=1, description="Levels of the pyramid used by a pair that is started warm.")
    storage_scale_px: float = Field(
        1 / 512, ge=1e-6, le=1, description="Flow per stored unit, px; 16-bit values reach 32767 times as far."
    )

    @field_validator("warm_start_pairs")
    @classmethod
    def _one_is_none(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0 (off) or at least 2 pairs, of which the first starts from nothing")
        return value
