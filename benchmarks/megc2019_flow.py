"""Honest leave-one-subject-out on the 442 clips of the MEGC2019 composite, from 28 x 28 flow maps.

    python benchmarks/megc2019_flow.py PATH [--seeds 5] [--zero robust] [--scale rms] [--out FOLDER]

PATH is an npz of flow maps (`flow` (442, 28, 28, 3) uint8: u, v, strain, min-maxed per image; `label`, `subject`,
`dataset`, `sample`, `channels`) or an index CSV of a folder of images; see docs/recognition.md. What it holds is
printed first; unless it is the whole composite, class by class, that is an error (`--allow-subset` goes on).

Every row predicts each clip with models that never saw its subject. The maps hold no grey-level difference, so the
second stream is a SURROGATE: the same flow with its strain. Rows "with rendered source" are guided by flow maps of
rendered people (`microexp.rendered.expressions`), who are in no fold. The last row chooses among the rows above it by
inner folds: subjects are dealt into four blocks, and for those of a block the row is taken that did best in a five-fold
cross-validation over the subjects of the other three blocks only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from microexp.commands import flowmaps
from microexp.datasets import protocols
from microexp.datasets.classes import labels_of
from microexp.datasets.flowmaps import count_lines, read_maps
from microexp.datasets.protocols import MEGC2019
from microexp.errors import UserError
from microexp.methods.recognition import fold, loso
from microexp.methods.recognition.fold import Roles
from microexp.methods.recognition.logistic_regression import logistic
from microexp.methods.recognition.mdml.members import network_seeds, pool_of
from microexp.methods.recognition.mdml.method import MdmlMethod
from microexp.methods.recognition.mdml.params import MdmlParams
from microexp.methods.recognition.params import RecognitionFoldParams
from microexp.metrics import completeness
from microexp.metrics import recognition as evaluation
from microexp.records.clips import Clips, concatenate
from microexp.records.tables import markdown
from microexp.rendered import expressions as rendered
from microexp.run import storage

CLASSES = protocols.CLASSES
DATASETS = ("casme2", "smic", "samm")
BLOCKS, INNER = 4, 5
DEAL_SEED = 2019
RENDERED = 6000
"""Clips of the rendered source."""
BASE: dict[str, Any] = {
    "size": 14,
    "channels": [8, 8, 8],
    "epochs": 12,
    "learning_rate": 3e-3,
    "streams": {"flow": ["u", "v"], "flow_strain": ["u", "v", "strain"]},
    "mutual": {"weight": 0.0},
    "domain": {"weight": 0.0},
    "linear_path": False,
}
MUTUAL = {"weight": 0.2}
RENDERED_SOURCE = {"weight": 0.0, "label_weight": 0.3}
ROWS: dict[str, dict[str, Any]] = {
    "CNN, one stream (u, v)": {"streams": {"flow": ["u", "v"]}},
    "two streams": {},
    "+ mutual learning": {"mutual": MUTUAL},
    "+ linear path": {"mutual": MUTUAL, "linear_path": True},
    "+ multi-source": {"mutual": MUTUAL, "linear_path": True, "domain": {"weight": 0.1}},
    "CNN, one stream, linear path": {"streams": {"flow": ["u", "v"]}, "linear_path": True},
    "the same with rendered source, 3 networks": {
        "streams": {"flow": ["u", "v"]}, "linear_path": True, "domain": RENDERED_SOURCE, "members": 3,
    },
    "MDML with rendered source": {
        "mutual": MUTUAL, "linear_path": True, "domain": {**RENDERED_SOURCE, "weight": 0.1},
    },
}  # fmt: skip
GUIDED = ("the same with rendered source, 3 networks", "MDML with rendered source")
VOTED = {
    "MDML + logistic regression": "+ multi-source",
    "MDML without sources + logistic regression": "+ linear path",
    "CNN with rendered source + logistic regression": "the same with rendered source, 3 networks",
    "MDML with rendered source + logistic regression": "MDML with rendered source",
}
PLAIN: dict[str, Any] = {"standardise": False, "c": 3e-2}
"""The usual logistic regression: on the published grey levels as they are, 0 to 1, middle taken off."""
LOGISTIC = "LR (u, v) + mirror, rest at 0"
ALL = "all networks + logistic regression"
"""The mean of all `ROWS`, averaged with the logistic regression: nothing is chosen."""
CHOSEN = "chosen on inner folds"


@dataclass(frozen=True)
class Data:
    """Clips with their labels and roles; `raw` as published, `maps` with the level of rest at 0 and rms 1."""

    maps: Clips
    raw: Clips
    role: Roles
    experiment: RecognitionFoldParams

    def guided(self) -> Data:
        """The clips, each map with rms 1, and behind them the rendered source."""
        values = self.maps.maps
        even = values / np.sqrt(np.square(values).mean((2, 3), keepdims=True) + 1e-6)
        source = rendered.render_source(self.experiment.classes or {}, RENDERED, DEAL_SEED, size=values.shape[-1])
        clips = concatenate([replace(self.maps, maps=even.astype(np.float32)), source])
        experiment = self.experiment.model_copy(update={"sources": [rendered.DATASET]})
        return Data(clips, clips, fold.roles(clips, labels_of(clips, experiment), experiment), experiment)


def load(path: Path, allow_subset: bool = False, **reading: Any) -> Data:
    """Read the maps (`reading` as `flowmaps.read_maps` has it) and say what they hold."""
    maps = read_maps(path, **reading)
    raw = read_maps(path, **{**reading, "zero": "middle", "scale": "range"})
    print("\n".join(count_lines(maps)), flush=True)
    experiment = RecognitionFoldParams(
        experiment="megc2019", name="mdml", method="mdml", method_version=MdmlMethod.version, seeds=1,
        datasets=list(DATASETS), classes={c: list(emotions) for c, emotions in MEGC2019.classes.items()},
    )  # fmt: skip
    role = fold.roles(maps, labels_of(maps, experiment), experiment)
    check(path, maps, role, allow_subset)
    return Data(maps, raw, role, experiment)


def check(path: Path, maps: Clips, role: Roles, allow_subset: bool) -> None:
    """Every clip must have a class and a data set of the composite, and every row of the table its channels."""
    for row in np.flatnonzero(~role.target)[:1]:
        got = f"'{maps.emotion[row]}' of data set '{maps.dataset[row]}'"
        raise UserError(
            file=path,
            where="/".join(maps.key(row)[:3]),
            got=got,
            expected=f"{', '.join(CLASSES)} of {', '.join(DATASETS)}",
        )
    names = (CLASSES[k] for k in role.label)
    found = completeness.differences("megc2019", zip(maps.dataset.tolist(), maps.subject.tolist(), names, strict=True))
    if found and not allow_subset:
        raise UserError(
            file=path, problem="; ".join(found), expected="all 442 clips of 68 subjects", hint="or give --allow-subset"
        )
    for name in ROWS:
        pool_of(maps, role.label, options_of(name))


def options_of(row: str) -> MdmlParams:
    return MdmlParams.model_validate({**BASE, **ROWS[row]})


def networks(data: Data, row: str, seed: int) -> np.ndarray:
    """(N, 3) class probabilities of one row and seed, all 68 folds stacked; those of rendered clips are nan."""
    options = options_of(row)
    experiment = data.experiment.model_copy(update={"seed": seed})
    pool = pool_of(data.maps, data.role.label, options)
    return loso.mdml(data.maps, pool, data.role, experiment=experiment, options=options, classes=len(CLASSES))[0]


def linear_rows(data: Data) -> dict[str, np.ndarray]:
    """The rows that need no seed."""

    def fit(clips: Clips, **how: Any) -> np.ndarray:
        return loso.logistic(clips, data.role, data.experiment, classes=len(CLASSES), **how)

    return {
        "majority": loso.majority(data.raw, data.role, data.experiment, classes=len(CLASSES)),
        "LR (v)": fit(data.raw, channels=("v",), mirror=False, **PLAIN),
        "LR (u, v)": fit(data.raw, mirror=False, **PLAIN),
        "LR (u, v) + mirror": fit(data.raw, **PLAIN),
        "LR (u, v) + mirror, standardised pixels": fit(data.raw),
        LOGISTIC: fit(data.maps, size=BASE["size"], mirror_test=True),
    }


# --- choice on inner folds --------------------------------------------------------------------------------------------


def deal(person: np.ndarray, dataset: np.ndarray, rows: np.ndarray, parts: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) part of each clip in `rows` (else -1): the people of each data set dealt in random order."""
    part = np.full(len(person), -1)
    for name in np.unique(dataset[rows]):
        people = np.unique(person[rows & (dataset == name)])
        for i, who in enumerate(rng.permutation(people)):
            part[rows & (person == who)] = i % parts
    return part


def inner_scores(
    data: Data, guided: Data, rng: np.random.Generator, seed: int
) -> tuple[np.ndarray, dict[str, list[float]]]:
    """Block of each clip; row -> (UF1 + UAR) / 2 of the inner folds of each block."""
    person, dataset = data.role.person, data.maps.dataset
    everything = np.ones(len(person), bool)
    block = deal(person, dataset, everything, BLOCKS, rng)
    inner = [deal(person, dataset, block != b, INNER, rng) for b in range(BLOCKS)]
    linear = [inner_logistic(data, block != b, inner[b]) for b in range(BLOCKS)]
    p = {LOGISTIC: linear}
    for row in ROWS:
        p[row] = inner_networks(guided if row in GUIDED else data, row, block, inner, seed)
    means = [averaged({row: each[b] for row, each in p.items()}) for b in range(BLOCKS)]
    p |= {row: [of_block[row] for of_block in means] for row in means[0]}
    found = {row: [score(data, q) for q in each] for row, each in p.items()}
    for row, values in found.items():
        print(f"  inner folds, {row}: " + " ".join(f"{v:.3f}" for v in values), flush=True)
    return block, found


def averaged(p: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The averages of networks and logistic regression, of the probabilities of `ROWS` and `LOGISTIC`."""
    found = {name: (p[own] + p[LOGISTIC]) / 2 for name, own in VOTED.items()}
    return found | {ALL: (np.mean([p[row] for row in ROWS], 0) + p[LOGISTIC]) / 2}


def inner_networks(data: Data, row: str, block: np.ndarray, inner: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Per block (N, 3) probabilities of the clips of the other blocks, each by networks without its inner fold."""
    options = options_of(row)
    pool = pool_of(data.maps, data.role.label, options)
    source = np.full(len(data.maps) - len(block), -1)  # rendered clips are in no block and no fold
    block, inner = np.concatenate([block, source]), [np.concatenate([i, source]) for i in inner]
    members, owners = [], []
    for b in range(BLOCKS):
        for k in range(INNER):
            out = inner[b] == k
            for own in DATASETS if options.domain.weight else (None,):
                tested = out & (data.maps.dataset == own) if own else out
                usable = (block != b) & (~out | tested)
                for number in network_seeds(options, seed):
                    members.append(
                        loso.member_without(
                            data.maps,
                            data.role,
                            tested,
                            seed=number,
                            options=options,
                            datasets=DATASETS,
                            own=own,
                            usable=usable,
                        )
                    )
                    owners.append(b)
    p = loso.train_predict(pool, members, options, classes=len(CLASSES))
    found = loso.by_run(members, owners, p, clips=len(block), classes=len(CLASSES))
    return [found[b][: len(block) - len(source)] for b in range(BLOCKS)]


def inner_logistic(data: Data, usable: np.ndarray, inner: np.ndarray) -> np.ndarray:
    p = np.full((len(inner), len(CLASSES)), np.nan)
    for k in range(INNER):
        train, test = np.flatnonzero(usable & (inner != k)), np.flatnonzero(inner == k)
        p[test] = logistic(
            data.maps, data.role.label, train, test=test, classes=len(CLASSES), size=BASE["size"], mirror_test=True
        )
    return p


def score(data: Data, p: np.ndarray) -> float:
    rows = np.flatnonzero(np.isfinite(p).all(1))
    matrix = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(matrix, (data.role.label[rows], p[rows].argmax(1)), 1)
    found = evaluation.scores(matrix)
    return (found.uf1 + found.uar) / 2


# --- the whole --------------------------------------------------------------------------------------------------------


def run(data: Data, seeds: int) -> list[evaluation.Prediction]:
    """Predictions of all rows."""
    label, rows = data.role.label, []

    def add(name: str, seed: int, p: np.ndarray) -> None:
        rows.extend(loso.predictions(name, seed, data.maps, label=label, p=p, classes=CLASSES))

    linear, guided = linear_rows(data), data.guided()
    for name, p in linear.items():
        add(name, 0, p)
    block, inner = inner_scores(data, guided, np.random.default_rng(DEAL_SEED), seed=1000)
    best = [max(inner, key=lambda name, b=b: inner[name][b]) for b in range(BLOCKS)]  # type: ignore[misc]
    print("  chosen per block: " + "; ".join(best), flush=True)
    for seed in range(seeds):
        found = {LOGISTIC: linear[LOGISTIC]}
        for name in ROWS:
            start = time.process_time()
            found[name] = networks(guided if name in GUIDED else data, name, seed)[: len(data.maps)]
            print(f"  seed {seed}, {name}: {time.process_time() - start:.0f} CPU-s", flush=True)
        found |= averaged(found)
        for name in (*ROWS, *VOTED, ALL):
            add(name, seed, found[name])
        chosen = np.select([(block == b)[:, None] for b in range(BLOCKS)], [found[name] for name in best])
        add(CHOSEN, seed, chosen)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="npz or index CSV of flow maps")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="folder for the predictions and the table")
    parser.add_argument("--allow-subset", action="store_true", help="go on when clips of the composite are missing")
    flowmaps.add_reading_arguments(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        data = load(args.path, args.allow_subset, **flowmaps.reading(args))
    except UserError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    start = time.process_time()
    rows = run(data, args.seeds)
    size = data.maps.maps.shape[-1]
    table = evaluation.table(f"MEGC2019 composite, {size} x {size} flow maps", rows, CLASSES, samples=args.bootstrap)
    print(markdown(table))
    print(f"whole benchmark: {time.process_time() - start:.0f} CPU-s")
    if args.out:
        columns = evaluation.COLUMNS
        storage.write_csv(args.out / "predictions.csv", columns, [[getattr(p, c) for c in columns] for p in rows])
        storage.write_text(args.out / "table.md", markdown(table))


if __name__ == "__main__":
    main()
