"""Which class a method of the configuration is: one that is shipped, an entry point, or `package.module:Class`.

A module is looked for where Python looks for any (so on PYTHONPATH), then in the folders that were on the user's
PYTHONPATH when the run was started (`USER_PATH`: the jobs of a run have a PYTHONPATH of their own), then in the working
folder. The last two come after all libraries: nothing that lies there can stand before one.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from microexp.errors import UserError
from microexp.methods.recognition.base import RecognitionMethod
from microexp.methods.spotting.base import SpottingMethod
from microexp.run.lock import USER_PATH

SHIPPED: Mapping[str, Mapping[str, str]] = {
    "spotting": {
        "aemnet": "microexp.methods.spotting.aemnet.method:AemNetMethod",
        "flow_magnitude": "microexp.methods.spotting.flow_magnitude:FlowMagnitude",
        "candidates": "microexp.methods.spotting.candidates:CandidatesMethod",
        "random_intervals": "microexp.methods.spotting.random_intervals:RandomIntervals",
    },
    "recognition": {
        "mdml": "microexp.methods.recognition.mdml.method:MdmlMethod",
        "logistic_regression": "microexp.methods.recognition.logistic_regression:LogisticRegression",
        "action_units": "microexp.methods.recognition.action_units.method:ActionUnits",
        "majority": "microexp.methods.recognition.majority:Majority",
    },
}
BASES = {"spotting": SpottingMethod, "recognition": RecognitionMethod}
Method = SpottingMethod[Any, Any] | RecognitionMethod[Any, Any]


@functools.cache
def find_method(kind: str, name: str) -> Method:
    """The method `name`: a shipped one, an entry point of the group `microexp.{kind}`, or `package.module:Class`.

    Raises:
        UserError: when there is no such method, or it does not keep the contract.
    """
    reference = SHIPPED[kind].get(name) or _entry_point(kind, name) or (name if ":" in name else None)
    if reference is None:
        known = [*SHIPPED[kind], *(e.name for e in importlib.metadata.entry_points(group=f"microexp.{kind}"))]
        close = difflib.get_close_matches(name, known, 1)
        raise UserError(
            file="config",
            where=f"{kind}: method",
            got=repr(name),
            expected="one of " + ", ".join(known) + ", or package.module:Class",
            hint=f"did you mean {close[0]!r}?" if close else None,
        )
    found = _loaded(kind, reference)
    if not (isinstance(found, type) and issubclass(found, BASES[kind])):
        raise UserError(
            file="config",
            where=f"{kind}: method {name}",
            problem="another kind of object",
            expected=f"a subclass of {BASES[kind].__module__}.{BASES[kind].__name__}",
        )
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise UserError(file="config", where=f"{kind}: method {name}", problem=f"{', '.join(missing)} not defined")
    try:
        return cast(Method, found())
    except TypeError as error:
        raise UserError(
            file="config", where=f"{kind}: method {name}", problem=error, expected="no arguments"
        ) from error


def source_of(method: Method) -> str:
    """Hash of the module that holds a method's class: tells an edited network from that of a former run."""
    file = getattr(sys.modules.get(type(method).__module__), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _entry_point(kind: str, name: str) -> str | None:
    found = [e for e in importlib.metadata.entry_points(group=f"microexp.{kind}") if e.name == name]
    return found[0].value if found else None


def _loaded(kind: str, reference: str) -> Any:
    module, _, name = reference.partition(":")
    try:
        return getattr(_imported(module), name)
    except Exception as error:  # whatever a module of somebody else does while it is imported
        raise UserError(
            file="config",
            where=f"{kind}: method {reference}",
            problem=f"{type(error).__name__}: {error}",
            expected="a class that can be imported as package.module:Class",
            hint="is its folder on PYTHONPATH, or its package installed?",
        ) from error


def _imported(module: str) -> Any:
    """Import a module; folders stay where they were found, since a method may import its neighbours later."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        folders = [*os.environ.get(USER_PATH, "").split(os.pathsep), str(Path.cwd())]
        new = [folder for folder in dict.fromkeys(folders) if folder and folder not in sys.path]
        if not new:
            raise
    sys.path += new
    importlib.invalidate_caches()
    return importlib.import_module(module)
