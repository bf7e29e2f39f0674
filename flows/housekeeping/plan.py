"""Decides which entries are removed: each kept entry keeps those that it needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from components.params import Limit

DAY = 86400


@dataclass(frozen=True)
class Entry:
    """Something that runs left behind.

    Attributes:
        kind: kind of the entry, which decides its limit and how it is removed.
        name: name, unique within its kind.
        key: name in the `needs` of other entries; two copies of one object have the same key.
        time: time of its last use, in seconds since the epoch.
        needs: keys of entries that must be kept as long as this one.
        pinned: kept at any age, since it is in use or a person made it.
    """

    kind: str
    name: str
    key: str
    time: float = 0.0
    needs: frozenset[str] = frozenset()
    pinned: bool = False


def removable(entries: Iterable[Entry], limits: Mapping[str, Limit], now: float) -> list[Entry]:
    """The entries that are beyond their limit and that no kept entry needs, directly or through others.

    Args:
        limits: limits by kind; an entry of another kind is kept only if it is pinned or needed.
        now: present time, in seconds since the epoch.
    """
    entries = list(entries)
    needs: dict[str, set[str]] = {}
    for entry in entries:
        needs.setdefault(entry.key, set()).update(entry.needs)
    kept: set[str] = set()
    queue = [entry.key for entry in entries if entry.pinned] + [entry.key for entry in _within(entries, limits, now)]
    while queue:
        key = queue.pop()
        if key not in kept:
            kept.add(key)
            queue.extend(needs.get(key, ()))
    return [entry for entry in entries if entry.key not in kept]


def _within(entries: list[Entry], limits: Mapping[str, Limit], now: float) -> Iterable[Entry]:
    """The entries that are young or among the newest of their kind."""
    for kind, limit in limits.items():
        newest_first = sorted((e for e in entries if e.kind == kind), key=lambda e: (-e.time, e.name))
        for place, entry in enumerate(newest_first):
            if place < limit.keep or now - entry.time < limit.days * DAY:
                yield entry
