"""What is generated from the code must not drift from it."""

import json
from pathlib import Path

from microexp.config import Config
from microexp.reference import options_page
from microexp.report import svg

ROOT = Path(__file__).parents[1]


def test_the_reference_of_options_is_current():
    page = ROOT / "docs/configuration.md"
    assert page.read_text() == options_page(), "run: microexp config --reference > docs/configuration.md"


def test_the_json_schema_is_current():
    page = ROOT / "docs/config.schema.json"
    assert json.loads(page.read_text()) == Config.model_json_schema(), (
        "run: microexp config --schema > docs/config.schema.json"
    )


def test_diagram_and_tree_come_from_the_table_of_stages():
    assert f"```mermaid\n{svg.mermaid()}\n```" in (ROOT / "README.md").read_text()
    assert svg.tree() in (ROOT / "results/README.md").read_text()


def test_local_links_of_the_documents_lead_somewhere():
    import re

    broken = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "results/README.md"]:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in link and not (page.parent / link).exists():
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


def test_every_promise_names_tests_that_are_there():
    import re

    rows = re.findall(r"^\| (?!promise|---)(.+) \|$", (ROOT / "docs/promises.md").read_text(), re.M)
    assert len(rows) > 20
    for row in rows:
        *_, named = row.split(" | ")
        files = re.findall(r"`([^`]+)`", named)
        assert files or named == "the same", row
        assert [f for f in files if not re.fullmatch(r"tests/(.+/)?test_\w+\.py", f) or not (ROOT / f).is_file()] == []
