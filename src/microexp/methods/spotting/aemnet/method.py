"""AEM-Net as a method: windows over the features, one training per fit, proposals from all windows of a video."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microexp.errors import UserError
from microexp.methods.context import Context
from microexp.methods.spotting.aemnet.params import AemnetParams
from microexp.methods.spotting.base import FitRequest, Found, SpottingMethod, SpottingVideo, Truth
from microexp.methods.spotting.fits import start_path
from microexp.records.features import Features, Key
from microexp.records.index import KINDS
from microexp.run import bundle
from microexp.run.stage import validate

if TYPE_CHECKING:
    from torch import Tensor

    from microexp.methods.spotting.aemnet.features import FeatureVideo
    from microexp.methods.spotting.aemnet.geometry import Geometry, Window
    from microexp.methods.spotting.aemnet.network import AemNet
    from microexp.methods.spotting.aemnet.training import Fit

# The weights of trained AEM-Nets in a file, and as the first ones of another training.

PART = "method.0"


def prefixes(networks: int) -> list[str]:
    """What the names of weights begin with in a file of so many networks; nothing for one alone."""
    return [""] if networks == 1 else [f"{k}/" for k in range(networks)]


def split_weights(weights: Mapping[str, Tensor], networks: int) -> list[dict[str, Tensor]]:
    """The weights of each network of a file."""
    return [
        {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        for prefix in prefixes(networks)
    ]


def start_weights(path: Path, options: AemnetParams, streams: Mapping[str, Features]) -> list[dict[str, Tensor]]:
    """The weights of each network of a model file, for networks of these options on features such as `streams`.

    Raises:
        UserError: when it is no AEM-Net, or network, window or features differ: the first difference is named.
    """
    from safetensors.torch import load

    found = bundle.read(path)
    if found.about.get("reference") != "aemnet" or PART not in found.parts:
        raise UserError(file=path, where="start_from", problem="another kind of file", expected="a model of AEM-Net")
    theirs = validate(AemnetParams, found.about.get("options") or {}, path, where="options")
    ours, known = options.network.model_dump(mode="json"), theirs.network.model_dump(mode="json")
    pairs = {f"network.{name}": (ours[name], known[name]) for name in ours}
    pairs["window_frames"] = (options.window_frames, theirs.window_frames)
    for name, features in streams.items():
        layout = found.about["streams"][name]
        pairs[f"{name}: step_frames"] = (features.step_frame, layout["step_frames"])
        pairs[f"{name}: clip_frames"] = (features.clip_frame, layout["clip_frames"])
        pairs[f"{name}: channels"] = (list(features.channels), layout["channels"])
    for name, (got, expected) in pairs.items():
        if got != expected:
            raise UserError(
                file=path, where=name, got=_short(got), expected=f"{_short(expected)}, as in the model to start from"
            )
    return split_weights(load(found.parts[PART]), theirs.networks)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


SEEDS_APART = 1_000_003
"""Between the seeds of two networks of a fit."""


@dataclass(frozen=True)
class AemnetModel:
    """What a fit has trained.

    Attributes:
        networks: in evaluation mode; their answers are averaged.
        geometry: of its windows.
        options: as trained.
        in_channels: channels of its features.
    """

    networks: tuple[AemNet, ...]
    geometry: Geometry
    options: AemnetParams
    in_channels: int


class AemNetMethod(SpottingMethod[AemnetModel, AemnetParams]):
    """AEM-Net: fused feature streams, a multi-scale temporal network with channel attention, anchors and points."""

    Options = AemnetParams
    gpu = True
    stacks = True

    def streams(self, options: AemnetParams) -> tuple[str, ...]:
        """The streams of `network.streams`."""
        return options.network.streams

    def starts_from(self, options: AemnetParams) -> Path | None:
        """The model of `start_from`."""
        return start_path(options.start_from) if options.start_from else None

    def fit(
        self, videos: Sequence[SpottingVideo], truth: Truth, options: AemnetParams, *, context: Context
    ) -> AemnetModel:
        """Train one fit.

        Raises:
            UserError: when there are too few windows to train on.
        """
        return self.fit_many([FitRequest(videos, truth, context)], options, context)[0]

    def fit_many(self, requests: Sequence[FitRequest], options: AemnetParams, context: Context) -> list[AemnetModel]:
        """Train the networks of several fits side by side; each is the one that it would be alone.

        Raises:
            UserError: when there are too few windows to train on.
        """
        import torch

        from microexp.methods.spotting.aemnet.features import FeatureStore, FeatureVideo, common_layout
        from microexp.methods.spotting.aemnet.geometry import warn_if_short
        from microexp.methods.spotting.aemnet.training import train_many
        from microexp.methods.training import reproducible

        device = torch.device(context.device)
        ours = {v.key: FeatureVideo.of(v, options.network.streams) for r in requests for v in r.videos}
        step, _, channels = common_layout(list(ours.values()))
        geometry = geometry_of(options, step)
        warn_if_short(list(ours.values()), options.window_frames)
        store = FeatureStore(ours.values(), centre=options.centre == "video")
        with reproducible(device):
            members = [_Member(request, number) for request in requests for number in range(options.networks)]
            windows = [_windows_of(member, ours, geometry, options) for member in members]
            fits = _started(members, options, geometry=geometry, in_channels=channels, context=context)
            train_many(
                fits, windows, store, geometry=geometry, options=options, device=device,
                after_epoch=_reporter(fits, members, options, context),
            )  # fmt: skip
        networks = [fit.network for fit in fits]
        parts = [tuple(networks[k : k + options.networks]) for k in range(0, len(fits), options.networks)]
        return [AemnetModel(part, geometry, options, channels) for part in parts]

    def propose(self, model: AemnetModel, video: SpottingVideo) -> Found:
        """The best proposals of all windows of a video."""
        from microexp.methods.spotting.aemnet.features import FeatureStore, FeatureVideo
        from microexp.methods.spotting.aemnet.proposals import propose
        from microexp.methods.training import reproducible

        ours = FeatureVideo.of(video, model.options.network.streams)
        if ours.n_channels != model.in_channels:
            raise UserError(
                file="/".join(video.key), problem=f"{ours.n_channels} channels", expected=f"{model.in_channels}"
            )
        device = next(model.networks[0].parameters()).device
        store = FeatureStore([ours], centre=model.options.centre == "video")
        with reproducible(device):
            rows = propose(model.networks, ours, store, geometry=model.geometry, options=model.options, device=device)
        return {
            kind: (
                np.array([(r[1], r[2]) for r in rows if r[0] == kind], np.float64).reshape(-1, 2),
                np.array([r[3] for r in rows if r[0] == kind], np.float64),
            )
            for kind in KINDS
        }

    def to_bytes(self, model: AemnetModel) -> bytes:
        """Safetensors: the weights, and what it takes to build the networks again."""
        from safetensors.torch import save

        weights = {
            f"{prefix}{name}": value.detach().cpu().clone()
            for prefix, network in zip(prefixes(len(model.networks)), model.networks, strict=True)
            for name, value in sorted(network.state_dict().items())
        }
        about = {"step_frame": model.geometry.step_frame, "in_channels": model.in_channels}
        # one key only: safetensors writes several in no fixed order
        return bytes(save(weights, {"aemnet": json.dumps(about, sort_keys=True)}))

    def from_bytes(self, data: bytes, options: AemnetParams) -> AemnetModel:
        """The networks, on the CPU."""
        from safetensors.torch import load

        from microexp.methods.spotting.aemnet.network import AemNet

        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["aemnet"])
        geometry = geometry_of(options, int(about["step_frame"]))
        networks = []
        for weights in split_weights(load(data), options.networks):
            networks.append(AemNet(int(about["in_channels"]), geometry, options.network).eval())
            networks[-1].load_state_dict(weights)
        return AemnetModel(tuple(networks), geometry, options, int(about["in_channels"]))


@dataclass(frozen=True)
class _Member:
    """One network of a fit: the fit's request and which of its networks it is, from 0."""

    request: FitRequest
    number: int

    @property
    def seed(self) -> int:
        """The fit's own for the first network; the others lie far from what other repetitions take."""
        return self.request.context.seed + SEEDS_APART * self.number


def geometry_of(options: AemnetParams, step_frame: int) -> Geometry:
    """Where predictions sit in a window of these options."""
    from microexp.methods.spotting.aemnet.geometry import make_geometry

    network = options.network
    return make_geometry(
        options.window_frames, step_frame, network.stem_stride, levels=network.levels, ratios=network.anchor_ratios
    )


def _windows_of(
    member: _Member, ours: Mapping[Key, FeatureVideo], geometry: Geometry, options: AemnetParams
) -> list[Window]:
    from microexp.methods.spotting.aemnet.geometry import training_windows

    return training_windows(
        [ours[v.key] for v in member.request.videos], member.request.truth, geometry,
        stride_frames=options.train_stride_frames, inside=options.inside_share, empty_ratio=options.empty_ratio,
        seed=member.seed,
    )  # fmt: skip


def _started(
    members: Sequence[_Member], options: AemnetParams, *, geometry: Geometry, in_channels: int, context: Context
) -> list[Fit]:
    """Fresh networks, those of `start_from`, or those of a training that was interrupted."""
    import torch

    from microexp.methods.spotting.aemnet.training import restore_fits, start_fit

    device = torch.device(context.device)
    fits = [
        start_fit(member.seed, in_channels=in_channels, geometry=geometry, options=options, device=device)
        for member in members
    ]
    if options.start_from:
        weights = start_weights(start_path(options.start_from), options, members[0].request.videos[0].streams)
        for fit, member in zip(fits, members, strict=True):
            fit.network.load_state_dict(weights[member.number % len(weights)])
    if context.state is not None:
        restore_fits(fits, context.state)
    return fits


def _reporter(
    fits: Sequence[Fit], members: Sequence[_Member], options: AemnetParams, context: Context
) -> Callable[[Sequence[Fit]], None]:
    """What follows an epoch: a row in the log of each fit, progress, and a state to go on from."""
    from microexp.methods.spotting.aemnet.training import LOG_COLUMNS, state_of

    member_of = {id(fit): member for fit, member in zip(fits, members, strict=True)}

    def after_epoch(done: Sequence[Fit]) -> None:
        """Report the fits that have just done an epoch."""
        for fit in done:
            member = member_of[id(fit)]
            which = {"network": member.number + 1} if options.networks > 1 else {}
            member.request.context.log(**dict(zip(LOG_COLUMNS, fit.log[-1], strict=True)), **which)
        context.progress(sum(len(fit.log) for fit in fits), len(fits) * options.epochs)
        context.keep(lambda: state_of(fits))

    return after_epoch
