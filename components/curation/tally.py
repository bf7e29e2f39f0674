"""Counts for the data page, made while verdicts are given: documents and bytes by stage, source and licence, and samples.

Memory grows with the number of origins (hosts, top folders), not with the documents.
"""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from components.curation.token_rates import CHARACTERS, COUNTED, TRAINED
from components.documents import Document, Drop

STAGES = ("language", "rules", "decontamination", "educational value", "duplicates")
NEAREST = 3  # samples per rule, of dropped and of kept documents
SAMPLED, SAMPLED_CHARACTERS = 1_000, 2_000_000  # maximum kept documents examined for values near a threshold
SAMPLED_OF_STAGE = 100  # maximum documents dropped by a stage whose tokens are counted
EXCERPT = 400  # characters of a sample
Counts = Counter[tuple[str, ...]]  # documents and bytes, by key


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to."""
    if rule.startswith("language"):
        return "language"
    if rule.startswith("contaminated_"):
        return "decontamination"
    if rule == "educational_value":
        return "educational value"
    return "duplicates" if rule in ("exact_duplicate", "near_duplicate", "contained", "repeated_passages") else "rules"


def origin(source: str) -> str:
    """A document's origin in short: the host of an address, the first part of a dotted name, or the first folder.

    The number of a row or record that readers append to the name of a file or data set is ignored.
    """
    whole, colon, number = source.rpartition(":")
    source = whole if colon and number.isdigit() else source
    _, separator, rest = source.partition("://")
    if separator:
        host = rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
        return host.lower().removeprefix("www.")
    prefix, colon, name = source.partition(":")
    if colon and "/" not in prefix:
        return f"{prefix}:{name.partition('.')[0]}"
    return source.partition("/")[0]


def count_rows(rows: Iterable[Mapping[str, Any]], rules: Iterable[str]) -> list[list[Any]]:
    """[kind, origin, licence, rule, documents, bytes] of raw rows; the rule is the one they failed, or an empty string."""
    documents: Counts = Counter()
    sizes: Counts = Counter()
    for row, rule in zip(rows, rules, strict=True):
        key = row["kind"], origin(row["source"]), row["license"], rule
        documents[key] += 1
        sizes[key] += len(row["text"].encode("utf-8", "surrogatepass"))
    return [[*key, count, sizes[key]] for key, count in sorted(documents.items())]


class Tally:
    """Counts every verdict, in order.

    Attributes:
        kept: [documents, bytes] by kind and origin.
        licenses: [documents, bytes] kept, by licence.
        late: [documents, bytes] by kind, origin and rule, of documents dropped after scoring.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], list[int]] = {}
        self.licenses: dict[str, list[int]] = {}
        self.late: dict[tuple[str, str, str], list[int]] = {}
        self._border: dict[str, list[tuple[float, str, Drop]]] = {}
        self._low: dict[str, list[tuple[float, str, Document]]] = {}  # kept documents with the lowest values, by kind
        self._sample: list[tuple[int, str, Document]] = []
        self._starts: list[tuple[int, str, tuple[str, str]]] = []
        self._sample_characters, self._sample_limit = 0, -math.inf  # ranks up to the limit are left out
        self._dropped: dict[str, list[tuple[int, str]]] = {}  # by stage

    def keep(self, document: Document) -> None:
        size = len(document.text.encode())
        add(self.kept, (document.kind, origin(document.source)), 1, size)
        add(self.licenses, document.license, 1, size)
        draw = _draw(document.id)
        self._take_sample(document, -draw)
        start = document.kind, document.text[:CHARACTERS]
        _push(self._starts, (-draw, document.id, start), COUNTED + TRAINED)
        if document.educational_value is not None:
            _push(
                self._low.setdefault(document.kind, []), (-document.educational_value, document.id, document), NEAREST
            )

    def drop(self, drop: Drop, row: Mapping[str, Any] | None) -> None:
        """Count a drop; `row` is the document if it was dropped after scoring, else None."""
        if row is not None:
            add(self.late, (row["kind"], origin(row["source"]), drop.rule), 1, len(row["text"].encode()))
        _push(self._dropped.setdefault(stage_of(drop.rule), []), (-_draw(drop.id), drop.id), SAMPLED_OF_STAGE)
        if drop.value is not None and drop.threshold is not None:
            distance = abs(drop.value - drop.threshold)
            near = self._border.setdefault(drop.rule, [])
            if all(name != drop.id for _, name, _ in near):  # a repeated text is shown once
                _push(near, (-distance, drop.id, drop), NEAREST)

    def _take_sample(self, document: Document, rank: int) -> None:
        """Sample the documents with the highest ranks, up to both limits, whatever the order they arrive in."""
        if rank <= self._sample_limit or len(document.text) > SAMPLED_CHARACTERS:
            return
        heapq.heappush(self._sample, _Item((rank, document.id, document)))
        self._sample_characters += len(document.text)
        while len(self._sample) > SAMPLED or self._sample_characters > SAMPLED_CHARACTERS:
            self._sample_limit, _, gone = heapq.heappop(self._sample)
            self._sample_characters -= len(gone.text)

    def border(self) -> dict[str, list[Drop]]:
        """By rule, the drops with values nearest the threshold, nearest first."""
        return {rule: [drop for *_, drop in sorted(heap, key=_order)] for rule, heap in sorted(self._border.items())}

    def least_valued(self) -> dict[str, list[Document]]:
        """By kind, the kept documents with the lowest educational values, lowest first."""
        return {
            kind: [document for *_, document in sorted(heap, key=_order)] for kind, heap in sorted(self._low.items())
        }

    def sample(self) -> list[Document]:
        """Some kept documents, chosen by a hash of their ids."""
        return [document for *_, document in sorted(self._sample, key=_order)]

    def starts(self) -> list[tuple[str, str]]:
        """Kind and first characters of some kept documents, chosen by a hash of their ids."""
        return [start for *_, start in sorted(self._starts, key=_order)]

    def dropped_sample(self) -> dict[str, str]:
        """The stage that dropped each of some raw documents, chosen by a hash of their ids."""
        return {name: stage for stage in STAGES for _, name in sorted(self._dropped.get(stage, []))}


def add(table: dict[Any, list[int]], key: Any, count: int, size: int) -> None:
    """Add documents and their bytes to those of a key."""
    entry = table.setdefault(key, [0, 0])
    entry[0] += count
    entry[1] += size


def _draw(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _order(item: tuple[Any, ...]) -> tuple[Any, ...]:
    return -item[0], item[1]


def _push(heap: list[Any], item: tuple[Any, ...], most: int) -> None:
    """Keep the `most` items with the largest first part; ties are ordered by id."""
    if len(heap) < most:
        heapq.heappush(heap, _Item(item))
    elif heap[0] < _Item(item):
        heapq.heapreplace(heap, _Item(item))


class _Item(tuple):
    """A heap item that compares by its first two parts only, since documents have no order."""

    def __lt__(self, other: Any) -> bool:
        return self[:2] < other[:2]
