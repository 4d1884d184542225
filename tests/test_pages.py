"""What the pages name is there: files of the repository, options of commands, keys of the configuration, targets."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from microexp.commands.main import TOOLS
from microexp.commands.stage import parser_of
from microexp.config import Config
from microexp.pipeline import STAGES

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "results/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
    *sorted(ROOT.glob("src/**/*.md")),
]
OURS = ("src", "tests", "benchmarks", "tools", "docs", "profiles", "envs", "examples", "workflow", ".ci")
FILES = [
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*"), *(p for folder in OURS for p in (ROOT / folder).rglob("*"))]
    if path.is_file()
]
NOT_OURS = {
    # files that a reader writes, or that others have
    "my_net.py",
    "mine.yaml",
    "sitecustomize.py",
    "strs_metric.py",
    "envs/cpu.linux-64.pin.txt",
}
OTHER_PROGRAMS = {
    # option of another program -> what is called with it
    "--index-url": "pip",
    "--no-deps": "pip",
    "--no-binary": "pip",
    "--no-build-isolation": "pip",
    "--explicit": "conda",
    "--md5": "conda",
    "--me": "squeue",
    "--install": "cmake",
    "--output": "jupyter",
}


def code_in(page: Path) -> Iterator[str]:
    """What stands in backticks in the text of a page, without its blocks of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    yield from re.findall(r"`([^`\n]+)`", text)


def is_there(name: str) -> bool:
    """Whether a path, its end, or a pattern of paths is that of a file or folder of the repository."""
    parts = "/".join(re.sub(r"\\\*", "[^/]*", re.escape(part)) for part in name.rstrip("/").split("/"))
    return any(re.search(rf"(^|/){parts}(/|$)", path) for path in FILES)


def named_files(page: Path) -> Iterator[str]:
    """Paths below the repository's folders, and names of source files; `NAME` and `{name}` are to be filled in."""
    for code in code_in(page):
        for word in (word.strip("(),;:'\"") for word in code.split()):
            if re.search(r"[A-Z]{3}|[{}…\[]", word.replace("README", "").replace("SOURCES", "")):
                continue
            below = re.match(rf"({'|'.join(map(re.escape, OURS))})/", word)
            if below or re.fullmatch(r"[\w*./-]*\w\.(py|smk|ya?ml|toml)", word):
                yield word


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_files_that_a_page_names_are_there(page: Path) -> None:
    assert [name for name in named_files(page) if name not in NOT_OURS and not is_there(name)] == []


def test_files_that_are_not_there_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    names = "`benchmarks/no_such.py` `python tools/words.py`, `envs/*.yaml` `envs/*.yml` `aemnet/fold.py`"
    page.write_text(f"{names}\n```\n`src/no`\n```\n")
    assert [name for name in named_files(page) if not is_there(name)] == [
        "benchmarks/no_such.py",
        "envs/*.yml",
        "aemnet/fold.py",
    ]


# --- options of commands ----------------------------------------------------------------------------------------------


def options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every option of a parser and of its sub-commands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from options_of(inner)


def known_options() -> set[str]:
    """Options of microexp, of Snakemake, and of the repository's own scripts."""
    from snakemake.cli import get_argument_parser

    found = set(options_of(get_argument_parser())) | set(OTHER_PROGRAMS)
    for name, (module, _) in TOOLS.items():
        parser = argparse.ArgumentParser(name)
        importlib.import_module(module).add_arguments(parser)
        found |= set(options_of(parser))
    for stage in STAGES.values():
        found |= set(options_of(parser_of(stage, asked_for_help=False)))
    for script in [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("tools/**/*.py")]:
        found |= set(re.findall(r'"(--[a-z][a-z-]*)"', script.read_text(encoding="utf-8")))
    return found


def test_options_that_pages_name_are_there() -> None:
    known = known_options()
    named = [(p.name, o) for p in PAGES for o in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", p.read_text("utf-8"))]
    assert len(named) > 200
    assert [(page, option) for page, option in named if option not in known] == []


def test_targets_that_pages_name_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = {(p.name, t) for p in PAGES for t in re.findall(r"(?:`| {4})make ([a-z]+)\b", p.read_text("utf-8"))}
    assert len(named) > 8
    assert {(page, target) for page, target in named if target not in targets} == set()


# --- tables of what there is ------------------------------------------------------------------------------------------


def first_cells(page: str, heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    text = (ROOT / "docs" / page).read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)`", text, re.M))


def test_tables_of_methods_and_streams_are_whole() -> None:
    from microexp.methods.find import SHIPPED
    from microexp.pipeline import STREAMS

    own = "package.module:Class"
    assert first_cells("spotting.md", "Methods") == {*SHIPPED["spotting"], own}
    assert first_cells("recognition.md", "Methods") == {*SHIPPED["recognition"], own}
    assert first_cells("spotting.md", "Feature streams") == set(STREAMS)


def test_each_data_set_has_its_part_of_the_page() -> None:
    from microexp.datasets.index import ADAPTERS

    text = (ROOT / "docs/datasets.md").read_text("utf-8")
    assert set(re.findall(r"^## .* — `(\w+)`$", text, re.M)) == set(ADAPTERS) - {"demo", "listed"}
    assert "`listed`" in (ROOT / "docs/new_data_set.md").read_text("utf-8")


# --- keys of the configuration ----------------------------------------------------------------------------------------

OPTIONS = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/configuration.md").read_text("utf-8"), re.M)
KEYS = {part for option in OPTIONS for part in option.split(".")}
ENDINGS = {"csv", "h5", "html", "json", "md", "py", "yaml"}
"""Of file names; no option is called so."""
SNAKEMAKE_KEYS = {"gpu", "gpu_model", "resources", "retries", "slurm_account", "method"}


def keys(data: Any) -> Iterator[str]:
    """Every key of nested mappings and lists."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield str(key)
            yield from keys(value)
    elif isinstance(data, list):
        for item in data:
            yield from keys(item)


def unknown_keys(code: str) -> list[str]:
    """Keys of an option as pages write them (`faces.choose`, `faces: {choose: left}`) that no option has."""
    section = code.partition(".")[0]
    if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", code) and section in Config.model_fields:
        whole = any(f".{code}." in f".{option}." for option in OPTIONS)
        return [] if whole or code.rpartition(".")[2] in ENDINGS else [code]
    if re.fullmatch(r"[a-z_]+: [^:]+(: .*)?", code) and code.partition(":")[0] in KEYS:
        found = keys(yaml.safe_load(code.replace("…, ", "").replace("…", "0")))
        return [key for key in found if key not in KEYS | SNAKEMAKE_KEYS and not key.isupper()]
    return []


def test_keys_that_pages_name_are_options() -> None:
    named = [(page.name, code) for page in PAGES if page.name != "files.md" for code in code_in(page)]  # has arrays
    wrong = [(page, code, unknown_keys(code)) for page, code in named if unknown_keys(code)]
    made_up = ("CONTRIBUTING.md", 'methods: {mine: {method: "my_module:MyNet", my_option: 3}}', ["mine", "my_option"])
    assert [place for place in wrong if place != made_up] == []


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("faces.choose", []),
        ("faces.chose", ["faces.chose"]),
        ("faces: {choose: left}", []),
        ("faces: {chose: left}", ["chose"]),
        ("flow: {preset: micro, iteration: 3}", ["iteration"]),
        ("apply: {NAME: {…, action_units: shipped}}", []),
    ],
)
def test_keys_that_are_no_options_are_found(code: str, wrong: list[str]) -> None:
    assert unknown_keys(code) == wrong
