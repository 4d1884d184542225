"""Which emotion belongs to which class in an experiment."""

from __future__ import annotations

from microexp.recognition.params import RecognitionExperiment


def class_map(experiment: RecognitionExperiment) -> dict[str, list[str]]:
    """Class -> emotions, from the experiment's own `classes` or its protocol."""
    if experiment.classes is not None:
        return dict(experiment.classes)
    raise NotImplementedError  # filled in when the protocols stand
