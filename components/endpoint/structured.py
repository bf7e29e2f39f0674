"""Reads JSON from a model's answer, even in a fence, after a sentence, or with a trailing comma."""

import json
import re
from collections.abc import Iterator
from typing import Any

from components.endpoint.completion import SURROGATE

MOST_TRIES = 1_000  # positions at which an object is tried in a text that is not JSON as a whole
_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```", re.S | re.M)
_COMMA = re.compile(r'("(?:[^"\\]|\\.)*"?)|,(?=\s*[}\]])', re.S)  # a comma before a closing bracket, outside strings
_DECODER = json.JSONDecoder(strict=False)


def json_values(text: str) -> Iterator[Any]:
    """The JSON values of an answer: the whole text, the contents of fences, the text between the outer brackets, and then
    each complete object in it.

    >>> list(json_values('Here it is: {"a": 1}'))[0]
    {'a': 1}
    """
    text = SURROGATE.sub("\ufffd", text)
    starts, ends = [text.find(one) for one in "{["], [text.rfind(one) for one in "}]"]
    first = min((place for place in starts if place >= 0), default=0)
    for part in (text, *_FENCE.findall(text), text[first : max(ends) + 1]):
        if (value := _loads(part)) is not None or (value := _loads(_COMMA.sub(r"\1", part))) is not None:
            yield value
    place = 0
    for _ in range(MOST_TRIES):
        if (place := text.find("{", place)) < 0:
            return
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
        else:
            yield value


def _loads(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def as_text(value: Any) -> str:
    """A field that should be text: a number as it is written, null as an empty text, a list of texts as lines."""
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        value = "\n".join(value)
    return SURROGATE.sub("\ufffd", value if isinstance(value, str) else "" if value is None else repr(value))
