"""How long the whole chain takes on a data set: from frames to features, stage by stage, against the field's recipe.

    python benchmarks/preprocessing.py [--seconds 10 30] [--clip-seconds 1 2.6] [--usual 6 14] [--json FILE]

Two sets are made from rendered faces: frames like those of CAS(ME)^2 (400x400, colour JPEG, 30 frames/s) and of SAMM
Long Videos (2040x1088, grey JPEG, 200 frames/s, of which 30 are kept). Ours are the stages as they are, each in a
process of its own. The field's recipe decodes every kept frame, runs dlib's detector and its 68 points on the whole
picture, computes OpenCV's TV-L1 with its default options, and runs I3D in plain PyTorch, window by window.

Every step is measured at two lengths, ours and the field's in turns, each process on one thread, and our cheap stages
with a second video, too. The slope is what a frame costs; what the second video costs beside its frames is what a video
costs; the rest is the start of a process, of which a subject needs one. From these follow CPU-hours for the whole data
sets. It takes about ten minutes of CPU time; longer videos make the slopes steadier.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import dlib
import numpy as np

from microexp.faces.dlib_backend import model_path
from microexp.faces.geometry import face_alignment
from microexp.reading.fingerprint import fingerprint
from microexp.reading.params import DemoParams
from microexp.records.index import Video, write_videos
from microexp.rendered.scene import make_scene, render

SIDE, CLIP, STEP = 224, 8, 2
KEPT_FPS = 30
PICTURES = 16
STEPS = {
    "decode, face, crop": ("faces", "crops"),
    "flow": ("flow",),
    "motion": ("motion",),
    "I3D": ("i3d-rgb", "i3d-flow"),
}
"""What is compared, and the stages that do it; the field's recipe has no stream `motion`."""
SETTINGS = {
    "authors' streams (I3D of RGB and flow)": ("decode, face, crop", "flow", "I3D"),
    "recommended (stream motion, no I3D)": ("decode, face, crop", "flow", "motion"),
}


@dataclass(frozen=True)
class Release:
    """A data set as it lies on disk, and the size of the real one."""

    name: str
    width: int
    height: int
    face_px: int
    grey: bool
    fps: int
    subjects: int
    videos: int
    frames: int

    @property
    def kept(self) -> float:
        """Frames of the real data set that are kept."""
        return self.frames * KEPT_FPS / self.fps


RELEASES = (
    Release("CAS(ME)^2", 400, 400, 280, False, 30, 22, 98, 254_094),
    Release("SAMM Long Videos", 2040, 1088, 500, True, 200, 30, 147, 482_797),
)


@dataclass(frozen=True)
class Use:
    """What one process took.

    Attributes:
        kept: frames that it worked on, after resampling.
        cpu_s: CPU time, user and system.
        memory_mb: peak of resident memory.
        file_bytes: what it wrote.
    """

    kept: int
    cpu_s: float
    memory_mb: float
    file_bytes: int = 0


# --- the two sets ---------------------------------------------------------------------------------------------------


def pictures(release: Release) -> list[bytes]:
    """Consecutive frames of a rendered face, from the onset of an expression on, as JPEG files."""
    size = {"width": release.width, "height": release.height, "fps": release.fps}
    scene = make_scene(DemoParams(seconds=24, seed=0, noise=2.0, **size), "s05_1")
    camera = type(scene.camera)(release.width, release.height, release.face_px / 1.55)
    scene = type(scene)(scene.script, camera, scene.noise, scene.key, None, release.fps)
    first = scene.script.expressions[0].onset
    found = []
    for t in range(first, first + PICTURES):
        frame = render(scene, t)
        frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if release.grey else frame[..., ::-1]
        found.append(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
    return found


def make_video(folder: Path, release: Release, images: Sequence[bytes], seconds: float, copies: int = 1) -> Path:
    """A folder of frames that run to and back through `images` (as links), and a table with `copies` rows for it."""
    frames = folder / "frames"
    frames.mkdir(parents=True)
    there_and_back = [*range(len(images)), *range(len(images) - 2, 0, -1)]
    for i, data in enumerate(images):
        (folder / f"{i}.jpg").write_bytes(data)
    n_frames = round(seconds * release.fps)
    for t in range(n_frames):
        os.link(folder / f"{there_and_back[t % len(there_and_back)]}.jpg", frames / f"img{t + 1}.jpg")
    size = release.width, release.height
    mark = fingerprint(frames)
    names = [f"v{number}" for number in range(copies)]
    videos = [Video("set", "s", v, str(frames), n_frames, float(release.fps), *size, fingerprint=mark) for v in names]
    write_videos(folder / "videos.csv", videos)
    return folder


def kept_frames(folder: Path, release: Release) -> list[Path]:
    """Frames that are kept at 30 frames/s."""
    n_frames = len(list((folder / "frames").iterdir()))
    times = np.arange(int(n_frames * KEPT_FPS / release.fps)) * release.fps / KEPT_FPS
    return [folder / "frames" / f"img{int(t) + 1}.jpg" for t in times]


# --- what a process takes -------------------------------------------------------------------------------------------


LAUNCHER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, used = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
"""A small process that starts a command: memory counts from the fork on, and this one here holds PyTorch."""


def measured(command: Sequence[str], kept: int, made: Path | None = None) -> Use:
    """Run a command on one thread and see what it took.

    Raises:
        SystemExit: with its messages, when it fails.
    """
    one = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "BLOSC_NTHREADS"), "1")
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launch, env=one, capture_output=True, text=True, check=False)
    status, cpu_s, memory_mb = json.loads(done.stdout)
    if status:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return Use(kept, cpu_s, memory_mb, made.stat().st_size if made else 0)


def stage(folder: Path, name: str, weights: Sequence[str], kept: int) -> Use:
    """Run one of our stages on a made-up video."""
    listed, out = ["--videos", str(folder / "videos.csv")], folder / name.replace("-", "_") / "set" / "s.h5"
    before = {n: [f"--{n}", str(folder / n / "set" / "s.h5")] for n in ("faces", "crops", "flow")}
    arguments = {
        "faces": listed,
        "crops": [*listed, *before["faces"], "--params", json.dumps({"fps": KEPT_FPS})],
        "flow": before["crops"],
        "motion": [*before["flow"], *before["faces"], *before["crops"]],
        "i3d-rgb": [*before["crops"], *weights],
        "i3d-flow": [*before["crops"], *before["flow"], *weights],
    }[name]
    kind = name if name in before else "features"
    return measured([sys.executable, "-m", "microexp", name, *arguments, f"--out-{kind}", str(out)], kept, out)


def random_weights(folder: Path) -> list[str]:
    """Arguments that name I3D weights; random ones cost what trained ones do."""
    import hashlib

    import torch

    from microexp.features.i3d_network import InceptionI3d

    torch.manual_seed(0)
    path = folder / "weights.pt"
    torch.save(InceptionI3d().state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return ["--weights", str(path), "--set", f"rgb_weights_sha256={sha256}"]


# --- the field's recipe, a process per step -------------------------------------------------------------------------


def usual_faces(frames: Sequence[Path]) -> Iterator[np.ndarray]:
    """Decode each frame, find the face in the whole of it, align and cut it."""
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model_path()))
    for path in frames:
        frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        boxes, scores, _ = detector.run(grey, 0, 0.0)
        points = predictor(grey, boxes[int(np.argmax(scores))])
        matrix = SIDE * face_alignment(np.array([(p.x, p.y) for p in points.parts()], float), 0.35, 0.36)
        yield cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC)


def usual_flow(crops: np.ndarray) -> None:
    """OpenCV's TV-L1 with its default options between consecutive crops."""
    solver = cv2.optflow.DualTVL1OpticalFlow_create()
    grey = [cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY) for crop in crops]
    for one, two in itertools.pairwise(grey):
        solver.calc(one, two, None)


def usual_i3d(crops: np.ndarray) -> None:
    """I3D on RGB and on as many flow frames, window by window, in plain PyTorch."""
    import torch

    from microexp.features.i3d_network import InceptionI3d

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    images = torch.from_numpy(crops).permute(3, 0, 1, 2).float() / 127.5 - 1
    for channels in (3, 2):
        network = InceptionI3d(channels).eval()
        for start in range(0, len(crops) - CLIP, STEP):
            network.features(images[None, :channels, start : start + CLIP].contiguous())


def usual_part(part: str, crops: str, frames: Sequence[Path]) -> None:
    """One step of the field's recipe; the first one writes the crops that the others read."""
    cv2.setNumThreads(1)
    if part == "decode, face, crop":
        np.save(crops, np.stack(list(usual_faces(frames))))
    else:
        {"flow": usual_flow, "I3D": usual_i3d}[part](np.load(crops)[: len(frames)])


# --- both in turns --------------------------------------------------------------------------------------------------


def ours(folder: Path, release: Release, only: Sequence[str], weights: Sequence[str]) -> dict[str, Use]:
    """Stage -> what it took; those that `only` does not name are run all the same where later ones read them."""
    kept = len(kept_frames(folder, release))
    return {name: stage(folder, name, weights, kept) for name in only}


def usual(folder: Path, release: Release, n_frames: int) -> dict[str, Use]:
    """Step of the field's recipe -> what it took on `n_frames` kept frames (I3D on 2, faces on 20 times as many)."""
    frames, found = kept_frames(folder, release), {}
    for part in ("decode, face, crop", "flow", "I3D"):
        used = frames[: n_frames * 2 + CLIP if part == "I3D" else n_frames]
        source = frames[: n_frames * 20] if part == "decode, face, crop" else used  # cheap beside its start
        command = [sys.executable, __file__, "--part", part, "--crops", str(folder / "crops.npy")]
        found[part] = measured([*command, *map(str, source)], len(source))
    return found


@dataclass(frozen=True)
class Cost:
    """CPU-seconds that a step takes for each kept frame, each video, and each subject (the start of a process)."""

    frame: float
    video: float = 0.0
    subject: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.frame + other.frame, self.video + other.video, self.subject + other.subject)

    def hours(self, release: Release) -> float:
        """CPU-hours for the real data set."""
        return (self.frame * release.kept + self.video * release.videos + self.subject * release.subjects) / 3600


def cost(short: Use, long: Use, two: Use | None = None) -> Cost:
    """What a step costs, from a video at two lengths and from `two` videos of the first length.

    Without `two`, what is not of the frames is of the process.
    """
    frame = (long.cpu_s - short.cpu_s) / (long.kept - short.kept)
    video = max(0.0, two.cpu_s - short.cpu_s - frame * short.kept) if two else 0.0
    return Cost(frame, video, max(0.0, short.cpu_s - frame * short.kept - video))


def measure(release: Release, folder: Path, args: argparse.Namespace) -> dict[str, dict[str, list[Use]]]:
    """Who -> stage or step -> what it took at two lengths."""
    images, weights = pictures(release), random_weights(folder)
    cheap, dear = ("faces", "crops", "flow", "motion"), ("faces", "crops", "flow", "i3d-rgb", "i3d-flow")
    ours(make_video(folder / "first", release, images, 0.6), release, cheap, weights)  # compiles, fills caches
    found: dict[str, dict[str, list[Use]]] = {"ours": {}, "usual": {}}
    for turn in range(2):
        long = ours(make_video(folder / f"long{turn}", release, images, args.seconds[turn]), release, cheap, weights)
        clip = make_video(folder / f"clip{turn}", release, images, args.clip_seconds[turn])
        short = {n: u for n, u in ours(clip, release, dear, weights).items() if n.startswith("i3d")}
        for who, uses in (
            ("ours", {**long, **short}),
            ("usual", usual(folder / f"long{turn}", release, args.usual[turn])),
        ):
            for name, use in uses.items():
                found[who].setdefault(name, []).append(use)
    two = make_video(folder / "two", release, images, args.seconds[0], copies=2)
    for name, use in ours(two, release, cheap, weights).items():
        found["ours"][name].append(replace(use, kept=2 * use.kept))
    return found


def report(release: Release, found: Mapping[str, Mapping[str, Sequence[Use]]]) -> dict[str, tuple[float, float]]:
    """Print the table of a data set; returns setting -> CPU-hours (ours, the field's)."""
    print(
        f"\n{release.name}: {release.videos} videos, {release.frames:,} frames, of which {release.kept:,.0f} are kept\n"
    )
    print(
        "| step | ours: ms a frame | s a video | s a subject | MB in memory | GB on disk | field: ms a frame | ratio |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    one, other = {}, {}
    for step, stages in STEPS.items():
        used = [found["ours"][name] for name in stages]
        one[step] = sum((cost(*uses) for uses in used), Cost(0))
        memory = max(use.memory_mb for uses in used for use in uses)
        disk = sum((u[1].file_bytes - u[0].file_bytes) / (u[1].kept - u[0].kept) for u in used) * release.kept / 1e9
        other[step] = cost(*found["usual"][step]) if step in found["usual"] else Cost(0)
        mine, theirs = one[step], other[step].frame
        right = f"{1e3 * theirs:.0f} | {theirs / mine.frame:.1f} x" if theirs else " | "
        left = f"{1e3 * mine.frame:.2f} | {mine.video:.1f} | {mine.subject:.1f}"
        print(f"| {step} | {left} | {memory:.0f} | {disk:.2f} | {right} |")
    totals = {}
    for setting, steps in SETTINGS.items():
        sums = [sum(which[step].hours(release) for step in steps) for which in (one, other)]
        totals[setting] = (sums[0], sums[1])
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs=2, default=(10.0, 30.0), help="lengths of our videos, s")
    parser.add_argument("--clip-seconds", type=float, nargs=2, default=(1.0, 2.6), help="the same for I3D, s")
    parser.add_argument("--usual", type=int, nargs=2, default=(6, 14), help="frames for the field's recipe")
    parser.add_argument("--json", type=Path, help="write all measurements")
    parser.add_argument("--only", choices=[r.name for r in RELEASES], help="measure this set alone")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--crops", help=argparse.SUPPRESS)
    parser.add_argument("frames", type=Path, nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        usual_part(args.part, args.crops, args.frames)
        return
    start, totals, everything = time.monotonic(), {}, {}
    chosen = [r for r in RELEASES if args.only in (None, r.name)]
    for release in chosen:
        with tempfile.TemporaryDirectory() as name:
            found = measure(release, Path(name), args)
        everything[release.name] = {
            who: {n: [asdict(u) for u in us] for n, us in f.items()} for who, f in found.items()
        }
        if args.json:
            args.json.write_text(json.dumps(everything, indent=1))
        totals[release.name] = report(release, found)
    print("\n| CPU-hours for the whole data set | ours | field's recipe | ratio |\n|---|---:|---:|---:|")
    for release in chosen:
        for setting, (one, other) in totals[release.name].items():
            print(f"| {release.name}, {setting} | {one:.2f} | {other:.1f} | {other / one:.1f} x |")
    every = [sum(totals[r.name][setting][0] for r in chosen) for setting in SETTINGS]
    print(f"\nin all: authors' streams {every[0]:.1f} CPU-hours, recommended {every[1]:.2f}")
    print(f"measured in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
