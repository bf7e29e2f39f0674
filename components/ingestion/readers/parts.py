"""Lines of a file within limits, and the parts of a file that consist of them: messages of a mailbox, pages of a dump."""

from collections.abc import Iterator
from typing import BinaryIO

_BLANK = 1_000_000  # maximum consecutive lines
_SKIPPED = 1 << 20  # bytes of an overlong line that are skipped at once


def bounded_lines(stream: BinaryIO, most: int) -> Iterator[bytes | int]:
    """Lines of at most `most` bytes; for a longer line only its length, since its bytes are not kept.

    Raises:
        ValueError: there are so many line ends that counting them would take minutes.
    """
    blank = 0
    while line := stream.readline(most + 1):
        if len(line) <= most or line.endswith(b"\n"):
            blank = blank + 1 if line.isspace() else 0
            if blank > _BLANK:
                raise ValueError(f"more than {_BLANK:,} blank lines in a row")
            yield line
            continue
        length = len(line)
        while not line.endswith(b"\n") and (line := stream.readline(_SKIPPED)):
            length += len(line)
        yield length


class Part:
    """The lines of a part of at most `most` bytes; for a longer part only its length is kept."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self._lines: list[bytes] = []

    def add(self, line: bytes | int) -> None:
        """Add a line, or the length of one that is too long."""
        if isinstance(line, int):
            self.size += line
        else:
            self.size += len(line)
            self._lines.append(line)
        if self.size > self.most:
            self._lines = []

    def take(self) -> bytes | int:
        """The bytes added, or their number if too long; empties the part."""
        taken = self.size if self.size > self.most else b"".join(self._lines)
        self.size, self._lines = 0, []
        return taken
