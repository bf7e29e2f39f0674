"""How repetitive a set of texts is. Compression sees templates, which near-duplicate search does not."""

import re
import zlib
from collections.abc import Iterable

_WORD = re.compile(r"\w+|[^\w\s]")


class Diversity:
    """Takes texts one by one and measures all of them together, in bounded memory."""

    def __init__(self, sample_words: int = 200_000) -> None:
        self.bytes = 0
        self._compressed = 0
        self._deflate = zlib.compressobj(6)
        self._missing = sample_words
        self._words: list[str] = []

    def add(self, text: str) -> None:
        raw = text.encode("utf-8")
        self.bytes += len(raw)
        self._compressed += len(self._deflate.compress(raw))
        if self._missing > 0:
            words = _WORD.findall(text)[: self._missing]
            self._words += words
            self._missing -= len(words)

    def gzip_ratio(self) -> float:
        """Bytes before over bytes after compression; natural prose has about 3, one template over 12."""
        compressed = self._compressed + len(self._deflate.copy().flush())
        return self.bytes / compressed if self.bytes else 0.0

    def distinct(self, n: int) -> float:
        """Share of the n-grams of words that are distinct, in the first `sample_words` words."""
        grams = list(zip(*(self._words[i:] for i in range(n)), strict=False))
        return len(set(grams)) / len(grams) if grams else 0.0


def gzip_ratio(texts: Iterable[str]) -> float:
    """Compression ratio of texts, one after another."""
    measured = Diversity(sample_words=0)
    for text in texts:
        measured.add(text)
    return measured.gzip_ratio()
