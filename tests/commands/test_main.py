import argparse
import json
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import Field

from microexp.commands import main as cli
from microexp.errors import UserError
from microexp.reference import options_of
from microexp.run import provenance, storage
from microexp.run.runner import run_stage
from microexp.run.stage import Input, Job, Output, Params, Stage


class Inner(Params):
    times: int = Field(1, ge=1, description="How often.")


class UpperParams(Params):
    suffix: str = Field("!", description="What comes last.")
    inner: Inner = Inner()


def run(job: Job[UpperParams]):
    texts = [p.read_text() for p in job.inputs["text"]]
    suffix = job.params.suffix * job.params.inner.times
    storage.write_text(job.output("upper"), "".join(texts).upper() + suffix + job.keys["unit"])
    return {"device": "cpu"}


STAGE = Stage(
    "upper",
    __name__,
    "upper case",
    "run",
    {"text": Input("texts", count="many"), "a_hint": Input("a hint", count="optional")},
    {"upper": Output("results/upper.txt", "result")},
    f"{__name__}:UpperParams",
    {"unit": "u"},
)


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.setitem(cli.STAGES, "upper", STAGE)
    monkeypatch.setitem(sys.modules, STAGE.module, sys.modules[__name__])


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    return tmp_path


def command(files, *more):
    return [
        "upper",
        "--text",
        str(files / "a"),
        str(files / "b"),
        "--out-upper",
        str(files / "out"),
        "--unit",
        "7",
        *more,
    ]


def test_a_stage_runs_and_records_where_its_output_came_from(stage, files):
    assert cli.main(command(files, "--params", '{"suffix": "?"}')) == 0
    assert (files / "out").read_text() == "AB?7"
    record = provenance.read_provenance(files / "out")
    assert (
        record["stage"] == "upper"
        and record["parameters"] == {"suffix": "?", "inner": {"times": 1}}
        and record["device"] == "cpu"
    )
    assert [i["file"] for i in record["inputs"]["text"]] == ["a", "b"]
    assert record["libraries"]["numpy"] and record["code"]["source_sha256"]


def test_provenance_holds_no_time_and_no_path(stage, files):
    cli.main(command(files))
    first = provenance.provenance_path(files / "out").read_bytes()
    cli.main(command(files, "--threads", "2"))
    assert provenance.provenance_path(files / "out").read_bytes() == first
    assert str(files) not in first.decode()


def test_set_gives_one_option_at_any_depth(stage, files):
    assert cli.main(command(files, "--set", "suffix=+", "--set", "inner.times=2")) == 0
    assert (files / "out").read_text() == "AB++7"


def test_a_list_stands_for_its_files(stage, files):
    listed = files / "all.list"
    listed.write_text(f"{files / 'b'}\tabc\n{files / 'a'}\tdef\n")
    arguments = ["upper", "--text", str(listed), "--out-upper", str(files / "out"), "--unit", "7"]
    assert cli.main(arguments) == 0
    assert (files / "out").read_text() == "BA!7"


@pytest.mark.parametrize("name", sorted(cli.STAGES))
def test_the_help_of_every_stage_names_every_option(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    text = capsys.readouterr().out
    in_a_row = " ".join(text.split())
    assert stop.value.code == 0
    for option, field in options_of(cli.STAGES[name].params):
        assert f"  {option}  (default: " in text and (field.description or "") in in_a_row
    assert all(output.path in in_a_row for output in cli.STAGES[name].outputs.values()), "paths are whole"
    assert not re.findall(r"--[a-z-]*_[a-z_-]*", text.partition("options, for")[0])


@pytest.mark.parametrize("name", ["evaluate spotting", "evaluate recognition", *sorted(set(cli.TOOLS) - {"evaluate"})])
def test_the_help_of_every_tool_says_what_each_argument_is_with_its_default(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    parsers = []
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda self: parsers.append(self))
    with pytest.raises(SystemExit):
        cli.main([*name.split(), "--help"])
    text = " ".join(parsers[-1].format_help().split())
    for action in parsers[-1]._actions:
        assert action.help, action.dest
        has_none = action.default is None or action.default is False or action.default in ("", [], argparse.SUPPRESS)
        told = has_none or "(default: " in action.help
        assert told or f"{action.help} (default: {action.default})" in text, action.dest


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "sufix=1"], "did you mean 'suffix'?"),
        (["--set", "suffix"], "OPTION=VALUE"),
        (["--set", "=1"], "OPTION=VALUE"),
        (["--set", "inner.=1"], "OPTION=VALUE"),
        (["--set", "suffix.more=1"], "upper.suffix: got {'more': 1}, expected a valid string"),
        (["--set", "suffix=1", "--set", "suffix.more=1"], "'suffix' was set to one value"),
        (["--set", "inner.time=1"], "did you mean 'times'?"),
        (["--set", "inner.times=0"], "upper.inner.times: got 0, expected a value greater than or equal to 1"),
        (["--set", "inner.times=two"], "upper.inner.times: got 'two', expected a valid integer\n"),
        (["--set", "inner=2"], "upper.inner: got 2, expected a valid dictionary\n"),
        (["--params", "[]"], "JSON object"),
        (["--params", "{"], "JSON"),
        (["--a-hint", "none.txt"], "no such file"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(stage, files, capsys, more, words):
    assert cli.main(command(files, *more)) == 2
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1 and words in captured
    assert not (files / "out").exists()


def test_an_old_record_never_vouches_for_a_new_file(files, monkeypatch):
    storage.write_text(files / "out", "old")
    provenance.write_provenance(files / "out", {})

    def fails(job):
        storage.write_text(job.output("upper"), "half")
        raise UserError(file="input", problem="bad")

    monkeypatch.setitem(sys.modules, "failing", SimpleNamespace(run=fails))
    failing = replace(STAGE, module="failing")
    with pytest.raises(UserError):
        run_stage(failing, Job({}, {"upper": files / "out"}, UpperParams()))
    with pytest.raises(UserError, match="no provenance"):
        provenance.read_provenance(files / "out")


def test_unknown_and_missing_sub_commands(capsys):
    assert cli.main(["flwo"]) == 2
    assert "did you mean flow?" in capsys.readouterr().err
    assert cli.main([]) == 2
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0


def test_help_is_quick_to_import():
    heavy = {"torch", "cv2", "numba", "pandas", "sklearn", "matplotlib", "h5py", "dlib"}
    code = "import sys, json, microexp.commands.main, microexp.config; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )
    assert heavy & set(modules) == set()


def test_a_closed_pipe_is_no_traceback(monkeypatch):
    def broken(_):
        raise BrokenPipeError

    monkeypatch.setattr(cli, "_no_command", broken)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    assert cli.main([]) == 1
