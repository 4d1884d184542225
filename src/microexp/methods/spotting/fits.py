"""The trainings of a fold: whom each is trained on, and for whom it proposes so that thresholds can be chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microexp.errors import UserError
from microexp.methods.people import same_person
from microexp.methods.spotting.params import SpottingFoldParams
from microexp.models import SHIPPED, SPOTTING, shipped
from microexp.records.proposals import METHOD, PERMUTED
from microexp.run import bundle, provenance
from microexp.run.names import split_fold

ALL = "all"
Subject = tuple[str, str]


@dataclass(frozen=True)
class FitPlan:
    """One training of the fold.

    Attributes:
        variant: `method`, or `permuted` for the control.
        seed: the repetition.
        fit: `main`, `inner1` …, or `all`.
        subjects: whom it is trained on.
        calibration: training subjects that it proposes for, never among `subjects`.
        final: whether it proposes for the held-out subject and is kept.
    """

    variant: str
    seed: int
    fit: str
    subjects: tuple[Subject, ...]
    calibration: tuple[Subject, ...]
    final: bool

    @property
    def name(self) -> str:
        """What tells it from the fold's other fits."""
        return f"{self.variant}.{self.seed}.{self.fit}"


def plan_fits(subjects: Sequence[Subject], options: SpottingFoldParams, *, learns: bool, seeded: bool) -> list[FitPlan]:
    """The trainings of a fold, in order.

    Args:
        subjects: training subjects, sorted.
        options: say how calibration proposals come about, and how many repetitions there are.
        learns: whether a control on permuted labels means anything.
        seeded: whether repetitions differ.

    Raises:
        UserError: when there are too few training subjects to keep some for calibration.
    """
    people = {same_person(*s, options.people) for s in subjects}
    if len(people) < 2:
        raise UserError(
            file="features",
            problem=f"{len(people)} training subject(s)",
            expected="at least 2, one of them to calibrate",
        )
    variants = (METHOD, PERMUTED) if options.permuted_control and learns else (METHOD,)
    plans = []
    for variant in variants:
        for repetition in range(options.seeds if seeded else 1):
            parts = calibration_parts(subjects, options, options.seed + repetition)
            single = options.calibrate == "held_out"
            for k, part in enumerate(parts, 1):
                rest = tuple(s for s in subjects if s not in part)
                plans.append(FitPlan(variant, repetition, "main" if single else f"inner{k}", rest, part, single))
            if not single:
                plans.append(FitPlan(variant, repetition, ALL, subjects=tuple(subjects), calibration=(), final=True))
    return plans


def calibration_parts(subjects: Sequence[Subject], options: SpottingFoldParams, seed: int) -> list[tuple[Subject, ...]]:
    """Who calibrates: a held-out share of the training subjects, or each of them in one of the inner folds.

    Subjects of several data sets who are one person stay together.
    """
    people = sorted({same_person(*s, options.people) for s in subjects})
    order = np.random.default_rng([seed, 0]).permutation(len(people))
    if options.calibrate == "held_out":
        parts = [order[: min(len(people) - 1, max(1, round(options.held_out_share * len(people))))]]
    else:
        folds = min(options.inner_folds, len(people))
        parts = [order[k::folds] for k in range(folds)]
    chosen = [{people[i] for i in part} for part in parts]
    return [tuple(s for s in sorted(subjects) if same_person(*s, options.people) in who) for who in chosen]


def held_out_subject(fold: str) -> Subject | None:
    """The subject that a fold holds out (`all`: the whole data set); None for the fold `all`."""
    return None if fold == ALL else split_fold(fold)


# A model that a training starts from: whom it knows, and why nobody of the experiment may be among them.
#
# A network that has seen the held-out person makes a result worthless, and one that has seen a training person makes
# the thresholds too high, because they are chosen on people whom a fit did not see. Both are refused.


@dataclass(frozen=True)
class Start:
    """A model file that training starts from.

    Attributes:
        sha256: of the file.
        people: (data set, subject) of everybody whom it was trained on, directly or by a model that it started from.
    """

    path: Path
    sha256: str
    people: tuple[Subject, ...]


def start_path(start_from: str) -> Path:
    """The file that the option `start_from` names.

    Raises:
        UserError: when the package brings no model.
    """
    return shipped(SPOTTING) if start_from == SHIPPED else Path(start_from)


def check_start(path: Path, subjects: Iterable[Subject], groups: Sequence[Sequence[str]]) -> Start:
    """The model, when nobody of the experiment was in its training.

    Args:
        path: of the model.
        subjects: everybody in the experiment, the held-out subject too.
        groups: groups of data sets in which one subject name is one person.

    Raises:
        UserError: when it does not say whom it was trained on, or knows somebody of the experiment.
    """
    about = bundle.read(path).about
    named = about.get("trained_on")
    if about.get("kind") != "spotting" or not isinstance(named, list) or not named:
        expected = "a spotting model that says whom it was trained on"
        raise UserError(file=path, problem="another kind of file", expected=expected, hint="train it again")
    people = tuple((dataset, subject) for dataset, _, subject in (str(name).partition("/") for name in named))
    known = {same_person(*person, groups) for person in people}
    for subject in sorted(subjects):
        if same_person(*subject, groups) in known:
            raise UserError(
                file=path,
                where="start_from",
                problem=f"was trained on {'/'.join(subject)}, who is in the experiment",
                expected="a model of other people",
            )
    return Start(path, str(provenance.input_hash(path)["sha256"]), people)


def trained_on(subjects: Iterable[Subject], start: Start | None) -> dict[str, Any]:
    """What a model file says of its people: `DATASET/SUBJECT`, those of the model that it started from among them."""
    people = sorted({*subjects, *(start.people if start else ())})
    named = {"trained_on": [f"{dataset}/{subject}" for dataset, subject in people]}
    return named | ({"start_from": start.sha256} if start else {})
