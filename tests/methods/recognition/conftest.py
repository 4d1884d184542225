import pytest
import torch

from microexp.methods.recognition.params import MdmlParams, RecognitionExperiment
from tests.methods.recognition.synthetic import CLASSES, clips_of

torch.set_num_threads(1)

QUICK = {"size": 14, "channels": [4, 4, 4], "epochs": 6, "seeds": 1, "batch_size": 8, "learning_rate": 5e-3}


@pytest.fixture
def quick():
    def make(**changes):
        return MdmlParams.model_validate({**QUICK, **changes})

    return make


@pytest.fixture
def experiment(quick):
    def make(datasets=("demo",), mdml=None, **changes):
        return RecognitionExperiment(
            datasets=list(datasets), classes=changes.pop("classes", CLASSES), mdml=quick(**(mdml or {})), **changes
        )

    return make


@pytest.fixture
def demo():
    return clips_of({"demo": ["a", "b", "c", "d"]})
