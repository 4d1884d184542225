"""Scores of predictions that are pandas frames: of a run, or of any other program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from microexp.errors import UserError
from microexp.metrics import recognition, spotting
from microexp.records.index import KINDS

if TYPE_CHECKING:
    import pandas as pd

# pandas, imported when a frame is asked for: no stage of the pipeline needs it.


def pandas() -> Any:
    """The module.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pandas as module
    except ImportError as error:
        raise UserError(problem="pandas is not installed", hint="pip install 'microexp[notebooks]'") from error
    return module


def need_columns(table: Any, names: Iterable[str], what: str) -> None:
    """Check that a frame has these columns.

    Raises:
        UserError: naming those that are missing.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise UserError(where=what, problem=f"no column {', '.join(missing)}", expected=f"columns {', '.join(names)}")


INTERVAL = ("subject", "video", "onset", "offset", "kind")


def score_spotting(
    predictions: pd.DataFrame,
    truths: pd.DataFrame,
    *,
    matching: spotting.Matching = "one_to_one",
    bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score intervals against a ground truth as the grand challenges do (IoU of at least .5).

    Args:
        predictions: columns `subject`, `video`, `onset`, `offset`, `kind` (`micro` or `macro`); a column `dataset`
            keeps subjects of several data sets apart. Frames are numbered as in `truths`; intervals are closed.
        truths: the same.
        matching: `one_to_one`, or `megc` as the official script counts.
        bootstrap: samples over subjects for the interval; 0 for none.
        seed: of the bootstrap.

    Returns:
        Rows `micro`, `macro`, `overall`; columns `true_positives`, `predictions`, `truths`, `precision`, `recall`,
        `f1`, `f1_low`, `f1_high` (95 %, subjects drawn with replacement).

    Raises:
        UserError: a column is missing, or a kind or matching is not known.
    """
    if matching not in ("one_to_one", "megc"):
        raise UserError(where="matching", got=repr(matching), expected="one_to_one or megc")
    found, real = _intervals(predictions, "predictions"), _intervals(truths, "truths")
    subjects = spotting.count_subjects(found, real, matching)
    pooled = spotting.count(found, real, matching)
    limits = spotting.bootstrap_f1([subjects], bootstrap, seed)
    rows = {
        kind: {
            "true_positives": c.true_positives,
            "predictions": c.predictions,
            "truths": c.truths,
            "precision": c.precision,
            "recall": c.recall,
            "f1": c.f1,
            "f1_low": limits[kind][0],
            "f1_high": limits[kind][1],
        }
        for kind, c in ((kind, pooled[kind]) for kind in (*KINDS, spotting.OVERALL))
    }
    return pandas().DataFrame.from_dict(rows, orient="index")


def _intervals(table: Any, what: str) -> list[spotting.Interval]:
    need_columns(table, INTERVAL, what)
    found = []
    for row in table.to_dict("records"):
        if row["kind"] not in KINDS:
            raise UserError(where=f"{what}: kind", got=repr(row["kind"]), expected="micro or macro")
        who = f"{row['dataset']}/{row['subject']}" if "dataset" in row else str(row["subject"])
        found.append(spotting.Interval(who, str(row["video"]), row["onset"], row["offset"], row["kind"]))
    return found


def score_recognition(
    predictions: pd.DataFrame, classes: list[str] | None = None, *, bootstrap: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Score classes against labels as MEGC2019 does: pooled over all folds.

    Args:
        predictions: a row per clip, columns `subject`, `label`, `prediction`; `dataset`, `method` and `seed` where
            there are several. `predictions.csv` of a run has them all.
        classes: names in order; None takes those that occur.
        bootstrap: samples over subjects for the intervals; 0 for none.
        seed: of the bootstrap.

    Returns:
        A row per method; columns `clips`, `uf1`, `uar`, `accuracy` (means over seeds), `uf1_low`, `uf1_high`,
        `uar_low`, `uar_high` (95 %, subjects drawn with replacement).

    Raises:
        UserError: a column is missing, a clip is there twice, or a class is not among `classes`.
    """
    need_columns(predictions, ("subject", "label", "prediction"), "predictions")
    found = _predictions(predictions)
    if not found:
        raise UserError(where="predictions", problem="no row", expected="at least one")
    recognition.check_once(found)
    names = list(classes or sorted({p.label for p in found} | {p.prediction for p in found}))
    rows = {}
    for method, seeds in recognition.grouped(found).items():
        scores = [recognition.scores(recognition.confusion(run, names)) for run in seeds.values()]
        limits = recognition.bootstrap(list(seeds.values()), names, bootstrap, seed=seed)
        mean = {name: sum(getattr(s, name) for s in scores) / len(scores) for name in ("uf1", "uar", "accuracy")}
        ends = {f"{n}_{end}": limits[n][i] for n in ("uf1", "uar") for i, end in enumerate(("low", "high"))}
        rows[method] = {"clips": len(next(iter(seeds.values()))), **mean, **ends}
    return pandas().DataFrame.from_dict(rows, orient="index")


def _predictions(table: Any) -> list[recognition.Prediction]:
    """Rows as predictions; without names of clips each row of a method and seed is a clip of its own."""
    named = {"video", "expression"} <= set(table.columns)
    found, counted = [], dict[tuple[str, int], int]()
    for row in table.to_dict("records"):
        method, seed = str(row.get("method", "predictions")), int(row.get("seed", 0))
        number = counted[method, seed] = counted.get((method, seed), 0) + 1
        clip = (str(row["video"]), str(row["expression"])) if named else ("", str(number))
        found.append(
            recognition.Prediction(
                method, seed, str(row.get("dataset", "")), str(row["subject"]), *clip, str(row["label"]),
                str(row["prediction"]),
            )
        )  # fmt: skip
    return found
