"""`microexp config`: check a configuration; print its full form, the reference of all options, or the JSON schema."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from microexp.config import Config, load
from microexp.errors import UserError
from microexp.reference import options_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `microexp config`."""
    parser.add_argument("file", nargs="?", type=Path, help="configuration to check; its full form is printed")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    parser.add_argument("--reference", action="store_true", help="print every option with its default instead")


def main(args: argparse.Namespace) -> int:
    """`microexp config [FILE] [--schema] [--reference]`."""
    if args.reference:
        print(options_page(), end="")
        return 0
    if args.schema:
        print(json.dumps(Config.model_json_schema(), indent=1))
        return 0
    if args.file is None:
        raise UserError(file="command line", problem="no file", expected="a configuration, --schema or --reference")
    print(yaml.safe_dump(load(args.file).model_dump(mode="json"), sort_keys=False), end="")
    return 0
