"""Action units from onset-apex flow: a network that was trained on rendered flow alone, and the method around it."""

from microexp.methods.recognition.action_units.model import (
    SIDES,
    UNSURE,
    UnitModel,
    answer,
    in_words,
    load,
    of_map,
    probabilities,
    sided,
    unit_names,
)

__all__ = [
    "SIDES", "UNSURE", "UnitModel", "answer", "in_words", "load", "of_map", "probabilities", "sided", "unit_names",
]  # fmt: skip
