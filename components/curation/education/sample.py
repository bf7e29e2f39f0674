"""Which documents are labelled: a stratified sample that follows from the documents alone, not from their order or shards."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

_LENGTHS = (200, 600, 1_800, 5_400)  # characters that part the strata of a kind


def stratum(kind: str, characters: int) -> str:
    """A document's stratum: its kind and the band of its length."""
    return f"{kind}/{sum(characters >= bound for bound in _LENGTHS)}"


def choose(ids: Sequence[str], strata: Sequence[str], count: int, seed: int) -> list[int]:
    """Positions of the documents to label, ascending.

    Each stratum gives as many as the others while it has them, so that the rare ones are seen as well as the common; within
    it those with the smallest hash of seed and id. Equal ids count once.

    Args:
        strata: a stratum's name for each id, as `stratum` gives it.
        count: documents wanted; all are taken where there are fewer.
    """
    members: dict[str, list[tuple[bytes, int]]] = defaultdict(list)
    seen = set()
    for place, (name, of) in enumerate(zip(ids, strata, strict=True)):
        if name not in seen:
            seen.add(name)
            members[of].append((_draw(name, seed), place))
    chosen: list[int] = []
    waiting = sorted(members, key=lambda name: (len(members[name]), name))
    for number, name in enumerate(waiting):
        share = (count - len(chosen)) // (len(waiting) - number)
        chosen += [place for _, place in sorted(members[name])[:share]]
    return sorted(chosen)


def _draw(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()
