"""Methods by name: shipped, entry points, `package.module:Class`; what is none is one clear line."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from microexp.errors import UserError
from microexp.methods.find import BASES, SHIPPED, find_method
from microexp.methods.recognition.base import RecognitionMethod
from microexp.methods.spotting.base import SpottingMethod

METHOD = """
from microexp.methods.spotting.base import SpottingMethod

class {name}(SpottingMethod):
    def streams(self, options):
        from {module}_helper import STREAMS
        return STREAMS
    def fit(self, videos, truth, options, *, context): return None
    def propose(self, model, video): return {{}}
    def to_bytes(self, model): return b""
    def from_bytes(self, data, options): return None
"""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """No method is remembered, and neither path nor modules of a test stay."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    find_method.cache_clear()
    yield
    find_method.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("mine_"):
            del sys.modules[name]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in SHIPPED for name in SHIPPED[kind]])
def test_every_shipped_method_is_there(kind, name):
    method = find_method(kind, name)
    assert isinstance(method, BASES[kind]) and method is find_method(kind, name)
    assert isinstance(method.Options(), method.Options) and method.version >= 1


def test_a_class_on_the_path():
    found = find_method("spotting", "tests.methods.spotting.methods:Slow")
    assert isinstance(found, SpottingMethod) and type(found).__name__ == "Slow"


def test_a_module_beside_the_configuration_and_its_neighbours(tmp_path, monkeypatch):
    (tmp_path / "mine_here.py").write_text(METHOD.format(name="Mine", module="mine_here"))
    (tmp_path / "mine_here_helper.py").write_text("STREAMS = ('given',)")
    monkeypatch.chdir(tmp_path)
    method = find_method("spotting", "mine_here:Mine")
    assert method.streams(method.Options()) == ("given",)  # imported only now


def test_nothing_in_the_working_folder_stands_before_a_library(tmp_path, monkeypatch):
    (tmp_path / "mine_here.py").write_text(METHOD.format(name="Mine", module="mine_here"))
    (tmp_path / "mine_library.py").write_text("WHERE = 'folder'")
    library = tmp_path / "site"
    library.mkdir()
    (library / "mine_library.py").write_text("WHERE = 'library'")
    sys.path.append(str(library))
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    monkeypatch.chdir(tmp_path)
    find_method("spotting", "mine_here:Mine")
    assert __import__("mine_library").WHERE == "library"


def test_an_entry_point(monkeypatch):
    entry = importlib.metadata.EntryPoint("other", "tests.methods.spotting.methods:Stacked", "microexp.spotting")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [entry] if group == "microexp.spotting" else []
    )
    assert type(find_method("spotting", "other")).__name__ == "Stacked"
    with pytest.raises(UserError, match="recognition: method: got 'other'"):
        find_method("recognition", "other")


@pytest.mark.parametrize(("name", "meant"), [("aem_net", "aemnet"), ("flow_magnitudes", "flow_magnitude")])
def test_a_misspelt_name_has_a_hint(name, meant):
    with pytest.raises(UserError, match=f"did you mean '{meant}'") as error:
        find_method("spotting", name)
    assert "random_intervals" in str(error.value) and "package.module:Class" in str(error.value)


BROKEN = {
    "mine_none:Mine": "No module named",
    "mine_file:Other": "has no attribute 'Other'",
    "mine_file:": "AttributeError",
    ":Mine": "ValueError",
    "..mine:Mine": "TypeError",
    "mine_syntax:Mine": "SyntaxError",
    "mine_raises:Mine": "ZeroDivisionError",
    "mine_imports:Mine": "No module named 'mine_missing'",
    "mine_file:VALUE": "another kind of object",
    "mine_file:Plain": "expected a subclass of microexp.methods.spotting.base.SpottingMethod",
    "mine_file:Abstract": "fit, from_bytes, propose, to_bytes not defined",
    "mine_file:Arguments": "expected no arguments",
}


@pytest.mark.parametrize("reference", BROKEN)
def test_what_is_no_method_is_one_clear_line(tmp_path, monkeypatch, reference):
    (tmp_path / "mine_syntax.py").write_text("def")
    (tmp_path / "mine_raises.py").write_text("1 / 0")
    (tmp_path / "mine_imports.py").write_text("import mine_missing")
    (tmp_path / "mine_file.py").write_text(
        METHOD.format(name="Mine", module="mine_file")
        + "class Plain: pass\nVALUE = 3\n"
        + "class Abstract(SpottingMethod):\n    def streams(self, options): return ()\n"
        + "class Arguments(Mine):\n    def __init__(self, needed): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=BROKEN[reference]) as error:
        find_method("spotting", reference)
    assert str(error.value).startswith("config: spotting: method") and "\n" not in str(error.value)


def test_a_method_of_the_other_kind_is_refused():
    with pytest.raises(UserError, match=r"expected a subclass of microexp\.methods\.recognition"):
        find_method("recognition", "microexp.methods.spotting.flow_magnitude:FlowMagnitude")
    assert not issubclass(SpottingMethod, RecognitionMethod)
