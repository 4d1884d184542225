"""The commands of README.md and of the pages are ones that exist, and README.md has its parts in their order."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from microexp.commands.main import TOOLS
from microexp.commands.stage import parser_of
from microexp.pipeline import STAGES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PARTS = ("Two commands", "What came out", "Your own video", "Your own data", "Your own network", "On a cluster")


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every indented command line of a page, without its comment; lines that go on are one."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M).replace("\\\n", " ")
    for line in re.findall(r"^ {4}(\S.*)$", text, re.M):
        yield shlex.split(line, comments=True)


def of_microexp() -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every command `microexp NAME …` that names a sub-command."""
    for page in [README, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]:
        for words in commands(page):
            if words[:1] == ["microexp"] and not words[1].isupper():
                yield f"{page.name}: {' '.join(words)}", words[1:]


COMMANDS = dict(of_microexp())


def test_readme_says_what_it_is_then_has_its_parts_in_order() -> None:
    text = README.read_text(encoding="utf-8")
    about = text.split("\n\n")[1].splitlines()
    assert len(about) == 5 and text.index("![") < text.index("## ")
    assert re.findall(r"^## (.+)$", text, re.M)[: len(PARTS) + 1] == [*PARTS, "How to cite"]
    came_out = text.split("## What came out")[1].split("\n## ")[0]
    assert came_out.count("|---|") == 1, "one table"


def test_readme_uses_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    made = {words[1] for words in commands(README) if words[0] == "make"}
    assert made == {"demo", "test"} and all(re.search(rf"^{name}:", makefile, re.M) for name in made)


@pytest.mark.parametrize("where", COMMANDS)
def test_the_commands_of_the_pages_parse(where: str) -> None:
    name, *words = (word for word in COMMANDS[where] if word != ">")
    if name in STAGES:
        parser_of(STAGES[name], asked_for_help=False).parse_args(words)
    else:
        parser = argparse.ArgumentParser(name)
        importlib.import_module(TOOLS[name][0]).add_arguments(parser)
        parser.parse_args(words)


@pytest.mark.long
def test_the_snakemake_commands_of_readme_plan_a_run(tmp_path: Path) -> None:
    """In a folder of its own, so that what lies in the repository's results changes nothing."""
    found = [words[1:] for words in commands(README) if words[0] == "snakemake"]
    assert len(found) == 2
    plan = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--configfile", str(ROOT / "config.yaml")]
    for words in found:
        given = [str(ROOT / word) if word.startswith("profiles/") else word for word in words]
        line = [*plan, "--directory", str(tmp_path), "-n", *given]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0 and "This was a dry-run" in done.stdout + done.stderr, done.stdout + done.stderr
