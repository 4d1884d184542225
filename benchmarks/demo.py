"""What a frame of the rendered demo costs: CPU time on one core, and how surely the detector finds the face.

    python benchmarks/demo.py [--subjects 4] [--frames 90]

Preparing a person (paint, ambient light) is given apart; the target is 30 ms a frame at 320x240, encoding included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import dlib
import numpy as np

from microexp.reading.params import DemoParams
from microexp.rendered.scene import make_scene, render
from microexp.rendered.video import write_video


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--frames", type=int, default=90)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    params = DemoParams(subjects=max(2, args.subjects))
    detector = dlib.get_frontal_face_detector()
    prepare, draw, encode, scores = [], [], [], []
    for number in range(1, params.subjects + 1):
        scene = make_scene(params, f"s{number:02d}_1")
        start = time.process_time()
        render(scene, 0)
        if number > 1:  # the first one compiles, or loads what was compiled
            prepare.append(time.process_time() - start)
        chosen = np.linspace(0, scene.n_frames - 1, args.frames).astype(int)
        start = time.process_time()
        frames = [render(scene, int(f)) for f in chosen]
        draw.append((time.process_time() - start) / len(frames))
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            write_video(Path(folder) / "video.mp4", frames, params.fps)
            encode.append((time.process_time() - start) / len(frames))
        for picture in frames[::6]:
            found = detector.run(picture, 0, -1.0)[1]
            scores.append(max(found) if len(found) else -np.inf)
    print(f"prepare a person  {1e3 * np.median(prepare):7.1f} ms")
    print(f"render a frame    {1e3 * np.median(draw):7.2f} ms")
    print(f"encode a frame    {1e3 * np.median(encode):7.2f} ms")
    best = np.array(scores)
    print(f"dlib's detector   {100 * np.mean(best > 0):.1f} % of {len(best)} frames, lowest score {best.min():.2f}")


if __name__ == "__main__":
    main()
