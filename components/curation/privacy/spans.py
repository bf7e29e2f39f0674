"""A stretch of text that is personal data, and what stands in its place."""

from typing import NamedTuple

PLACEHOLDERS = {data: f"<{data.upper()}>" for data in ("email", "phone", "ip", "card", "iban", "key")}


class Span(NamedTuple):
    """Characters `start` to `end` of a text, `end` not among them, and which data they are."""

    start: int
    end: int
    data: str
