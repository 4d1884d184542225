"""The plan: files, folds, closed sets of names; and which stage reads which option."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from microexp.commands.main import STAGES
from microexp.config import Config, load, parse
from microexp.errors import UserError
from microexp.plan import NOTHING, REPORTED, Plan, closed, read_plan
from tests.datasets import releases

TWO: dict[str, Any] = {
    "datasets": {"demo": {}, "casme2": {"root": "/data"}},
    "spotting": {"long": {"datasets": ["demo"]}},
    "recognition": {
        "cde": {"datasets": ["demo", "casme2"], "classes": {"a": ["happiness"], "b": ["fear"]}},
        "hde": {"datasets": ["casme2"], "sources": ["demo:macro"], "leave": "dataset", "protocol": None,
                "classes": {"a": ["happiness"], "b": ["fear"]}},
    },
}  # fmt: skip


@pytest.fixture
def plan() -> Plan:
    return Plan(parse(TWO, "c.yaml"), {"demo": ["s01", "s02"], "casme2": ["sub01"]})


def test_folds_are_subjects_or_data_sets(plan: Plan) -> None:
    assert plan.folds("spotting", "long") == ["demo-s01", "demo-s02"]
    assert plan.folds("recognition", "cde") == ["demo-s01", "demo-s02", "casme2-sub01"]
    assert plan.folds("recognition", "hde") == ["casme2-all"]


def test_a_fold_reads_its_sources_too(plan: Plan) -> None:
    assert plan.inputs("recognition", "hde", "apexdiff") == [
        "results/apexdiff/casme2/sub01.h5", "results/apexdiff/demo/s01.h5", "results/apexdiff/demo/s02.h5",
    ]  # fmt: skip


def test_only_shards_that_an_experiment_needs_are_made(plan: Plan) -> None:
    assert plan.made("flow") == ["results/flow/demo/s01.h5", "results/flow/demo/s02.h5"]
    assert plan.made_for("flow", "casme2", "sub01") == []
    assert plan.made_for("apexdiff", "casme2", "sub01") == ["results/apexdiff/casme2/sub01.h5"]
    assert len(plan.made("crops")) == 3


def test_the_page_of_a_subject_shows_the_folds_that_hold_it_out(plan: Plan) -> None:
    assert plan.held_out("recognition", "predictions.csv", "casme2", "sub01") == [
        "results/recognition/cde/casme2-sub01/predictions.csv", "results/recognition/hde/casme2-all/predictions.csv",
    ]  # fmt: skip
    assert plan.held_out("spotting", "detections.csv", "casme2", "sub01") == []


def test_what_a_run_makes(plan: Plan) -> None:
    made = plan.everything()
    assert len(made) == len(set(made))
    assert made[:3] == plan.sources("demo") and "results/demo/annotations.csv" in made
    for name in (
        "results/index/casme2/counts.csv", "results/crops/casme2/sub01.h5", "results/spotting/long/motion.list",
        "results/spotting/long/demo-s02/selection.json", "results/recognition/hde/casme2-all/model.safetensors",
        "results/tables/recognition_cde.tex", "results/report/demo/s01.html", "results/complete.csv",
    ):  # fmt: skip
        assert name in made
    assert "results/flow/casme2/sub01.h5" not in made


def test_what_tables_report_and_check_read(plan: Plan) -> None:
    assert plan.scored("spotting", "long") == [
        "results/spotting/long/demo-s01/detections.csv", "results/spotting/long/demo-s02/detections.csv",
    ]  # fmt: skip
    assert plan.index("videos", "recognition", "hde") == plan.indexes("videos")[::-1]
    assert plan.excluding("spotting", "long") == "results/spotting/long/i3d.list"
    assert plan.last_shards() == [*plan.shards("apexdiff", ["casme2", "demo"]), *plan.shards("i3d", ["demo"])]
    assert plan.records() == [
        *plan.sources("demo"), *plan.shards("i3d", ["demo"]), *plan.shards("motion", ["demo"]),
    ]  # fmt: skip
    assert len(plan.training()) == 2 + 3 + 1
    assert {what: len(plan.reported(what)) for what in REPORTED} == {
        "detections": 2, "training": 6, "faces": 3, "crops": 3, "flow": 2, "apexdiff": 3, "pages": 3,
        "records": len(plan.records()),
    }  # fmt: skip
    assert plan.flow_weights() == []


@pytest.mark.parametrize(
    ("options", "added"),
    [
        ({}, set()),
        ({"flow": {"backend": "numba"}, "faces": {"backend": "given"}}, set()),
        ({"flow": {"backend": "torch"}}, {"flow"}),
        ({"flow": {"backend": "opencv_cuda"}}, {"flow"}),
        ({"apexdiff": {"flow": {"backend": "torch"}}}, {"apexdiff"}),
        ({"faces": {"backend": "face_alignment"}}, {"faces"}),
    ],
)
def test_a_stage_asks_for_a_gpu_only_with_a_backend_that_uses_one(options: dict[str, Any], added: set[str]) -> None:
    plan = Plan(parse({**TWO, **options}, "c.yaml"), {"demo": ["s01"], "casme2": ["sub01"]})
    assert {stage for stage in STAGES if plan.uses_gpu(stage)} == {"i3d", "aemnet", "mdml"} | added


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    options = {"datasets": {"demo": {}}, "i3d": {"flow_weights": str(tmp_path / "flow.pt")}}
    with pytest.raises(UserError, match=r"c\.yaml: i3d\.flow_weights: got .*flow\.pt', expected an existing file"):
        read_plan(options, "c.yaml")
    (tmp_path / "flow.pt").write_bytes(b"")
    assert read_plan(options, "c.yaml").flow_weights() == [str(tmp_path / "flow.pt")]


def test_a_release_is_planned_by_its_folders_and_its_sheet(tmp_path: Path) -> None:
    releases.casme2(tmp_path)
    plan = read_plan({"datasets": {"casme2": {"root": str(tmp_path)}}}, "c.yaml")
    assert len(plan.subjects["casme2"]) >= 1
    assert [Path(p).suffix for p in plan.sources("casme2")] == [".xlsx"]
    assert len(plan.digest("casme2")) == 16
    assert not any(name.startswith("results/demo/") for name in plan.everything())


def test_wildcards_match_names_of_this_run_and_nothing_else(plan: Plan) -> None:
    constraints = plan.constraints()
    assert re.fullmatch(constraints["fold"], "casme2-all")
    for wildcard, bad in [("fold", "demo-s03"), ("subject", "s011"), ("dataset", "samm"), ("experiment", "x/../cde")]:
        assert not re.fullmatch(constraints[wildcard], bad)


@given(st.sets(st.text("ab.-1", min_size=1, max_size=5)), st.text("ab.-1", max_size=5))
def test_closed_sets_match_their_members_and_nothing_else(names: set[str], other: str) -> None:
    pattern = re.compile(closed(names))
    assert all(pattern.fullmatch(name) for name in names)
    assert bool(pattern.fullmatch(other)) == (other in names)


def test_closed_sets_treat_names_as_text() -> None:
    assert re.fullmatch(closed(["a.b", "c"]), "a.b") and not re.fullmatch(closed(["a.b", "c"]), "axb")
    assert closed([]) == NOTHING and not re.fullmatch(NOTHING, "")


def test_an_unsafe_subject_and_an_empty_data_set_are_refused() -> None:
    with pytest.raises(UserError, match=r"casme2.*subject.*'../x'"):
        Plan(parse(TWO, "c.yaml"), {"demo": ["s01"], "casme2": ["../x"]})
    with pytest.raises(UserError, match=r"datasets\.casme2: no subject"):
        Plan(parse(TWO, "c.yaml"), {"demo": ["s01"], "casme2": []})


def test_a_release_that_is_not_there_is_named(tmp_path: Path) -> None:
    options = {"datasets": {"casme2": {"root": str(tmp_path / "no")}}}
    with pytest.raises(UserError, match=r"no: datasets\.casme2\.root: no such folder"):
        read_plan(options, "c.yaml")


def test_the_sheet_of_a_release_and_the_demos_videos_are_sources_of_the_index(plan: Plan) -> None:
    assert plan.sources("demo") == [
        "results/demo/annotations.csv", "results/demo/videos/s01/s01_1.mp4", "results/demo/videos/s02/s02_1.mp4",
    ]  # fmt: skip
    assert plan.rendered("casme2", "sub01") == []


def test_crops_take_the_rate_of_their_data_set() -> None:
    config = parse({**TWO, "crops": {"fps": 25}, "datasets": {"demo": {}, "casme2": {"root": "/d", "fps": 30}}}, "c")
    plan = Plan(config, {"demo": ["s01"], "casme2": ["s02"]})
    assert json.loads(plan.options("crops", "casme2"))["fps"] == 30
    assert json.loads(plan.options("crops", "demo"))["fps"] == 25


# --- every option is read by the stages that it belongs to, and by no other ------------------------------------------

READERS = {
    # stage: names of which it is run (data set, experiment)
    "demo-sheet": None, "demo": None, "index": "demo", "faces": None, "crops": "demo", "flow": None,
    "apexdiff": None, "i3d": None, "motion": None,
    "aemnet": "demo", "detect": "demo", "mdml": "demo", "tables-spotting": "demo", "tables-recognition": "demo",
    "report": None, "report-subject": None, "complete": None,
}  # fmt: skip
TABLES = {"tables-spotting", "tables-recognition"}
SEEDED = {"demo-sheet", "demo", "aemnet", "detect", "mdml", *TABLES}
RULES_OF = [
    # options below this path: the stages that read them; the longest path counts
    ("seed", SEEDED),
    ("allow_exclusions", {"complete", *TABLES}),
    ("datasets.demo", {"index"}),
    ("datasets.demo.adapter", {"index", "tables-spotting"}),
    ("datasets.demo.fps", {"crops"}),
    ("demo", {"demo-sheet", "demo"}),
    ("demo.subjects", {"demo-sheet"}),
    ("demo.width", {"demo"}),
    ("demo.height", {"demo"}),
    ("demo.noise", {"demo"}),
    ("faces", {"faces"}),
    ("crops", {"crops"}),
    ("flow", {"flow"}),
    ("apexdiff", {"apexdiff"}),
    ("i3d", {"i3d"}),
    ("motion", {"motion"}),
    ("spotting.demo.aemnet", {"aemnet"}),
    ("spotting.demo.detect", {"detect"}),
    ("recognition.demo", {"mdml"}),
    ("recognition.demo.classes", {"mdml", "tables-recognition"}),
    ("recognition.demo.kinds", {"mdml", "tables-recognition"}),
    ("tables", TABLES),
    ("report.title", {"report", "report-subject"}),
    ("report.faces", {"report", "report-subject"}),
    ("report.expressions", {"report-subject"}),
    ("report.gallery", {"report"}),
    ("report.timelines", {"report"}),
]
ELSEWHERE = {
    # options that are not tried one by one, and why
    "spotting.demo.datasets": "changes which jobs there are",
    "recognition.demo.datasets": "changes which jobs there are",
    "recognition.demo.protocol": "excludes `classes`; has its own test",
    "recognition.demo.adapters": "filled in from `datasets`",
}


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Paths of all leaves of a configuration."""
    if isinstance(value, dict) and value and not prefix.endswith(("classes.", "streams.")):
        for key, inner in value.items():
            yield from paths(inner, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix(".")


def other_values(value: Any) -> list[Any]:
    """Candidates for another valid value."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value + 2, value * 2, value * 0.9, value * 0.5, value - 1, value + 1e-3, 0.6, 0.7]
    if isinstance(value, str):
        return [value + "x", *LITERALS]
    if isinstance(value, list):
        scaled = [[v * 2 + 1 for v in value]] if all(isinstance(v, (int, float)) for v in value) else []
        return [*scaled, value + value[-1:], value[:-1], [*value, "demo"], [*value, 1], [[*value, "demo"]], ["macro"]]
    if isinstance(value, dict):
        return [{**value, "extra": ["anger"]}, {**value, "extra": ["u"]}]
    return [1, 0.05, 0.6, [1.0, 1.0, 2.0], "a", "0" * 64, *LITERALS]


def literals(schema: Any) -> Iterator[str]:
    """Every named choice anywhere in a JSON schema."""
    if isinstance(schema, dict):
        yield from (v for v in [*schema.get("enum", []), schema.get("const")] if isinstance(v, str))
        for inner in schema.values():
            yield from literals(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from literals(inner)


LITERALS = [*sorted(set(literals(Config.model_json_schema()))), "casme2", "samm"]


@pytest.fixture(scope="module")
def mini() -> dict[str, Any]:
    return load(Path(__file__).with_name("mini.yaml")).model_dump(mode="json")


def changed(options: dict[str, Any], path: str) -> Plan | None:
    """The plan with another valid value at `path`; None when none was found."""
    *way, last = path.split(".")
    text = json.dumps(options)
    before = parse(options, "c")
    for candidate in other_values(_at(options, path)):
        new = json.loads(text)
        _at(new, ".".join(way))[last] = candidate
        try:
            config = parse(new, "c")
        except UserError:
            continue
        if config != before:
            return Plan(config, {"demo": ["s01", "s02", "s03"]})
    return None


def _at(value: Any, path: str) -> Any:
    for key in path.split(".") if path else []:
        value = value[key]
    return value


def readers(path: str) -> set[str]:
    """Stages that should read the option."""
    matching = [(p, stages) for p, stages in RULES_OF if path == p or path.startswith(p + ".")]
    assert matching, f"{path}: which stage reads it? Add it to RULES_OF."
    return max(matching, key=lambda item: len(item[0]))[1]


def options(plan: Plan) -> dict[str, str]:
    return {stage: plan.options(stage, name) for stage, name in READERS.items()}


def test_every_option_changes_exactly_the_stages_that_read_it(mini: dict[str, Any]) -> None:
    before = options(Plan(parse(mini, "c"), {"demo": ["s01", "s02", "s03"]}))
    untried, wrong = [], []
    for path in paths(mini):
        if path in ELSEWHERE:
            continue
        plan = changed(mini, path)
        if plan is None:
            untried.append(path)
            continue
        read = {stage for stage, text in options(plan).items() if text != before[stage]}
        if read != readers(path):
            wrong.append((path, read, readers(path)))
    assert not wrong
    assert not untried, "no other valid value was found for these options"


def test_the_shipped_configuration_is_planned() -> None:
    plan = read_plan(yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text()), "config.yaml")
    assert plan.tables("csv") == ["results/tables/spotting_demo.csv", "results/tables/recognition_demo.csv"]
    assert len(plan.pages()) == len(plan.folds("recognition", "demo")) >= 8


def test_a_protocol_is_read_by_recognition_and_its_table_alone(mini: dict[str, Any]) -> None:
    before = options(Plan(parse(mini, "c"), {"demo": ["s01"]}))
    mini = json.loads(json.dumps(mini))
    mini["recognition"]["demo"] |= {"classes": None, "protocol": "megc2019"}
    after = options(Plan(parse(mini, "c"), {"demo": ["s01"]}))
    assert {stage for stage in after if after[stage] != before[stage]} == {"mdml", "tables-recognition"}
