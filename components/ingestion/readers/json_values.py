"""JSON: lines of objects, an array or a sequence of objects that is read one element at a time, or one object."""

import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from components.ingestion.files import SourceFile
from components.ingestion.readers.base import WRONG_BYTES, Limits, Quarantined, Read, Refused, TooLong
from components.ingestion.readers.columns import TEXT
from components.ingestion.readers.decoding import BY_BROWSERS, UTF8, Decoded, decode_utf8
from components.ingestion.readers.parts import bounded_lines
from components.ingestion.readers.rows import Rows, Unreadable, row_documents

CHUNK = 1 << 16  # minimum characters to read at once
MOST_AT_ONCE = 1 << 24  # maximum characters to read at once
HEAD = 4  # bytes that show the encoding
PACKED = b"\x1f\x8b"  # the start of gzip data
_AROUND = " \t\r\n\x1e\ufeff"  # also the marks of RFC 7464
_AFTER_NUMBER = tuple(", \t\r\n]\x1e")  # anything else may be a part of it
_BETWEEN = re.compile(f"[{_AROUND}]*,?[{_AROUND}]*")
_MORE = re.compile(_BETWEEN.pattern + r"\{")
_DECODER = json.JSONDecoder(strict=False)  # a tab within a string is a tab


def read_jsonl(file: SourceFile, limits: Limits) -> Read:
    """One JSON object per line with at least its text; compressed or not. Other keys go to the metadata."""
    yield from row_documents(jsonl_rows(file, limits), file)


def read_json(file: SourceFile, limits: Limits) -> Read:
    """Each object of an array or of a sequence as a document; or one object, which is a document or contains a list of them."""
    yield from row_documents(_values_of(file, limits), file)


def jsonl_rows(file: SourceFile, limits: Limits) -> Rows:
    """The rows of a file of JSON lines. If the first line is not exactly one object, the file is read as JSON of another form,
    whatever its name: an array, an object on many lines, or objects without line ends between them.

    Raises:
        Refused: the file is compressed, and its name lacks the ending.
    """
    start, size = "", 0
    with file.open() as stream:
        while not start and size < CHUNK and (first := stream.readline(CHUNK)):
            if first.startswith(PACKED):
                raise Refused("is compressed by gzip; add .gz to its name")
            start, size = first.decode("utf-8", "replace").strip(_AROUND), size + len(first)
    is_other = start in ("[", "{") or start.startswith("[{") or _is_sequence(start)
    return _values_of(file, limits) if is_other else _json_lines(file, limits)


def _is_sequence(start: str) -> bool:
    """Whether some JSON begins with an object that another one follows."""
    try:
        return start.startswith("{") and bool(_MORE.match(start, _DECODER.raw_decode(start)[1]))
    except (ValueError, RecursionError):
        return False


def _json_lines(file: SourceFile, limits: Limits) -> Rows:
    column = file.source.text_column or TEXT
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
                decoded = decode_utf8(line)
                yield from ((number, _with(value, decoded.facts)) for value in _of_line(decoded.text, limits, column))
            except (ValueError, RecursionError) as error:  # also a number of too many digits, and too many brackets
                yield Quarantined(file.name, number, _refusal(error))


def _refusal(error: Exception) -> str:
    """Why a line is refused; Python's own advice on large numbers is for programmers."""
    if "set_int_max_str_digits" in str(error):
        return f"holds a whole number of more than {sys.get_int_max_str_digits():,} digits; write it as a string"
    return f"is not JSON ({error})"


def _with(value: Any, facts: dict[str, Any]) -> Any:
    """A row with further facts for its metadata."""
    return value | facts if facts and isinstance(value, dict) else value


def _of_line(line: str, limits: Limits, column: str) -> list[Any]:
    """The value of a line; or the values, with the marks and commas that some writers put between them."""
    try:
        return [_once(_DECODER.decode(line), line, column)]
    except json.JSONDecodeError:
        with contextlib.suppress(ValueError, EOFError):
            return list(_elements(line, io.StringIO(""), limits, column, ""))
        raise


def _once(value: Any, text: str, column: str) -> Any:
    """A value that was decoded from some JSON; a text that appears several times is replaced with an error value."""
    name = json.dumps(column, ensure_ascii=False)
    if text.count(name) > 1 and isinstance(value, dict) and column in value:
        pairs: list[tuple[str, Any]] = json.JSONDecoder(strict=False, object_pairs_hook=list).raw_decode(
            text.lstrip(_AROUND)
        )[0]
        if (times := [key for key, _ in pairs].count(column)) > 1:
            return value | {column: Unreadable(f"appears {times} times; rename all but the one with the text")}
    return value


def _values_of(file: SourceFile, limits: Limits) -> Rows:
    with file.open() as stream:
        encoding = json.detect_encoding(stream.read(HEAD))
    with file.open() as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig" if encoding == "utf-8" else encoding, BY_BROWSERS)
        column = file.source.text_column or TEXT
        try:
            for number, value in enumerate(_values(text, limits, column), start=1):
                held = "".join(one for one in value.values() if isinstance(one, str)) if isinstance(value, dict) else ""
                decoded = Decoded.of(held, encoding)
                if reason := decoded.refusal:
                    yield Quarantined(file.name, number, reason)
                else:
                    yield number, _with(value, {WRONG_BYTES: decoded.wrong} if decoded.wrong else {})
        except RecursionError as error:
            raise Refused("nests lists or objects too deep") from error


def _values(text: TextIO, limits: Limits, column: str) -> Iterator[Any]:
    start = text.read(CHUNK).lstrip(_AROUND)
    if not start:
        raise Refused("is empty")
    if start.startswith("["):
        yield from _elements(start[1:], text, limits, column, "]")
        return
    values = _elements(start, text, limits, column, "")
    value, second = next(values, None), next(values, None)
    lists = []
    if second is None and isinstance(value, dict) and column not in value:
        lists = [held for held in value.values() if _is_rows(held)]
    yield from lists[0] if len(lists) == 1 else [value]
    if second is not None:
        yield second
        yield from values


def _fewest(json_text: str) -> int:
    """The minimum number of characters of some JSON when decoded: an escape has two signs or six, and a pair may be one."""
    return len(json_text) - json_text.count("\\") - 5 * json_text.count("\\u")


def _holds_more(text: str | bytes, values: int) -> bool:
    """Whether some JSON may have more values, by its commas and brackets; those in strings count as well."""
    counts = map(text.count, (b",", b"[", b"{")) if isinstance(text, bytes) else map(text.count, ",[{")
    return len(text) > values and sum(counts) > values


def _too_many(most: int) -> str:
    return f"holds more than {most:,} commas and brackets"


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _elements(held: str, text: TextIO, limits: Limits, column: str, closing: str) -> Iterator[Any]:
    """The elements of an array that begins with `held`; never more than one element and a chunk in memory.

    Args:
        column: of the text, which must not occur twice.
        closing: the end of the array; empty for a sequence of objects up to the end of the file.

    Raises:
        ValueError: it is not JSON, or is truncated.
        TooLong: an element has too many characters, or values.
    """
    place = 0
    while True:
        if between := _BETWEEN.match(held, place):
            place = between.end()
        if closing and held.startswith(closing, place):
            if (held[place + 1 :] + text.read(CHUNK)).strip():
                raise ValueError("text follows its array")
            return
        error: Exception = EOFError("it ends within its array")
        end = place
        try:
            value, end = _DECODER.raw_decode(held, place)
            is_whole = not isinstance(value, int | float) or held[end : end + 1] in _AFTER_NUMBER
        except json.JSONDecodeError as failed:
            error, is_whole = failed, False
        if is_whole:
            yield _once(value, held[place:end], column)
            place = end
            continue
        held, end, place = held[place:], end - place, 0
        if _fewest(held) > limits.row_chars:
            raise TooLong(
                f"an element of more than {limits.row_chars:,} characters, or a part that is not JSON ({error})"
            )
        if _holds_more(held, limits.values):
            raise TooLong(f"an element that {_too_many(limits.values)}")
        more = text.read(min(max(CHUNK, len(held)), MOST_AT_ONCE, limits.row_chars))
        if not more:
            if not closing and end == len(held):  # end of the data, or of a number
                yield from [value] if held else []
                return
            raise error if held else EOFError("it ends within its array")
        held += more
