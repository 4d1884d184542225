"""`microexp init`: a folder with a commented configuration for chosen data sets, ready for `microexp run`."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from microexp.config import Config, parse
from microexp.datasets.index import ADAPTERS, load_adapter
from microexp.datasets.protocols import PROTOCOLS
from microexp.errors import UserError
from microexp.reference import default_of, options_of
from microexp.run import storage, yaml_file
from microexp.run.names import check_name
from microexp.run.workflow import profile

CONFIG, SCHEMA = "config.yaml", "config.schema.json"
SOURCE_ONLY = ("ck_plus",)
"""Data sets that guide recognition and are no target of it."""
COMPOSITE = "megc2019"
VALENCE = {
    "positive": ["happiness"],
    "negative": ["anger", "disgust", "fear", "sadness"],
    "surprise": ["surprise"],
}
"""Classes where no protocol is published: those of MMEW."""
DEMO_CLASSES = {"positive": ["happiness"], "negative": ["disgust", "repression"], "surprise": ["surprise"]}
OFTEN_CHANGED = (
    "seed", "allow_exclusions", "faces.backend", "faces.alignment", "faces.choose", "crops.size",
    "flow.preset", "flow.backend", "apexdiff.size", "i3d.step_frames", "tables.bootstrap", "report.title",
)  # fmt: skip
"""Options that the file names with their defaults, as comments."""


@dataclass(frozen=True)
class Chosen:
    """A data set of the new configuration: its name there, its adapter, its folder."""

    name: str
    adapter: str
    root: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp init`."""
    parser.add_argument("folder", type=Path, help=f"where to write {CONFIG}; it is made")
    parser.add_argument(
        "--data", action="append", default=[], metavar="NAME=ROOT",
        help=f"a data set and its folder; may be repeated. Names with an adapter: {', '.join(ADAPTERS)}. "
        "Any other name is a folder of your own videos (default: demo)",
    )  # fmt: skip
    parser.add_argument("--slurm", action="store_true", help="also write profiles/slurm/config.yaml, to be edited")
    parser.add_argument("--force", action="store_true", help=f"replace a {CONFIG} that is there")


def main(args: argparse.Namespace) -> int:
    """`microexp init DIR [--data NAME=ROOT …] [--slurm] [--force]`.

    Raises:
        UserError: when a data set is not named well, or files are there already.
    """
    folder: Path = args.folder
    text = configuration([chosen(item) for item in args.data or ["demo"]])
    parse(yaml_file.parse(text, CONFIG), CONFIG)
    target = folder / CONFIG
    if target.exists() and not args.force:
        raise UserError(file=target, problem="is there already", hint="--force replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(file=folder, problem=error.strerror, expected="a folder that can be written") from error
    storage.write_text(target, text)
    storage.write_text(folder / SCHEMA, json.dumps(Config.model_json_schema(), indent=1) + "\n")
    written = [target, folder / SCHEMA]
    if args.slurm:
        written.append(_copy_profile(folder / "profiles" / "slurm" / "config.yaml", replace=args.force))
    print("\n".join([f"written: {path}" for path in written] + ["", *next_steps(target)]))
    return 0


def _copy_profile(target: Path, *, replace: bool) -> Path:
    if target.exists() and not replace:
        raise UserError(file=target, problem="is there already", hint="--force replaces it")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(profile("slurm") / "config.yaml", target)
    return target


def next_steps(config: Path) -> list[str]:
    """What to do with the new file, as commands."""
    return [
        "Next:",
        f"  microexp check {config}     # seconds: what was found, corrected and excluded",
        f"  microexp run {config} -n    # what would run",
        f"  microexp run {config}",
    ]


def chosen(item: str) -> Chosen:
    """The data set that `NAME=ROOT` asks for.

    Raises:
        UserError: when the name is unsafe, or one that needs a folder has none.
    """
    name, _, root = item.partition("=")
    adapter = check_name(name, "--data", "command line")
    if adapter not in ADAPTERS:
        adapter = "folder"
    if not root and load_adapter(adapter, name).default_root is None:
        raise UserError(file="command line", where="--data", got=repr(item), expected="NAME=ROOT, with its folder")
    return Chosen(name, adapter, str(Path(root).expanduser().resolve()) if root else None)


def configuration(data: Sequence[Chosen]) -> str:
    """The commented configuration, YAML.

    Raises:
        UserError: when a data set is named twice, or all are mere sources.
    """
    names = [d.name for d in data]
    if len(set(names)) < len(names):
        raise UserError(file="command line", where="--data", got=", ".join(names), expected="each data set once")
    if all(d.adapter in SOURCE_ONLY for d in data):
        raise UserError(
            file="command line", where="--data", got=", ".join(names), expected="a data set to test on beside a source"
        )
    lines = [
        f"# yaml-language-server: $schema={SCHEMA}",
        "# A run of microexp. Editors that know the line above complete and check the options.",
        "# `microexp config --reference` lists every option with its default.",
        "",
        "datasets:",
        *map(_dataset, data),
        *_demo(data),
        *_spotting([d for d in data if has_long_videos(d)]),
        *_recognition(data),
        "",
        "# Options that are often changed, with their defaults. Remove the `#` of the section and of the option.",
        *often_changed(),
    ]
    return "\n".join(lines) + "\n"


def has_long_videos(data: Chosen) -> bool:
    """Whether expressions are to be found in its videos, and not given with them."""
    return data.adapter not in SOURCE_ONLY and not load_adapter(data.adapter, data.name).clips


def _dataset(data: Chosen) -> str:
    options = [] if data.adapter == data.name else [f"adapter: {data.adapter}"]
    options += [] if data.root is None else [f"root: {json.dumps(data.root, ensure_ascii=False)}"]
    notes = {
        "folder": "  # frames without a rate: source_fps: 50; high rates: fps: 30",
        "samm_lv": "  # fps: 30 resamples 200 frames/s and saves most of the time",
    }
    return f"  {data.name}: {{{', '.join(options)}}}{notes.get(data.adapter, '')}"


def _demo(data: Sequence[Chosen]) -> Iterator[str]:
    if any(d.adapter == "demo" for d in data):
        yield ""
        yield "demo: {subjects: 4, seconds: 12, micro: 4, macro: 2}  # four rendered people; the shipped demo has ten"


def _spotting(data: Sequence[Chosen]) -> Iterator[str]:
    if not data:
        return
    yield from ("", "spotting:  # each experiment holds out one subject at a time")
    for d in data:
        yield from (
            f"  {d.name}:",
            f"    datasets: [{d.name}]",
            "    methods:  # one row of the table each",
            "      flow_magnitude: {}  # learns only a threshold: minutes",
            "      random_intervals: {}  # what chance gives",
            "      # aemnet: {}  # AEM-Net on I3D features: hours on CPUs",
            "      # aemnet_motion: {method: aemnet, network: {streams: [motion]}}  # without I3D",
            '      # mine: {method: "my_module:MyNet"}  # your own network, see docs/own_network.md',
        )


def _recognition(data: Sequence[Chosen]) -> Iterator[str]:
    experiments = dict(_tasks(data))
    sources = [d.name for d in data if d.adapter in SOURCE_ONLY]
    for number, (name, lines) in enumerate(experiments.items()):
        if not number:
            yield from ("", "recognition:")
        yield from (f"  {name}:", *(f"    {line}" for line in lines))
        if sources:
            yield f"    sources: [{', '.join(sources)}]"
        yield from (
            "    methods:",
            "      mdml: {}",
            "      logistic_regression: {}",
            "      majority: {}  # what chance gives",
            '      # mine: {method: "my_module:MyNet"}',
        )
    if any(d.adapter == "folder" for d in data):
        yield from (
            "", "# With the column `emotion` in the sheet of your own videos (below `recognition:`):", "#   mine:",
            "#     datasets: [mine]", "#     classes: {positive: [happiness], negative: [disgust, anger]}",
        )  # fmt: skip


def _tasks(data: Sequence[Chosen]) -> Iterator[tuple[str, list[str]]]:
    """(name, first lines) of the recognition experiments: the published protocol of a data set where there is one."""
    by_adapter = {d.adapter: d.name for d in data}
    composite = PROTOCOLS[COMPOSITE].datasets
    if set(composite) <= set(by_adapter):
        names = ", ".join(by_adapter[a] for a in composite)
        yield COMPOSITE, [f"datasets: [{names}]", f"protocol: {COMPOSITE}"]
    for d in data:
        own = next((name for name, p in PROTOCOLS.items() if p.datasets == (d.adapter,)), None)
        if own is not None:
            yield d.name, [f"datasets: [{d.name}]", f"protocol: {own}"]
        elif d.adapter == "demo":
            yield d.name, [f"datasets: [{d.name}]", *_classes(DEMO_CLASSES)]
        elif d.adapter not in SOURCE_ONLY and not has_long_videos(d):
            yield d.name, [f"datasets: [{d.name}]", *_classes(VALENCE)]


def _classes(classes: Mapping[str, Sequence[str]]) -> list[str]:
    return ["classes:", *(f"  {name}: [{', '.join(emotions)}]" for name, emotions in classes.items())]


def often_changed() -> list[str]:
    """The options of `OFTEN_CHANGED` as comments, by section, with default and meaning."""
    fields = dict(options_of(Config))
    lines: list[str] = []
    opened = ""
    for path in OFTEN_CHANGED:
        section, _, name = path.rpartition(".")
        if section and section != opened:
            lines.append(f"# {section}:")
        opened = section
        about = (fields[path].description or "").replace("\n", " ")
        indent = "  " if section else ""
        lines.append(f"# {indent}{name or path}: {default_of(fields[path]).strip('`')}  # {about}")
    return lines
