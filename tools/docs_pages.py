"""Pages of the documentation that come from the code: `python tools/docs_pages.py` writes those that are not current.

* `docs/configuration.md`, `docs/config.schema.json`: every option (`microexp.config`).
* `docs/files.md`: the files that stages exchange (`microexp.records`).
* `docs/command_line.md`: stages, their files, and the tools around them (`microexp.pipeline`, `microexp.commands`).
* `docs/notebooks/NAME.md`: the notebook beside it, as a page of the site.
* The diagram of stages in `README.md` and the table of files in `results/README.md`; the rest of these pages stays.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import nbformat

from microexp import pipeline
from microexp.commands.main import TOOLS
from microexp.commands.stage import default_of, sentence
from microexp.config import Config
from microexp.reference import formats_page, options_page
from microexp.report import svg
from microexp.run.stage import Stage

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.ipynb"))
DIAGRAM = re.compile(r"```mermaid\n.*?```", re.S)
TREE = re.compile(r"^\| file \| stage \|.*?(?=\n\n)", re.S | re.M)
UNITS = {
    "run": "the run", "dataset": "a data set", "subject": "a subject", "video": "a video", "fold": "a method and fold",
    "experiment": "an experiment", "list": "a list", "model": "a method", "apply": "a subject",
    "own video": "a video",
}  # fmt: skip
COUNTS = {"one": "one file", "optional": "at most one file", "many": "files", "list": "files, or a list of them"}


def pages() -> dict[str, str]:
    """Path -> text, of every page that is generated, whole or in part."""
    schema = json.dumps(Config.model_json_schema(), indent=1) + "\n"
    return {
        "docs/configuration.md": options_page(),
        "docs/config.schema.json": schema,
        "docs/command_line.md": command_line(),
        "docs/files.md": formats_page(),
        **{str(path.with_suffix(".md").relative_to(ROOT)): notebook(path) for path in NOTEBOOKS},
        "README.md": _with(ROOT / "README.md", DIAGRAM, f"```mermaid\n{svg.mermaid()}\n```"),
        "results/README.md": _with(ROOT / "results/README.md", TREE, svg.tree()),
    }


def _with(path: Path, part: re.Pattern[str], new: str) -> str:
    """The page with the one place that `part` finds replaced."""
    text, places = part.subn(lambda _: new, path.read_text(encoding="utf-8"))
    if places != 1:
        raise ValueError(f"{path}: {places} places for what is generated, expected 1")
    return text


def notebook(path: Path) -> str:
    """The cells of a notebook as Markdown, below its heading a link to the file."""
    heading, *cells = nbformat.read(path, as_version=4).cells
    title, _, text = heading.source.partition("\n\n")
    parts = [title, f"The notebook: [{path.name}]({path.name}). Written by `python tools/docs_pages.py`.", text]
    parts += [f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source for cell in cells]
    return "\n\n".join(parts) + "\n"


def command_line() -> str:
    """The page of sub-commands, as Markdown."""
    lines = [
        "# Command line",
        "",
        "Written by `python tools/docs_pages.py`; a test fails when it is not current.",
        "",
        "    microexp SUB-COMMAND --help",
        "",
        "Exit status: 0 done, 1 a check failed, 2 a problem that you can correct, named in one line.",
        "",
        "## Tools",
        "",
        *_table(("sub-command", "what it does"), ((f"[`{n}`](#{n})", about) for n, (_, about) in TOOLS.items())),
        "",
        "## Stages",
        "",
        "A stage is a sub-command and a rule of the workflow, which has `_` in place of `-` in its name.",
        "",
        *_table(("stage", "one job is for", "what it does", "reads what these write"), map(_stage_row, _stages())),
        "",
        "## Files",
        "",
        svg.tree(),
        "",
        "## Arguments of the tools",
    ]
    for name, (module, about) in TOOLS.items():
        parser = argparse.ArgumentParser(f"microexp {name}", description=about)
        importlib.import_module(module).add_arguments(parser)
        lines += ["", f"### {name}", "", sentence(about), *_parser(f"microexp {name}", parser)]
    lines += ["", "## Arguments of the stages", "", *_common()]
    for stage in _stages():
        lines += ["", f"### Stage {stage.name}", "", sentence(stage.help), "", *_stage(stage)]
    return "\n".join(lines) + "\n"


def _stages() -> Iterable[Stage]:
    return pipeline.STAGES.values()


def _stage_row(stage: Stage) -> tuple[str, ...]:
    writers = dict.fromkeys(name for item in stage.inputs.values() for name in item.writers)
    unit = UNITS.get(stage.unit, stage.unit)
    return f"[`{stage.name}`](#stage-{stage.name})", unit, stage.help, ", ".join(f"`{w}`" for w in writers)


def _common() -> list[str]:
    rows = (
        ("`--params JSON`", "options as a JSON object"),
        ("`--set OPTION=VALUE`", "one option, nested ones with dots; may be repeated"),
        ("`--threads N`", "CPU threads; they never change a result"),
        ("`--device auto`", "`auto`, `cpu`, `cuda` or `cuda:N`"),
        ("`--gpus N`", "take so many free GPUs of this machine for the job; 0 hides them all"),
    )
    return ["All stages take these as well:", "", *_table(("argument", "meaning"), rows)]


def _stage(stage: Stage) -> list[str]:
    given = [(n, i) for n, i in stage.inputs.items() if i.passed]
    rows = [(f"`--{pipeline.option(n)}`", COUNTS[i.count], i.help) for n, i in given]
    rows += [(f"`--out-{pipeline.option(n)}`", "one file", o.help) for n, o in stage.outputs.items()]
    rows += [(f"`--{pipeline.option(key)}`", "a name", about) for key, about in stage.keys.items()]
    return _table(("argument", "takes", "meaning"), rows)


def _parser(usage: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Arguments of a parser and of its sub-commands."""
    rows: list[tuple[str, ...]] = []
    below: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = dict(action.choices)
        elif not isinstance(action, argparse._HelpAction):
            rows.append((_spelling(action), *_default_and_meaning(action)))
    if rows:
        yield from ("", *_table(("argument", "default", "meaning"), rows))
    for name, inner in below.items():
        yield from ("", f"**`{usage} {name}`**", *_parser(f"{usage} {name}", inner))


def _spelling(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{str(action.metavar or action.dest).upper()}`".replace("|", "\\|")
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    if action.choices is not None:
        value = " " + "\\|".join(map(str, action.choices))
    return f"`{action.option_strings[-1]}{value}`"


def _default_and_meaning(action: argparse.Action) -> tuple[str, str]:
    """What the help says of the default goes into the column of its own."""
    told = re.fullmatch(r"(.*) \(default: (.*)\)", action.help or "")
    if told:
        return f"`{told[2]}`" if told[2] == str(action.default) else told[2], told[1]
    return f"`{default_of(action)}`" if default_of(action) else "", action.help or ""


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [heading, ["---"] * len(heading), *([c.replace("\n", " ") for c in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells]


def main() -> None:
    """Write the pages that are not current, naming them."""
    for name, text in pages().items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
