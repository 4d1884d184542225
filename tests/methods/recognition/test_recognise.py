import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from microexp.commands.main import main
from microexp.config import parse
from microexp.datasets.classes import class_names
from microexp.methods.recognition.params import RecognitionFoldParams
from microexp.stage_options import stage_options

PAGE = Path(__file__).parents[3] / "docs" / "recognition.md"
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]


def test_the_examples_of_the_page_are_configurations():
    found = {}
    for example in EXAMPLES:
        config = parse(example, "recognition.md")
        for name, experiment in config.recognition.items():
            for method in experiment.methods:
                options = stage_options(config, "recognition-fold", name, method=method)
                found[name] = RecognitionFoldParams.model_validate(options)
    assert {"megc2019", "casme2_5", "samm_5", "smic_3", "cas_me3_7", "across", "flow"} <= set(found)
    assert [len(class_names(found[name])) for name in ("megc2019", "casme2_5", "samm_5", "cas_me3_7")] == [3, 5, 5, 7]
    assert found["samm_5"].people == [["samm", "samm_lv"]] and found["across"].leave == "dataset"


@pytest.fixture
def maps(tmp_path):
    """Made-up flow maps of three data sets, two subjects each, a clip per class."""
    rows = [(d, f"s{s}", c) for d in ("CASME_II", "SMIC", "SAMM") for s in range(2) for c in range(3)]
    flow = np.random.default_rng(0).integers(0, 256, (len(rows), 16, 16, 3), dtype=np.uint8)
    dataset, subject, label = (np.array(column) for column in zip(*rows, strict=True))
    sample = np.array([f"c{i}" for i in range(len(rows))])
    np.savez(tmp_path / "maps.npz", flow=flow, dataset=dataset, subject=subject, label=label, sample=sample)
    return tmp_path / "maps.npz"


@pytest.mark.long
def test_the_page_s_example_runs_from_flow_maps_to_the_table(maps, tmp_path, capsys):
    example = next(e for e in EXAMPLES if "flow" in e["recognition"])
    example["recognition"]["flow"]["seeds"] = 2
    example["recognition"]["flow"]["methods"]["mdml"] |= {"epochs": 1, "channels": [2, 2]}
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(example))
    shards, out = tmp_path / "apexdiff", tmp_path / "out"
    command = [
        "recognise",
        str(tmp_path / "flow.yaml"),
        "flow",
        str(out),
        "--apexdiff",
        str(shards),
        "--bootstrap",
        "9",
    ]
    assert main(command) == 2
    assert "no shard" in capsys.readouterr().err
    assert main(["flowmaps", str(maps), str(shards)]) == 0
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "| mdml | casme2 | 6 | 2 |" in shown and "| logistic_regression | casme2 | 6 | 1 |" in shown
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18 * 4 and {r["method"] for r in rows} == {"majority", "logistic_regression", "mdml"}
    assert [r["part"] for r in json.loads((out / "table.json").read_text())["rows"]][:4] == [
        "all",
        "casme2",
        "samm",
        "smic",
    ]
    assert all((out / f"table.{suffix}").is_file() for suffix in ("csv", "md", "tex"))
    assert main(["evaluate", "recognition", str(out / "predictions.csv"), "--bootstrap", "0"]) == 0
    assert "18 clips of 6 subjects" in capsys.readouterr().out
    command[2] = "flo"
    assert main(command) == 2
    assert "no 'flo'; expected one of flow" in capsys.readouterr().err


@pytest.mark.long
def test_rendered_expressions_are_a_source_that_is_never_predicted(maps, tmp_path, capsys):
    example = next(e for e in EXAMPLES if "guided" in e["recognition"])
    example["recognition"]["guided"]["methods"]["mdml"] |= {"epochs": 1, "channels": [2, 2]}
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(example))
    shards, out = tmp_path / "apexdiff", tmp_path / "out"
    assert main(["flowmaps", str(maps), str(shards)]) == 0
    assert main(["rendered", str(shards), "--clips", "60", "--people", "2", "--size", "16"]) == 0
    assert "60 clips of 2 people" in capsys.readouterr().out
    command = ["recognise", str(tmp_path / "flow.yaml"), "guided", str(out), "--apexdiff", str(shards)]
    assert main([*command, "--bootstrap", "0"]) == 0
    assert "78 clips, 0 of them without a class" in capsys.readouterr().err
    with (out / "predictions.csv").open() as file:
        assert {r["dataset"] for r in csv.DictReader(file)} == {"casme2", "samm", "smic"}
