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

from microexp.commands.main import main
from microexp.config import Config, load, parse
from microexp.errors import UserError
from microexp.methods.find import SHIPPED, find_method
from microexp.methods.recognition.logistic_regression import LogisticOptions
from microexp.methods.spotting.params import CalibrationParams
from microexp.pipeline import STAGES
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
    assert plan.listed("recognition", "hde", "apexdiff") == [
        "results/apexdiff/casme2/sub01.h5", "results/apexdiff/demo/s01.h5", "results/apexdiff/demo/s02.h5",
    ]  # fmt: skip


def test_only_shards_that_an_experiment_needs_are_made(plan: Plan) -> None:
    assert plan.made("flow") == ["results/flow/demo/s01.h5", "results/flow/demo/s02.h5"]
    assert plan.flow_of("casme2", "sub01") == [] == plan.motion_of("casme2", "sub01")
    assert plan.apexdiff_of("casme2", "sub01") == ["results/apexdiff/casme2/sub01.h5"]
    assert len(plan.made("crops")) == 3 and plan.made("given") == []


def test_without_a_network_there_is_neither_i3d_nor_weights() -> None:
    methods = {"flow_magnitude": {}, "random_intervals": {}}
    config = parse({"datasets": {"demo": {}}, "spotting": {"x": {"datasets": ["demo"], "methods": methods}}}, "c")
    made = Plan(config, {"demo": ["s01", "s02"]}).everything()
    assert "results/features/motion/demo/s01.h5" in made and "results/report.html" in made
    assert not [name for name in made if "i3d" in name or "weights" in name]
    methods.pop("flow_magnitude")
    made = Plan(parse({**config.model_dump(), "spotting": {"x": {"datasets": ["demo"], "methods": methods}}}, "c"),
                {"demo": ["s01", "s02"]}).everything()  # fmt: skip
    assert not [name for name in made if "features" in name or "/flow/" in name]


def test_the_page_of_a_subject_shows_the_folds_that_hold_it_out(plan: Plan) -> None:
    found = plan.predictions_of("casme2", "sub01")
    assert [f for f in found if "/mdml/" in f] == [
        "results/recognition/cde/mdml/casme2-sub01/predictions.csv",
        "results/recognition/hde/mdml/casme2-all/predictions.csv",
    ]
    assert len(found) == 6 and plan.detections_of("casme2", "sub01") == []


def test_what_a_run_makes(plan: Plan) -> None:
    made = plan.everything()
    assert len(made) == len(set(made))
    assert set(plan.sources("demo")) <= set(made)
    for name in (
        "results/index/casme2/counts.csv", "results/crops/casme2/sub01.h5", "results/spotting/long/motion.list",
        "results/spotting/long/aemnet/demo-s02/selection.json",
        "results/recognition/hde/mdml/casme2-all/trained.safetensors",
        "results/tables/recognition_cde.tex", "results/report/demo/s01.html", "results/excluded.csv",
    ):  # fmt: skip
        assert name in made
    assert "results/flow/casme2/sub01.h5" not in made
    assert not [name for name in made if "{" in name or "/all/" in name]


def test_what_tables_report_and_check_read(plan: Plan) -> None:
    assert plan.scored("spotting", "long")[:2] == [
        "results/spotting/long/aemnet/demo-s01/detections.csv", "results/spotting/long/aemnet/demo-s02/detections.csv",
    ]  # fmt: skip
    assert len(plan.scored("spotting", "long")) == 6
    assert plan.videos("hde", "recognition") == plan.all_videos()[::-1]
    assert plan.last_lists("spotting", "long") == "results/spotting/long/i3d_rgb.list"
    assert plan.last_shards() == sorted(
        [*plan.shards("apexdiff", ["casme2", "demo"]), *plan.shards("i3d-rgb", ["demo"])]
    )
    streams = [f for stage in ("i3d-rgb", "i3d-flow", "motion") for f in plan.shards(stage, ["demo"])]
    assert plan.reported("records") == [*plan.sources("demo"), *streams]
    assert {what: len(plan.reported(what)) for what in REPORTED} == {
        "detections": 6, "training": 6 + 9 + 3, "faces": 3, "crops": 3, "flow": 2, "apexdiff": 3, "pages": 3,
        "records": 9,
    }  # fmt: skip
    assert plan.flow_weights() == []


def test_models_are_made_of_the_fold_all_and_applied_to_every_subject() -> None:
    spotting, recognition = (
        f"results/{k}/all/model.safetensors" for k in ("spotting/long/aemnet", "recognition/cde/mdml")
    )
    application = {"datasets": ["casme2"], "spotting": spotting, "recognition": recognition}
    plan = Plan(parse({**TWO, "apply": {"mine": application}}, "c"), {"demo": ["s01", "s02"], "casme2": ["sub01"]})
    made = plan.everything()
    assert {spotting, recognition, "results/apply/mine/casme2/sub01/events.csv"} <= set(made)
    assert "results/features/i3d_flow/casme2/sub01.h5" in made, "what the model reads is computed for these videos too"
    assert plan.trained_on_all("spotting", "long", "aemnet") == "results/spotting/long/aemnet/all/trained.safetensors"
    assert plan.applied_features("mine", "casme2", "sub01") == [
        "results/features/i3d_rgb/casme2/sub01.h5", "results/features/i3d_flow/casme2/sub01.h5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "added"),
    [
        ({}, set()),
        ({"flow": {"backend": "numba"}, "faces": {"backend": "given"}}, set()),
        ({"flow": {"backend": "torch"}}, {"flow", "apexdiff"}),
        ({"flow": {"backend": "opencv_cuda"}}, {"flow", "apexdiff"}),
        ({"faces": {"backend": "face_alignment"}}, {"faces"}),
    ],
)
def test_a_stage_asks_for_a_gpu_only_with_a_backend_that_uses_one(options: dict[str, Any], added: set[str]) -> None:
    plan = Plan(parse({**TWO, **options}, "c.yaml"), {"demo": ["s01"], "casme2": ["sub01"]})
    always = {"i3d-rgb", "i3d-flow", "spotting-fold", "recognition-fold"}
    assert {stage for stage in STAGES if plan.uses_gpu(stage)} == always | added
    fold = {"experiment": "long", "method": "flow_magnitude", "fold": "demo-s01"}
    assert not plan.uses_gpu("spotting-fold", fold) and plan.uses_gpu("spotting-fold", {**fold, "method": "aemnet"})


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
    assert [Path(p).suffix for p in plan.sheets("casme2")] == [".xlsx"] and plan.sources("casme2") == []
    assert len(plan.digest("casme2")) == 16 == len(plan.digest("casme2", plan.subjects["casme2"][0]))
    assert plan.root("casme2") == [str(tmp_path)]
    assert not any(name.startswith("results/demo/") for name in plan.everything())


def test_wildcards_match_names_of_this_run_and_nothing_else(plan: Plan) -> None:
    constraints = plan.constraints()
    assert re.fullmatch(constraints["fold"], "casme2-all")
    for wildcard, bad in [("fold", "demo-s03"), ("subject", "s011"), ("dataset", "samm"), ("experiment", "x/../cde")]:
        assert not re.fullmatch(constraints[wildcard], bad)


@pytest.mark.long
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
    config = parse({**TWO, "datasets": {"demo": {}, "casme2": {"root": "/d", "fps": 30}}}, "c")
    plan = Plan(config, {"demo": ["s01"], "casme2": ["s02"]})
    assert json.loads(plan.options("crops", "casme2"))["fps"] == 30
    assert json.loads(plan.options("crops", "demo"))["fps"] is None


# --- every option is read by the stages that it belongs to, and by no other ------------------------------------------

READERS: dict[str, tuple[str | None, str | None]] = {
    # stage: names of which it is run (data set or experiment, method)
    "demo-sheet": (None, None), "demo": (None, None), "index": ("demo", None), "faces": (None, None),
    "crops": ("demo", None), "flow": (None, None), "apexdiff": (None, None), "i3d-rgb": (None, None),
    "i3d-flow": (None, None), "motion": (None, None), "given": (None, None), "spotting-fold": ("demo", "aemnet"),
    "detect": ("demo", "aemnet"), "recognition-fold": ("demo", "mdml"), "tables-spotting": ("demo", None),
    "tables-recognition": ("demo", None), "report": (None, None), "report-subject": (None, None),
    "complete": (None, None),
}  # fmt: skip
TABLES = {"tables-spotting", "tables-recognition"}
SEEDED = {"demo-sheet", "demo", "spotting-fold", "recognition-fold", *TABLES}
I3D = {"i3d-rgb", "i3d-flow"}
RULES_OF = [
    ("datasets.demo.root", set()),  # where the data lie is no part of a result
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
    ("demo.untidy", {"demo"}),
    ("demo.sizes", {"demo"}),
    ("faces", {"faces"}),
    ("crops", {"crops"}),
    ("flow", {"flow"}),
    ("flow.backend", {"flow", "apexdiff"}),
    ("apexdiff", {"apexdiff"}),
    ("i3d", I3D),
    ("i3d.flow_bound_px", {"i3d-flow"}),
    ("i3d.flow_weights", {"i3d-flow"}),
    ("i3d.flow_weights_sha256", {"i3d-flow"}),
    ("motion", {"motion"}),
    ("keep", set()),  # how long files stay is no part of a result
    ("given", {"given"}),
    ("spotting.demo.methods.aemnet", {"spotting-fold"}),
    ("spotting.demo.seeds", {"spotting-fold"}),
    ("spotting.demo.seed", {"spotting-fold"}),
    ("spotting.demo.select", {"detect"}),
    *((f"spotting.demo.select.{name}", {"spotting-fold"}) for name in CalibrationParams.model_fields),
    ("recognition.demo", {"recognition-fold"}),
    ("recognition.demo.classes", {"recognition-fold", "tables-recognition"}),
    ("recognition.demo.kinds", {"recognition-fold", "tables-recognition"}),
    ("tables", TABLES),
    ("report.title", {"report", "report-subject"}),
    ("report.faces", {"report", "report-subject"}),
    ("report.expressions", {"report-subject"}),
    ("report.detections", {"report-subject"}),
    ("report.gallery", {"report"}),
    ("report.timelines", {"report"}),
]
ELSEWHERE = {
    # options that are not tried one by one, and why
    "spotting.demo.datasets": "changes which jobs there are",
    "spotting.demo.train_on": "changes which jobs there are",
    "spotting.demo.recognise_with": "changes which jobs there are",
    "recognition.demo.datasets": "changes which jobs there are",
    "recognition.demo.protocol": "excludes `classes`; has its own test",
    "recognition.demo.target": "excludes `classes`; has its own test",
    "spotting.demo.same_people": "groups of data sets; has its own test",
    "recognition.demo.same_people": "groups of data sets; has its own test",
    **dict.fromkeys(
        (f"recognition.demo.methods.logistic_regression.{n}" for n in LogisticOptions.model_fields),
        "of another method than the one that is looked at",
    ),
    "crops.grey": "refused beside i3d_rgb; has its own test",
    "given.root": "changes which files are read, not how",
    "apply": "names models; has its own test",
    **{f"{kind}.demo.methods.{name}": "has no options" for kind, name in (
        ("spotting", "flow_magnitude"), ("spotting", "random_intervals"), ("recognition", "logistic_regression"),
        ("recognition", "majority"),
    )},
}  # fmt: skip


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
        return [
            *scaled,
            value + value[-1:],
            value[:-1],
            [*value, "demo"],
            [*value, 1],
            [[*value, "demo"]],
            ["macro"],
            [20],
            [[320, 200]],
        ]
    if isinstance(value, dict):
        return [{**value, "extra": ["anger"]}, {**value, "extra": ["u"]}]
    return [1, 0.05, 0.6, [1.0, 1.0, 2.0], ["x"], "a", "0" * 64, *LITERALS]


def literals(schema: Any) -> Iterator[str]:
    """Every named choice anywhere in a JSON schema."""
    if isinstance(schema, dict):
        yield from (v for v in [*schema.get("enum", []), schema.get("const")] if isinstance(v, str))
        for inner in schema.values():
            yield from literals(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from literals(inner)


METHODS = [find_method(kind, name).Options.model_json_schema() for kind, names in SHIPPED.items() for name in names]
LITERALS = [*sorted(set(literals([Config.model_json_schema(), *METHODS]))), "casme2", "samm"]


@pytest.fixture(scope="module")
def mini() -> dict[str, Any]:
    config = load(Path(__file__).with_name("mini.yaml"))
    options = config.model_dump(mode="json")
    for kind in ("spotting", "recognition"):  # every option of every method, not only those that the file gives
        methods = options[kind]["demo"]["methods"]
        methods |= {name: config.method(kind, "demo", name)[1].model_dump(mode="json") for name in methods}
    return options


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
    return {stage: plan.options(stage, *names) for stage, names in READERS.items()}


@pytest.mark.long
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
    assert plan.json_tables() == ["results/tables/spotting_demo.json", "results/tables/recognition_demo.json"]
    assert len(plan.reported("pages")) == len(plan.folds("recognition", "demo")) >= 8


def test_a_protocol_is_read_by_recognition_and_its_table_alone(mini: dict[str, Any]) -> None:
    before = options(Plan(parse(mini, "c"), {"demo": ["s01"]}))
    mini = json.loads(json.dumps(mini))
    mini["recognition"]["demo"] |= {"classes": None, "protocol": "megc2019"}
    after = options(Plan(parse(mini, "c"), {"demo": ["s01"]}))
    assert {stage for stage in after if after[stage] != before[stage]} == {"recognition-fold", "tables-recognition"}


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("spotting", "nowhere/model.safetensors"),
        ("spotting", "results/recognition/cde/mdml/all/model.safetensors"),
        ("spotting", "results/spotting/long/removed/all/model.safetensors"),
        ("recognition", "results/spotting/long/aemnet/all/model.safetensors"),
        ("action_units", "nowhere/units.safetensors"),
    ],
)
def test_a_model_that_nobody_makes_is_found_before_the_run(
    key: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"spotting": "results/spotting/long/aemnet/all/model.safetensors", "action_units": "shipped"}
    options = {**TWO, "datasets": {"demo": {}}, "recognition": {}}
    good = {**options, "apply": {"mine": {"datasets": ["demo"], **own}}}
    bad = {**options, "apply": {"mine": {"datasets": ["demo"], **own, key: path}}}
    read_plan(good, "c.yaml")
    with pytest.raises(UserError, match=rf"c\.yaml: apply\.mine\.{key}: got '{path}', expected a {key} model"):
        read_plan(bad, "c.yaml")
    for name, content, status in (("good.yaml", good, 0), ("bad.yaml", bad, 2)):
        Path(name).write_text(yaml.safe_dump(content))
        assert main(["check", name]) == status
        assert (f"apply.mine.{key}: got '{path}'" in capsys.readouterr().err) == bool(status)
