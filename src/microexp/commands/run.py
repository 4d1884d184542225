"""`microexp run`: the whole workflow of a configuration, from any folder, with or without the repository."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import sys
from pathlib import Path

from microexp.errors import UserError
from microexp.run.workflow import profile, snakefile

DEFAULT_PROFILE = "default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp run`."""
    parser.add_argument(
        "config", type=Path, nargs="?", default=Path("config.yaml"),
        help="configuration, or a folder with a config.yaml; the run works in its folder (default: config.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--target", nargs="+", default=[], metavar="FILE", help="files or rules to make, in place of everything"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would run, and run nothing")
    parser.add_argument("--cores", type=int, metavar="N", help="CPU cores (default: all that this process may use)")
    parser.add_argument(
        "--profile", default=DEFAULT_PROFILE, metavar="NAME",
        help="default, slurm, or a folder with a config.yaml; profiles/NAME beside the configuration comes first",
    )  # fmt: skip
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where to work (default: the configuration's)")
    parser.add_argument(
        "--snakemake", action="append", default=[], metavar="OPTIONS",
        help="more options of Snakemake, in one word: --snakemake='-R flow'",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """`microexp run [CONFIG] [--target FILE …]`: becomes Snakemake, and ends as that does.

    Raises:
        UserError: when the configuration, the profile or Snakemake is missing.
    """
    words = command(args)
    sys.stdout.flush()
    os.execv(words[0], words)


def command(args: argparse.Namespace) -> list[str]:
    """The command that runs Snakemake, word by word.

    `-P` keeps what lies in the working folder from being imported in place of libraries.

    Raises:
        UserError: as `main`.
    """
    config: Path = args.config / "config.yaml" if args.config.is_dir() else args.config
    if not config.is_file():
        raise UserError(
            file=config, problem="no such file", expected="a configuration", hint="microexp init DIR writes one"
        )
    if importlib.util.find_spec("snakemake") is None:
        raise UserError(problem="Snakemake is not installed", hint="pip install 'microexp[workflow]'")
    folder = (args.directory or config.parent).resolve()
    words = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(snakefile()), "--directory", str(folder)]
    words += ["--configfile", str(config.resolve()), "--workflow-profile", str(find_profile(args.profile, folder))]
    if args.cores is not None or args.profile == DEFAULT_PROFILE:
        words += ["--cores", str(args.cores or len(os.sched_getaffinity(0)))]
    words += ["--dry-run"] if args.dry_run else []
    words += [word for text in args.snakemake for word in shlex.split(text)]
    return [*words, "--", *args.target] if args.target else words


def find_profile(name: str, folder: Path) -> Path:
    """The folder of a profile: below `profiles/` of the run's folder, at that path, or one that microexp ships.

    Raises:
        UserError: when there is none.
    """
    for place in (folder / "profiles" / name, Path(name)):
        if (place / "config.yaml").is_file():
            return place.resolve()
    return profile(name)
