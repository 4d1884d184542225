import pytest
import torch

from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.methods.recognition.params import RecognitionFoldParams
from tests.methods.recognition.synthetic import CLASSES, clips_of

torch.set_num_threads(1)

QUICK = {"size": 14, "channels": [4, 4, 4], "epochs": 6, "batch_size": 8, "learning_rate": 5e-3}


@pytest.fixture
def quick():
    def make(**changes):
        return MdmlParams.model_validate({**QUICK, **changes})

    return make


@pytest.fixture
def experiment(quick):
    """Options of the stage; `mdml` changes the options of the method."""

    def make(datasets=("demo",), mdml=None, **changes):
        if changes.get("protocol") is None:
            changes.setdefault("classes", CLASSES)
        common = {"experiment": "x", "name": "mdml", "method": "mdml", "method_version": 1, "seeds": 1}
        options = quick(**(mdml or {})).model_dump()
        return RecognitionFoldParams.model_validate(
            {**common, "datasets": list(datasets), "options": options, **changes}
        )

    return make


@pytest.fixture
def demo():
    return clips_of({"demo": ["a", "b", "c", "d"]})
