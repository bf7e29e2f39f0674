"""Streams answers to a terminal: one model's token by token, two models' side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from components.foreign.terminal import printable, printable_text
from components.phi.text import Answer

if TYPE_CHECKING:
    from rich.table import Table


def show(answers: Mapping[str, Answer], out: TextIO) -> None:
    """Write answers by model's name to `out`: two in columns on a terminal, one after the other elsewhere."""
    if len(answers) > 1 and out.isatty():
        _side_by_side(answers, out)
        return
    for name, answer in answers.items():
        if len(answers) > 1:
            out.write(f"--- {printable(name)}\n")
        for piece in answer:
            out.write(printable_text(piece))
            out.flush()
        out.write("\n")
        out.flush()


def _side_by_side(answers: Mapping[str, Answer], out: TextIO) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=out, highlight=False)
    writing = {name: iter(answer) for name, answer in answers.items()}
    # While streaming, the view may be cut at the terminal's height; the whole answer is printed at the end.
    with Live(_columns(answers), console=console, transient=True, refresh_per_second=12) as live:
        while writing:
            for name, pieces in list(writing.items()):
                if next(pieces, None) is None:
                    del writing[name]
            live.update(_columns(answers))
    console.print(_columns(answers))


def _columns(answers: Mapping[str, Answer]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(expand=True, box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in answers:
        table.add_column(Text(printable(name)), ratio=1, overflow="fold")
    table.add_row(*(Text(printable_text(answer.text)) for answer in answers.values()))
    return table
