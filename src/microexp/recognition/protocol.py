"""Which class a clip has in an experiment: from the experiment's own `classes`, or from a published protocol."""

from __future__ import annotations

import numpy as np

from microexp.datasets.protocols import class_of, find_protocol
from microexp.recognition.clips import Clips
from microexp.recognition.params import RecognitionExperiment


def class_names(experiment: RecognitionExperiment) -> tuple[str, ...]:
    """The classes in the order of their numbers.

    Raises:
        UserError: when there is no such protocol.
    """
    if experiment.classes is not None:
        return tuple(experiment.classes)
    return tuple(find_protocol(str(experiment.protocol)).classes)


def labels_of(clips: Clips, experiment: RecognitionExperiment) -> np.ndarray:
    """(N,) int64 number of each clip's class; -1 where it has none.

    A protocol may name emotions per release and leave single clips out, so it is asked by adapter: `adapters` of the
    experiment says which one read a data set (by default the one of the data set's own name).
    """
    names = class_names(experiment)
    number = {name: k for k, name in enumerate(names)}
    if experiment.classes is not None:
        of_emotion = {e: number[name] for name, emotions in experiment.classes.items() for e in emotions}
        return np.array([of_emotion.get(str(e), -1) for e in clips.emotion], dtype=np.int64)
    found = np.full(len(clips), -1, dtype=np.int64)
    for row in range(len(clips)):
        dataset = str(clips.dataset[row])
        adapter = experiment.adapters.get(dataset, dataset)
        who = str(clips.subject[row]), str(clips.video[row])
        name = class_of(str(experiment.protocol), adapter, str(clips.emotion[row]), *who)
        found[row] = -1 if name is None else number[name]
    return found
