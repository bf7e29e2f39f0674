"""A study's result for people: Markdown, and one HTML page that needs nothing beside it."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.pages import render
from components.tables import markdown_table

TEMPLATE = Path(__file__).with_name("page.html.j2")
Table = dict[str, Any]  # `title`, `note`, `header`, `rows`


def markdown(title: str, sentences: Sequence[str], tables: Sequence[Table]) -> str:
    """Sentences and tables as GitHub Markdown."""
    parts = [f"# {title}", *sentences]
    for table in tables:
        parts += [f"## {table['title']}", markdown_table(table["header"], table["rows"]), table["note"]]
    return "\n\n".join(parts) + "\n"


def page(
    title: str, headline: str, sentences: Sequence[str], tables: Sequence[Table], figure: Path, alt: str, caption: str
) -> str:
    """The result as one HTML page.

    Args:
        sentences: Markdown lists of what the study shows.
        figure: a PNG.
        alt: what the figure shows, for those who don't see it.
        caption: of the figure.
    """
    return render(
        TEMPLATE,
        title=title,
        headline=headline,
        sentences=[line.removeprefix("- ").replace("**", "") for part in sentences for line in part.splitlines()],
        tables=tables,
        image=base64.b64encode(figure.read_bytes()).decode(),
        alt=alt,
        caption=caption,
    )


def with_interval(value: Mapping[str, Any], digits: int, sign: bool = False) -> str:
    """`2.8907 ± 0.0123`."""
    mean = f"{value['mean']:{'+' if sign else ''}.{digits}f}"
    return mean if value["low"] is None else f"{mean} ± {(value['high'] - value['low']) / 2:.{digits}f}"
