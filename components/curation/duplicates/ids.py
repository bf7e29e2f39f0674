"""Document ids as pairs of numbers: 16 bytes each, sorted and looked up in arrays."""

from collections.abc import Iterable

import numpy as np


def pack(ids: Iterable[str]) -> np.ndarray:
    """uint64 (ids, 2) of ids of 32 hex digits, in the same order by size as the strings.

    Raises:
        ValueError: an id is no such string.
    """
    joined = b"".join(map(_digest, ids))
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _digest(document_id: str) -> bytes:
    digest = bytes.fromhex(document_id)
    if len(digest) != 16:
        raise ValueError(f"{document_id!r} is no document id: expected 32 hex digits")
    return digest


def unpack(packed: np.ndarray) -> list[str]:
    """The ids as strings."""
    return [f"{high:016x}{low:016x}" for high, low in np.reshape(packed, (-1, 2)).tolist()]


def find(wanted: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """int64 (wanted,): the least place of each in `ids`, or -1."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))  # stable, so equal ids stay in order
    keys = _sortable(ids[order])
    place = np.searchsorted(keys, _sortable(wanted))
    clipped = np.minimum(place, max(len(ids) - 1, 0))
    if not len(ids):
        return np.full(len(wanted), -1)
    return np.where((ids[order[clipped]] == wanted).all(axis=1) & (place < len(ids)), order[clipped], -1)


def _sortable(ids: np.ndarray) -> np.ndarray:
    """One value an id that numpy compares as the pair: its 16 bytes, most significant first."""
    return np.ascontiguousarray(ids.astype(">u8")).view("V16").ravel()
