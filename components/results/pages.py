"""Self-contained pages with one look: no network, no script."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.foreign.templates import own_templates

HERE = Path(__file__).parent


def render(template: Path, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """A page from a Jinja template, which extends `shell.html.j2` by the blocks `title`, `style` and `main`.

    Args:
        filters: of this template, by name.
        values: what it shows.
    """
    environment = own_templates(template.parent, HERE, autoescape=True, keep_trailing_newline=True)
    environment.filters |= filters or {}
    return environment.get_template(template.name).render(**values)
