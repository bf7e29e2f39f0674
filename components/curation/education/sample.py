"""The documents to label: a stratified sample that depends only on the documents, not on their order or shards."""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable

READ = 20_000  # first characters of a document that annotator and classifier see: a book costs no more than a chapter
_LENGTHS = (200, 600, 1_800, 5_400)  # characters between the strata of a kind


def stratum(kind: str, characters: int) -> str:
    """A document's stratum: its kind and the band of its length."""
    return f"{kind}/{sum(characters >= bound for bound in _LENGTHS)}"


class Sample:
    """Draws a sample from a stream of documents, with at most twice `count` ids per stratum in memory.

    Merged samples of the parts of a set equal the sample of the set.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._members: dict[str, dict[bytes, str]] = defaultdict(dict)

    def add(self, ids: Iterable[str], strata: Iterable[str]) -> None:
        """Add documents with the names of their strata, as `stratum` returns them. Equal ids count once."""
        for name, of in zip(ids, strata, strict=True):
            self._members[of][_draw(name, self.seed)] = name
            self._shorten(of, 2 * self.count)

    def merge(self, other: "Sample") -> None:
        """Add the sample of another part of the set, drawn with the same count and seed."""
        for of, members in other._members.items():
            self._members[of] |= members
            self._shorten(of, 2 * self.count)

    def ids(self) -> list[str]:
        """The ids to label, sorted: equally many from each stratum, as far as it has them."""
        chosen: list[str] = []
        waiting = sorted(self._members, key=lambda of: (min(len(self._members[of]), self.count), of))
        for number, of in enumerate(waiting):
            share = (self.count - len(chosen)) // (len(waiting) - number)
            chosen += [name for _, name in sorted(self._members[of].items())[:share]]
        return sorted(chosen)

    def _shorten(self, of: str, most: int) -> None:
        members = self._members[of]
        if len(members) > most:
            self._members[of] = dict(heapq.nsmallest(self.count, members.items()))


def _draw(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()
