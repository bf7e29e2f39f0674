"""Writes the result of a study: a folder with JSON, CSV, Markdown, a chart and one self-contained HTML page."""

import base64
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.files import atomic_directory, write_json
from components.results.pages import render
from components.results.tables import Table, escape_markdown
from components.study.multipliers import FIELDS

TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class Text:
    """The text of a study's result.

    Attributes:
        title: title of the Markdown file and of the page.
        headline: the question that the study asks.
        sentences: the conclusions, in Markdown.
        tables: the tables below them.
        alt: alternative text of the chart.
        caption: caption of the chart.
    """

    title: str
    headline: str
    sentences: Sequence[str]
    tables: Sequence[Table]
    alt: str
    caption: str

    def markdown(self) -> str:
        """Sentences and tables as GitHub Markdown."""
        parts = [f"# {self.title}", "\n".join(f"- {sentence}" for sentence in self.sentences)]
        for table in self.tables:
            parts += table.markdown()
        return "\n\n".join(parts) + "\n"

    def page(self, figure: Path) -> str:
        """The result as one HTML page, with a PNG."""
        sentences = [sentence.replace("**", "") for sentence in self.sentences]
        return render(TEMPLATE, text=self, sentences=sentences, image=base64.b64encode(figure.read_bytes()).decode())


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
        output: the folder.
        name: stem of the files NAME.json, NAME.md, NAME.csv and NAME.png; the page is index.html.
        result: content of NAME.json; its `multipliers`, if it has any, are also in multipliers.csv.
        text: content of NAME.md and the page.
        rows: content of NAME.csv: a header, then one row per training run.
        draw: writes the chart to a path.
    """
    with atomic_directory(output) as folder:
        write_json(folder / f"{name}.json", result)
        (folder / f"{name}.md").write_text(text.markdown(), encoding="utf-8")
        sheets = {name: rows}
        if "multipliers" in result:
            cells = ([entry[field] for field in FIELDS] for entry in result["multipliers"])
            sheets["multipliers"] = [FIELDS, *cells]
        for stem, lines in sheets.items():
            with open(folder / f"{stem}.csv", "w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(lines)
        draw(folder / f"{name}.png")
        (folder / "index.html").write_text(text.page(folder / f"{name}.png"), encoding="utf-8")
    print(text.markdown(), flush=True)


def with_interval(value: Mapping[str, Any], digits: int, sign: bool = False) -> str:
    """`2.8907 ± 0.0123`."""
    mean = f"{value['mean']:{'+' if sign else ''}.{digits}f}"
    return mean if value["low"] is None else f"{mean} ± {(value['high'] - value['low']) / 2:.{digits}f}"


def left_out(diverged: Sequence[str]) -> list[str]:
    """A sentence on the arms that are not compared because a training run of theirs diverged; none without such arms."""
    return [f"Diverged, and so left out: {escape_markdown(', '.join(diverged))}."] if diverged else []
