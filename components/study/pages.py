"""A study's result for people: a folder with Markdown, a chart, and one self-contained HTML page."""

import base64
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import atomic_directory, write_json
from components.results.pages import render
from components.results.tables import escape_markdown, markdown_table

TEMPLATE = Path(__file__).with_name("page.html.j2")
Table = dict[str, Any]  # `title`, `note`, `header`, `rows`


@dataclass(frozen=True)
class Text:
    """The text of a study's result.

    Attributes:
        title: of the Markdown and of the page.
        headline: what the study asks.
        sentences: Markdown lists of what it shows.
        tables: its tables.
        alt: alternative text of the chart.
        caption: of the chart.
    """

    title: str
    headline: str
    sentences: Sequence[str]
    tables: Sequence[Table]
    alt: str
    caption: str

    def markdown(self) -> str:
        """Sentences and tables as GitHub Markdown."""
        parts = [f"# {self.title}", *self.sentences]
        for table in self.tables:
            parts += [
                f"## {escape_markdown(table['title'])}",
                markdown_table(table["header"], table["rows"]),
                table["note"],
            ]
        return "\n\n".join(parts) + "\n"

    def page(self, figure: Path) -> str:
        """The result as one HTML page, with a PNG."""
        return render(
            TEMPLATE,
            text=self,
            sentences=[
                line.removeprefix("- ").replace("**", "") for part in self.sentences for line in part.splitlines()
            ],
            image=base64.b64encode(figure.read_bytes()).decode(),
        )


def write_result(
    output: Path,
    name: str,
    result: Mapping[str, Any],
    text: Text,
    rows: Iterable[Sequence[Any]],
    draw: Callable[[Path], None],
) -> None:
    """Write the folder of a result, complete or not at all, and print its text.

    Args:
        name: of its files: NAME.json, NAME.md, NAME.csv and NAME.png; the page is index.html.
        rows: a header, then one CSV row per training run.
        draw: writes the chart.
    """
    with atomic_directory(output) as folder:
        write_json(folder / f"{name}.json", result)
        (folder / f"{name}.md").write_text(text.markdown(), encoding="utf-8")
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        draw(folder / f"{name}.png")
        (folder / "index.html").write_text(text.page(folder / f"{name}.png"), encoding="utf-8")
    print(text.markdown(), flush=True)


def with_interval(value: Mapping[str, Any], digits: int, sign: bool = False) -> str:
    """`2.8907 ± 0.0123`."""
    mean = f"{value['mean']:{'+' if sign else ''}.{digits}f}"
    return mean if value["low"] is None else f"{mean} ± {(value['high'] - value['low']) / 2:.{digits}f}"
