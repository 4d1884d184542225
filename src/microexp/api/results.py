"""Files of a run, and models on them: features, clips, spotting, recognition, action units, folds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microexp.apexdiff.params import ApexdiffParams
from microexp.api.scores import need_columns, pandas
from microexp.config import load
from microexp.datasets.index import listing
from microexp.errors import UserError
from microexp.methods.apply import described
from microexp.methods.model import read_model
from microexp.methods.recognition import action_units as units
from microexp.models import SPOTTING, shipped
from microexp.pipeline import STAGES
from microexp.plan import Plan
from microexp.plan_data import KINDS
from microexp.records.clips import Clips, read_shards
from microexp.records.crops import open_crops
from microexp.records.events import Event, write_events
from microexp.records.features import Files, list_features
from microexp.records.index import read_videos
from microexp.run.runner import run_stage
from microexp.run.stage import Job, validate

if TYPE_CHECKING:
    import pandas as pd

ABOUT = ("dataset", "subject", "video", "expression", "kind", "emotion")


def features(shard: str | Path) -> dict[str, pd.DataFrame]:
    """The features of one subject, `results/features/STREAM/DATASET/SUBJECT.h5`.

    Returns:
        Video -> a row per feature; the index `frame` is the 0-based source frame of its middle. Columns: the channels
        by name or number, and `valid`. Excluded videos are not in it.

    Raises:
        UserError: it is no shard of features, or is damaged.
    """
    found = {}
    with Files() as files:
        for item in list_features([Path(shard)], files):
            names = [name or str(i) for i, name in enumerate(item.channels)]
            middle = item.origin_frame + item.step_frame * (np.arange(item.n_steps) + 0.5) - 0.5
            index = pandas().Index(item.to_source(middle), name="frame")
            table = pandas().DataFrame(item.read(0, item.n_steps), index=index, columns=names)
            found[item.video] = table.assign(valid=item.valid())
    return found


def clips(shards: Sequence[str | Path]) -> tuple[np.ndarray, pd.DataFrame]:
    """The onset-apex maps that recognition sees, `results/apexdiff/DATASET/SUBJECT.h5` of any number of subjects.

    Returns:
        (N, 5, s, s) float32 maps: difference (grey levels), flow to the right and down (px), strain, onset; and a frame
        with N rows: data set, subject, video, expression, kind, emotion.

    Raises:
        UserError: a file is none of these, or their maps differ in size.
    """
    found = read_shards([Path(path) for path in shards])
    return found.maps, _about(found)


def _about(found: Clips) -> pd.DataFrame:
    return pandas().DataFrame({name: getattr(found, name) for name in ABOUT})


def spot(
    videos: str | Path,
    shards: Sequence[str | Path],
    model: str | Path | None = None,
    *,
    crops: str | Path | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Find expressions in the videos of one subject with a trained model: stage `apply`.

    Args:
        videos: `results/index/DATASET/subjects/SUBJECT/videos.csv`.
        shards: the subject's feature shards, of every stream that the model reads.
        model: `model.safetensors` of the fold `all`; None takes the one that the package ships.
        crops: the subject's crops, which know of each frame whether it shows the face; without them no event is flagged
            `occlusion`, `repeated`, `cut` or `gap`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        A row per event: data set, subject, video, onset and offset in the release's numbers, `onset_s` and `offset_s`
        in seconds, kind, score.

    Raises:
        UserError: no such model, or features made in another way than in training.
    """
    path = shipped(SPOTTING) if model is None else Path(model)
    stage = STAGES["apply"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "events.csv")
        inputs = {"videos": [Path(videos)], "features": [Path(s) for s in shards], "spotting": [path]}
        inputs |= {} if crops is None else {"crops": [Path(crops)]}
        run_stage(stage, Job(inputs, {"events": out}, stage.params(), device=device))
        return _events(out).drop(columns=["apex", "apex_s", "emotion", "recognition_model"])


def recognise(
    events: pd.DataFrame,
    videos: str | Path,
    crops: str | Path,
    *,
    model: str | Path,
    device: str = "auto",
    threads: int = 1,
    **options: Any,
) -> pd.DataFrame:
    """Recognise the emotion of intervals of one subject's videos with a trained model.

    Args:
        events: columns `video`, `onset`, `offset` in the release's numbers, such as `spot` gives; `kind` and `score`
            are kept.
        videos: `videos.csv` of the subject.
        crops: `results/crops/DATASET/SUBJECT.h5`.
        model: `results/recognition/EXPERIMENT/METHOD/all/model.safetensors`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`, for the flow.
        threads: CPU threads; they never change a result.
        options: options of the section `apexdiff`, as the model was trained with.

    Returns:
        A row per event, as of `spot`, with `apex`, `emotion` and a column `p_CLASS` per class; these are empty where an
        interval has no second crop.

    Raises:
        UserError: a video that is not in `videos`, no such model, or maps of another size than in training.
    """
    need_columns(events, ("video", "onset", "offset"), "events")
    known = {v.video: v for v in read_videos(videos)}
    found = read_model(Path(model), "recognition")
    apexdiff = validate(ApexdiffParams, options, "options", where="apexdiff")
    done = []
    for row in events.to_dict("records"):
        if row["video"] not in known:
            raise UserError(file=videos, where="video", got=repr(row["video"]), expected=f"one of {', '.join(known)}")
        video = known[row["video"]]
        onset, offset = video.numbering.interval_to_indices(int(row["onset"]), int(row["offset"]))
        kind, score = str(row.get("kind", "")), float(row.get("score", 1.0))
        event = Event(video.key, onset, offset, kind=kind, score=score, spotting_model="")
        with open_crops(Path(crops)) as own:
            made = own.need(video.video)
            done.append(described(event, made, apexdiff, recogniser=found, threads=threads, device=device))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "events.csv")
        write_events(out, done, known.values(), classes=found.classes)
        return _events(out).drop(columns="spotting_model")


def _events(path: Path) -> pd.DataFrame:
    text = ("dataset", "subject", "video", "kind", "emotion", "spotting_model", "recognition_model")
    return pandas().read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=[""])


def action_units(shards: Sequence[str | Path], model: str | Path | None = None) -> pd.DataFrame:
    """How probable each facial action unit is in annotated clips.

    Args:
        shards: onset-apex maps, `results/apexdiff/DATASET/SUBJECT.h5`.
        model: a model of action units; None takes the one that the package ships.

    Returns:
        A row per clip: what `clips` says of it, then a column per action unit with its probability.

    Raises:
        UserError: it is no such model.
    """
    found = units.load(None if model is None else Path(model))
    data = read_shards([Path(shard) for shard in shards])
    flow = data.maps[:, [data.channels.index(name) for name in ("u", "v")]]
    p = units.probabilities(flow, found, px=True)
    return pandas().concat([_about(data), pandas().DataFrame(p, columns=list(units.unit_names(found)))], axis=1)


def folds(config: str | Path) -> pd.DataFrame:
    """The folds of every experiment of a configuration: who is held out, and where the results lie.

    Args:
        config: configuration file; relative roots are relative to the current folder.

    Returns:
        Columns `kind`, `experiment`, `method`, `fold`, `held_out` (data set and subject, or data set), `folder`.

    Raises:
        UserError: the configuration is wrong, or a data set is not there.
    """
    found = load(config)
    lists = {name: listing(name, options, found.demo) for name, options in found.datasets.items()}
    plan = Plan(found, {name: one.subjects for name, one in lists.items()}, lists)
    rows = [
        {
            "kind": kind,
            "experiment": name,
            "method": method,
            "fold": fold,
            "held_out": _held_out(fold, plan.subjects),
            "folder": f"results/{kind}/{name}/{method}/{fold}",
        }
        for kind in KINDS
        for name, experiment in found.experiments(kind).items()
        for method in experiment.methods
        for fold in plan.folds(kind, name)
    ]
    return pandas().DataFrame(rows, columns=["kind", "experiment", "method", "fold", "held_out", "folder"])


def _held_out(fold: str, subjects: Mapping[str, Sequence[str]]) -> str:
    dataset = next(name for name in sorted(subjects, key=len, reverse=True) if fold.startswith(f"{name}-"))
    subject = fold.removeprefix(f"{dataset}-")
    return f"{dataset}/{subject}" if subject in subjects[dataset] else dataset
