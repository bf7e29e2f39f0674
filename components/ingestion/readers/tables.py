"""Tables as text: csv and tsv with a first row that names the columns."""

import csv
import io
from collections.abc import Iterator
from itertools import chain
from typing import Any, TextIO

from components.documents import Document
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import REPLACEMENT, WRONG_BYTES, Limits, Quarantined, Read, Refused, TooLong
from components.ingestion.readers.decoding import BY_BROWSERS, UTF8, Decoded, decode
from components.ingestion.readers.rows import Rows, row_documents

PROBED = 1 << 20  # bytes examined to find the encoding
DELIMITERS = ",;\t|"
MAX_NAME_CHARS = 200  # of a column


def read_table(file: SourceFile, limits: Limits) -> Read:
    """Each row of a table as a document; other columns than the text go to the metadata."""
    for item in row_documents(table_rows(file, limits), file):
        if isinstance(item, Document) and (wrong := item.text.count(REPLACEMENT)):
            item.metadata[WRONG_BYTES] = wrong
        yield item


def table_rows(file: SourceFile, limits: Limits) -> Rows:
    """The rows of a table by the names of its columns."""
    with file.open() as stream:
        probed = stream.read(PROBED)
    encoding = decode(probed, cut_off=len(probed) == PROBED).encoding
    csv.field_size_limit(limits.line_bytes)
    with file.open() as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig" if encoding == UTF8 else encoding, BY_BROWSERS, newline="")
        lines = Lines(text, limits.line_bytes)
        first = next(lines, "")
        delimiter = max(DELIMITERS, key=first.count) if file.suffix == ".csv" else "\t"
        reader = csv.reader(chain([first], lines), delimiter=delimiter)
        number = 1
        try:
            names = _names(next(reader, []))
            start = reader.line_num + 1
            tabbed = delimiter == "\t" and len(names) > 1
            rows = _tabbed_rows(lines, len(names), start) if tabbed else _quoted_rows(reader, lines)
            for number, cells, is_open in rows:
                if len(cells) > len(names):
                    reason = f"has {len(cells)} cells, and the first row names {len(names)} columns"
                    if number == start:
                        raise Refused(f"its second row {reason}; add a first row that names them all")
                    yield Quarantined(file.name, number, f"{reason}; quote its texts")
                elif is_open:
                    yield Quarantined(file.name, number, "has an unclosed quote, so it takes in other rows")
                elif reason := Decoded.of("".join(cells), encoding).refusal:
                    yield Quarantined(file.name, number, reason)
                elif cells:
                    yield number, dict(zip(names, cells, strict=False))
        except csv.Error as error:
            raise Refused(f"cannot be read beyond line {number} ({error}); is a quote not closed?") from error


def _quoted_rows(reader: Any, lines: "Lines") -> Iterator[tuple[int, list[str], bool]]:
    """For each row, the line where it begins, its cells, and whether an unclosed quote includes other rows."""
    number, lines.quotes = reader.line_num + 1, 0
    for cells in reader:
        yield number, cells, bool(lines.quotes % 2) and reader.line_num > number
        number, lines.quotes = reader.line_num + 1, 0


def _tabbed_rows(lines: "Lines", columns: int, number: int) -> Iterator[tuple[int, list[str], bool]]:
    """Rows with tabs between the cells, see `_quoted_rows`. A quote is an ordinary character if it would include lines that
    all have a cell for each column, or if it is not closed within the limits of a row.
    """
    again: list[str] = []  # lines that such a quote included, the next one last
    while True:
        held: list[str] = []
        # A quote left open by such a line, unless it is the last one, includes the rest of them: it is not searched again.
        most = 1 if len(again) > 1 else lines.most // 2
        cells = next(csv.reader(_kept(again, lines, held, most), delimiter="\t"), None)
        if cells is None:
            return
        if is_open := not held[-1]:
            held.pop()
        plain = [line.rstrip("\r\n").split("\t") for line in held]
        if is_open or (len(held) > 1 and all(len(row) == columns for row in plain)):
            yield number, plain[0], len(plain[0]) != columns
            again += held[:0:-1]
            number += 1
        else:
            yield number, cells, False
            number += len(held)


def _kept(again: list[str], lines: Iterator[str], held: list[str], most: int) -> Iterator[str]:
    """Lines that were read before, then new ones, up to about `most` characters, each with its end; also appends them to
    `held`, and an empty line if more are requested.
    """
    size = 0
    while size < most and (line := again.pop() if again else next(lines, "")):
        held.append(line)
        size += len(line)
        yield line if line.endswith("\n") else line + "\n"
    held.append("")


class Lines:
    """Lines of at most `most` characters; counts the quotes in them."""

    def __init__(self, text: TextIO, most: int) -> None:
        self._text = text
        self.most = most
        self.quotes = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(self.most)
        if not line:
            raise StopIteration
        if len(line) == self.most:
            raise TooLong(f"a line of more than {self.most:,} characters")
        self.quotes += line.count('"')
        return line


def _names(cells: list[str]) -> list[str]:
    """The names of the columns.

    Raises:
        Refused: the first row does not have names.
    """
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise Refused("is empty")
    if len(set(names)) < len(names) or any(len(name) > MAX_NAME_CHARS for name in names):
        raise Refused("its first row does not name each column once; add a row that does")
    return names
