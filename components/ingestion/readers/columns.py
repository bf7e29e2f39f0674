"""Which column or key of a file of rows has the text, if no parameter names it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from components.errors import shortened

TEXT = "text"
USUAL = (  # usual names of the text, in order of preference
    TEXT, "content", "body", "article", "markdown", "raw_content", "document", "story", "passage", "paragraph", "sentence",
    "message", "abstract", "transcript", "selftext", "comment", "review",
)  # fmt: skip
BESIDE = ("url", "source", "license", "created_by", "kind", "id")  # fields of a document besides its text
BY_FAR = 4  # times as long as the next column, to be chosen without doubt
AT_LEAST = 20  # minimum average characters of a column chosen by length; a shorter one is a name
NAMED = 20  # maximum fields that a message names
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", bytes: "binary", list: "list", dict: "object"}


@dataclass(frozen=True)
class Columns:
    """The fields of some rows with their types, and the characters of running text in each, of all rows together."""

    types: dict[str, str]
    lengths: Counter[str]
    rows: int

    @classmethod
    def of(cls, rows: Iterable[dict[str, Any]]) -> "Columns":
        types: dict[str, str] = {}
        lengths: Counter[str] = Counter()
        rows = list(rows)
        for row in rows:
            for name, value in row.items():
                if name not in types or (value is not None and types[name] != TYPES[str]):
                    types[str(name)] = "null" if value is None else TYPES.get(type(value), type(value).__name__)
                if isinstance(value, str) and str(name).lower() not in BESIDE:
                    lengths[str(name)] += _length(value.strip())
        return cls(types, lengths, len(rows))

    def text(self) -> str:
        """The column that has the text; an empty string if that is in doubt.

        It is `text` if that exists. Else it is a column with a usual name, unless another is much longer, or the column
        that is by far the longest.
        """
        if TEXT in self.types:
            return TEXT
        by_length = [name for name, length in self.lengths.most_common(2) if length]
        if not by_length:
            return ""
        longest = self.lengths[by_length[0]]
        if usual := self._usual():
            return usual if 2 * self.lengths[usual] >= longest else ""
        if longest < AT_LEAST * self.rows or any(longest < BY_FAR * self.lengths[name] for name in by_length[1:]):
            return ""
        return by_length[0]

    def _usual(self) -> str:
        by_name = {name.lower(): name for name in self.lengths}
        return next((by_name[name] for name in USUAL if name in by_name), "")

    def likeliest(self) -> str:
        """The column with the most running text, empty if none has any."""
        return next((name for name, _ in self.lengths.most_common(1)), "")

    def refusal(self, source: str, asked: str = "") -> str:
        """Why the rows are not read, their fields, and how to name their text.

        Args:
            source: the source to set text_column for, in words.
            asked: the column that text_column names; empty = none.
        """
        named = [f"{shortened(name, 40)} ({kind})" for name, kind in list(self.types.items())[:NAMED]]
        more = f" and {len(self.types) - NAMED} more" if len(self.types) > NAMED else ""
        lacks = f"has no strings in {asked!r}, which text_column names" if asked else f"has no field {TEXT!r}"
        likeliest = self.likeliest()
        remedy = (
            f"set text_column: {likeliest} for {source}, or the field that is its text"
            if likeliest
            else "none holds text"
        )
        return f"{lacks}; its fields: {', '.join(named) or 'none'}{more}; {remedy}"


def _length(value: str) -> int:
    """Characters of running text. A number, name, hash or address is not running text and counts as one character."""
    is_running = " " in value or not value.isascii()  # some languages have no spaces
    return len(value) if is_running and any(map(str.isalpha, value)) else min(1, len(value))
