"""How well action units are told from onset-apex flow maps: AUC and F1 per unit, of the shipped model as it is.

    python benchmarks/action_units.py PATH [--sheet SHEET] [--trained] [--out FOLDER]
    python benchmarks/action_units.py --pictures 200

PATH is an npz or an index CSV of flow maps as `microexp flowmaps` reads them, or a folder of `apexdiff` shards. The
units are in the maps' own column `aus`, in the shards, or in SHEET, a CSV with `dataset, subject, video, aus`
(`sample` for `video`; `4+7+L10`). Clips without a unit there are excluded, and their number is printed.

Every data set is measured alone. The shipped model sees no label of them: zero-shot. With `--trained` two rows more
learn from the subjects, leaving one out at a time.

`--pictures N` measures what a run of one's own would give: N pairs of pictures of rendered people that the model has
not seen, TV-L1 flow between them, at the wide and at the published crop.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from microexp.datasets.classes import KNOWN, NAMES, unit_name
from microexp.datasets.flowmaps import read_maps
from microexp.datasets.protocols import dataset_name
from microexp.methods.recognition import loso
from microexp.methods.recognition.action_units import load, probabilities, unit_names
from microexp.methods.recognition.params import UNIT_METHODS, RecognitionFoldParams
from microexp.metrics import action_units as metrics
from microexp.metrics.foreign.spotting_names import person_key, video_key
from microexp.records.clips import Clips, read_shards
from microexp.records.tables import markdown
from microexp.run import storage

SEED = 404
"""Of the people in the pictures; the model was trained on people of other seeds."""


def read(path: Path, sheet: Path | None) -> Clips:
    """The clips, with their units."""
    if path.is_dir():
        clips = read_shards(sorted(path.rglob("*.h5")))
    else:
        clips = read_maps(path)
    return replace(clips, aus=units_of(clips, sheet)) if sheet else clips


def units_of(clips: Clips, sheet: Path) -> np.ndarray:
    """(N,) text: the units of each clip, from a sheet; names count in any usual spelling."""
    known = {}
    for row in storage.read_csv(sheet, ("dataset", "subject", "aus")):
        name = row.get("sample") or row["video"]
        known[dataset_name(row["dataset"]), person_key(row["subject"]), video_key(name)] = row["aus"]
    keys = zip(clips.dataset.tolist(), clips.subject.tolist(), clips.video.tolist(), strict=True)
    return np.array([known.get((d, person_key(s), video_key(v)), "") for d, s, v in keys])


def experiment(clips: Clips, name: str, options: Mapping[str, str]) -> RecognitionFoldParams:
    """One row of the table as an experiment of its own."""
    return RecognitionFoldParams(
        experiment="units", name=name, method="action_units", method_version=1, seeds=1, target="action_units",
        options={k: v for k, v in options.items() if k != "method"}, datasets=sorted(set(clips.dataset.tolist())),
        kinds=["micro", "macro"],
    )  # fmt: skip


def zero_shot(clips: Clips) -> list[metrics.Prediction]:
    """What the shipped model says of each clip on its own."""
    flow = clips.maps[:, [clips.channels.index(c) for c in ("u", "v")]]
    return loso.unit_predictions("zero_shot", 0, clips, p=probabilities(flow, px=True), classes=unit_names(load()))


# --- pictures of rendered people ----------------------------------------------------------------------------------


def pictures(count: int, crop: Mapping[str, float], seed: int = SEED, people: int = 10) -> Clips:
    """Maps of the stage `apexdiff` between two pictures each, rendered and aligned as `crop` says, with their units."""
    from microexp.rendered.unit_maps import UNITS, draw_weights, make_face

    rng = np.random.default_rng(seed)
    maps, aus, who = [], [], np.arange(count) % people
    for number in range(people):
        face = make_face(seed, number + 1)
        for _ in range(int((who == number).sum())):
            weights, shown = draw_weights(rng, face)
            maps.append(pair_maps(rng, number + 1, seed, weights, crop))
            aus.append("+".join(str(u) for u, s in zip(UNITS, shown.any(1), strict=True) if s))
    who = np.sort(who)
    text = [np.array([f"{what}{k:04d}" for k in numbers]) for what, numbers in (("p", who), ("e", range(count)))]
    return Clips(
        np.array(maps, np.float32), np.full(count, "pictures"), *text, np.ones(count, np.int64),
        np.full(count, "micro"), np.full(count, ""), ("u", "v"), np.array(aus),
    )  # fmt: skip


def pair_maps(
    rng: np.random.Generator, number: int, seed: int, weights: np.ndarray, crop: Mapping[str, float], side: int = 224
) -> np.ndarray:
    """(2, 56, 56) u, v of two noisy pictures of a person, with some sway between them."""
    from microexp.apexdiff.apexdiff import expression_maps, shrink, to_grey
    from microexp.flow.params import Tvl1Params
    from microexp.flow.tvl1 import compute_flow
    from microexp.rendered.actor import Camera, make_actor
    from microexp.rendered.flow import flow_between
    from microexp.rendered.head import EYES, face_unit_names, load_head
    from microexp.rendered.render import neutral_pose, render_pose
    from microexp.rendered.subjects import make_subject
    from microexp.rendered.unit_maps import movements

    person, camera = make_subject(seed, number), Camera(side, side, side / 2.5, centre_y=7.0)
    rest = neutral_pose()
    eyes = np.array([make_actor(person, camera).rest[load_head().part(eye)].mean(0) for eye in EYES])
    scale = crop["eye_distance"] * side / float(np.hypot(*(eyes[1] - eyes[0])[:2]))
    camera = Camera(side, side, scale, centre_y=float(eyes[:, 1].mean()) - (0.5 - crop["eye_height"]) * side / scale)
    own = np.zeros(len(face_unit_names()))
    for name, (left, right) in zip(movements(), weights, strict=True):
        if name.endswith("*"):
            own[face_unit_names().index(name[:-1] + "Left")] += left
            own[face_unit_names().index(name[:-1] + "Right")] += right
        else:
            own[face_unit_names().index(name)] += (left + right) / 2
    flow, valid = flow_between(make_actor(person, camera), rest, replace(rest, units=own), camera=camera)
    largest = float(np.linalg.norm(flow, axis=2)[valid].max())
    if largest > 0:
        own *= rng.uniform(1, 4) / largest
    apex = replace(rest, units=own, turn_rad=tuple(rng.normal(0, 0.003, 3)), shift=tuple(rng.normal(0, 0.003, 3)))
    keys = [int(k) for k in rng.integers(1 << 31, size=2)]
    shown = np.stack(
        [
            render_pose(person, pose, camera, noise=1.5, noise_key=key)
            for pose, key in zip((rest, apex), keys, strict=True)
        ]
    )
    before, after = to_grey(shown)
    found = compute_flow(before[None], after[None], Tvl1Params(), threads=1, device="cpu")[0]
    return np.moveaxis(shrink(expression_maps(before, after, found, registration="rigid"), 56).flow, -1, 0)


# --- the whole ----------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?", help="npz, index CSV, or folder of apexdiff shards")
    parser.add_argument("--sheet", type=Path, help="CSV dataset, subject, video (or sample), aus")
    parser.add_argument("--trained", action="store_true", help="also rows that learn from the subjects")
    parser.add_argument("--pictures", type=int, default=0, help="pairs of pictures of rendered people, per crop")
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--out", type=Path, help="folder for the table")
    args = parser.parse_args()
    if (args.path is None) == (args.pictures == 0):
        parser.error("either PATH or --pictures N")
    rows: list[metrics.Prediction] = []
    if args.pictures:
        for name, crop in (("wide", (0.35, 0.36)), ("published", (0.49, 0.25))):
            clips = pictures(args.pictures, dict(zip(("eye_distance", "eye_height"), crop, strict=True)))
            rows += [replace(p, dataset=name) for p in zero_shot(clips)]
    else:
        clips = read(args.path, args.sheet)
        coded = clips.take(np.array([text != "" for text in clips.aus]))
        print(f"{len(coded)} of {len(clips)} clips name a unit; units known: {', '.join(map(unit_name, KNOWN))}")
        if not len(coded):
            parser.exit(2, f"{parser.prog}: error: no clip names an action unit: give --sheet\n")
        rows = zero_shot(coded)
        for name in ("subjects", "both") if args.trained else ():
            rows += loso.predict_units(coded, experiment(coded, name, UNIT_METHODS[name]))
    found = metrics.table("Action units", rows, NAMES, samples=args.bootstrap)
    print(markdown(found))
    if args.out:
        storage.write_text(args.out / "action_units.md", markdown(found))


if __name__ == "__main__":
    main()
