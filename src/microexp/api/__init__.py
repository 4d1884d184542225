"""microexp from Python: paths and arrays in, arrays and pandas frames out.

Each function does what the stage of the pipeline does, with the same defaults, and raises `microexp.errors.UserError`
with one line where the user can correct something. Nothing is printed; notes go to the logger `microexp`.

    import logging
    from microexp import api

    logging.basicConfig(level=logging.INFO)          # to see the notes
    face = api.align("clip.mp4", size=128)           # crops (T, 128, 128, 3)
    flow = api.flow(face)                            # (T - 1, 128, 128, 2), px
    api.motion(face, flow)["region_mouth"].plot()    # eye distances per second
"""

from microexp.api.results import action_units, clips, features, folds, recognise, spot
from microexp.api.scores import score_recognition, score_spotting
from microexp.api.video import Aligned, Frames, align, flow, motion, read_video

__all__ = [
    "Aligned",
    "Frames",
    "action_units",
    "align",
    "clips",
    "features",
    "flow",
    "folds",
    "motion",
    "read_video",
    "recognise",
    "score_recognition",
    "score_spotting",
    "spot",
]
