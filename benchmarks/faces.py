"""Speed and steadiness of face alignment, against the usual way: the detector and 68 points on every full frame.

    python benchmarks/faces.py [--quick]

Both ways decode, find the face, align and cut crops of 224 px, on one core, in one run; CPU time. Frames are JPEG files
of the rendered demo face: grey at 2040x1088 (as SAMM Long Videos), colour at 640x480 (as CASME II). Ours is the stages
`faces` and `crops` as they are, shards and all, over a video of `--frames` frames (CAS(ME)^2 has 2,600 on average, SAMM
Long Videos 3,300); the usual way writes nothing.

Steadiness: motion that the alignment itself adds; registration: what is left of the head's motion in the onset-apex
maps. Both are measured on rendered faces of known motion.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import dlib
import numpy as np

from microexp.apexdiff.apexdiff import expression_maps, face_mask, shrink, to_grey
from microexp.faces import crops, faces
from microexp.faces.crops import cut, plan_crops
from microexp.faces.dlib_backend import DlibBackend, model_path
from microexp.faces.geometry import RIGID, apply, face_alignment, scale_of
from microexp.faces.observe import observe, regular_frames, spread_frames
from microexp.faces.params import CropsParams, FacesParams
from microexp.faces.segments import reference_landmarks, slow_alignments
from microexp.flow.tvl1 import compute_flow
from microexp.reading.frames import open_video
from microexp.reading.params import DemoParams
from microexp.records.index import Video, write_videos
from microexp.rendered.actor import make_actor
from microexp.rendered.flow import flow_between
from microexp.rendered.render import pose_vertices
from microexp.rendered.scene import Scene, make_scene, render
from microexp.run.provenance import write_provenance
from microexp.run.stage import Job

SIZE = 224
QUALITY = 92
DETECTOR = dlib.get_frontal_face_detector()
PREDICTOR = dlib.shape_predictor(str(model_path()))


def usual_landmarks(frame: np.ndarray) -> np.ndarray:
    """Detector on the whole frame, predictor in its box: (68, 2) px."""
    boxes, scores, _ = DETECTOR.run(frame, 0, 0.0)
    points = PREDICTOR(frame, boxes[int(np.argmax(scores))])
    return np.array([(p.x, p.y) for p in points.parts()], float)


def usual_way(path: Path) -> np.ndarray:
    """Decode one frame in colour, find, align and cut the face."""
    frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
    landmarks = usual_landmarks(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    matrix = SIZE * face_alignment(landmarks, 0.35, 0.36)
    return cv2.warpAffine(frame, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC)


def make_frames(folder: Path, width: int, height: int, face_px: int, grey: bool, n_frames: int) -> None:
    """A folder of `n_frames` JPEG files that show eight different pictures in turn."""
    scene = make_scene(DemoParams(seconds=24, seed=0), "s05_1")
    camera = dataclasses.replace(scene.camera, width=width, height=height, scale_px=face_px / 1.55)
    scene = dataclasses.replace(scene, camera=camera, noise=2.0)
    data = []
    for t in range(8):
        frame = render(scene, 4 * t)
        frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if grey else frame[..., ::-1]
        data.append(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    for i in range(n_frames):
        (folder / f"img{i + 1}.jpg").write_bytes(data[i % 8])


def speed(width: int, height: int, face_px: int, grey: bool, n_frames: int, usual_frames: int) -> None:
    """Print CPU milliseconds per frame of both ways and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder, listed = Path(name) / "v", Path(name) / "videos.csv"
        folder.mkdir()
        make_frames(folder, width, height, face_px, grey, n_frames)
        write_videos(listed, [Video("set", "s", "v", str(folder), n_frames, 30.0, width, height)])
        paths = sorted(folder.iterdir())[:8]
        usual_way(paths[0])
        observe(DlibBackend(), np.array([0]), open_video(folder).read([0], grey=True))  # load the models
        start = time.process_time()
        for i in range(usual_frames):
            usual_way(paths[i % 8])
        usual = (time.process_time() - start) / usual_frames
        start = time.process_time()
        shards = {stage: Path(name) / stage / "set" / "s.h5" for stage in ("faces", "crops")}
        faces.run(Job({"videos": [listed]}, shards, FacesParams()))
        middle = time.process_time()
        write_provenance(shards["faces"], {})  # without a record no stage reads a shard
        start += time.process_time() - middle
        middle = time.process_time()
        crops.run(Job({"videos": [listed], "faces": [shards["faces"]]}, shards, CropsParams(size=SIZE)))
        end = time.process_time()
    one, two = (middle - start) / n_frames, (end - middle) / n_frames
    print(
        f"{width}x{height} {'grey' if grey else 'colour'}, {n_frames} frames: usual {1e3 * usual:.1f} ms a frame, "
        f"ours {1e3 * (one + two):.2f} (faces {1e3 * one:.2f}, crops {1e3 * two:.2f}): {usual / (one + two):.1f}x",
        flush=True,
    )


def true_points(scene: Scene, frames: int) -> np.ndarray:
    """(frames, n, 2) px: points of the face that no expression moves, as the head's motion carries them."""
    actor = make_actor(scene.script.subject, scene.camera)
    still = np.abs(actor.units).max(axis=(0, 2)) < 1e-4
    rest = actor.rest
    front = still & (actor.follows > 0.999).reshape(len(rest)) & (rest[:, 2] > np.quantile(rest[:, 2], 0.8))
    poses = (scene.pose(t) for t in range(frames))
    calm = (dataclasses.replace(p, units=np.zeros_like(p.units), gaze_rad=(0.0, 0.0)) for p in poses)
    return np.stack([scene.camera.project(pose_vertices(actor, p))[front, :2] - 0.5 for p in calm])


def steadiness(sway: bool, frames: int) -> None:
    """Print how far still points of the head move in the crops within half a second, for three ways to align."""
    scene = make_scene(DemoParams(seconds=24, seed=0), "s05_1")
    if not sway:
        script = scene.script
        script = dataclasses.replace(script, turn_rad=0 * script.turn_rad, shift=0 * script.shift)
        scene = dataclasses.replace(scene, script=script)
    images = [cv2.cvtColor(render(scene, t), cv2.COLOR_RGB2GRAY) for t in range(frames)]
    truth = true_points(scene, frames)
    looks = np.union1d(spread_frames(frames, 24), regular_frames(frames, 30.0, 0.2))
    seen = observe(DlibBackend(), looks, (images[t] for t in looks)).observations()
    reference = reference_landmarks(seen.landmarks)
    fixed = face_alignment(reference, 0.35, 0.36)
    usual = np.stack([usual_landmarks(image) for image in images])
    each = np.stack([face_alignment(points, 0.35, 0.36) for points in usual])
    ways = {
        "fixed (default)": np.repeat(fixed[None], frames, 0),
        "slow": slow_alignments(fixed, reference, seen, n_frames=frames, step=6.0, window=120.0),
        "frame by frame": each,
    }
    jitter = np.diff(usual[:, RIGID], axis=0)
    print(f"head {'sways' if sway else 'is still'}, {frames} frames of 320x240; usual landmark jitter "
          f"{np.sqrt(np.median((jitter**2).sum(-1).mean(-1)) / 2):.2f} px")  # fmt: skip
    for name, alignments in ways.items():
        places = np.stack([apply(m, p) for m, p in zip(alignments, truth, strict=True)]) / scale_of(fixed)
        for gap in (1, 15):
            moved = np.linalg.norm(places[gap:] - places[:-gap], axis=-1)
            print(f"  {name:16s} within {gap:2d} frames: RMS {np.sqrt((moved**2).mean()):.3f} px, "
                  f"largest {moved.max():.3f} px")  # fmt: skip


def registration(videos: Sequence[str]) -> None:
    """Print the error of onset-apex maps against the flow of the expression alone, for both ways to register."""
    size, stored = 96, 28
    errors: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for video in videos:
        scene = make_scene(DemoParams(seed=0), video)
        actor = make_actor(scene.script.subject, scene.camera)
        first = cv2.cvtColor(render(scene, scene.script.expressions[0].onset), cv2.COLOR_RGB2GRAY)
        alignment = face_alignment(DlibBackend().find(first).landmarks, 0.35, 0.36)
        plan = plan_crops(alignment[None], scene.camera.width, scene.camera.height, size=size)
        for expression in scene.script.expressions:
            before, after = scene.pose(expression.onset), scene.pose(expression.apex)
            still = dataclasses.replace(after, turn_rad=before.turn_rad, shift=before.shift)
            exact, valid = flow_between(actor, before, still, camera=scene.camera)
            exact = cv2.warpAffine(exact, size * alignment, (size, size)) @ (size * alignment[:, :2]).T
            seen = cv2.warpAffine(valid.astype(np.float32), size * alignment, (size, size))
            pair = [cut(render(scene, t), alignment, plan) for t in (expression.onset, expression.apex)]
            grey = to_grey(np.stack(pair))
            flow = compute_flow(grey[:1], grey[1:])[0]
            inside = face_mask(stored) & (cv2.resize(seen, (stored, stored), interpolation=cv2.INTER_AREA) > 0.9)
            truth = cv2.resize(exact, (stored, stored), interpolation=cv2.INTER_AREA) * stored / size
            for way in ("alignment", "rigid"):
                maps = shrink(expression_maps(grey[0], grey[1], flow, registration=way), stored)
                error = np.linalg.norm(maps.flow - truth, axis=-1)[inside].mean()
                motion = np.linalg.norm(truth, axis=-1)[inside].mean()
                errors.setdefault((expression.kind, way), []).append((float(error), float(motion)))
    print(f"onset-apex flow of {len(videos)} people, medians, px of {stored}x{stored} maps")
    for (kind, way), values in errors.items():
        error, motion = np.median(values, axis=0)
        print(f"  {kind} ({len(values)}), {way:10s}: error {error:.3f}, true motion {motion:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer frames: about 15 s")
    parser.add_argument("--frames", type=int, help="frames per video (default 2600, quick 200)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    n_frames = args.frames or (200 if args.quick else 2600)
    speed(2040, 1088, 500, True, n_frames, 3 if args.quick else 16)
    speed(640, 480, 220, False, n_frames, 10 if args.quick else 50)
    for sway in (False, True):
        steadiness(sway, 150 if args.quick else 600)
    registration(["s01_1"] if args.quick else ["s01_1", "s03_1", "s05_1", "s08_1"])


if __name__ == "__main__":
    main()
