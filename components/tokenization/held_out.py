"""Chooses the held-out documents, on which the loss is measured.

By a hash of a document's group, so that runs with different mixtures are measured on the same text:

- a document that was written from another stays with it, since it may quote it
- parts of a long text that belong together, such as those of one chapter, stay together
- any other document is a group by itself

The fraction of documents is enough for a large corpus. In a small one it may hold out nothing of a kind, and a loss on
a few sentences is meaningless: then more is held out of each of the user's kinds, in the order of the same hash, until
there is enough or a tenth of the kind.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from components.documents import GENERATED, KINDS
from components.errors import StepError
from components.params import TokenizationParams
from components.tokenization.corpus import Corpus
from components.tokens import split_mix

OWN = tuple(kind for kind in KINDS if kind not in GENERATED)  # the user's kinds
LARGEST_SHARE = 10  # at most one part in so many of a kind is held out by the floor


def held_out(corpus: Corpus, params: TokenizationParams) -> np.ndarray:
    """True for held-out rows: at least one document and not all of them; bool (rows,).

    Raises:
        StepError: there are not two documents.
    """
    count = int(corpus.first.sum())
    if count < 2:
        raise StepError(
            f"{count} document cannot be split into train and validation; expected at least 2; add text to "
            "ingestion.sources, or lower ingestion.part_chars so that a long text becomes several documents"
        )
    numbers = uniform(corpus.origins, "split")
    numbers[~corpus.first] = np.inf
    chosen = numbers < params.validation_fraction
    for rows in _own_rows(corpus):
        more = _more(numbers[rows], corpus.bytes[rows], chosen[rows], params.validation_kilobytes * 1000)
        chosen |= np.isin(numbers, more)
    if not chosen.any():
        chosen = numbers == numbers.min()
    if chosen.sum() == count:
        chosen[np.argmax(np.where(corpus.first, numbers, -1))] = False
    return chosen


def _own_rows(corpus: Corpus) -> Iterator[np.ndarray]:
    """The rows of the user's kinds, kind by kind."""
    for kind in OWN:
        rows = np.flatnonzero(corpus.first & (corpus.kinds == KINDS.index(kind)))
        if len(rows):
            yield rows


def _more(numbers: np.ndarray, sizes: np.ndarray, chosen: np.ndarray, floor: float) -> list[float]:
    """Numbers of further groups of a kind to hold out until it has enough.

    Args:
        numbers: of each row; rows with the same number are a group.
        sizes: bytes of each row.
        floor: number of bytes that is enough.
    """
    total, size_held_out = int(sizes.sum()), int(sizes[chosen].sum())
    enough = min(floor, total / LARGEST_SHARE)
    groups, of_row = np.unique(numbers, return_inverse=True)
    left = dict(zip(groups.tolist(), np.bincount(of_row, weights=sizes).tolist(), strict=True))
    for number in numbers[chosen].tolist():
        left.pop(number, None)
    taken: list[float] = []
    for number, size in left.items():
        if size_held_out >= enough:
            break
        if size_held_out + size <= total / LARGEST_SHARE:
            taken.append(number)
            size_held_out += size
    if not size_held_out and enough and len(left) > 1:  # every group is more than a tenth
        taken.append(min(left, key=lambda number: (left[number], number)))
    return taken


def uniform(keys: np.ndarray, purpose: str) -> np.ndarray:
    """A number in [0, 1) for each key, float64 (rows,), that depends only on the key and the purpose.

    Args:
        keys: uint64 (rows, 2), hashes already; so the finaliser of SplitMix64 (Steele, Lea and Flood, 2014) is enough.
    """
    salt = np.frombuffer(hashlib.blake2b(purpose.encode(), digest_size=16).digest(), dtype="<u8")
    mixed = split_mix(split_mix(keys[:, 0] ^ salt[0]) ^ keys[:, 1] ^ salt[1])
    return (mixed >> np.uint64(11)) * 2.0**-53
