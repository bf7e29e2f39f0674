"""Self-contained pages in one style, without network or script."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.foreign.templates import own_templates

HERE = Path(__file__).parent


def render(template: Path, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """A page from a Jinja template that extends `shell.html.j2` by the blocks `title`, `style` and `main`.

    Args:
        filters: Jinja filters of this template, by name.
        values: variables of the template.
    """
    environment = own_templates(template.parent, HERE, autoescape=True, keep_trailing_newline=True)
    environment.filters |= filters or {}
    return environment.get_template(template.name).render(**values)
