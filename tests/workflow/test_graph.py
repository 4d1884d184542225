"""The graph of a run, without running anything: whatever a job reads, one stage makes, and it says so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from microexp.config import parse
from microexp.pipeline import STAGES
from microexp.plan import Plan
from microexp.run.stage import Input
from tests.workflow import runs

Unit = Mapping[str, str]
DATA: dict[str, Any] = {"datasets": {"demo": {}, "casme2": {"root": "/data"}, "samm": {"root": "/more"}}}
CLASSES = {"a": ["happiness"], "b": ["fear"]}
MOTION = {"aemnet": {"network": {"streams": ["motion"]}}}
RECOGNITION = {"cde": {"datasets": ["demo", "casme2"], "classes": CLASSES}}
OWN = {
    "spotting": "results/spotting/long/aemnet/all/model.safetensors",
    "recognition": "results/recognition/cde/mdml/all/model.safetensors",
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "the miniature": yaml.safe_load(runs.MINI.read_text(encoding="utf-8")),
    "the shipped one": yaml.safe_load((runs.ROOT / "config.yaml").read_text(encoding="utf-8")),
    "no experiment": DATA,
    "spotting without features": {
        **DATA,
        "spotting": {"long": {"datasets": ["demo"], "methods": {"random_intervals": {}}}},
    },
    "motion alone": {**DATA, "spotting": {"long": {"datasets": ["demo", "samm"], "methods": MOTION}}},
    "trained on others": {
        **DATA,
        "spotting": {"long": {"datasets": ["casme2"], "train_on": ["demo"], "methods": MOTION}},
    },
    "whole data sets held out": {
        **DATA,
        "recognition": {
            "all": {"datasets": ["demo", "casme2"], "leave": "dataset", "sources": ["samm:macro"], "classes": CLASSES}
        },
    },
    "spotted, then recognised": {
        **DATA,
        "spotting": {"long": {"datasets": ["demo"], "methods": MOTION, "recognise_with": "cde/mdml"}},
        "recognition": RECOGNITION,
    },
    "models of this run": {
        **DATA,
        "spotting": {"long": {"datasets": ["demo"]}},
        "recognition": RECOGNITION,
        "apply": {"mine": {"datasets": ["samm"], **OWN, "each_video": True, "annotated": True}},
    },
    "own weights of I3D": {
        **DATA,
        "i3d": {"flow_weights": "/models/flow.pt"},
        "spotting": {"long": {"datasets": ["casme2"]}},
    },
}  # fmt: skip
PEOPLE = {"demo": ["s01", "s02", "s03"], "casme2": ["sub01", "sub02"], "samm": ["006", "007"]}


@pytest.fixture(params=CONFIGURATIONS)
def plan(request: pytest.FixtureRequest) -> Plan:
    config = parse(CONFIGURATIONS[request.param], "c.yaml")
    return Plan(config, {d: PEOPLE[d] for d in config.datasets})


def as_regex(path: str) -> re.Pattern[str]:
    """What a path with wildcards matches; a wildcard that stands there again is the same text."""
    seen: set[str] = set()
    parts = []
    for part in re.split(r"(\{\w+\})", path):
        name = part[1:-1]
        is_wildcard = part.startswith("{")
        if not is_wildcard:
            parts.append(re.escape(part))
            continue
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)")
        seen.add(name)
    return re.compile("".join(parts))


OUTPUTS = [
    (stage.name, as_regex(output.path)) for stage in STAGES.values() for output in stage.outputs.values()
]  # fmt: skip


def makers(path: str) -> list[tuple[str, dict[str, str]]]:
    """(stage, unit) of every stage that could make a file."""
    return [(stage, match.groupdict()) for stage, regex in OUTPUTS if (match := regex.fullmatch(path))]


def maker(path: str) -> tuple[str, dict[str, str]]:
    """The stage that makes a file of the run, with its unit: of `report_x.list` and `x.list` the more exact name."""
    found = sorted(makers(path), key=lambda item: len(item[1]))
    assert found, f"no stage makes {path}"
    assert len(found) == 1 or len(found[0][1]) < len(found[1][1]), f"several stages make {path}: {found}"
    return found[0]


def read_by(plan: Plan, stage: str, unit: Unit) -> Iterator[tuple[str, Input, str]]:
    """(name, input, path) of everything that makes a job run again when it changes."""
    for name, item in STAGES[stage].inputs.items():
        if not item.tracked:
            continue
        found = plan.input(stage, name)
        if callable(found):
            found = found(unit)
        for path in [found] if isinstance(found, str) else found:
            yield name, item, path.format(**unit)


def jobs(plan: Plan) -> Iterator[tuple[str, dict[str, str]]]:
    for stage in STAGES.values():
        if stage.name != "weights":
            yield from ((stage.name, unit) for unit in plan.units(stage.name))


def test_every_result_has_one_maker_and_is_of_its_unit(plan: Plan) -> None:
    targets = plan.everything()
    assert len(set(targets)) == len(targets) > 10
    for stage, unit in jobs(plan):
        for output in STAGES[stage].outputs.values():
            path = output.path.format(**unit)
            assert maker(path) == (stage, {k: v for k, v in unit.items() if f"{{{k}}}" in output.path})


def test_what_a_job_reads_is_made_by_a_stage_that_its_row_names(plan: Plan) -> None:
    for stage, unit in jobs(plan):
        for name, item, path in read_by(plan, stage, unit):
            if path.startswith("results/"):
                assert maker(path)[0] in item.writers, (stage, name, path)
            else:
                assert not item.writers or item.writers == ("weights",), (stage, name, path)


def test_an_input_has_as_many_files_as_its_row_says(plan: Plan) -> None:
    for stage, unit in jobs(plan):
        counts = {name: 0 for name, item in STAGES[stage].inputs.items() if item.tracked}
        for name, _, _ in read_by(plan, stage, unit):
            counts[name] += 1
        for name, count in counts.items():
            most = {"one": (1, 1), "optional": (0, 1)}.get(STAGES[stage].inputs[name].count, (0, 10_000))
            assert most[0] <= count <= most[1], (stage, unit, name, count)


def test_everything_that_is_needed_is_reached_and_nothing_waits_for_itself(plan: Plan) -> None:
    """From the targets through what makes them; the fold `all` of a model is made although it is no target."""
    waiting: set[str] = set()
    done: set[str] = set()

    def make(path: str) -> None:
        if path in done or not path.startswith("results/"):
            return
        assert path not in waiting, f"{path} waits for itself"
        waiting.add(path)
        stage, unit = maker(path)
        for _, _, needed in read_by(plan, stage, unit):
            make(needed)
        waiting.discard(path)
        done.add(path)

    for target in plan.everything():
        make(target)
    beyond = done - set(plan.everything())
    assert all("/all/" in path for path in beyond), sorted(beyond)[:3]


def test_the_options_of_every_job_are_those_of_its_stage(plan: Plan) -> None:
    for stage, unit in jobs(plan):
        options = json.loads(plan.options_for(stage, unit))
        model = STAGES[stage].params
        assert model.model_validate(options).model_dump(mode="json", exclude_unset=True) is not None
        assert set(options) <= set(model.model_fields), (stage, unit)


def test_two_plans_of_one_configuration_say_the_same(plan: Plan) -> None:
    again = Plan(plan.config, plan.subjects)
    assert again.everything() == plan.everything()
    for stage, unit in jobs(plan):
        assert again.options_for(stage, unit) == plan.options_for(stage, unit)
        assert list(read_by(again, stage, unit)) == list(read_by(plan, stage, unit))


def test_a_person_more_adds_jobs_and_takes_none_away(plan: Plan) -> None:
    dataset = next(iter(plan.subjects))
    more = Plan(plan.config, {**plan.subjects, dataset: [*plan.subjects[dataset], "s99"]})
    before, after = set(plan.everything()), set(more.everything())
    assert before < after
    assert all("s99" in path for path in after - before)


def test_every_stage_is_met_by_some_configuration() -> None:
    """`given` reads files that have to be there, and has tests of its own."""
    met: set[str] = set()
    for options in CONFIGURATIONS.values():
        config = parse(options, "c.yaml")
        met |= {stage for stage, _ in jobs(Plan(config, {d: PEOPLE[d] for d in config.datasets}))}
    assert set(STAGES) - met == {"given", "weights"}
