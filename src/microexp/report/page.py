"""Renders the templates: everything is escaped, nothing is loaded from elsewhere."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates; an unknown variable is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: object) -> str:
    """A page as text."""
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment().get_template(template).render(style=style, **values)
