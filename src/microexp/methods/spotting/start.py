"""A model that a training starts from: whom it knows, and why nobody of the experiment may be among them.

A network that has seen the held-out person makes a result worthless, and one that has seen a training person makes the
thresholds too high, because they are chosen on people whom a fit did not see. Both are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microexp.errors import UserError
from microexp.methods.people import same_person
from microexp.models import SPOTTING, shipped
from microexp.run import bundle, provenance

SHIPPED = "shipped"
Subject = tuple[str, str]


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
