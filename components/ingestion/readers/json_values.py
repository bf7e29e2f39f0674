"""JSON: lines of objects, an array of them that is read an element at a time, or one object."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from components.ingestion.files import SourceFile
from components.ingestion.readers.base import Limits, Quarantined, Read, Refused, TooLong
from components.ingestion.readers.columns import TEXT
from components.ingestion.readers.decoding import UTF8
from components.ingestion.readers.parts import bounded_lines
from components.ingestion.readers.rows import Rows, row_documents

CHUNK = 1 << 16  # characters that are read at once, at least
MOST_AT_ONCE = 1 << 24  # and at most
HEAD = 4  # bytes that say the encoding
FIRST = 4_096  # bytes of the first line that are looked at
_AFTER_NUMBER = tuple(", \t\r\n]")  # anything else may be a part of it
_BETWEEN = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")


def read_jsonl(file: SourceFile, limits: Limits) -> Read:
    """One JSON object per line with at least its text; compressed or not. Other keys go to the metadata.

    A file whose first line ends within its first value is JSON of another form, whatever its name says.
    """
    with file.open() as stream:
        first = stream.readline(FIRST).strip()
    if first in (b"[", b"{") or first.startswith(b"[{"):
        yield from read_json(file, limits)
        return
    yield from row_documents(_json_lines(file, limits), file)


def _json_lines(file: SourceFile, limits: Limits) -> Rows:
    with file.open() as stream:
        for number, line in enumerate(bounded_lines(stream, limits.line_bytes), start=1):
            if isinstance(line, int):
                reason = (
                    f"a line of {line:,} bytes, over the {limits.line_bytes:,} that a document and its metadata take"
                )
                yield Quarantined(file.name, number, reason)
                continue
            if number == 1 and not (encoding := json.detect_encoding(line)).startswith(UTF8):
                yield Quarantined(file.name, 0, f"seems to be {encoding}, and JSON lines are UTF-8; convert it")
                return
            if not line.strip():
                continue
            if _holds_more(line, limits.values):
                yield Quarantined(file.name, number, _too_many(limits.values))
                continue
            try:
                yield number, json.loads(str(line, "utf-8-sig"))
            except (ValueError, RecursionError) as error:  # also a number of too many digits, and too many brackets
                yield Quarantined(file.name, number, f"is not JSON ({error})")


def read_json(file: SourceFile, limits: Limits) -> Read:
    """Each object of an array as a document; or one object, which is a document or holds a list of them."""
    yield from row_documents(_rows(file, limits), file)


def _rows(file: SourceFile, limits: Limits) -> Rows:
    with file.open() as stream:
        encoding = json.detect_encoding(stream.read(HEAD))
    with file.open() as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig" if encoding == "utf-8" else encoding)
        try:
            yield from enumerate(_values(text, limits, file.source.text_column or TEXT), start=1)
        except RecursionError as error:
            raise Refused("nests lists or objects too deep") from error


def _values(text: TextIO, limits: Limits, column: str) -> Iterator[Any]:
    start = text.read(CHUNK).lstrip()
    if not start:
        raise Refused("is empty")
    if start.startswith("["):
        yield from _elements(start[1:], text, limits)
        return
    start = _to_end(start, text, limits)
    if _holds_more(start, limits.values):
        raise TooLong(_too_many(limits.values))
    value = json.loads(start)
    lists = (
        [held for held in value.values() if _is_rows(held)] if isinstance(value, dict) and column not in value else []
    )
    yield from lists[0] if len(lists) == 1 else [value]


def _to_end(start: str, text: TextIO, limits: Limits) -> str:
    """What is left of a file that holds one object.

    Raises:
        TooLong: it has more characters than a document can.
    """
    parts, characters = [start], _fewest(start)
    while part := text.read(min(MOST_AT_ONCE, limits.row_chars)):
        parts.append(part)
        characters += _fewest(part)
        if characters > limits.row_chars:
            raise TooLong(f"one object of more than {limits.row_chars:,} characters")
    return "".join(parts)


def _fewest(json_text: str) -> int:
    """How many characters some JSON stands for, at least: an escape is two signs or six, and two of those may be one."""
    return len(json_text) - json_text.count("\\") - 5 * json_text.count("\\u")


def _holds_more(text: str | bytes, values: int) -> bool:
    """Whether some JSON may hold more values, as its commas and brackets say; those in its strings count as well."""
    counts = map(text.count, (b",", b"[", b"{")) if isinstance(text, bytes) else map(text.count, ",[{")
    return len(text) > values and sum(counts) > values


def _too_many(most: int) -> str:
    return f"holds more than {most:,} commas and brackets"


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _elements(held: str, text: TextIO, limits: Limits) -> Iterator[Any]:
    """The elements of an array, of which `held` is the beginning; never more than one element, and a chunk, in memory.

    Raises:
        ValueError: it is not JSON, or breaks off.
        TooLong: an element has too many characters, or values.
    """
    decoder = json.JSONDecoder()
    place = 0
    while True:
        if between := _BETWEEN.match(held, place):
            place = between.end()
        if held.startswith("]", place):
            if (held[place + 1 :] + text.read(CHUNK)).strip():
                raise ValueError("something follows its array")
            return
        error: Exception = EOFError("it ends within its array")
        try:
            value, end = decoder.raw_decode(held, place)
            is_whole = not isinstance(value, int | float) or held[end : end + 1] in _AFTER_NUMBER
        except json.JSONDecodeError as failed:
            error, is_whole = failed, False
        if is_whole:
            yield value
            place = end
            continue
        held = held[place:]
        place = 0
        if _fewest(held) > limits.row_chars:
            raise TooLong(f"an element of more than {limits.row_chars:,} characters, or what is not JSON ({error})")
        if _holds_more(held, limits.values):
            raise TooLong(f"an element that {_too_many(limits.values)}")
        more = text.read(min(max(CHUNK, len(held)), MOST_AT_ONCE, limits.row_chars))
        if not more:
            raise error if held else EOFError("it ends within its array")
        held += more
