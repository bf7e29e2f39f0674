"""Which documents are labelled: a stratified sample that follows from the documents alone, not from their order or shards."""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable

READ = 20_000  # characters of a document, from its start, that annotator and classifier see: a book costs no more than a chapter
_LENGTHS = (200, 600, 1_800, 5_400)  # characters that part the strata of a kind


def stratum(kind: str, characters: int) -> str:
    """A document's stratum: its kind and the band of its length."""
    return f"{kind}/{sum(characters >= bound for bound in _LENGTHS)}"


class Sample:
    """Draws a sample from documents as they come by; it holds at most twice `count` ids per stratum.

    Samples of parts of a set, merged, are the sample of the set.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._members: dict[str, dict[bytes, str]] = defaultdict(dict)

    def add(self, ids: Iterable[str], strata: Iterable[str]) -> None:
        """Offer documents with their strata's names, as `stratum` gives them. Equal ids count once."""
        for name, of in zip(ids, strata, strict=True):
            self._members[of][_draw(name, self.seed)] = name
            self._shorten(of, 2 * self.count)

    def merge(self, other: "Sample") -> None:
        """Take over what another part of the set offered, drawn with the same count and seed."""
        for of, members in other._members.items():
            self._members[of] |= members
            self._shorten(of, 2 * self.count)

    def ids(self) -> list[str]:
        """The ids to label, sorted: as many from each stratum as from the others, while it has them."""
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
