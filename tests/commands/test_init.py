"""`microexp init`: the configuration that it writes is valid, complete and explained."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from microexp.commands import init
from microexp.commands import main as cli
from microexp.config import Config, load, parse
from microexp.datasets.index import ADAPTERS
from microexp.reference import options_of
from microexp.run import yaml_file


def data(tmp_path: Path, *names: str) -> list[str]:
    return [word for name in names for word in ("--data", f"{name}={tmp_path / 'of' / name}")]


def test_the_demo_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", str(tmp_path / "new")]) == 0
    config = load(tmp_path / "new" / "config.yaml")
    assert list(config.datasets) == ["demo"] and config.spotting["demo"].methods and config.recognition["demo"].methods
    assert f"microexp run {tmp_path / 'new' / 'config.yaml'}" in capsys.readouterr().out


@pytest.mark.parametrize("name", [*(a for a in ADAPTERS if a != "ck_plus"), "own"])
def test_a_configuration_for_each_data_set_is_valid(name: str, tmp_path: Path) -> None:
    assert cli.main(["init", str(tmp_path), *data(tmp_path, name)]) == 0
    config = load(tmp_path / "config.yaml")
    assert config.datasets[name].root == str(tmp_path / "of" / name)
    assert config.datasets[name].adapter == ("folder" if name == "own" else None)
    assert config.spotting or config.recognition


def test_published_protocols_and_sources_are_chosen(tmp_path: Path) -> None:
    assert cli.main(["init", str(tmp_path), *data(tmp_path, "casme2", "samm", "smic", "ck_plus", "cas_me2")]) == 0
    config = load(tmp_path / "config.yaml")
    assert list(config.spotting) == ["cas_me2"]
    protocols = {name: e.protocol for name, e in config.recognition.items()}
    assert protocols == {"megc2019": "megc2019", "casme2": "casme2_5", "samm": "samm_5", "smic": "smic_3"}
    assert all(e.sources == ["ck_plus"] for e in config.recognition.values())


def test_editors_find_the_schema(tmp_path: Path) -> None:
    cli.main(["init", str(tmp_path)])
    first = (tmp_path / "config.yaml").read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named and json.loads((tmp_path / named[1]).read_text()) == Config.model_json_schema()


def test_every_option_in_a_comment_is_valid_with_its_default() -> None:
    text = "\n".join(line.removeprefix("# ") for line in init.often_changed())
    given = yaml_file.parse(text, "comments")
    assert isinstance(given, dict)
    changed = parse({**given, "datasets": {"demo": {}}}, "comments")
    assert changed == parse({"datasets": {"demo": {}}}, "plain")
    assert set(init.OFTEN_CHANGED) <= set(dict(options_of(Config)))


def test_methods_in_comments_are_valid(tmp_path: Path) -> None:
    cli.main(["init", str(tmp_path)])
    path = tmp_path / "config.yaml"
    path.write_text(re.sub(r"^(\s+)# (aemnet.*)$", r"\1\2", path.read_text(), flags=re.M))
    assert {"aemnet", "aemnet_motion"} < set(load(path).spotting["demo"].methods)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["--data", "casme2"], "got 'casme2', expected NAME=ROOT"),
        (["--data", "own"], "got 'own', expected NAME=ROOT"),
        (["--data", "../x=/y"], "--data"),
        (["--data", "demo", "--data", "demo"], "expected each data set once"),
        (["--data", "ck_plus=/y"], "a data set to test on beside a source"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    names: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", str(tmp_path), *names]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    assert cli.main(["init", str(tmp_path)]) == 2
    assert "--force replaces it" in capsys.readouterr().err and (tmp_path / "config.yaml").read_text() == "mine"
    assert cli.main(["init", str(tmp_path), "--force", "--slurm"]) == 0
    load(tmp_path / "config.yaml")
    assert "executor: slurm" in (tmp_path / "profiles" / "slurm" / "config.yaml").read_text()
