"""Published figures fit together."""

from __future__ import annotations

import pytest

from microexp.datasets.protocols import PUBLISHED
from microexp.metrics.spotting import Counts

OFFICIAL_COUNTS = {
    ("cas_me2", "micro"): (21, 5035, 57),
    ("cas_me2", "macro"): (109, 1523, 300),
    ("samm_lv", "micro"): (29, 1436, 159),
    ("samm_lv", "macro"): (22, 356, 343),
}
"""MEGC2020's MDMD baseline: (true positives, predictions, ground truths) by data set and kind, `matching: megc`."""


@pytest.mark.parametrize("dataset", ["cas_me2", "samm_lv"])
def test_the_official_counts_give_the_baselines_published_f1(dataset):
    total = Counts(*OFFICIAL_COUNTS[dataset, "micro"]) + Counts(*OFFICIAL_COUNTS[dataset, "macro"])
    row = next(r for r in PUBLISHED if r.method == "MDMD")
    assert total.f1 == pytest.approx(getattr(row, dataset), abs=1e-3)


def test_all_but_the_flow_methods_are_marked():
    assert [r.method for r in PUBLISHED if not r.chosen_on_test] == ["MDMD", "OF-FD"]
