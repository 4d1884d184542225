"""I3D features of every snippet of a subject's videos, for both streams.

A snippet is `clip_frames` consecutive frames; feature i covers crop frames [step * i, step * i + clip). RGB drops the
last frame, so that both streams span the n - 1 frames that have a flow to the next one:
T' = (n - 1 - clip) // step + 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.features.params import I3dClipParams
from microexp.records.crops import Crops, open_crops
from microexp.records.features import Layout, create_features
from microexp.records.flow import Flow
from microexp.records.shard import Shard
from microexp.records.validity import BREAKS, Reason
from microexp.run.devices import pick_device, warn_if_slow
from microexp.run.log import track
from microexp.run.stage import Job

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from microexp.features.i3d_network import FastI3d

REFERENCE_PX = 224  # flow is scaled as if every crop had this side
BATCH_PX = 8 * 224 * 224  # input px (times clip frames) of one batch: what bounds memory
MAX_BATCH = 16


def clip_count(frames: int, clip_frames: int, step_frames: int) -> int:
    """Clips of a video with `frames` crops; at least one: what is too short is padded."""
    return max(0, frames - 1 - clip_frames) // step_frames + 1


def seen_clips(crops: Crops, clips: int, clip_frames: int, *, step_frames: int) -> np.ndarray:
    """(clips,) bool: whether all frames of each clip show the face, with no gap and no cut inside the clip.

    A repeated frame shows it as the one before does. Features of the other clips are computed all the same, of what
    the crops hold there; they are marked, and no detection rests on them.
    """
    bad = ~(crops.valid | (crops.reason == Reason.REPEATED))
    broken = np.isin(crops.reason, BREAKS)
    seen = []
    for first in range(0, clips * step_frames, step_frames):
        last = min(first + clip_frames, len(bad))
        seen.append(not bad[first:last].any() and not broken[first + 1 : last].any())
    return np.asarray(seen, bool)


def batches(clips: int, clip_frames: int, step_frames: int, *, size_px: int) -> Iterator[tuple[int, int, int]]:
    """(first frame, frame after the last, clips) of each batch; a function of the options and the length alone."""
    size = max(1, min(MAX_BATCH, BATCH_PX // size_px**2))
    for first in range(0, clips, size):
        count = min(size, clips - first)
        start = first * step_frames
        yield start, start + (count - 1) * step_frames + clip_frames, count


def prepare_rgb(crops: np.ndarray, size_px: int) -> np.ndarray:
    """(T, S, S, 3 or 1) uint8 -> (T, 3, size, size) float32 in [-1, 1]; grey is repeated."""
    images = np.stack([resize(c, size_px) for c in crops]).astype(np.float32)
    images = images.reshape(len(crops), size_px, size_px, -1) / np.float32(127.5) - np.float32(1)
    return np.repeat(images, 3 // images.shape[3], 3).transpose(0, 3, 1, 2)


def prepare_flow(flow_px: np.ndarray, size_px: int, bound_px: float) -> np.ndarray:
    """(T, S, S, 2) flow in px of the crop -> (T, 2, size, size) float32 in [-1, 1].

    Flow is taken as px of a 224 px crop, clipped to `bound_px` and divided by it.
    """
    factor = np.float32(REFERENCE_PX / flow_px.shape[1] / bound_px)
    scaled = np.clip(np.stack([resize(f, size_px) for f in flow_px.astype(np.float32)]) * factor, -1, 1)
    return scaled.astype(np.float32).transpose(0, 3, 1, 2)


def resize(image: np.ndarray, size_px: int) -> np.ndarray:
    """Square image of another side: area averages when it shrinks, linear when it grows."""
    if image.shape[0] == size_px:
        return image
    import cv2

    how = cv2.INTER_AREA if size_px < image.shape[0] else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(image, (size_px, size_px), interpolation=how)
    return resized


def pad(frames: np.ndarray, count: int, repeat: bool) -> np.ndarray:
    """`frames` (T, ...) made `count` long: with the last one again, or with zeros."""
    missing = count - len(frames)
    if not missing:
        return frames
    last = frames[-1:] if repeat else np.zeros((1, *frames.shape[1:]), frames.dtype)
    return np.concatenate([frames, np.repeat(last, missing, 0)])


def stream_features(
    frames: int, read: Callable[[int, int], np.ndarray], network: FastI3d, *, params: I3dClipParams, pool: BatchPool
) -> np.ndarray:
    """(T', 1024) float32 of one video.

    Args:
        frames: crops of the video.
        read: (first, last) -> the network's input (last - first, C, size, size) for these frames.
        network: of the stream.
        params: of the snippets.
        pool: threads.
    """
    clips = clip_count(frames, params.clip_frames, params.step_frames)

    def work() -> Iterator[Callable[[], np.ndarray]]:
        """One piece of work per batch of snippets."""
        for start, stop, _ in batches(clips, params.clip_frames, params.step_frames, size_px=params.size_px):
            images = read(start, stop)
            yield lambda images=images: batch_features(images, network, params)  # type: ignore[misc]

    return np.concatenate(list(pool.map(work())))


def batch_features(images: np.ndarray, network: FastI3d, params: I3dClipParams) -> np.ndarray:
    """(clips, 1024) float32 from the frames (T, C, size, size) of consecutive snippets."""
    import torch

    frames = torch.from_numpy(np.ascontiguousarray(images)).to(network.device)
    on_gpu = network.device.type != "cpu"
    with (
        torch.backends.cudnn.flags(allow_tf32=False),
        torch.autocast("cuda", enabled=on_gpu and params.mixed_precision),
    ):
        features = network.features(frames, params.clip_frames, params.step_frames)
    return np.asarray(features.float().cpu().numpy())


def cpu_dtype(device: str, params: I3dClipParams) -> torch.dtype:
    """In which a CPU computes with `mixed_precision`; a GPU's autocast takes care of it there."""
    import torch

    if not params.mixed_precision or device != "cpu":
        return torch.float32
    warn_if_slow("i3d", "mixed_precision: false")
    return torch.bfloat16


class BatchPool:
    """Calls functions on `threads` threads, each of which computes alone, and gives results in the order of calls."""

    def __init__(self, threads: int) -> None:
        import torch

        self.threads = max(1, threads)
        self.executor = ThreadPoolExecutor(self.threads, initializer=lambda: torch.set_num_threads(1))

    def map(self, calls: Iterator[Callable[[], np.ndarray]]) -> Iterator[np.ndarray]:
        """Results of `calls`, with at most one more in the making than there are threads."""
        pending: deque[Future[np.ndarray]] = deque()
        for call in calls:
            pending.append(self.executor.submit(call))
            if len(pending) > self.threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def __enter__(self) -> BatchPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.executor.shutdown(cancel_futures=True)


def check_pair(name: str, crops: Crops, flow_shard: Shard[Flow]) -> Flow:
    """The flow that belongs to the crops of video `name`.

    Raises:
        UserError: when there is none or it does not match.
    """
    flow = flow_shard.need(name)
    if crops.excluded or flow.excluded:
        return flow
    expected = (max(0, len(crops) - 1), crops.side, crops.side, 2)
    if flow.units.shape != expected:
        raise UserError(
            file=flow_shard.path,
            where=name,
            problem=f"flow of shape {flow.units.shape}",
            expected=f"{expected}",
            hint="run the stage flow again",
        )
    return flow


def run_stream(
    job: Job[Any],
    stream: str,
    state: Mapping[str, Tensor],
    *,
    read_video: Callable[[Crops, str], tuple[str, Callable[[int, int], np.ndarray] | None]],
    about: Mapping[str, object],
) -> dict[str, Any]:
    """Compute the shard of one subject.

    Args:
        job: of the stage.
        stream: `i3d_rgb` or `i3d_flow`.
        state: weights of its network.
        read_video: (crops of a video, its name) -> why it is excluded ("" when it is not), and the function that gives
            the network's input.
        about: attributes of the file.
    """
    import torch

    from microexp.features.i3d_network import FastI3d

    torch.set_num_threads(1)  # parallel over batches alone: each sum in one order, whatever the number of threads
    params, device = job.params, str(pick_device(job.device))
    network = FastI3d(dict(state), device, cpu_dtype(device, params))
    with (
        open_crops(job.input("crops")) as crops,
        create_features(job.output("features"), stream, crops.subject, about=about) as out,
        BatchPool(job.threads if device == "cpu" else 1) as pool,
    ):
        for name in track(list(crops), stream):
            own = crops[name]
            excluded, read = read_video(own, name)
            if excluded or read is None:
                out.exclude(name, excluded)
                continue
            features = stream_features(len(own), read, network, params=params, pool=pool)
            layout = Layout(params.step_frames, params.clip_frames, own.fps)
            seen = seen_clips(own, len(features), params.clip_frames, step_frames=params.step_frames)
            out.add(name, features, layout, frame_index=own.frame_index, valid=None if seen.all() else seen)
    return {"device": device.partition(":")[0]}
