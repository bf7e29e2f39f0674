"""Pages that need nothing beside them: one look, no network, no script."""

from pathlib import Path
from typing import Any

from components.templates import own_templates

STYLE = Path(__file__).with_name("page.css")


def render(template: Path, **values: Any) -> str:
    """A page from a Jinja template, which finds the look under the name `style`."""
    environment = own_templates(template.parent, autoescape=True, keep_trailing_newline=True)
    return environment.get_template(template.name).render(style=STYLE.read_text(encoding="utf-8"), **values)
