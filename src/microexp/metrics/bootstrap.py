"""Bootstrap over subjects: intervals of a figure, and of the difference between two methods on the same subjects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from microexp.records.tables import Row, Table

COLUMNS = ("method", "minus", "measure", "difference", "difference_low", "difference_high")


@dataclass(frozen=True)
class Figure:
    """A figure of one method, a mean over its seeds.

    Attributes:
        value: on all subjects.
        drawn: (B,) the same in B bootstrap samples over subjects; nan where a sample has no such figure. Sample b holds
            the same subjects for every method.
    """

    value: float
    drawn: np.ndarray


def draws(n_subjects: int, samples: int, *, seed: int) -> np.ndarray:
    """(B, S) int64 how often each of S subjects occurs in each of B samples of S, drawn with replacement."""
    drawn = np.random.default_rng(seed).integers(0, max(1, n_subjects), (samples, n_subjects))
    times = np.zeros((samples, n_subjects), dtype=np.int64)
    np.add.at(times, (np.arange(samples)[:, None], drawn), 1)
    return times


def interval(drawn: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the samples (B,) that have the figure; nan without any."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def difference(first: Figure, second: Figure) -> tuple[float, float, float]:
    """First minus second, and the 95 % percentile interval of the paired bootstrap; nan without a sample."""
    return first.value - second.value, *interval(first.drawn - second.drawn)


def differences(title: str, figures: Mapping[str, Figure], measure: str, *, samples: int) -> Table | None:
    """Every pair of methods, in their order; None for a single method.

    Args:
        title: of the table of the methods.
        figures: method -> its figure.
        measure: what the figure is, as `f1`.
        samples: bootstrap samples, for the note.
    """
    rows: list[Row] = []
    for first, second in combinations(figures, 2):
        value, low, high = difference(figures[first], figures[second])
        limits: Row = {"difference_low": low, "difference_high": high}
        rows.append({"method": first, "minus": second, "measure": measure, "difference": value, **limits})
    note = (
        f"Paired: each of {samples} bootstrap samples holds the same subjects for both methods; 95 % interval, means "
        "over seeds. An interval that holds 0: these subjects do not tell which is better."
    )
    return Table(f"{title}: differences between methods", COLUMNS, rows, [note]) if rows else None
