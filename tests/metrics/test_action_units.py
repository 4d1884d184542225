"""AUC and F1 per action unit, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from microexp.errors import UserError
from microexp.metrics.action_units import UnitPrediction, arrays, auc, f1, read_predictions, table
from microexp.run import storage


def prediction(row, label, p, method="m", dataset="d"):
    named = dict(zip(("AU1", "AU12"), p, strict=True))
    return UnitPrediction(method, 0, dataset, f"s{row % 3}", f"v{row}", "1", label, "", named)


@pytest.mark.parametrize("levels", [3, 1000])
def test_auc_is_that_of_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    for _ in range(10):
        shown, p = rng.random(40) < 0.3, rng.integers(levels, size=40) / levels
        shown[:2] = True, False
        assert auc(shown, p) == pytest.approx(roc_auc_score(shown, p))
        assert f1(shown, p >= 0.5) == pytest.approx(f1_score(shown, p >= 0.5))


def test_a_unit_that_no_clip_or_every_clip_shows_has_no_auc():
    assert np.isnan(auc(np.zeros(3, bool), np.arange(3.0))) and np.isnan(auc(np.ones(3, bool), np.arange(3.0)))


def test_the_table_has_the_units_that_are_shown_and_their_mean():
    rows = [prediction(0, "12", (0.1, 0.9)), prediction(1, "4", (0.2, 0.1)), prediction(2, "L12+4", (0.1, 0.4))]
    found = table("t", rows, ("AU1", "AU12"), samples=20)
    mean, own = found.rows
    assert (mean["unit"], own["unit"], own["shown"], own["clips"]) == ("mean", "AU12", 2, 3)
    assert own["auc"] == mean["auc"] == 1.0
    assert own["unit_f1"] == pytest.approx(2 / 3)  # one hit, one miss
    assert 0 <= mean["auc_low"] <= mean["auc_high"] <= 1


def test_parts_are_the_data_sets():
    rows = [prediction(k, "1" if k % 2 else "12", (k % 2, 0.5), dataset=f"d{k // 4}") for k in range(8)]
    assert [r["part"] for r in table("t", rows, ("AU1",), samples=0).rows] == ["all"] * 2 + ["d0"] * 2 + ["d1"] * 2


def test_predictions_are_read_back_and_must_name_every_unit(tmp_path):
    path = tmp_path / "predictions.csv"
    columns = ("method", "seed", "dataset", "subject", "video", "expression", "label", "prediction", "p_AU1")
    storage.write_csv(path, columns, [("m", 0, "d", "s", "v", 1, "1+L12", "1", 0.75)])
    (row,) = read_predictions([path])
    assert row.p == {"AU1": 0.75} and row.label == "1+L12"
    shown, p = arrays([row], ("AU1",))
    assert shown.tolist() == [[True]] and p.tolist() == [[0.75]]
    with pytest.raises(UserError, match="no p_AU12"):
        arrays([row], ("AU12",))
    storage.write_csv(path, columns, [("m", 0, "d", "s", "v", 1, "1", "1", "high")])
    with pytest.raises(UserError, match="row 2"):
        read_predictions([path])
