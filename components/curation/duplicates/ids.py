"""Document ids as pairs of numbers, 16 bytes each, so that millions are sorted and compared in arrays."""

from collections.abc import Iterable

import numpy as np


def pack(ids: Iterable[str]) -> np.ndarray:
    """uint64 (ids, 2) of ids of 32 hex digits, in the same order by size as the strings.

    Raises:
        ValueError: an id is not such a string.
    """
    joined = b"".join(map(_digest, ids))
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _digest(document_id: str) -> bytes:
    digest = bytes.fromhex(document_id)
    if len(digest) != 16:
        raise ValueError(f"{document_id!r} is not a document id: expected 32 hex digits")
    return digest


def unpack(packed: np.ndarray) -> list[str]:
    """The ids as strings."""
    return [f"{high:016x}{low:016x}" for high, low in np.reshape(packed, (-1, 2)).tolist()]
