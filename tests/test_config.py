from pathlib import Path

import pytest
import yaml

from microexp import config, reference
from microexp import config as config_module
from microexp.commands.main import main
from microexp.config import Config, load, parse
from microexp.errors import UserError
from microexp.pipeline import STAGES
from microexp.stage_options import stage_options

GOOD = {
    "seed": 3,
    "datasets": {"demo": {"adapter": "demo"}},
    "spotting": {"demo": {"datasets": ["demo"]}},
    "recognition": {"demo": {"datasets": ["demo"], "classes": {"positive": ["happiness"], "negative": ["disgust"]}}},
}

GONE = (Path(__file__).parent / "gone_options.txt").read_text(encoding="utf-8").split()
"""Every option that some state of `docs/configuration.md` had and the present one has not."""


def with_change(**change):
    return {**GOOD, **change}


def test_defaults_make_a_whole_run():
    config = parse(GOOD, "config.yaml")
    assert isinstance(config, Config)
    assert config.spotting["demo"].datasets == ["demo"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], ["config.yaml", "mapping"]),
        ({}, ["config.yaml", "datasets"]),
        (with_change(sed=1), ["config.yaml", "sed", "did you mean 'seed'?"]),
        (with_change(crops={"sise": 3}), ["crops.sise", "did you mean 'size'?"]),
        (with_change(crops={"size": 3}), ["crops.size", "got 3", "16"]),
        (with_change(crops={"size": "big"}), ["crops.size", "'big'"]),
        (with_change(crops=7), ["crops", "got 7"]),
        (with_change(seed=-1), ["seed", "-1"]),
        (with_change(flow={"preset": "mikro"}), ["flow.preset", "'mikro'", "'micro'"]),
        (with_change(datasets={}), ["datasets"]),
        (with_change(datasets={"a b": {"adapter": "demo"}}), ["'a b'"]),
        (with_change(spotting={"demo": {"datasets": ["demos"]}}), ["spotting.demo.datasets", "'demos'", "demo"]),
        (with_change(spotting={"demo": {"datasets": []}}), ["spotting.demo.datasets"]),
        (
            with_change(crops={"size": 48}),
            ["config.yaml", "apexdiff.size", "got 56", "at most crops.size, 48 px"],
        ),
        (with_change(demo={"seconds": 5}), ["config.yaml", "demo.seconds", "got 5.0", "at least 1"]),
        (
            with_change(spotting={"demo": {"datasets": ["demo"], "methods": {"aemnet": {"epoch": 3}}}}),
            ["config.yaml", "spotting.demo.methods.aemnet.epoch", "'epochs'"],
        ),
        (
            with_change(spotting={"demo": {"datasets": ["demo"], "methods": {"mine": {"method": "aemnett"}}}}),
            ["spotting: method", "'aemnett'", "did you mean 'aemnet'?"],
        ),
        (
            with_change(spotting={"demo": {"datasets": ["demo"], "methods": {"mine": {"method": "no.such:Net"}}}}),
            ["method no.such:Net", "ModuleNotFoundError"],
        ),
        (
            with_change(spotting={"demo": {"datasets": ["demo"], "methods": {"mine": {"method": "json:JSONDecoder"}}}}),
            ["json:JSONDecoder", "a subclass of microexp.methods.spotting.base.SpottingMethod"],
        ),
        (with_change(spotting={"demo": {"datasets": ["demo"], "methods": {"aemnet": 3}}}), ["methods.aemnet"]),
        (with_change(spotting={"demo": {"datasets": ["demo", "demo"]}}), ["spotting.demo", "twice"]),
        (with_change(apply={"x": {"datasets": ["dmo"], "spotting": "m"}}), ["apply.x.datasets", "'dmo'"]),
    ],
)
def test_a_wrong_configuration_is_one_line_that_names_the_key(data, words):
    with pytest.raises(UserError) as caught:
        parse(data, "config.yaml")
    line = str(caught.value)
    assert "\n" not in line
    assert [w for w in words if w not in line] == []


def test_options_of_stages_that_are_not_run_cannot_contradict_each_other():
    assert parse({**with_change(crops={"size": 48}), "recognition": {}}, "c").crops.size == 48
    release = {"datasets": {"casme2": {"root": "/data"}}, "demo": {"seconds": 5}}
    assert parse(release, "c").demo.seconds == 5


@pytest.mark.parametrize("text", [": :", "a: [", "\x00"])
def test_broken_yaml_is_one_line(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"c\.yaml"):
        load(path)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml.*No such file"):
        load(tmp_path / "none.yaml")


def test_the_run_seed_reaches_the_stages_unless_they_have_their_own():
    assert stage_options(parse(GOOD, "c"), "demo")["seed"] == 3
    assert stage_options(parse(with_change(demo={"seed": 8}), "c"), "demo")["seed"] == 8


def test_stage_options_are_json_and_only_of_the_stage():
    config = parse(GOOD, "c")
    assert set(stage_options(config, "crops")) == {"size", "fps"}
    assert set(stage_options(config, "apexdiff")) == {"size", "registration", "flow"}
    options = stage_options(config, "recognition-fold", "demo", method="mdml")
    assert options["options"]["epochs"] >= 1 and options["seed"] == 3 and options["method"] == "mdml"
    assert stage_options(config, "spotting-fold", "demo", method="aemnet")["calibrate"] == "inner_folds"
    assert "calibrate" not in stage_options(config, "detect", "demo", method="aemnet")


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_accepts_the_options_that_the_configuration_gives_it(stage):
    """With `flow.backend`, which maps of events have to follow."""
    config = parse(with_change(flow={"backend": "numba"}, apexdiff={"preset": "classic"}), "c")
    tables = [f"tables-{kind}" for kind in ("spotting", "recognition")]
    names = {"crops": (None, None), "model": ("spotting", "i3d_rgb,motion"), "recognition-fold": ("demo", "mdml")}
    if stage == "index-subject":  # its rule passes the options of `index`
        stage = "index"
    for each in tables if stage == "tables" else [stage]:
        name, method = names.get(stage, ("demo", "aemnet"))
        options = stage_options(config, each, name, method=method)
        given = STAGES[stage].params.model_validate(options)
        if "apexdiff" in options:
            assert (given.apexdiff.flow.backend, given.apexdiff.flow.preset) == ("numba", "classic")


@pytest.mark.parametrize("old", sorted(config.MOVED))
def test_an_option_of_an_older_configuration_gets_one_line_that_says_where_it_is_now(old):
    data = {}
    for part in reversed(old.replace("*", "mine").split(".")):
        data = {part: data}
    with pytest.raises(UserError) as caught:
        parse({**GOOD, **data}, "config.yaml")
    new = config.MOVED[old].replace("*", "mine")
    assert str(caught.value) == f"config.yaml: {old.replace('*', 'mine')}: this option is now {new}"


@pytest.mark.parametrize("old", GONE)
def test_every_option_that_was_ever_documented_is_there_or_says_where_it_is_now(old):
    assert f"| `{old}` |" not in reference.options_page()
    data = {}
    for part in reversed(old.replace("NAME", "mine").split(".")):
        data = {part: data}
    with pytest.raises(UserError, match="this option is now"):
        parse({**GOOD, **data}, "config.yaml")


def test_config_command_prints_the_full_form_and_the_schema(tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert main(["config", str(path)]) == 0
    full = yaml.safe_load(capsys.readouterr().out)
    assert parse(full, "again") == load(path)
    assert main(["config", "--schema"]) == 0
    assert '"additionalProperties": false' in capsys.readouterr().out
    assert main(["config"]) == 2
    assert "no file" in capsys.readouterr().err


def test_every_option_is_described():
    missing = []

    def walk(model, path):
        for name, field in model.model_fields.items():
            inner = [
                a for a in (field.annotation, *getattr(field.annotation, "__args__", ())) if hasattr(a, "model_fields")
            ]
            if inner:
                walk(inner[0], f"{path}{name}.")
            elif not field.description:
                missing.append(path + name)

    walk(config_module.Config, "")
    assert missing == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("seed: 18446744073709551616", "seed"),
        ("seed: -1", "seed"),
        ("demo: {seconds: .inf}", "demo.seconds"),
        ("demo: {seconds: .nan}", "demo.seconds"),
        ("demo: {seconds: 1e300}", "demo.seconds"),
        ("demo: {width: 1000000}", "demo.width"),
        ("faces: {max_jump: .inf}", "faces"),
        ("datasets: {a: {adapter: folder, root: x, fps: .inf}}", "datasets.a.fps"),
        (
            "spotting: {a: {datasets: [d], methods: {aemnet: {epochs: 99999999999999999999}}}}",
            "spotting.a.methods.aemnet.epochs",
        ),
    ],
)
def test_numbers_that_no_stage_can_work_with_are_refused(tmp_path: Path, text: str, key: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text + ("" if text.startswith("datasets") else "\ndatasets: {d: {adapter: demo}}\n"))
    with pytest.raises(UserError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: {key}")


def test_a_key_that_stands_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("datasets:\n  demo: {adapter: demo}\nseed: 1\ndatasets:\n  mine: {adapter: folder, root: x}\n")
    with pytest.raises(UserError, match=r"c\.yaml: datasets: given twice, lines 1 and 4$"):
        load(path)


def test_the_published_crop_has_a_short_name() -> None:
    config = parse({"datasets": {"demo": {}}, "crops": "published"}, "c.yaml")
    assert (config.faces.eye_distance, config.faces.eye_height, config.crops.size) == (0.49, 0.25, 224)
    config = parse({"datasets": {"demo": {}}, "crops": "published", "faces": {"eye_height": 0.3}}, "c.yaml")
    assert (config.faces.eye_distance, config.faces.eye_height) == (0.49, 0.3)
    with pytest.raises(UserError, match=r"faces\.crop"):
        parse({"datasets": {"demo": {}}, "crops": "tight"}, "c.yaml")
