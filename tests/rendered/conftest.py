import numpy as np
import pytest

from microexp.reading.params import DemoParams
from microexp.rendered.actor import Actor, Camera, make_actor
from microexp.rendered.head import face_unit_names
from microexp.rendered.render import Pose
from microexp.rendered.subjects import RenderedSubject, make_subject

SMALL = DemoParams(subjects=2, seconds=6.0, micro=2, macro=1, fps=10, width=96, height=72, seed=3)
"""A demo that renders in a blink."""
CAMERA = Camera(160, 160, 74.0, centre_y=7.15)


@pytest.fixture(scope="session")
def person() -> RenderedSubject:
    return make_subject(0, 2)


@pytest.fixture(scope="session")
def actor(person: RenderedSubject) -> Actor:
    return make_actor(person, CAMERA)


def pose_of(**units: float) -> Pose:
    """A pose by the names of face units."""
    weights = np.zeros(len(face_unit_names()))
    for name, weight in units.items():
        weights[face_unit_names().index(name)] = weight
    return Pose(weights)
