"""Rows that could not be read, written as JSON lines as they arrive.

The number of lines is limited, since a file of a few kilobytes may have millions of bad rows. The first rows of each file
are listed individually. The rest are summarised in one row per reason, with the number of rows and the places of the first
and the last. So the counts always add up to all refused rows.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import clipped

SINGLE = 1_000  # rows of a file that are listed individually
REASONS = 20  # distinct reasons kept for the other rows of a file
NAMED_IN_SUMMARY = 20
_REASON_CHARS = 1_000
_OTHER = "other reasons"
# Parts that differ between reasons of the same kind: the address of a page, quoted text, numbers.
_DIFFERS = re.compile(r"^[a-z][a-z0-9+.-]*://\S*|'[^']*'|\d[\d,.]*")


@dataclass
class More:
    """Rows of one file that were refused for the same reason."""

    reason: str
    first: int
    last: int
    rows: int = 0

    def row(self, file: str) -> dict[str, Any]:
        reason = f"{self.rows:,} more rows, from {self.first:,} to {self.last:,}; the first: {self.reason}"
        return {"file": file, "line": self.first, "last": self.last, "rows": self.rows, "reason": reason}


class Quarantine:
    """Writes the refused rows of one file after another. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self.first: list[dict[str, Any]] = []
        self._of = ""  # the file of the present rows
        self._single = 0
        self._more: dict[str, More] = {}
        # A name or address may contain anything.
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace")

    def write(self, row: dict[str, Any]) -> None:
        """Write a row: its file, its line (from 1; 0 = the whole file) and the reason."""
        if row["file"] != self._of:
            self._summarise()
            self._of = row["file"]
        self.rows += 1
        row = row | {"reason": clipped(row["reason"], _REASON_CHARS)}
        if len(self.first) < NAMED_IN_SUMMARY:
            self.first.append(row)
        if self._single < SINGLE or not row["line"]:  # a reason that concerns the whole file is listed individually
            self._single += 1
            self._put(row)
            return
        kind = _DIFFERS.sub("#", row["reason"])
        kind = kind if kind in self._more or len(self._more) < REASONS else _OTHER
        more = self._more.setdefault(kind, More(row["reason"], row["line"], row["line"]))
        more.first, more.last = min(more.first, row["line"]), max(more.last, row["line"])
        more.rows += 1

    def _summarise(self) -> None:
        """Write the summary of the rows that were not listed individually."""
        for more in self._more.values():
            self._put(more.row(self._of))
        self._single, self._more = 0, {}

    def _put(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")

    def __enter__(self) -> "Quarantine":
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._summarise()
