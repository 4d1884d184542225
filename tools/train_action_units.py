"""Train the model of action units that the package ships, and write its card.

    python tools/train_action_units.py [--out src/microexp/models] [--cache FOLDER]

Everything is rendered: no real face, video or label is read. The people it trains on, those it is calibrated on and
those it is tested on are three different groups. About six minutes on one core, half of them for rendering; with
`--cache` what was rendered is kept there and used again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from microexp.methods.recognition.action_units import model as unit_model
from microexp.methods.recognition.action_units.training import answers, calibrate, train
from microexp.metrics.action_units import auc, f1
from microexp.models import ACTION_UNITS
from microexp.rendered.unit_maps import UNITS, UnitMaps, draw_maps, make_face
from microexp.run import bundle, storage

GROUPS = {"training": (101, 32, 32000, 1), "calibration": (303, 8, 3000, 3), "test": (202, 16, 3000, 2)}
"""Group -> seed of its people, how many, maps, seed of the maps."""
EPOCHS = 16
SEED = 0


def rendered(group: str, cache: Path | None) -> UnitMaps:
    """The labelled maps of a group of people."""
    seed, people, count, maps_seed = GROUPS[group]
    kept = cache / f"{group}_{seed}_{people}_{count}_{maps_seed}.npz" if cache else None
    if kept and kept.is_file():
        with np.load(kept) as data:
            return UnitMaps(data["maps"].astype(np.float32), data["halves"])
    print(f"rendering {people} people for {group}", flush=True)
    faces = [make_face(seed, number) for number in range(1, people + 1)]
    found = draw_maps(faces, count, np.random.default_rng(maps_seed))
    found = UnitMaps(found.maps.astype(np.float16).astype(np.float32), found.halves)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, maps=found.maps.astype(np.float16), halves=found.halves)
    return found


def measured(p: np.ndarray, truth: np.ndarray) -> list[dict[str, Any]]:
    """Per unit AUC, F1 at one half, AUC of left and right, share of unsure answers, and errors among the others."""
    rows = []
    for u, unit in enumerate(UNITS):
        own, shown = p[:, u, 0], truth[:, u, 0]
        sure = (own <= unit_model.UNSURE[0]) | (own >= unit_model.UNSURE[1])
        sides = [auc(truth[:, u, k], p[:, u, k]) for k in (1, 2)]
        rows.append(
            {
                "unit": unit, "shown": int(shown.sum()), "auc": auc(shown, own), "f1": f1(shown, own >= 0.5),
                "sides": float(np.mean(sides)), "unsure": 1 - float(sure.mean()),
                "wrong": float(((own >= 0.5) != shown)[sure].mean()),
            }
        )  # fmt: skip
    return rows


def calibration_error(p: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over all answers of `shown at all`, ten equal bins."""
    p, truth = p[..., 0].ravel(), truth[..., 0].ravel()
    number = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(p[number == b].mean() - truth[number == b].mean()) * (number == b).mean() for b in np.unique(number)]
    return float(np.sum(gaps))


def table(rows: list[dict[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| unit | shown | AUC | F1 | AUC of a side | unsure | wrong when sure |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        figures = " | ".join(f"{row[name]:.3f}" for name in ("auc", "f1", "sides", "unsure", "wrong"))
        lines.append(f"| {row['unit']} | {row['shown']} | {figures} |")
    means = " | ".join(
        f"**{np.mean([row[name] for row in rows]):.3f}**" for name in ("auc", "f1", "sides", "unsure", "wrong")
    )
    return "\n".join([*lines, f"| **mean** | | {means} |"])


CARD = """# The model `action_units`

Tells 18 action units of the face, with their left and right half, from an onset-apex flow map.

| | |
|---|---|
| file | `action_units.safetensors`, {kilobytes} kB: a network of three layers with {weights} weights, half precision |
| input | u and v from onset to apex, 28 x 28, root mean square 1; `prepare` makes it of any usual form |
| output | per unit the probability that it is shown at all, on the face's own left, on its right |
| units | {units} |
| data | {maps} maps of {people} rendered people (seed {seed}); calibrated on {cal} others |
| made by | `python tools/train_action_units.py`, {epochs} epochs, seed 0 |
| licence | that of the package (Apache 2.0); the rendered head is CC0 |

**It has never seen a real face, a real video or a label that a person gave.**

## Figures

Protocol: {test} fresh rendered people (seed {test_seed}, neither trained nor calibrated on), {test_maps} maps drawn as
the training's are, each with the same disturbances. F1 is at probability .5. Unsure: between .3 and .7. The expected
calibration error over all units is {error:.3f}.

{table}

These figures say how well the network undoes its own renderer. They say little about real faces; see
`docs/action_units.md` for what is known of those.

## Limits

- Real muscles, skin and flow differ from rendered ones. Expect lower figures, most of all for units 5, 6, 10 and 14.
- Probabilities are true where units are as frequent as in the rendered maps (about one in nine). On other data the
  order of the clips is meant, not the level.
- The map must show an aligned face, from brow to chin at least, onset to apex. A map of anything else gets an answer,
  too.
- Strength is not told: a map is scaled to root mean square 1, so a map of pure noise is answered as well. It was
  trained on maps without a unit, but whether an expression is there is the spotting method's to say.
- Units 11, 13, 16, 19, 22, 23, 27 and 28 are not among its answers.
- An action unit is no emotion, and an emotion no state of mind.
"""


def main() -> None:
    """Render, train, calibrate, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("src/microexp/models"), help="folder of model and card")
    parser.add_argument("--cache", type=Path, help="folder that keeps what was rendered")
    args = parser.parse_args()
    torch.set_num_threads(1)
    network = train(
        rendered("training", args.cache),
        EPOCHS,
        SEED,
        tell=lambda e, loss: print(f"epoch {e}: loss {loss:.4f}", flush=True),
    )
    groups = {name: rendered(name, args.cache) for name in ("calibration", "test")}
    ones = np.ones((len(UNITS), 3))
    plain = unit_model.UnitModel(UNITS, network, ones, 0 * ones, {})
    scale, shift = calibrate(unit_model.logits(groups["calibration"].maps, plain), answers(groups["calibration"]))
    path = args.out / f"{ACTION_UNITS}.safetensors"
    bundle.write(path, unit_model.pack(network, UNITS, scale, shift=shift, name="shipped/action_units"))
    model, test = unit_model.load(path), groups["test"]
    p, truth = unit_model.sided(test.maps, model, px=True), answers(test)
    rows = measured(p, truth)
    seed, people, maps, _ = GROUPS["training"]
    card = CARD.format(
        kilobytes=round(path.stat().st_size / 1000), weights=f"{sum(w.numel() for w in network.parameters()):,}",
        units=", ".join(map(str, UNITS)), maps=f"{maps:,}", people=people, seed=seed, cal=GROUPS["calibration"][1],
        epochs=EPOCHS, test=GROUPS["test"][1], test_seed=GROUPS["test"][0], test_maps=f"{GROUPS['test'][2]:,}",
        error=calibration_error(p, truth), table=table(rows),
    )  # fmt: skip
    storage.write_text(args.out / f"{ACTION_UNITS}.md", card)
    print(table(rows))


if __name__ == "__main__":
    main()
