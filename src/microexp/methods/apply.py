"""Stage `apply`: models on the videos of a subject, with no ground truth: what is found where, and as what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from microexp.apexdiff.apexdiff import Maps, apex_and_maps
from microexp.apexdiff.params import ApexdiffParams
from microexp.errors import UserError
from microexp.methods.model import Model, check_preprocessing, read_model
from microexp.methods.recognition import action_units
from microexp.methods.spotting.base import SpottingVideo, checked
from microexp.methods.spotting.candidates import Moving, flags_of, moving
from microexp.methods.spotting.flow_magnitude import STREAM as MOTION
from microexp.methods.spotting.selection import clean, take
from microexp.methods.spotting.sources import RATE_TOLERANCE, without_unseen
from microexp.records.clips import ALL_CHANNELS, Clips
from microexp.records.crops import Crops, open_crops
from microexp.records.events import Event, write_events
from microexp.records.features import Features, Files, list_features
from microexp.records.index import KINDS, Video, read_videos
from microexp.records.shard import Shard
from microexp.run.log import log
from microexp.run.stage import Job, Params


class ApplyStageParams(Params):
    """What the stage `apply` reads."""

    preprocessing: dict[str, dict[str, Any]] = Field({}, description="Stage -> options that the data were made with.")
    apexdiff: ApexdiffParams = Field(ApexdiffParams(), description="How the maps of an event are made.")


def run(job: Job[ApplyStageParams]) -> Mapping[str, Any]:
    """Write `events.csv` of one subject."""
    videos = read_videos(job.input("videos"))
    spotter = read_model(job.input("spotting"), "spotting")
    check_preprocessing(spotter, job.params.preprocessing)
    recogniser = read_model(job.input("recognition"), "recognition") if job.inputs.get("recognition") else None
    if recogniser is not None:
        check_preprocessing(recogniser, job.params.preprocessing)
    events: list[Event] = []
    with Files() as files, _crops(job) as crops:
        features = by_video(list_features(job.inputs["features"], files))
        for video in videos:
            own = features.get(video.video, {})
            shown = crops.usable(video.video) if crops is not None and video.video in crops else None
            found = spot(spotter, video, own)
            seen = moving(own[MOTION]) if found and MOTION in own else None
            events += [with_flags(event, seen, shown) for event in found]
    units = action_units.load(job.input("action_units")) if job.inputs.get("action_units") else None
    if recogniser is not None or units is not None:
        how: dict[str, Any] = {"threads": job.threads, "device": job.device}
        with open_crops(job.input("crops")) as crops:
            events = [
                described(e, crops.need(e.key[2]), job.params.apexdiff, recogniser=recogniser, units=units, **how)
                for e in events
            ]
    classes = recogniser.classes if recogniser else ()
    write_events(
        job.output("events"), events, videos, classes=classes, units=action_units.unit_names(units) if units else ()
    )
    return {"events": len(events)}


def _crops(job: Job[ApplyStageParams]) -> AbstractContextManager[Shard[Crops] | None]:
    return open_crops(job.input("crops")) if job.inputs.get("crops") else nullcontext()


def with_flags(event: Event, seen: Moving | None, crops: Crops | None) -> Event:
    """The event with what else may have moved, or hides a part of it; as it was without the stream `motion`.

    Args:
        event: of any method.
        seen: what moves in its video.
        crops: of its video, which know what is the matter with each frame; none: nothing is.
    """
    if seen is None:
        return event
    reason = None if crops is None else crops.source_reason
    return replace(event, flags=flags_of(seen, (event.onset, event.offset), reason))


def by_video(features: Sequence[Features]) -> dict[str, dict[str, Features]]:
    """Video -> stream -> features."""
    found: dict[str, dict[str, Features]] = {}
    for item in features:
        found.setdefault(item.video, {})[item.stream] = item
    return found


def spot(model: Model, video: Video, streams: Mapping[str, Features]) -> list[Event]:
    """Events of one video, in the order of their onsets; none where a stream of it was excluded.

    Raises:
        UserError: when a stream is laid out otherwise than in training.
    """
    if set(model.streams) - set(streams):
        log(f"{'/'.join(video.key)}: excluded, no {', '.join(sorted(set(model.streams) - set(streams)))}")
        return []
    for name, layout in model.streams.items():
        own = streams[name]
        got = {"step_frames": own.step_frame, "clip_frames": own.clip_frame, "channels": list(own.channels)}
        for key, value in got.items():
            if layout[key] != value:
                raise UserError(file=own.path, where=key, got=value, expected=f"{layout[key]}, as in training")
        if not np.isclose(own.fps, layout["fps"], rtol=RATE_TOLERANCE).any():
            rates = ", ".join(f"{rate:g}" for rate in layout["fps"])
            raise UserError(
                file=own.path,
                where="fps",
                got=own.fps,
                expected=f"{rates}, as in training",
                hint="datasets.NAME.fps resamples",
            )
    seen = SpottingVideo(*video.key, video.n_frames, video.fps, {name: streams[name] for name in model.streams})
    found = checked(model.method.propose(model.fitted, seen), seen, model.name)  # type: ignore[union-attr]
    found = without_unseen(found, seen)
    events = []
    for kind in KINDS:
        low, high = model.limits_s[kind]
        cleaned = clean(*found[kind], (low * video.fps - 1e-6, high * video.fps + 1e-6), options=model.choice)
        for (onset, offset), score in zip(*take(*cleaned, model.choices[kind]), strict=True):
            events.append(Event(video.key, int(onset), int(offset), kind, round(float(score), 6), model.label))
    return sorted(events, key=lambda e: (e.onset, e.offset, e.kind))


def described(
    event: Event,
    crops: Crops,
    params: ApexdiffParams,
    *,
    recogniser: Model | None = None,
    units: action_units.UnitModel | None = None,
    threads: int = 1,
    device: str = "auto",
) -> Event:
    """The event with its apex, and with class probabilities and action units as far as there are models.

    It stays as it was where the crops show no second frame of it.

    Args:
        event: what was spotted.
        crops: of its video.
        params: how maps are made.
        recogniser: model of recognition.
        units: model of action units.
        threads: of the flow.
        device: of the flow.

    Raises:
        UserError: as of `recognise`.
    """
    found = apex_and_maps(crops, (event.onset, event.offset), params, threads=threads, device=device)
    if found is None:
        return event
    apex, maps = found
    event = replace(event, apex=apex)
    if units is not None:
        event = with_units(event, units, maps)
    return event if recogniser is None else recognise(event, recogniser, maps)


def with_units(event: Event, model: action_units.UnitModel, maps: Maps) -> Event:
    """The event with the probabilities of the model's action units, and which are shown, in words."""
    p = action_units.sided(maps.flow[None], model, px=True)[0]
    named = zip(action_units.unit_names(model), p[:, 0].tolist(), strict=True)
    return replace(
        event,
        units=action_units.in_words(p, model.units),
        unit_probabilities={name: round(value, 6) for name, value in named},
        unit_model=model.name,
    )


def recognise(event: Event, model: Model, maps: Maps) -> Event:
    """The event with its class probabilities.

    Raises:
        UserError: when its maps have another size than those of training.
    """
    side = maps.difference.shape[-1]
    if side != model.size_px:
        raise UserError(
            file=model.path,
            where="size of the onset-apex maps",
            got=side,
            expected=f"{model.size_px}, as in training",
            hint="apexdiff.size, or larger crops",
        )
    p = model.method.predict(model.fitted, as_clips(event, maps))[0]  # type: ignore[union-attr]
    probabilities = {c: round(float(v), 6) for c, v in zip(model.classes, p, strict=True)}
    return replace(event, probabilities=probabilities, recognition_model=model.label)


def as_clips(event: Event, maps: Maps) -> Clips:
    """One event as a recognition method sees clips."""
    channels = np.stack([maps.difference, *np.moveaxis(maps.flow, -1, 0), maps.strain, maps.onset_grey])
    dataset, subject, video = (np.array([part]) for part in event.key)
    return Clips(
        channels[None].astype(np.float32), dataset, subject, video, np.array([1]), np.array([event.kind]),
        np.array([""]), ALL_CHANNELS,
    )  # fmt: skip
