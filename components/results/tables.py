"""Tables of text for Markdown and HTML."""

import re
from collections.abc import Sequence
from typing import NamedTuple

# Characters at places where Markdown or HTML would interpret them; elsewhere they stay, so that text is readable.
_MARKS = re.compile(
    r"[\\`|$]|\*(?=\S)|(?<![^\W_])_|_(?![^\W_])|~(?=~)|<(?=[A-Za-z/!?])|&(?=#?\w+;)|!(?=\[)|\](?=[(\[:])|:(?=[a-z-]+\[)"
)
_ENTITIES = {"<": "&lt;", "&": "&amp;"}


class Table(NamedTuple):
    """A table of text with a note below it, for Markdown and HTML.

    Attributes:
        kinds: for the style of each row on a page: `measured` or `published`; empty for a plain table.
    """

    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kinds: Sequence[str] = ()

    def markdown(self, level: int = 2) -> list[str]:
        """Heading, table and note as paragraphs of GitHub Markdown."""
        paragraphs = [f"{'#' * level} {escape_markdown(self.title)}", markdown_table(self.header, self.rows), self.note]
        return [paragraph for paragraph in paragraphs if paragraph]


def escape_markdown(text: str) -> str:
    """Text from outside, such as a model's name, as one line that Markdown shows unchanged, without HTML, links and
    images."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return _MARKS.sub(lambda mark: _ENTITIES.get(mark[0], f"\\{mark[0]}"), line)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with text in the first column and numbers in the others, aligned in the source too. Markdown in cells is
    escaped.
    """
    cells = [[escape_markdown(cell) for cell in line] for line in [header, *rows]]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(header))]
    rule = ["-" * widths[0]] + ["-" * (w - 1) + ":" for w in widths[1:]]
    cells.insert(1, rule)
    padded = (
        [line[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)] for line in cells
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
