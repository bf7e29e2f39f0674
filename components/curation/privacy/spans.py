"""A part of a text that is personal data, and its placeholder."""

from typing import NamedTuple

PLACEHOLDERS = {data: f"<{data.upper()}>" for data in ("email", "phone", "ip", "card", "iban", "key")}


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text, and the kind of data that they are."""

    start: int
    end: int
    data: str
