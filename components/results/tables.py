"""Tables of text, for people who read Markdown."""

import re
from collections.abc import Sequence

# Characters that Markdown, or HTML in it, would interpret, only where it does, so that most text stays readable.
_MARKS = re.compile(
    r"[\\`|$]|\*(?=\S)|(?<![^\W_])_|_(?![^\W_])|~(?=~)|<(?=[A-Za-z/!?])|&(?=#?\w+;)|!(?=\[)|\](?=[(\[:])|:(?=[a-z-]+\[)"
)
_ENTITIES = {"<": "&lt;", "&": "&amp;"}


def escape_markdown(text: str) -> str:
    """Text from outside, such as a model's name, in one line that Markdown shows unchanged: no HTML, no link, no
    picture."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return _MARKS.sub(lambda mark: _ENTITIES.get(mark[0], f"\\{mark[0]}"), line)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers, aligned in the source too. Markdown in cells is
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
