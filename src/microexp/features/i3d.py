"""Stage `i3d`: two-stream I3D features of every clip of a subject's videos.

A clip is `clip_frames` consecutive frames; feature i covers crop frames [step * i, step * i + clip). RGB drops the last
frame, so that both streams span the n - 1 frames that have a flow to the next one, and T' = (n - 1 - clip) // step + 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.errors import UserError
from microexp.features.params import I3dParams
from microexp.flow.quantise import read_flow
from microexp.run import storage
from microexp.run.devices import pick_device
from microexp.run.log import track
from microexp.run.stage import Job, Stage

if TYPE_CHECKING:
    import h5py

    from microexp.features.i3d_exact import FastI3d

REFERENCE_PX = 224  # flow is scaled as if every crop had this side
BATCH_PX = 8 * 224 * 224  # input px (times clip frames) of one batch: what bounds memory
MAX_BATCH = 16


def clip_count(frames: int, clip_frames: int, step_frames: int) -> int:
    """Clips of a video with `frames` crops; at least one: what is too short is padded."""
    return max(0, frames - 1 - clip_frames) // step_frames + 1


def batches(clips: int, clip_frames: int, step_frames: int, size_px: int) -> Iterator[tuple[int, int, int]]:
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


def prepare_flow(flow_px: np.ndarray, size_px: int, bound_px: float, levels: int = 0) -> np.ndarray:
    """(T, S, S, 2) flow in px of the crop -> (T, 2, size, size) float32 in [-1, 1].

    Flow is taken as px of a 224 px crop, clipped to `bound_px` and divided by it; `levels` of 2 and more
    round to so many.
    """
    factor = np.float32(REFERENCE_PX / flow_px.shape[1] / bound_px)
    scaled = np.clip(np.stack([resize(f, size_px) for f in flow_px.astype(np.float32)]) * factor, -1, 1)
    if levels:
        half = np.float32((levels - 1) / 2)
        scaled = np.rint((scaled + 1) * half) / half - 1
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


def video_features(
    crops: h5py.Dataset, flow: h5py.Dataset, streams: dict[str, FastI3d], params: I3dParams, pool: Pool
) -> np.ndarray:
    """(T', 2048) float32 of one video: RGB, then flow."""
    clips = clip_count(len(crops), params.clip_frames, params.step_frames)
    common = max(1, len(crops) - 1)

    def work() -> Iterator[Callable[[], np.ndarray]]:
        for start, stop, _ in batches(clips, params.clip_frames, params.step_frames, params.size_px):
            rgb = pad(crops[start : min(stop, common)], stop - start, repeat=True)
            moves = pad(read_flow(flow, start, stop), stop - start, repeat=False)
            yield lambda rgb=rgb, moves=moves: batch_features(rgb, moves, streams, params)  # type: ignore[misc]

    return np.concatenate(list(pool.map(work())))


def batch_features(
    crops: np.ndarray, flow_px: np.ndarray, streams: dict[str, FastI3d], params: I3dParams
) -> np.ndarray:
    """(clips, 2048) float32 from the frames of consecutive clips."""
    import torch

    inputs = {
        "rgb": prepare_rgb(crops, params.size_px),
        "flow": prepare_flow(flow_px, params.size_px, params.flow_bound_px, params.flow_levels),
    }
    found = []
    for name, network in streams.items():
        frames = torch.from_numpy(np.ascontiguousarray(inputs[name])).to(network.device)
        on_gpu = network.device.type != "cpu"
        with (
            torch.backends.cudnn.flags(allow_tf32=False),
            torch.autocast("cuda", enabled=on_gpu and params.mixed_precision),
        ):
            features = network.features(frames, params.clip_frames, params.step_frames)
        found.append(features.float().cpu().numpy())
    return np.concatenate(found, 1)


class Pool:
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

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self.executor.shutdown(cancel_futures=True)


def check_pair(name: str, crops: h5py.Group, flow_file: h5py.File, path: object) -> h5py.Group:
    """The flow that belongs to the crops of video `name`.

    Raises:
        UserError: when there is none or it does not match.
    """
    if name not in flow_file:
        raise UserError(
            file=path,
            where=name,
            problem="no such video",
            expected="the flow of these crops",
            hint="run the stage flow again",
        )
    flow = flow_file[name]
    if crops.attrs.get("excluded") or flow.attrs.get("excluded"):
        return flow
    t, side = crops["frames"].shape[:2]
    if flow["flow"].shape != (max(0, t - 1), side, side, 2):
        expected = (max(0, t - 1), side, side, 2)
        raise UserError(
            file=path,
            where=name,
            problem=f"flow of shape {flow['flow'].shape}",
            expected=f"{expected}",
            hint="run the stage flow again",
        )
    return flow


def run(job: Job[I3dParams]) -> dict[str, Any]:
    """Compute the shard of one subject."""
    import torch

    from microexp.features.i3d_exact import FastI3d
    from microexp.features.i3d_load import load_streams

    torch.set_num_threads(1)  # parallel over batches alone: each sum in one order, whatever the number of threads
    params = job.params
    flow_weights = job.input("flow_weights") if job.inputs.get("flow_weights") else None
    device = str(pick_device(job.device))
    if params.mixed_precision and device == "cpu":
        raise UserError(file="i3d.mixed_precision", problem="true on a CPU", expected="a GPU", hint="set it to false")
    rgb_sha256, flow_sha256 = params.rgb_weights_sha256, params.flow_weights_sha256
    states, about = load_streams(job.input("weights"), flow_weights, rgb_sha256, flow_sha256)
    streams = {name: FastI3d(state, device) for name, state in states.items()}
    about_file = {
        **{f"{name}_weights": f"{a['source']} ({a['state_sha256']})" for name, a in about.items()},
        "flow_bound_px": params.flow_bound_px,
        "size_px": params.size_px,
    }
    with (
        storage.open_shard(job.input("crops")) as crops,
        storage.open_shard(job.input("flow")) as flow,
        storage.create_shard(job.output("i3d")) as out,
        Pool(job.threads if device == "cpu" else 1) as pool,
    ):
        whose = {key: crops.attrs[key] for key in ("dataset", "subject") if key in crops.attrs}
        storage.set_attributes(out, {**whose, **about_file})
        for name in track(list(crops), "i3d"):
            flow_group = check_pair(name, crops[name], flow, job.input("flow"))
            write_video(out.create_group(name), crops[name], flow_group, streams, params, pool)
    return {"device": device.partition(":")[0], "weights": about}


def write_video(
    group: h5py.Group,
    crops: h5py.Group,
    flow: h5py.Group,
    streams: dict[str, FastI3d],
    params: I3dParams,
    pool: Pool,
) -> None:
    """Fill the group of one video: features, or the reason why there are none."""
    excluded = crops.attrs.get("excluded") or flow.attrs.get("excluded") or ""
    storage.set_attributes(group, {"excluded": excluded})
    for key in ("fps", "source_fps", "source_n_frames"):
        if key in crops.attrs:
            group.attrs[key] = crops.attrs[key]
    if excluded:
        return
    features = video_features(crops["frames"], flow["flow"], streams, params, pool)
    storage.add_array(group, "features", features, chunks=(min(64, len(features)), features.shape[1]))
    storage.add_array(group, "frame_index", crops["frame_index"][:])
    storage.set_attributes(
        group,
        {
            "clip_frames": params.clip_frames,
            "step_frames": params.step_frames,
            "centre_offset_frames": (params.clip_frames - 1) / 2,
            "n_frames": len(crops["frames"]),
        },
    )


STAGE = Stage(
    name="i3d",
    summary="two-stream I3D features",
    params=I3dParams,
    inputs={
        "crops": "crops of a subject",
        "flow": "their flow",
        "weights": "RGB weights (of the stage weights, or your own)",
        "flow_weights?": "flow weights of your own (default: from the RGB weights)",
    },
    outputs={"i3d": "features of the subject (.h5)"},
    run=run,
)
