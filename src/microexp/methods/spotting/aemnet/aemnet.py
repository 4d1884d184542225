"""The stage `aemnet`: train on every subject but one, then propose expressions for that one.

Nothing that is trained, chosen or logged depends on the held-out subject: its features are opened only after the model
and the training log are written, its annotations are never used. Proposals for training subjects come from fits that
did not see them (`role: calibration`), so that thresholds can be chosen without the held-out subject.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from microexp.errors import UserError
from microexp.methods.spotting.aemnet.features import (
    FeatureStore,
    FeatureVideo,
    common_layout,
    list_videos,
    stream_slice,
)
from microexp.methods.spotting.aemnet.geometry import Geometry, make_geometry
from microexp.methods.spotting.aemnet.network import AemNet
from microexp.methods.spotting.aemnet.proposals import Proposal, label, propose, write_proposals
from microexp.methods.spotting.aemnet.training import (
    LOG_COLUMNS,
    Fit,
    device_name,
    fingerprint,
    load_checkpoint,
    reproducible,
    restore_fit,
    save_checkpoint,
    start_fit,
    train,
)
from microexp.methods.spotting.aemnet.windows import VideoKey, permute_expressions, training_windows, warn_if_short
from microexp.methods.spotting.params import AemnetParams, NetworkParams
from microexp.records.index import Expression, read_expressions, read_videos
from microexp.run import storage
from microexp.run.devices import pick_device
from microexp.run.log import track
from microexp.run.names import split_fold
from microexp.run.runner import source_sha256
from microexp.run.stage import Job, Stage

CHECKPOINT_EVERY_S = 20.0
Subject = tuple[str, str]


@dataclass(frozen=True)
class FitPlan:
    """One training of the fold.

    Attributes:
        model: `aemnet`, or `permuted` for the control.
        seed: the repetition.
        name: `main`, `inner1` …, or `all`.
        subjects: whom it is trained on.
        calibration: training subjects that it proposes for, never among `subjects`.
        final: whether it proposes for the held-out subject and is kept.
    """

    model: str
    seed: int
    name: str
    subjects: tuple[Subject, ...]
    calibration: tuple[Subject, ...]
    final: bool


def plan_fits(subjects: Sequence[Subject], options: AemnetParams, seed: int) -> list[FitPlan]:
    """The trainings of a fold, in order.

    Args:
        subjects: training subjects, sorted.
        options: says how calibration proposals come about.
        seed: of the run; draws who calibrates.

    Raises:
        UserError: when there are too few training subjects to keep some for calibration.
    """
    if len(subjects) < 2:
        raise UserError(
            file="features",
            problem=f"{len(subjects)} training subject(s)",
            expected="at least 2, one of them to calibrate",
        )
    plans = []
    for model in ("aemnet", "permuted") if options.permuted_control else ("aemnet",):
        for repetition in options.seeds:
            parts = _calibration_parts(subjects, options, seed + repetition)
            single = options.selection == "held_out"
            final = single and not options.refit
            for k, part in enumerate(parts, 1):
                rest = tuple(s for s in subjects if s not in part)
                plans.append(FitPlan(model, repetition, "main" if single else f"inner{k}", rest, part, final))
            if not final:
                plans.append(FitPlan(model, repetition, "all", tuple(subjects), (), True))
    return plans


def _calibration_parts(subjects: Sequence[Subject], options: AemnetParams, seed: int) -> list[tuple[Subject, ...]]:
    order = np.random.default_rng([seed, 0]).permutation(len(subjects))
    if options.selection == "held_out":
        count = min(len(subjects) - 1, max(1, round(options.calibration_share * len(subjects))))
        return [tuple(subjects[i] for i in sorted(order[:count]))]
    folds = min(options.inner_folds, len(subjects))
    return [tuple(subjects[i] for i in sorted(order[k::folds])) for k in range(folds)]


def run(job: Job[AemnetParams]) -> Mapping[str, Any]:
    """Train the fold `job.keys["fold"]`, write model and log, then read the held-out subject and write proposals."""
    options, seed = job.params, job.params.seed or 0
    held_out = split_fold(job.keys["fold"])
    training_paths, test_paths = split_shards(job.inputs["features"], held_out)
    videos = list_videos(training_paths)
    expressions = read_annotations(job.inputs["expressions"], job.inputs["videos"], held_out)
    step, _, n_channels = common_layout(videos)
    warn_if_short(videos, options.window_frames)
    network = options.network
    geometry = make_geometry(options.window_frames, step, network.stem_stride, network.levels, network.anchor_ratios)
    channels = stream_slice(network.streams, n_channels)
    device = pick_device(job.device)
    plans = plan_fits(sorted({(v.dataset, v.subject) for v in videos}), options, seed)
    checkpoint = Path(f"{job.output('model')}.checkpoint")
    key = fingerprint(
        options.model_dump_json(), job.keys["fold"], sorted(expressions.items()), source_sha256(), torch.__version__,
        device_name(device), [storage.input_hash(p) for p in training_paths],
    )  # fmt: skip
    with reproducible(device), FeatureStore(videos, channels, options.centre == "video") as store:
        fold = Fold(store, expressions, geometry, options, seed, device)
        logs, proposals, networks = fold.train_all(plans, checkpoint, key)
        width = len(range(*channels.indices(n_channels)))
        write_model(job.output("model"), networks, geometry, options, width)
        storage.write_csv(job.output("training"), LOG_COLUMNS, logs)
    with reproducible(device):  # from here on the held-out subject may be looked at
        proposals += propose_held_out(test_paths, networks, channels, videos[0], geometry, options, device)
    write_proposals(job.output("proposals"), proposals)
    checkpoint.unlink(missing_ok=True)
    return {"device": str(device), "fits": len(plans)}


def split_shards(paths: Sequence[Path], held_out: Subject) -> tuple[list[Path], list[Path]]:
    """Shards `…/{dataset}/{subject}.h5` of the training subjects and of the held-out one, by their names alone.

    Raises:
        UserError: when the held-out subject's shard is not among them.
    """
    test = [p for p in paths if (p.parent.name, p.stem) == held_out]
    if not test:
        raise UserError(
            file="command line",
            where="--features",
            problem="no shard of " + "/".join(held_out),
            expected="the held-out subject's too",
        )
    return sorted(p for p in paths if p not in test), test


def read_annotations(
    paths: Sequence[Path], videos: Sequence[Path], held_out: Subject | None
) -> dict[VideoKey, list[Expression]]:
    """Expressions by video that its frames show, those of the held-out subject left out."""
    known = {v.key: v for path in videos for v in read_videos(path)}
    found: dict[VideoKey, list[Expression]] = {}
    for path in paths:
        for item in read_expressions(path, known.values()):
            if (item.dataset, item.subject) != held_out and item.is_inside(known[item.video_key].n_frames):
                found.setdefault(item.video_key, []).append(item)
    return found


@dataclass(frozen=True)
class Fold:
    """What all fits of a fold share."""

    store: FeatureStore
    expressions: Mapping[VideoKey, Sequence[Expression]]
    geometry: Geometry
    options: AemnetParams
    seed: int
    device: torch.device

    def train_all(
        self, plans: Sequence[FitPlan], checkpoint: Path, key: str
    ) -> tuple[list[tuple[Any, ...]], list[Proposal], dict[str, AemNet]]:
        """All fits one after the other, going on from `checkpoint` when it fits `key`.

        Returns:
            Rows of the training log, calibration proposals, and the final networks by `model.seed`.
        """
        state = load_checkpoint(checkpoint, key) or {"index": 0, "done": {"log": [], "proposals": [], "networks": {}}}
        done: dict[str, Any] = state["done"]
        total = len(plans) * self.options.epochs
        started = state["index"] * self.options.epochs + state.get("fit", {}).get("epoch", 0)
        ticks = iter(track(range(total - started), "aemnet: epochs", total - started))
        saved = time.monotonic()
        for index in range(state["index"], len(plans)):
            plan = plans[index]

            def after_epoch(fit: Fit, index: int = index) -> None:
                nonlocal saved
                next(ticks, None)
                if time.monotonic() - saved >= CHECKPOINT_EVERY_S:
                    save_checkpoint(checkpoint, key, index, fit, done, self.device)
                    saved = time.monotonic()

            fit = self._fit(plan, state.pop("fit", None) if index == state["index"] else None, after_epoch)
            done["log"] += fit.log
            done["proposals"] += [astuple(p) for p in self._calibrate(plan, fit.network)]
            if plan.final:
                done["networks"][f"{plan.model}.{plan.seed}"] = fit.network.state_dict()
        next(ticks, None)
        proposals = [Proposal(*row) for row in done["proposals"]]
        return done["log"], proposals, {name: self._network(weights) for name, weights in done["networks"].items()}

    def _fit(self, plan: FitPlan, state: dict[str, Any] | None, after_epoch: Callable[[Fit], None]) -> Fit:
        videos = list(self._videos(plan.subjects))
        seed = self.seed + plan.seed
        expressions = self.expressions
        if plan.model == "permuted":
            expressions = permute_expressions(videos, expressions, seed)
        o = self.options
        windows = training_windows(
            videos, expressions, self.geometry, o.train_stride_frames, o.inside_share, o.empty_ratio, seed
        )
        fit = start_fit((plan.model, plan.seed, plan.name), seed, self._width(), self.geometry, o, self.device)
        if state is not None:
            restore_fit(fit, state, self.device)
        train(fit, windows, self.store, self.geometry, o, self.device, after_epoch)
        return fit

    def _calibrate(self, plan: FitPlan, network: AemNet) -> list[Proposal]:
        found = []
        for video in self._videos(plan.calibration):
            rows = propose(network, video, self.store, self.geometry, self.options, self.device)
            found += label(rows, plan.model, "calibration", plan.seed, video)
        return found

    def _videos(self, subjects: Sequence[Subject]) -> Iterator[FeatureVideo]:
        return (v for v in self.store.videos if (v.dataset, v.subject) in subjects)

    def _width(self) -> int:
        return len(range(*self.store.channels.indices(self.store.videos[0].n_channels)))

    def _network(self, weights: Mapping[str, torch.Tensor]) -> AemNet:
        network = AemNet(self._width(), self.geometry, self.options.network).to(self.device)
        network.load_state_dict(weights)
        return network.eval()


def propose_held_out(
    paths: Sequence[Path],
    networks: Mapping[str, AemNet],
    channels: slice,
    like: FeatureVideo,
    geometry: Geometry,
    options: AemnetParams,
    device: torch.device,
) -> list[Proposal]:
    """Test proposals of every network for every video of the held-out subject, whose layout must be that of `like`."""
    videos = list_videos(paths)
    common_layout([like, *videos])
    found = []
    with FeatureStore(videos, channels, options.centre == "video") as store:
        for name, network in networks.items():
            model, _, repetition = name.partition(".")
            for video in videos:
                rows = propose(network, video, store, geometry, options, device)
                found += label(rows, model, "test", int(repetition), video)
    return found


def write_model(
    path: Path, networks: Mapping[str, AemNet], geometry: Geometry, options: AemnetParams, in_channels: int
) -> None:
    """Write the final networks as one safetensors file, tensors named `model.seed.parameter`."""
    from safetensors.torch import save

    weights = {f"{n}.{k}": v.detach().cpu().clone() for n, net in networks.items() for k, v in net.state_dict().items()}
    description = {
        "network": options.network.model_dump(mode="json"),
        "window_frames": options.window_frames,
        "step_frames": geometry.step_frame,
        "in_channels": in_channels,
    }
    # one key only: safetensors writes several in no fixed order
    storage.write_bytes(path, save(weights, {"aemnet": json.dumps(description, sort_keys=True)}))


def read_model(path: Path) -> tuple[dict[str, AemNet], Geometry, NetworkParams]:
    """The networks of a model file by `model.seed`, ready to predict, with their pyramid and options.

    Raises:
        UserError: when it is no model of this stage.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            description = json.loads(file.metadata()["aemnet"])
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  safe_open is no mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(file=path, problem=error, expected="a model of the stage aemnet") from error
    options = NetworkParams.model_validate(description["network"])
    geometry = make_geometry(
        description["window_frames"],
        description["step_frames"],
        options.stem_stride,
        options.levels,
        options.anchor_ratios,
    )
    networks = {}
    for name in sorted({key.rsplit(".", key.count(".") - 1)[0] for key in weights}):
        network = AemNet(description["in_channels"], geometry, options)
        network.load_state_dict({k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")})
        networks[name] = network.eval()
    return networks, geometry, options


STAGE = Stage(
    name="aemnet",
    summary="train AEM-Net for one fold and write its proposals",
    params=AemnetParams,
    inputs={
        "features*": "feature shards …/{dataset}/{subject}.h5 of all subjects, the held-out one included",
        "expressions*": "expressions.csv of the data sets or subjects",
        "videos*": "videos.csv of the data sets or subjects",
    },
    outputs={
        "model": "the final networks, safetensors",
        "training": "losses of every epoch, CSV",
        "proposals": "proposals for the held-out and the calibration subjects, CSV",
    },
    run=run,
    keys={"fold": "data set and held-out subject, as casme2-sub05"},
)
