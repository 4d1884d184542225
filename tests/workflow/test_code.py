"""The hash of a stage's code changes when what it runs changes, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from microexp.commands.main import STAGES
from microexp.datasets.adapters import ADAPTERS
from microexp.run import code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a stage that imports a helper, which imports a kernel; caches are empty."""
    root = tmp_path / "microexp"
    (root / "flow" / "templates").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "flow" / "__init__.py").write_text("")
    (root / "flow" / "flow.py").write_text(
        '"""Doc."""\nfrom typing import TYPE_CHECKING\nfrom microexp.flow import helper\n'
        "from microexp.errors import E\n"
        "if TYPE_CHECKING:\n    from microexp.flow.types import T\n\ndef run():\n    import microexp.flow.late\n"
    )
    (root / "flow" / "helper.py").write_text(
        "from microexp.flow.kernel import k\nDATA = 'table.json'\nPAGES = 'templates'\nOURS = 'kernels'\n"
        "LATER = {'named': 'microexp.flow.named', 'no': 'microexp.flow.nothing'}\n"
    )
    (root / "flow" / "table.json").write_text("{}")
    (root / "flow" / "kernels").mkdir()
    (root / "flow" / "kernels" / "__init__.py").write_text("")
    (root / "flow" / "kernels" / "own.json").write_text("{}")
    for name in ("kernel", "late", "types", "other", "named"):
        (root / "flow" / f"{name}.py").write_text("k = 1\n")
    (root / "errors.py").write_text("E = 1\n")
    (root / "flow" / "templates" / "page.html").write_text("<p>")
    monkeypatch.setattr(code, "ROOT", root)
    forget()
    yield root
    forget()


def forget() -> None:
    for function in (code.code_hash, code.modules_of, code._tree, code._imports, code._module_hash):
        function.cache_clear()


def test_modules_are_followed_through_all_imports_but_not_type_checking_or_infrastructure(package: Path) -> None:
    assert code.modules_of("microexp.flow.flow") == (
        "microexp.flow", "microexp.flow.flow", "microexp.flow.helper", "microexp.flow.kernel", "microexp.flow.late",
        "microexp.flow.named",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("flow/kernel.py", "k = 2\n", True),
        ("flow/late.py", "k = 2\n", True),
        ("flow/named.py", "k = 2\n", True),
        ("flow/table.json", "[]", True),
        ("flow/templates/page.html", "<b>", True),
        ("flow/templates/part.html", "new", True),
        ("flow/kernels/own.json", "[]", False),
        ("flow/kernel.py", '"""A docstring."""\n# a comment\nk   =  1\n', False),
        ("flow/types.py", "k = 2\n", False),
        ("flow/other.py", "k = 2\n", False),
        ("errors.py", "E = 2\n", False),
    ],
)
def test_hash_changes_exactly_with_the_code(package: Path, file: str, text: str, changes: bool) -> None:
    before = code.code_hash("flow")
    (package / file).write_text(text)
    forget()
    assert (code.code_hash("flow") != before) == changes


def test_every_stage_exists_and_reaches_its_own_package() -> None:
    for stage, (module, _) in STAGES.items():
        assert module in code.modules_of(module), stage
        assert len(code.code_hash(stage)) == 16


def test_a_stage_does_not_depend_on_stages_that_it_does_not_run() -> None:
    assert not any(m.startswith("microexp.recognition") for m in code.modules_of(STAGES["flow"][0]))
    assert "microexp.flow.kernels" in code.modules_of(STAGES["flow"][0])


def test_every_adapter_is_code_of_the_index() -> None:
    """They are imported by name, when a data set asks for them."""
    assert set(ADAPTERS.values()) <= set(code.modules_of(STAGES["index"][0]))
    assert "microexp.reading.sheets" in code.modules_of(STAGES["index"][0])


def test_every_template_is_hashed_with_the_report() -> None:
    templates = {path.name for path in (code.ROOT / "report" / "templates").iterdir()}
    page = code._tree("microexp.report.page")
    assert {path.name for path in code._data_files("microexp.report.page", page)} == templates
    assert all("microexp.report.page" in code.modules_of(STAGES[s][0]) for s in ("report", "report-subject"))
