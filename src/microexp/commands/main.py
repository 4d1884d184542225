"""The command line: every stage of the pipeline as a sub-command, and the tools around it."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from microexp import __version__
from microexp.errors import UserError
from microexp.run.stage import Params

STAGES: dict[str, tuple[str, str]] = {
    # sub-command: (module that holds STAGE, one line of help); modules are imported only when asked for
    "demo-sheet": ("microexp.rendered.sheet", "write the annotation sheet of the rendered demo data set"),
    "demo": ("microexp.rendered.video", "render one video of the demo data set"),
    "index": ("microexp.datasets.index", "read a release: videos and expressions in one schema"),
    "index-subject": ("microexp.reading.index_subject", "the part of an index that concerns one subject"),
    "faces": ("microexp.faces.faces", "detect, track and align the face of every video of a subject"),
    "crops": ("microexp.faces.crops", "cut aligned face crops"),
    "flow": ("microexp.flow.flow", "TV-L1 optical flow between consecutive crops"),
    "apexdiff": ("microexp.apexdiff.apexdiff", "onset-apex difference, flow and strain of every expression"),
    "weights": ("microexp.features.weights", "fetch and check the I3D weights"),
    "i3d": ("microexp.features.i3d", "two-stream I3D features"),
    "motion": ("microexp.features.motion", "mean flow magnitude per facial region"),
    "shards": ("microexp.run.shards", "list the files of all subjects with their hashes"),
    "aemnet": ("microexp.methods.spotting.aemnet.aemnet", "train AEM-Net for one fold and write its proposals"),
    "detect": ("microexp.methods.spotting.detect", "turn proposals into detections"),
    "mdml": ("microexp.methods.recognition.mdml.mdml", "train MDML for one fold and predict the held-out subject"),
    "tables": ("microexp.report.tables", "evaluate all folds of all experiments"),
    "report-subject": ("microexp.report.subject", "the report's page of one subject"),
    "report": ("microexp.report.report", "one self-contained HTML report"),
    "complete": ("microexp.report.complete", "list excluded videos; fails when there are any, unless allowed"),
}

TOOLS: dict[str, tuple[str, str]] = {
    # sub-command: (module with add_arguments(parser) and main(args) -> int, one line of help)
    "check": ("microexp.commands.check", "what the configured data sets hold, against the published counts"),
    "evaluate": ("microexp.commands.evaluate", "score predictions of any method"),
    "flowmaps": ("microexp.commands.flowmaps", "turn flow maps that others published into apexdiff shards"),
    "rendered": ("microexp.rendered.expressions", "render labelled flow of known action units, a source for recognise"),
    "recognise": ("microexp.commands.recognise", "run all folds of an experiment at once on apexdiff shards"),
    "verify": ("microexp.run.verify", "re-check every file under results"),
    "provenance": ("microexp.commands.provenance", "print what a result was made from"),
    "config": ("microexp.config", "check a configuration; print its defaults or JSON schema"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `microexp`; returns the exit status: 0 done, 1 a check failed, 2 a problem that the user can mend."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        name = argv[0] if argv else ""
        if name in STAGES:
            return _run_stage(name, argv[1:])
        if name in TOOLS:
            module = importlib.import_module(TOOLS[name][0])
            parser = argparse.ArgumentParser(f"microexp {name}", description=TOOLS[name][1])
            module.add_arguments(parser)
            return int(module.main(parser.parse_args(argv[1:])))
        return _no_command(argv)
    except UserError as error:
        print(f"microexp: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _no_command(argv: Sequence[str]) -> int:
    width = max(len(n) for n in (*STAGES, *TOOLS))
    lines = [f"  {n:<{width}}  {about}" for table in (STAGES, TOOLS) for n, (_, about) in table.items()]
    parser = argparse.ArgumentParser(
        "microexp",
        description="From face videos to tables of micro-expression results.",
        epilog="sub-commands:\n" + "\n".join(lines) + "\n\nmicroexp SUB-COMMAND --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="microexp [-h] [--version] SUB-COMMAND …",
    )
    parser.add_argument("--version", action="version", version=f"microexp {__version__}")
    parser.parse_known_args(argv)  # handles -h and --version
    if argv:
        import difflib

        close = difflib.get_close_matches(argv[0], [*STAGES, *TOOLS], 1)
        raise UserError(
            file="command line",
            got=repr(argv[0]),
            expected="a sub-command",
            hint=f"did you mean {close[0]}?" if close else None,
        )
    parser.print_help(sys.stderr)
    return 2


def _run_stage(name: str, argv: Sequence[str]) -> int:
    from microexp.run.gpu_pool import claim
    from microexp.run.runner import run_stage
    from microexp.run.shards import list_entry
    from microexp.run.stage import Job
    from microexp.run.watchdog import job_of_run

    stage = importlib.import_module(STAGES[name][0]).STAGE
    parser = argparse.ArgumentParser(f"microexp {name}", description=stage.summary, fromfile_prefix_chars="@")
    setattr(parser, "convert_arg_line_to_args", lambda line: [list_entry(line)])  # noqa: B010
    marks = {key.rstrip("*?"): key[-1] if key[-1] in "*?" else "" for key in stage.inputs}
    for key, about in stage.inputs.items():
        plain = key.rstrip("*?")
        many: dict[str, Any] = {"*": {"nargs": "*"}, "?": {"nargs": "?"}}.get(marks[plain], {})
        parser.add_argument(f"--{plain}", type=Path, required=not marks[plain], help=about, metavar="FILE", **many)
    for key, about in stage.outputs.items():
        parser.add_argument(f"--out-{key}", type=Path, required=True, help=about, metavar="FILE")
    for key, about in stage.keys.items():
        parser.add_argument(f"--{key}", required=True, help=about)
    parser.add_argument("--params", default="{}", help="options as a JSON object (default: the documented defaults)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="set one option")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (never changes a result)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--gpus", type=int, help="take so many free GPUs of this machine for the job; 0 hides them all")
    args = vars(parser.parse_args(argv))
    inputs = {k: _paths(args[k]) for k in marks}
    job = Job(
        inputs=inputs,
        outputs={k: args[f"out_{k}".replace("-", "_")] for k in stage.outputs},
        params=_options(name, args["params"], args["set"], stage.params),
        keys={k: args[k.replace("-", "_")] for k in stage.keys},
        threads=args["threads"],
        device=args["device"],
    )
    gpus = nullcontext() if args["gpus"] is None else claim(args["gpus"])
    with job_of_run(os.environ), gpus:
        run_stage(stage, job)
    return 0


def _paths(value: Path | list[Path] | None) -> list[Path]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _options(name: str, params: str, settings: Sequence[str], model: type[Params]) -> Params:
    import yaml

    from microexp.config import validate

    try:
        options = json.loads(params)
    except ValueError as error:
        raise UserError(file="command line", where="--params", problem=error, expected="a JSON object") from error
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UserError(file="command line", where="--set", got=repr(setting), expected="KEY=VALUE")
        options[key] = yaml.safe_load(value)
    return validate(model, options, "command line", name)
