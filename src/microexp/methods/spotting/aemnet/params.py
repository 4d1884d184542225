"""Options of AEM-Net."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from microexp.run.stage import Params


class NetworkParams(Params):
    """Widths and parts of AEM-Net; the defaults are the authors'."""

    fidelity: Literal["paper", "released"] = Field(
        "paper", description="The network as described, or with the released code's layer shapes and mistakes."
    )
    streams: tuple[Literal["i3d_rgb", "i3d_flow", "motion", "given"], ...] = Field(
        ("i3d_rgb", "i3d_flow"), min_length=1, description="Feature streams that are read, side by side."
    )
    input_channels: int | None = Field(
        None, ge=4, description="Channels to which a linear layer narrows the features in front of the stem; none: off."
    )
    stem_channels: tuple[int, ...] = Field((384, 640, 1024), description="Channels of the parallel stem convolutions.")
    stem_kernels: tuple[int, ...] = Field((3, 5, 7), description="Their kernel sizes, odd (released: all 5).")
    stem_stride: Literal[1, 2] = Field(2, description="Stride of the convolution behind the stem.")
    channels: int = Field(512, ge=4, description="Channels of the pyramid.")
    attention_channels: int = Field(256, ge=4, description="Channels inside the attention block.")
    head_channels: int = Field(256, ge=4, description="Channels of the four head branches.")
    squeeze_ratio: int = Field(16, ge=1, description="Reduction of the channel attention.")
    levels: int | None = Field(None, ge=1, description="Pyramid levels; none halves the window down to two positions.")
    top_down: bool = Field(True, description="Whether coarse levels are added to finer ones.")
    channel_attention: bool = Field(True, description="Whether squeeze-and-excitation channel attention is used.")
    local_attention: bool = Field(True, description="Whether the attention block is used on finest and coarsest level.")
    drop_threshold: float = Field(0.45, description="Values of the attention block below this are dropped.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in the attention block.")
    anchor_ratios: tuple[float, ...] = Field((0.5, 0.75, 1.0, 1.5, 2.0), description="Anchor widths over the stride.")

    @model_validator(mode="after")
    def _check_stem(self) -> NetworkParams:
        if len(self.stem_kernels) != len(self.stem_channels) or any(k % 2 == 0 for k in self.stem_kernels):
            raise ValueError("stem_kernels must be odd, one for each of stem_channels")
        return self


class AemnetParams(Params):
    """Options of the method `aemnet`; the defaults are the authors' setting for CAS(ME)^2."""

    network: NetworkParams = NetworkParams()
    window_frames: int = Field(128, ge=8, description="Window, in frames at the features' rate (at 200 fps: 1024).")
    train_stride_frames: int = Field(32, ge=1, description="Distance of training windows, frames.")
    test_stride_frames: int = Field(16, ge=1, description="Distance of test windows, frames.")
    inside_share: float = Field(0.9, ge=0, lt=1, description="An expression belongs to a window that holds more of it.")
    empty_ratio: float = Field(1.0, ge=0, description="Empty training windows per window with an expression.")
    centre: Literal["none", "video"] = Field(
        "none", description="Subtract nothing, or each video's own mean feature (uses no label)."
    )
    epochs: int = Field(30, ge=1, description="Epochs, fixed before the run.")
    warmup_epochs: int = Field(5, ge=0, description="Epochs of linear warm-up; a cosine follows.")
    learning_rate: float = Field(8e-4, gt=0, description="Adam's learning rate (SAMM-LV: 5e-4).")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    batch_size: int = Field(32, ge=2, description="Windows per step.")
    foreground_iou: float = Field(0.5, gt=0, lt=1, description="An anchor above this IoU is positive.")
    background_iou: float = Field(0.4, gt=0, lt=1, description="An anchor below this IoU is negative.")
    anchor_free_weight: float = Field(0.8, ge=0, description="Weight of the anchor-free loss.")
    anchor_based_weight: float = Field(1.2, ge=0, description="Weight of the anchor-based loss.")
    focal_alpha: float = Field(0.25, gt=0, lt=1, description="Focal loss: weight of the positives.")
    focal_gamma: float = Field(2.0, ge=0, description="Focal loss: exponent.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of matrix products. auto: bfloat16 on GPUs that have it, float32 on CPUs; "
        "bfloat16: also on CPUs (faster for wide networks where the CPU has AMX or AVX512-BF16).",
    )
    augment: float = Field(
        0.0,
        ge=0,
        le=1,
        exclude_if=lambda value: value == 0,
        description="How much the features of each training video are varied anew in every epoch: sides swapped, "
        "strength, noise, silent channels; 0: off. For the stream motion alone.",
    )
    start_from: str | None = Field(
        None,
        min_length=1,
        description="Model that training starts from: `shipped`, or a model file of the same network on the same "
        "streams; nobody of the experiment may be among its people.",
    )
    networks: int = Field(
        1,
        ge=1,
        exclude_if=lambda value: value == 1,
        description="Networks of a fit, trained from different random numbers; what they say of a window is averaged.",
    )
    proposals_kept: int = Field(30, ge=1, description="Proposals kept per kind and 128 frames of video, best first.")

    @model_validator(mode="after")
    def _check_iou(self) -> AemnetParams:
        if self.background_iou > self.foreground_iou:
            raise ValueError("background_iou must not be above foreground_iou")
        return self

    @model_validator(mode="after")
    def _check_augment(self) -> AemnetParams:
        if self.augment and self.network.streams != ("motion",):
            raise ValueError("augment is for network.streams [motion] alone")
        return self
