"""Tables as text: csv and tsv, whose first row names the columns."""

import csv
import io
from itertools import chain
from typing import TextIO

from components.documents import Document
from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read, Refused, TooLong
from components.ingestion.readers.decoding import BY_BROWSERS, UTF8, WRONG_BYTES, Decoded, decode
from components.ingestion.readers.rows import Rows, row_documents

PROBED = 1 << 20  # bytes by which the encoding is found
DELIMITERS = ",;\t|"
MAX_NAME_CHARS = 200  # of a column


def read_table(file: SourceFile, limits: Limits) -> Read:
    """A row of a table as a document; other columns than the text go to the metadata."""
    for item in row_documents(table_rows(file, limits), file):
        if isinstance(item, Document) and (wrong := item.text.count("\ufffd")):
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
            start = number = reader.line_num + 1
            lines.quotes = 0
            for cells in reader:
                if len(cells) > len(names):
                    reason = f"has {len(cells)} cells, and the first row names {len(names)} columns"
                    if number == start:
                        raise Refused(f"its second row {reason}; add a first row that names them all")
                    yield Quarantined(file.name, number, f"{reason}; quote its texts")
                elif lines.quotes % 2 and reader.line_num > number:
                    yield Quarantined(
                        file.name, number, "has a quote that is not closed, so that it takes other rows in"
                    )
                elif not Decoded(row := "".join(cells), encoding, wrong := row.count("\ufffd")).is_mostly_right:
                    yield Quarantined(
                        file.name,
                        number,
                        f"{wrong:,} of its {len(row):,} characters are not {encoding}; convert the file to UTF-8",
                    )
                elif cells:
                    yield number, dict(zip(names, cells, strict=False))
                number, lines.quotes = reader.line_num + 1, 0
        except csv.Error as error:
            raise Refused(f"cannot be read on from line {number} ({error}); is a quote not closed?") from error


class Lines:
    """Lines of at most so many characters; counts the quotes in them."""

    def __init__(self, text: TextIO, most: int) -> None:
        self._text = text
        self._most = most
        self.quotes = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._most)
        if not line:
            raise StopIteration
        if len(line) == self._most:
            raise TooLong(f"a line of more than {self._most:,} characters")
        self.quotes += line.count('"')
        return line


def _names(cells: list[str]) -> list[str]:
    """The names of the columns.

    Raises:
        Refused: the first row is not one of names.
    """
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise Refused("is empty")
    if len(set(names)) < len(names) or any(len(name) > MAX_NAME_CHARS for name in names):
        raise Refused("its first row does not name the columns, each once; add a row that does")
    return names
