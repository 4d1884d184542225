"""A stand-in for the `conda` program: the few calls that Snakemake makes, and environments that are real ones.

It proves the wiring of the workflow: that environment files are found and parse, that their `pip:` part installs, and
that jobs run activated and find the package through the workflow. It does NOT prove that conda-forge can solve them.

An environment is a virtual environment of the interpreter that runs the tests, which also sees the packages installed
there, so that nothing large is installed again. Each start of its `python` is noted in `starts.txt`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import yaml
from rattler import MatchSpec

BASE = Path(__file__).resolve().parent
INFO = {"conda_prefix": str(BASE), "root_prefix": str(BASE), "platform": "linux-64", "conda_version": "26.9.4"}
WRAPPER = '#!/bin/sh\necho "$*" >> "{prefix}/starts.txt"\nexec "{prefix}/bin/python3" "$@"\n'


def create(file: Path, prefix: Path) -> None:
    """Make the environment of `file`, a specification or a pin file, at `prefix`."""
    pinned = file.read_text().startswith("@EXPLICIT")  # then conda does nothing but unpack its own packages
    dependencies = [] if pinned else yaml.safe_load(file.read_text())["dependencies"]
    for spec in dependencies:
        if isinstance(spec, str):
            MatchSpec(spec)  # fails on what conda would not understand
    venv.create(prefix, with_pip=False, symlinks=True)
    site = next((prefix / "lib").glob("python3*/site-packages"))
    (site / "host.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = prefix / "bin" / "python"
    python.unlink()
    (prefix / "bin" / "python3").unlink()
    (prefix / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    python.write_text(WRAPPER.format(prefix=prefix))
    python.chmod(0o755)
    requirements = [r for d in dependencies if isinstance(d, dict) for r in d["pip"]]
    if requirements:
        subprocess.check_call([str(prefix / "bin" / "python3"), "-m", "pip", "install", "--quiet", *requirements])


def option(arguments: list[str], name: str) -> Path:
    """Value of `--name VALUE` or `--name=VALUE`."""
    for position, text in enumerate(arguments):
        if text == name:
            return Path(arguments[position + 1])
        if text.startswith(f"{name}="):
            return Path(text.partition("=")[2])
    raise SystemExit(f"conda double: no {name} in {arguments}")


def main(arguments: list[str]) -> None:
    """Answer one call."""
    if arguments == ["--version"]:
        print("conda 26.9.4")
    elif arguments[:1] == ["info"]:
        print(json.dumps({**INFO, "envs_dirs": [], "channels": [], "virtual_pkgs": []}))
    elif arguments[:1] == ["config"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif "create" in arguments[:2]:
        create(option(arguments, "--file"), option(arguments, "--prefix"))
    elif arguments[:1] != ["clean"]:
        raise SystemExit(f"conda double: unexpected call {arguments}")
    sys.stdout.flush()
    os._exit(0)  # py-rattler now and then crashes when the interpreter shuts down


main(sys.argv[1:])
