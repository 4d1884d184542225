"""Networks of somebody else: one that spots expressions in the motion of the face, one that recognises them."""

import io

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from microexp.methods.recognition.base import RecognitionMethod
from microexp.methods.spotting.base import SpottingMethod
from microexp.methods.training import reproducible
from microexp.run.stage import Params

KINDS = ("micro", "macro")


class NetOptions(Params):
    width: int = 16
    epochs: int = 20


class Net:
    """What both have in common: a training loop, and bytes that hold sizes and weights."""

    Options, gpu = NetOptions, True

    def train(self, sizes, loss_of, options, *, context):
        with reproducible(context.device):  # the same inputs give the same bytes
            torch.manual_seed(context.seed)
            net = self.build(sizes, options).to(context.device)
            optimiser = torch.optim.Adam(net.parameters(), 3e-3)
            for epoch in range(1, options.epochs + 1):
                optimiser.zero_grad()
                loss = loss_of(net)
                loss.backward()
                optimiser.step()
                context.log(epoch=epoch, loss=loss)
        return net.cpu(), sizes

    def to_bytes(self, model):
        torch.save((model[0].state_dict(), model[1]), file := io.BytesIO())
        return file.getvalue()

    def from_bytes(self, data, options):
        weights, sizes = torch.load(io.BytesIO(data), weights_only=True)
        (net := self.build(sizes, options)).load_state_dict(weights)
        return net, sizes


class SpottingNet(Net, SpottingMethod):
    """Scores every step of a video; proposes the peaks, as long as the training expressions are."""

    def streams(self, options):
        return ("motion",)

    def build(self, sizes, options):
        channels, width = sizes["channels"], options.width
        layers = nn.Conv1d(channels, width, 9, padding=4), nn.ReLU(), nn.Conv1d(width, len(KINDS), 9, padding=4)
        return nn.Sequential(nn.InstanceNorm1d(channels), *layers)

    def fit(self, videos, truth, options, *, context):
        lengths, samples = {kind: [0.5] for kind in KINDS}, []
        for video in videos:
            motion = video.streams["motion"]
            target = torch.zeros(1, len(KINDS), motion.n_steps)
            for item in truth.get(video.key, ()):
                frames = motion.to_frames(np.array([item.onset, item.offset])) - motion.origin_frame
                first, last = np.rint(frames / motion.step_frame).astype(int)
                target[0, KINDS.index(item.kind), max(0, first) : last + 1] = 1
                lengths[item.kind].append((item.offset - item.onset + 1) / video.fps)
            samples.append((self.read(motion).to(context.device), target.to(context.device)))
        sizes = {"channels": motion.n_channels, **{kind: float(np.median(s)) for kind, s in lengths.items()}}
        losses = F.binary_cross_entropy_with_logits
        return self.train(sizes, lambda net: sum(losses(net(x), y) for x, y in samples), options, context=context)

    def propose(self, model, video):
        (net, sizes), motion, found = model, video.streams["motion"], {}
        with reproducible("cpu"), torch.no_grad():
            scores = net(self.read(motion))[0].sigmoid().numpy()
        for kind, of_kind in zip(KINDS, scores, strict=True):
            peaks = np.array([i for i in range(len(of_kind)) if of_kind[i] >= of_kind[max(0, i - 3) : i + 4].max()])
            middles = motion.to_source(peaks * motion.step_frame + motion.origin_frame)[:, None]
            ends = middles + np.array([-0.5, 0.5]) * sizes[kind] * video.fps
            found[kind] = ends.clip(0, video.n_frames - 1), of_kind[peaks]
        return found

    def read(self, motion):
        return torch.from_numpy(motion.read(0, motion.n_steps).T.copy())[None]


class RecognitionNet(Net, RecognitionMethod):
    """A small convolutional network on the flow from onset to apex."""

    def build(self, sizes, options):
        layers = nn.AdaptiveAvgPool2d(14), nn.Conv2d(2, options.width, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(16 * options.width, sizes["classes"]))

    def fit(self, training, options, context):
        clips, label = training.targets()
        x, y = self.flow(clips).to(context.device), torch.from_numpy(label).to(context.device)
        sizes = {"classes": len(training.classes)}
        return self.train(sizes, lambda net: F.cross_entropy(net(x), y), options, context=context)

    def predict(self, model, clips):
        with reproducible("cpu"), torch.no_grad():
            return model[0](self.flow(clips)).softmax(1).double().numpy()

    def flow(self, clips):
        return torch.from_numpy(clips.maps[:, [clips.channels.index(name) for name in ("u", "v")]])
