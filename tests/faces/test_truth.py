"""The alignment against rendered faces of known motion."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from microexp.faces.dlib_backend import DlibBackend, _models, detect
from microexp.faces.geometry import RIGID, apply, face_alignment, scale_of
from microexp.faces.observe import observe, regular_frames
from microexp.faces.segments import reference_landmarks, slow_alignments

FRAMES = 90


@pytest.mark.long
def test_the_alignment_of_a_still_head_does_not_move_while_the_face_does() -> None:
    """A head that only blinks and shows expressions: what moves in the crops at the landmarks is the face alone."""
    import dlib

    from microexp.reading.params import DemoParams
    from microexp.rendered.scene import make_scene, render

    scene = make_scene(DemoParams(seconds=24, seed=0), "s05_1")
    script = replace(scene.script, turn_rad=0 * scene.script.turn_rad, shift=0 * scene.script.shift)
    scene = replace(scene, script=script)
    first = max(0, script.expressions[0].onset - 30)
    images = [cv2.cvtColor(render(scene, first + t), cv2.COLOR_RGB2GRAY) for t in range(FRAMES)]
    assert np.abs(images[0].astype(int) - images[45]).max() > 30  # the face does move

    looks = regular_frames(FRAMES, 30.0, 0.2)
    seen = observe(DlibBackend(), looks, (images[t] for t in looks)).observations()
    reference = reference_landmarks(seen.landmarks)
    fixed = face_alignment(reference, 0.35, 0.36)
    slow = slow_alignments(fixed, reference, seen, n_frames=FRAMES, step=6.0, window=120.0)
    usual = []
    for image in images[::3]:
        found = detect(image)
        assert found is not None
        points = _models()[1](image, dlib.rectangle(*(round(v) for v in found[0]))).parts()
        usual.append(face_alignment(np.array([(p.x, p.y) for p in points], float), 0.35, 0.36))

    def moved_px(alignments: np.ndarray, half_second: int) -> float:
        """Largest distance that a still point of the head travels in the crops within half a second, source px."""
        places = np.stack([apply(m, reference[RIGID]) for m in alignments])
        return float(np.linalg.norm(places[half_second:] - places[:-half_second], axis=-1).max() / scale_of(fixed))

    assert moved_px(slow, 15) < 0.1
    assert moved_px(np.stack(usual), 5) > 1.0  # as large as a micro-expression
