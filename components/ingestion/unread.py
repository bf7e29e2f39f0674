"""Files of the sources that no reader takes; all of them are reported."""

from collections import Counter
from typing import Any

from components.running.contents import counted

NAMED = 20  # names kept per reason
REASONS = 1_000  # maximum reasons counted separately, since files may have any endings
OTHER = "files of other endings, which no reader takes"
ONE = (  # the start of a reason in the plural and in the singular
    ("hidden files and folders", "hidden file or folder"),
    ("files of other endings", "file of another ending"),
    ("files that end ", "file that ends "),
    ("files whose names have ", "file whose name has "),
    ("files whose names lead ", "file whose name leads "),
    ("files ", "file "),
    ("folders ", "folder "),
)


class Unread:
    """Files and folders that are not read, by reason: how many, and the first names."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._first: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        if reason not in self.counts and len(self.counts) >= REASONS:
            reason = OTHER
        self.counts[reason] += 1
        names = self._first.setdefault(reason, [])
        if len(names) < NAMED:
            names.append(name)

    def add_all(self, other: "Unread") -> None:
        self.counts += other.counts
        for reason, names in other._first.items():
            self._first[reason] = (self._first.get(reason, []) + names)[:NAMED]

    def rows(self) -> list[dict[str, Any]]:
        """Reason, count and first names, starting with the most frequent reason."""
        order = sorted(self.counts, key=lambda reason: (-self.counts[reason], reason))
        return [{"reason": reason, "count": self.counts[reason], "first": self._first[reason]} for reason in order]

    def lines(self, reasons: int = 10, named: int = 3) -> list[str]:
        """A phrase for each of the most frequent reasons, with a few names; and the total of the others."""
        rows = self.rows()
        said = []
        for row in rows[:reasons]:
            more = ", ..." if row["count"] > named else ""
            said.append(f"{numbered(row['count'], row['reason'])} ({', '.join(row['first'][:named])}{more})")
        rest = sum(row["count"] for row in rows[reasons:])
        return [*said, f"{rest:,} for {counted(len(rows) - reasons, 'other reason')}"] if rest else said


def numbered(count: int, reason: str) -> str:
    """A count with its noun phrase, in the singular for 1.

    >>> numbered(1, "files that end in .png"), numbered(1200, "files that end in .png")
    ('1 file that ends in .png', '1,200 files that end in .png')
    """
    many, one = next(((many, one) for many, one in ONE if count == 1 and reason.startswith(many)), ("", ""))
    return f"{count:,} {one}{reason.removeprefix(many)}"
