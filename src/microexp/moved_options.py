"""Where the options of older configurations are now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from microexp.errors import UserError

MOVED = {
    # option of an older configuration -> where it is now; * stands for the name of an experiment
    "motion.margin": "nothing: motion is measured at places of the face, not in a margin around it",
    "motion.subtract_head_motion": "nothing: the motion of the head is always taken out",
    "crops.fps": "datasets.NAME.fps, of each data set",
    "apexdiff.flow.preset": "apexdiff.preset",
    "apexdiff.flow.backend": "flow.backend, for both",
    "apexdiff.flow": "apexdiff.preset: a named set of parameters, none of which is set alone",
    "i3d.flow_levels": "nothing: flow is never rounded",
    "spotting.*.aemnet": "spotting.*.methods.aemnet",
    "spotting.*.detect": "spotting.*.select",
    "recognition.*.mdml": "recognition.*.methods.mdml",
    "recognition.*.adapters": "nothing: the data sets' own option adapter says it",
    "spotting.*.methods.aemnet.selection": "spotting.*.select.calibrate",
    "spotting.*.methods.aemnet.inner_folds": "spotting.*.select.inner_folds",
    "spotting.*.methods.aemnet.calibration_share": "spotting.*.select.held_out_share",
    "spotting.*.methods.aemnet.permuted_control": "spotting.*.select.permuted_control",
    "spotting.*.methods.aemnet.refit": "nothing: inner_folds train on all training subjects, held_out does not",
    "spotting.*.methods.aemnet.seeds": "spotting.*.seeds (a number)",
    "spotting.*.methods.aemnet.seed": "spotting.*.seed",
    "spotting.*.select.select_for": "spotting.*.select.maximise",
    "spotting.*.select.nms_iou": "spotting.*.select.overlap_iou",
    "spotting.*.select.suppression": "nothing: soft-NMS and box fusion are gone",
    "spotting.*.select.soft_sigma": "nothing: soft-NMS is gone",
    "spotting.*.select.seed": "nothing: choosing has no chance in it",
    "recognition.*.methods.mdml.seeds": "recognition.*.seeds",
    "recognition.*.methods.mdml.seed": "recognition.*.seed",
    "recognition.*.methods.mdml.logistic_share": "nothing: logistic_regression is a method of its own",
    "recognition.*.methods.mdml.stage_weights": "nothing: all stages weigh alike",
    "recognition.*.methods.mdml.label_smoothing": "nothing: it was measured to be no help",
    "recognition.*.methods.mdml.predict": "nothing: the last stage predicts",
    "recognition.*.methods.mdml.domain.model": "nothing: distributions are mean and deviation; MMD made no difference",
    "recognition.*.methods.mdml.domain.learn_weights": "nothing: they are always learned; it made no difference",
    "recognition.*.methods.mdml.domain.entropy": "nothing: a constant, .1",
}


def check_moved(data: Mapping[str, Any], file: object) -> None:
    """Options of older configurations get a line that says where they are now.

    Raises:
        UserError: for the first one.
    """
    for old, new in MOVED.items():
        for path in _matching(data, old.split(".")):
            where = new
            for name in (part for part, star in zip(path, old.split("."), strict=True) if star == "*"):
                where = where.replace("*", name, 1)
            raise UserError(file=file, where=".".join(path), problem=f"this option is now {where}")


def _matching(data: object, pattern: Sequence[str]) -> Iterator[list[str]]:
    if not pattern:
        yield []
    elif isinstance(data, Mapping):
        for key in data if pattern[0] == "*" else [pattern[0]] if pattern[0] in data else []:
            yield from ([str(key), *rest] for rest in _matching(data[key], pattern[1:]))
