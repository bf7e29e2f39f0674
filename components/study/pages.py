"""A study's result for people: a folder with Markdown, figure, and one HTML page that needs nothing beside it."""

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.files import atomic_directory, write_json
from components.pages import render
from components.tables import escape_markdown, markdown_table

TEMPLATE = Path(__file__).with_name("page.html.j2")
Table = dict[str, Any]  # `title`, `note`, `header`, `rows`


def write_result(
    output: Path,
    name: str,
    result: Mapping[str, Any],
    said: str,
    write_rows: Callable[[Path], None],
    draw: Callable[[Path], None],
    page: Callable[[Path], str],
) -> None:
    """Write the folder of a result, as a whole, and print what it says.

    Args:
        name: of its files: NAME.json, NAME.md, NAME.csv and NAME.png; the page is index.html.
        said: the result as Markdown.
        write_rows: writes a CSV row a training.
        draw: writes the figure.
        page: the page, given the figure.
    """
    with atomic_directory(output) as folder:
        write_json(folder / f"{name}.json", result)
        (folder / f"{name}.md").write_text(said, encoding="utf-8")
        write_rows(folder / f"{name}.csv")
        draw(folder / f"{name}.png")
        (folder / "index.html").write_text(page(folder / f"{name}.png"), encoding="utf-8")
    print(said, flush=True)


def markdown(title: str, sentences: Sequence[str], tables: Sequence[Table]) -> str:
    """Sentences and tables as GitHub Markdown."""
    parts = [f"# {title}", *sentences]
    for table in tables:
        parts += [
            f"## {escape_markdown(table['title'])}",
            markdown_table(table["header"], table["rows"]),
            table["note"],
        ]
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
