"""Runs one stage: checks its inputs, lets it work, and records where each output came from."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from microexp import __version__
from microexp.errors import UserError
from microexp.run import provenance
from microexp.run.names import place_of, place_record
from microexp.run.stage import Job, Stage
from microexp.run.watchdog import DELETED

LIBRARIES = (
    # the names under which one library is distributed
    ("numpy",), ("scipy",), ("scikit-learn",), ("numba",), ("torch",), ("opencv-contrib-python-headless",),
    ("dlib-bin", "dlib"), ("face-alignment",), ("av",), ("pillow",), ("h5py",), ("hdf5plugin",), ("safetensors",),
)  # fmt: skip


def run_stage(stage: Stage, job: Job[Any]) -> None:
    """Run `stage` on `job` and write the provenance of every output.

    Raises:
        UserError: when an input is missing, was moved, or is a result without its record, or an output's path is
            another unit's; or as the stage says.
    """
    for name, paths in job.inputs.items():
        for path in paths:
            if not path.exists():
                raise UserError(
                    file=path,
                    where=f"input {name!r} of {stage.name}",
                    problem="no such file",
                    expected="an existing file",
                )
    tops = {path.parts[0] for path in job.outputs.values() if not path.is_absolute()}
    ordered = all(place_of(path, _layout(stage, name)) is not None for name, path in job.outputs.items())
    inputs = {n: [_input_hash(p, tops, ordered) for p in paths if p.is_file()] for n, paths in job.inputs.items()}
    known = _known(job)
    places = {name: place_record(path, _layout(stage, name), known) for name, path in job.outputs.items()}
    for path in job.outputs.values():  # an old record must not vouch for a new file
        provenance.remove_provenance(path)
    extra = stage.run(job) or {}
    record = {
        "stage": stage.name,
        "keys": dict(job.keys),
        "parameters": job.params.model_dump(mode="json"),
        "inputs": inputs,
        "code": {**own_record()["code"], "stage_version": stage.version},
        "libraries": library_versions(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **extra,
        **({"deleted_later": True} if os.environ.get(DELETED) else {}),
    }
    for name, path in job.outputs.items():
        provenance.write_provenance(path, {**record, **places[name]})


def _layout(stage: Stage, output: str) -> str:
    """Form of an output's path below whatever folder holds the results."""
    return stage.outputs[output].path.removeprefix("results/")


def _known(job: Job[Any]) -> dict[str, str]:
    """What a job knows of the names in its outputs' paths: its unit, and of a fold the experiment and method too."""
    experiment = getattr(job.params, "experiment", "")
    return {**({"experiment": experiment, "method": job.params.name} if experiment else {}), **job.keys}


def own_record() -> dict[str, dict[str, str]]:
    """What a record says of the program that made its file."""
    return {"code": {"version": __version__, "source_sha256": source_sha256()}}


def made_by(record: Mapping[str, Any]) -> str:
    """Version and source of microexp in a record, in words: `0.2.0 (source 1b2c…)`."""
    code = record.get("code") or {}
    return f"{code.get('version')} (source {str(code.get('source_sha256'))[:12]})"


def _input_hash(path: Path, tops: set[str], ordered: bool) -> dict[str, Any]:
    """What is recorded of an input; one in the folder of the results (`tops`) has to have a record of its own, and to
    lie where it was written where the outputs lie as the table of stages says (`ordered`)."""
    ours = path.parts[0] in tops
    if ours and not provenance.provenance_path(path).exists():
        raise UserError(
            file=path,
            problem="a result without its record",
            expected=f"{provenance.provenance_path(path).name} beside it",
            hint="delete it and run again",
        )
    return provenance.input_hash(path, anywhere=not (ours and ordered))


@functools.cache
def source_sha256() -> str:
    """Hash over all source files of the package: tells an edited working copy from a release."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that a result depends on, under their first name; those not installed are missing.

    `cv2` is what would be imported: another distribution of OpenCV may have overwritten the one that is recorded.
    """
    versions = {"cv2": _opencv_version()}
    for names in LIBRARIES:
        for name in names:
            with suppress(importlib.metadata.PackageNotFoundError):
                versions.setdefault(names[0], importlib.metadata.version(name))
    return versions


def _opencv_version() -> str:
    """Read from the folder that `import cv2` would take: importing it costs every job a tenth of a second."""
    spec = importlib.util.find_spec("cv2")
    for folder in (spec and spec.submodule_search_locations) or ():
        with suppress(OSError):
            if found := re.search(r'^opencv_version = "(.+)"', Path(folder, "version.py").read_text(), re.M):
                return found[1]
    import cv2

    return str(cv2.__version__)
