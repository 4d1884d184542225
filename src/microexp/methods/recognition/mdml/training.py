"""Training of stacked MDML networks, and prediction with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from microexp.methods.recognition.mdml.batches import (
    BatchPlan,
    Member,
    Normalisation,
    Pool,
    Source,
    normalisation,
    plan,
)
from microexp.methods.recognition.mdml.losses import (
    ENTROPY,
    RunningMoments,
    SourceWeights,
    classification,
    descriptors,
    group_masks,
    moment_distance,
    mutual,
    ramp,
)
from microexp.methods.recognition.mdml.network import HeadMasks, Shape, StackedStream, StageOutputs
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.methods.training import StackedAdam

LOG_COLUMNS = ("epoch", "loss", "classification", "mutual", "domain", "accuracy", "domain_pull")
"""`domain_pull`: how strongly the domain term pulls the features before the heads, against the classification."""


@dataclass(frozen=True)
class Trained:
    """Trained members.

    Attributes:
        streams: stream -> its stacked networks, in evaluation mode.
        columns: stream -> its channels' numbers in the pool.
        scaling: the members' normalisation.
        log: (G, epochs, len(LOG_COLUMNS)) means over each epoch's steps; `domain_pull` of its last step.
        source_weights: (G, epochs, sources) mean learned weight of each source: domains 1, 2, ...; all domains where
            several are targets, each by the mean over those that it guides.
    """

    streams: dict[str, StackedStream]
    columns: dict[str, list[int]]
    scaling: Normalisation
    log: np.ndarray
    source_weights: np.ndarray


def train(
    pool: Pool,
    members: Sequence[Member],
    options: MdmlParams,
    *,
    classes: int,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Trained:
    """Train all members at once; each on its own clips only.

    Args:
        pool: all clips; a member reads only those of its own `domain >= 0`.
        members: networks to train; all must need the same number of steps (see `stacks`).
        options: of the network and the training.
        classes: number of classes.
        device: where to compute.
        progress: told how many steps are done, of how many.
    """
    trainer = _Trainer(pool, members, options, classes, torch.device(device))
    for step in range(trainer.steps):
        trainer.step(step)
        progress(step + 1, trainer.steps)
    return trainer.finish()


def stacks(members: Sequence[Member], options: MdmlParams, limit: int = 80) -> list[list[int]]:
    """Numbers of the members that may be trained together: equally many steps, at most `limit` in a stack."""
    by_steps: dict[tuple[int, int, int], list[int]] = {}
    for number, member in enumerate(members):
        key = (member.steps(options), int(member.domain[member.extra].max(initial=0)), member.peers)
        by_steps.setdefault(key, []).append(number)
    return [group[i : i + limit] for group in by_steps.values() for i in range(0, len(group), limit)]


class _Trainer:
    """State of one training: networks, optimiser, running moments of the sources, and the log."""

    def __init__(
        self, pool: Pool, members: Sequence[Member], options: MdmlParams, classes: int, device: torch.device
    ) -> None:
        self.options, self.classes, self.device = options, classes, device
        self.members = len(members)
        plans = [plan(m, options) for m in members]
        self.steps = len(plans[0].clips)
        assert all(p.clips.shape == plans[0].clips.shape for p in plans), "members of a stack need equal batches"
        self.clips, self.mirror, self.shift = _joined(plans)
        self.source = Source(pool, options.shift_px)
        self.scaling = normalisation(pool, members, options.normalise)
        self.labels = pool.labels
        self.domain = torch.from_numpy(np.stack([m.domain for m in members]))
        self.weight = torch.from_numpy(np.stack([m.weight for m in members]).astype(np.float32))
        self.domains, self.peers = int(self.domain.max()) + 1, members[0].peers
        assert all(m.peers == self.peers for m in members), "members of a stack need equally many targets"
        self.labelled = torch.stack(
            [((self.domain == d) & (pool.labels >= 0)).any(1) for d in range(self.domains)], 1
        ).to(device)
        seeds = [m.seed for m in members]
        self.columns = {s: [pool.channels.index(c) for c in channels] for s, channels in options.streams.items()}
        self.streams = {
            s: StackedStream(_shape(len(c), pool, options, classes), [1000 * seed + number for seed in seeds])
            .to(device)
            .train()
            for number, (s, c) in enumerate(self.columns.items())
        }
        self.masks = HeadMasks(seeds, options.dropout) if options.dropout else None
        self.source_weights = SourceWeights(self.members).to(device)
        self.running: dict[tuple[int, str, int], RunningMoments] = {}
        self.optimiser = self._optimiser()
        self.per_epoch = max(1, round(self.steps / options.epochs))
        epochs = -(-self.steps // self.per_epoch)
        self.log = np.zeros((self.members, epochs, len(LOG_COLUMNS)))
        self.logged_weights = np.zeros((self.members, epochs, self.domains))

    def _optimiser(self) -> StackedAdam:
        decayed, plain = [], list(self.source_weights.parameters())
        for stream in self.streams.values():
            with_decay, without = stream.decayed()
            decayed += with_decay
            plain += without
        decay = [self.options.weight_decay] * len(decayed) + [0.0] * len(plain)
        return StackedAdam([*decayed, *plain], decay)

    def step(self, step: int) -> None:
        """One step of all members."""
        clips = self.clips[step]  # (B, G)
        x = self.scaling.apply(self.source.batch(clips, self.mirror[step], self.shift[step])).to(self.device)
        labels = self.labels[clips].T.to(self.device)
        domain = self.domain.gather(1, clips.T).to(self.device)
        weight = self.weight.gather(1, clips.T).to(self.device)
        outputs = {s: self.streams[s](x[:, :, c], self.masks) for s, c in self.columns.items()}
        terms = self._terms(outputs, labels, domain, weight, step)
        if terms[2].requires_grad and (step + 1) % self.per_epoch == 0:
            self.log[:, step // self.per_epoch, -1] = self._domain_pull(terms, outputs, domain)
        loss = terms[0] + terms[1] + terms[2]
        gradients = torch.autograd.grad(loss.sum(), self.optimiser.values, allow_unused=True)
        self.optimiser.step(gradients, self.options.learning_rate * one_cycle(step, self.steps))
        self._record(step, loss, terms, outputs, labels)

    def _terms(
        self, outputs: dict[str, StageOutputs], labels: Tensor, domain: Tensor, weight: Tensor, step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        options = self.options
        zero = torch.zeros(self.members, device=self.device)
        fit, taught = zero, zero
        for k in range(len(options.channels)):
            for out in outputs.values():
                fit = fit + classification(out.scores[k], labels, weight)
            if options.mutual.weight and len(outputs) > 1:
                factor = options.mutual.weight * ramp(step, self.steps, options.mutual.ramp)
                taught = taught + factor * mutual([o.scores[k] for o in outputs.values()], options.mutual.temperature)
        guided = zero
        if options.domain.weight and self.domains > 1:
            guided = self._domain_term(outputs, labels, domain, step)
        return fit, taught, guided

    def _domain_term(self, outputs: dict[str, StageOutputs], labels: Tensor, domain: Tensor, step: int) -> Tensor:
        """Mean over the target domains of what draws each toward its sources."""
        drawn = [self._drawn(t, outputs, labels, domain, step) for t in range(self.peers)]
        return torch.stack(drawn).mean(0)

    def _drawn(
        self, target: int, outputs: dict[str, StageOutputs], labels: Tensor, domain: Tensor, step: int
    ) -> Tensor:
        """The term of one target: it changes places with domain 0."""
        options = self.options.domain
        order = list(range(self.domains))
        order[0], order[target] = target, 0
        domain, labelled = torch.tensor(order, device=self.device)[domain], self.labelled[:, order]
        masks = group_masks(domain, labels, labelled, classes=self.classes, by_class=options.by_class)
        distances, usable = [], torch.zeros(self.members, self.domains - 1, dtype=torch.bool, device=self.device)
        for stream, out in outputs.items():
            for k, features in enumerate(out.features):
                running = self.running.setdefault((target, stream, k), RunningMoments())
                distance, found = moment_distance(features, masks, running)
                distances.append(distance)
                usable |= found
        total = torch.stack(distances).mean(0)
        weights = self.source_weights(descriptors(distances, masks), usable)
        own = self.source_weights.loss(weights, total.detach(), ENTROPY)
        guided_by = max(1, self.peers - 1)
        shares = np.array([1 / (guided_by if d < self.peers else self.peers) for d in order[1:]])
        self.logged_weights[:, step // self.per_epoch, order[1:]] += (
            weights.detach().cpu().numpy() * shares / self._steps_of(step)
        )
        factor = options.weight * ramp(step, self.steps, options.ramp)
        guided: Tensor = factor * (weights.detach() * total).sum(-1) + own
        return guided

    def _domain_pull(self, terms: Sequence[Tensor], outputs: dict[str, StageOutputs], domain: Tensor) -> np.ndarray:
        """(G,): norm of the domain term's gradient by that of the classification, at the targets' features."""
        features = [f for o in outputs.values() for f in o.features]
        targets = (domain < self.peers).unsqueeze(-1)
        norms = []
        for term in (terms[2], terms[0]):
            gradients = torch.autograd.grad(term.sum(), features, retain_graph=True)
            norms.append(torch.stack([(g * targets).square().sum((1, 2)) for g in gradients]).sum(0).sqrt())
        return np.asarray((norms[0] / norms[1].clamp(min=1e-12)).cpu().numpy())

    def _steps_of(self, step: int) -> int:
        """Steps of the epoch that `step` belongs to (the last one may be shorter or longer)."""
        epoch = step // self.per_epoch
        return min(self.steps, (epoch + 1) * self.per_epoch) - epoch * self.per_epoch

    def _record(
        self, step: int, loss: Tensor, terms: Sequence[Tensor], outputs: dict[str, StageOutputs], labels: Tensor
    ) -> None:
        with torch.no_grad():
            scores = torch.stack([o.scores[-1].softmax(-1) for o in outputs.values()]).mean(0)
            known = labels >= 0
            right = ((scores.argmax(-1) == labels) & known).sum(-1) / known.sum(-1).clamp(min=1)
            values = torch.stack([loss, *terms, right], -1).cpu().numpy()
        epoch = step // self.per_epoch
        self.log[:, epoch, 0] = epoch + 1
        self.log[:, epoch, 1:-1] += values / self._steps_of(step)

    def finish(self) -> Trained:
        """The trained networks, ready to predict."""
        for stream in self.streams.values():
            stream.eval()
        weights = self.logged_weights if self.peers > 1 else self.logged_weights[:, :, 1:]
        return Trained(self.streams, self.columns, self.scaling, self.log, weights)


def _joined(plans: Sequence[BatchPlan]) -> tuple[Tensor, Tensor, Tensor]:
    """Plans side by side: (S, B, G), (S, B, G), (S, B, G, 2)."""
    clips = torch.from_numpy(np.stack([p.clips for p in plans], 2))
    mirror = torch.from_numpy(np.stack([p.mirror for p in plans], 2))
    return clips, mirror, torch.from_numpy(np.stack([p.shift for p in plans], 2))


def _shape(inputs: int, pool: Pool, options: MdmlParams, classes: int) -> Shape:
    return Shape(inputs, pool.maps.shape[-1], tuple(options.channels), classes, options.head_size, options.linear_path)


def one_cycle(step: int, steps: int, warm_up: float = 0.3, *, start: float = 0.04, end: float = 1e-4) -> float:
    """Factor on the peak learning rate: cosine up over the first 30 %, cosine down to nearly 0 (Smith & Topin 2018)."""
    top = max(1.0, warm_up * steps)
    if step < top:
        low, progress = start, step / top
        return low + (1 - low) * (1 - math.cos(math.pi * progress)) / 2
    progress = (step - top) / max(1.0, steps - 1 - top)
    return end + (1 - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def predict(
    trained: Trained, pool: Pool, members: Sequence[Member], *, options: MdmlParams, chunk: int = 32
) -> list[np.ndarray]:
    """Class probabilities (T, classes) of each member's `test` clips, float64.

    The mean over streams of the last stage's softmax, and over the clip and its mirror image.
    """
    longest = max(len(m.test) for m in members)
    clips = np.stack([np.resize(m.test, longest) if len(m.test) else np.zeros(longest, int) for m in members], 1)
    source = Source(pool, 0)
    parts = []
    for start in range(0, longest, chunk):
        rows = torch.from_numpy(clips[start : start + chunk])
        looks = [torch.zeros_like(rows, dtype=torch.bool)]
        looks += [torch.ones_like(looks[0])] if options.mirror_test else []
        shift = torch.zeros((*rows.shape, 2), dtype=torch.int64)
        p = torch.stack([_probabilities(trained, source.batch(rows, m, shift)) for m in looks])
        parts.append(p.double().mean(0).numpy())
    joined = np.concatenate(parts, 1) if parts else np.zeros((len(members), 0, 1))
    return [joined[g, : len(m.test)] for g, m in enumerate(members)]


def _probabilities(trained: Trained, x: Tensor) -> Tensor:
    """(G, B, classes) of a batch (B, G, C, H, W)."""
    device = next(next(iter(trained.streams.values())).parameters()).device
    x = trained.scaling.apply(x).to(device)
    with torch.no_grad():
        outputs = [net(x[:, :, trained.columns[s]]) for s, net in trained.streams.items()]
        scores = [o.scores[-1] for o in outputs]
        return torch.stack([s.softmax(-1) for s in scores]).mean(0).cpu()
