"""Runs one stage: checks its inputs, lets it work, and records where each output came from."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from microexp import __version__
from microexp.errors import UserError
from microexp.run import storage
from microexp.run.stage import Job, Stage

LIBRARIES = (
    # the names under which one library is distributed
    ("numpy",), ("scipy",), ("scikit-learn",), ("numba",), ("torch",), ("opencv-contrib-python-headless",),
    ("dlib-bin", "dlib"), ("face-alignment",), ("av",), ("pillow",), ("h5py",), ("hdf5plugin",), ("safetensors",),
)  # fmt: skip


def run_stage(stage: Stage, job: Job[Any]) -> None:
    """Run `stage` on `job` and write the provenance of every output.

    Raises:
        UserError: when an input is missing, or as the stage says.
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
    inputs = {name: [storage.input_hash(p) for p in paths if p.is_file()] for name, paths in job.inputs.items()}
    for path in job.outputs.values():  # an old record must not vouch for a new file
        storage.remove_provenance(path)
    extra = stage.run(job) or {}
    record = {
        "stage": stage.name,
        "keys": dict(job.keys),
        "parameters": job.params.model_dump(mode="json"),
        "inputs": inputs,
        "code": {"version": __version__, "stage_version": stage.version, "source_sha256": source_sha256()},
        "libraries": library_versions(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **extra,
    }
    for path in job.outputs.values():
        storage.write_provenance(path, record)


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

    `cv2` is what is really imported: another distribution of OpenCV may have overwritten the one that is recorded.
    """
    import cv2

    versions = {"cv2": str(cv2.__version__)}
    for names in LIBRARIES:
        for name in names:
            with suppress(importlib.metadata.PackageNotFoundError):
                versions.setdefault(names[0], importlib.metadata.version(name))
    return versions
