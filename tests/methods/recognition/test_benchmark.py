import sys

import numpy as np
import pytest
import yaml

from microexp.errors import UserError
from microexp.metrics.recognition import check_once, grouped
from tests.methods.recognition.conftest import QUICK
from tests.methods.recognition.synthetic import CLASSES, clips_of, write_shards
from tests.scripts import load_script


@pytest.fixture
def benchmark(monkeypatch):
    return load_script("megc2019_flow", monkeypatch)


@pytest.fixture
def npz(tmp_path):
    """Made-up flow maps of the published form: 3 data sets of 8 subjects with a clip per class."""
    rng = np.random.default_rng(0)
    rows = [(d, f"s{s}", c) for d in ("casme2", "smic", "samm") for s in range(8) for c in range(3)]
    flow = rng.integers(100, 140, (len(rows), 28, 28, 3), dtype=np.uint8)
    for image, (_, _, c) in zip(flow, rows, strict=True):
        image[8 * c : 8 * c + 8, 4:24, 1:] += 60
    dataset, subject, label = (np.array(column) for column in zip(*rows, strict=True))
    path = tmp_path / "maps.npz"
    sample = np.array([f"c{i}" for i in range(len(rows))])
    channels = np.array(["u", "v", "os"])
    np.savez(path, flow=flow, dataset=dataset, subject=subject, label=label, sample=sample, channels=channels)
    return path


def test_averages_are_halves_of_networks_and_logistic_regression(benchmark):
    p = {row: np.full((2, 3), float(k)) for k, row in enumerate((benchmark.LOGISTIC, *benchmark.ROWS))}
    found = benchmark.averaged(p)
    assert set(found) == {*benchmark.VOTED, benchmark.ALL}
    assert (found["MDML + logistic regression"] == p["+ multi-source"] / 2).all()
    assert (found[benchmark.ALL] == np.mean(range(1, len(benchmark.ROWS) + 1)) / 2).all()


@pytest.mark.long
def test_every_row_predicts_every_clip_once_and_the_last_row_chooses_per_block(benchmark, npz, monkeypatch, capsys):
    monkeypatch.setitem(benchmark.BASE, "epochs", 1)
    monkeypatch.setattr(benchmark, "RENDERED", 600)
    rows = benchmark.run(benchmark.load(npz, allow_subset=True), seeds=2)
    check_once(rows)
    methods = grouped(rows)
    assert set(methods) >= {"majority", "LR (u, v) + mirror", *benchmark.ROWS, *benchmark.VOTED, benchmark.ALL}
    assert {len(methods[m]) for m in (*benchmark.ROWS, benchmark.CHOSEN)} == {2}
    chosen = capsys.readouterr().out.split("chosen per block: ")[1].split("\n")[0].split("; ")
    block = benchmark.deal(*_people(benchmark, npz), np.ones(72, bool), 4, np.random.default_rng(benchmark.DEAL_SEED))
    for i, clip in enumerate(methods[benchmark.CHOSEN][0]):
        source = methods[chosen[block[i]]]
        assert clip.prediction == source[next(iter(source))][i].prediction


def _people(benchmark, npz):
    data = benchmark.load(npz, allow_subset=True)
    return data.role.person, data.maps.dataset


def test_what_is_not_the_composite_is_an_error(benchmark, npz, tmp_path, capsys):
    with pytest.raises(UserError, match=r"casme2: 8 negative instead of 88.*casme2: 8 subjects instead of 24"):
        benchmark.load(npz)
    assert "casme2: 8 subjects, 24 clips: 8 negative, 8 positive, 8 surprise" in capsys.readouterr().out
    parts = dict(np.load(npz))
    for change, message in (
        ({"dataset": np.where(parts["dataset"] == "samm", "mmew", parts["dataset"])}, "'negative' of data set 'mmew'"),
        ({"label": np.array(["neg", "positive", "surprise"])[parts["label"]]}, "got 'neg' of data set"),
        ({"flow": parts["flow"][..., :2], "channels": np.array(["u", "v"])}, "no strain in the clips"),
    ):
        np.savez(tmp_path / "other.npz", **{**parts, **change})
        with pytest.raises(UserError, match=message):
            benchmark.load(tmp_path / "other.npz", allow_subset=True)


@pytest.mark.long
def test_any_spelling_zero_and_size_is_read(benchmark, npz, tmp_path):
    parts = dict(np.load(npz))
    names = {"casme2": "CASME_II", "smic": "SMIC_HS", "samm": "SAMM"}
    parts["dataset"] = np.array([names[d] for d in parts["dataset"]])
    parts["flow"] = np.repeat(np.repeat(parts["flow"], 2, 1), 2, 2)
    np.savez(tmp_path / "other.npz", **parts)
    data = benchmark.load(tmp_path / "other.npz", allow_subset=True)
    assert data.role.target.all() and data.maps.maps.shape == (72, 3, 56, 56)
    other = benchmark.load(tmp_path / "other.npz", allow_subset=True, zero="mode")
    assert not np.array_equal(data.maps.maps, other.maps.maps)
    assert np.isfinite(benchmark.linear_rows(data)[benchmark.LOGISTIC]).all()


def test_blocks_never_share_a_person_and_inner_folds_never_a_block(benchmark):
    person = np.repeat([f"p{i}" for i in range(20)], 3)
    dataset = np.where(np.arange(60) < 30, "a", "b")
    rng = np.random.default_rng(0)
    block = benchmark.deal(person, dataset, np.ones(60, bool), 4, rng)
    inner = benchmark.deal(person, dataset, block != 1, 5, rng)
    assert all(len(set(part[person == p])) == 1 for part in (block, inner) for p in person)
    assert set(block) == {0, 1, 2, 3} and ((inner == -1) == (block == 1)).all()
    for d in "ab":
        assert set(block[dataset == d]) == {0, 1, 2, 3}


@pytest.mark.long
def test_mdml_s_parts_are_switched_off_one_by_one_beside_the_other_methods(tmp_path, monkeypatch, capsys):
    parts = load_script("mdml_parts", monkeypatch)
    monkeypatch.setattr(parts, "PARTS", {k: parts.PARTS[k] for k in ("MDML", "without multi-source")})
    write_shards(clips_of({"demo": ["a", "b"]}, kinds=("micro", "macro")), tmp_path / "results" / "apexdiff")
    experiment = {"datasets": ["demo"], "classes": CLASSES, "sources": ["demo:macro"]}
    methods = {"mine": {"method": "mdml", **QUICK, "epochs": 1}, "majority": {}}
    config = {"datasets": {"demo": {}}, "recognition": {"x": {**experiment, "methods": methods}}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    arguments = [str(tmp_path / "c.yaml"), "x", "--results", str(tmp_path / "results"), "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", ["mdml_parts.py", *arguments])
    parts.main()
    shown = capsys.readouterr().out
    for row in ("| majority | all | 6 | 1 |", "| MDML | all | 6 | 2 |", "| without multi-source | all | 6 | 2 |"):
        assert row in shown
    monkeypatch.setattr(sys, "argv", ["mdml_parts.py", *arguments, "--identity"])
    monkeypatch.setattr(parts, "IDENTITY", {"identity: flow": parts.IDENTITY["identity: flow"]})
    parts.main()
    assert "| identity: flow | all | 6 | 2 |" in capsys.readouterr().out
