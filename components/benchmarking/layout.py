"""Lays out token sequences with common beginnings, so that shared parts go through the model once.

The input is a set of token sequences to score or continue. Sorting them finds two kinds of sharing:

- a row combines sequences that differ only near their end, such as the choices of one question: the trunk that they
  share, followed by one branch after another. Each token sees the trunk and its own branch (`visible_of`).
- rows that begin with the same long prefix, such as the examples of a few-shot prompt, share a stem: it goes through
  the model alone, once, and the rows continue from its keys and values.

The layout is a pure function of the sequences, so equal requests are batched equally, and a resumed run computes the same
as an uninterrupted one. This module does not import torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Tokens = tuple[int, ...]
SHORTEST_STEM = 32  # minimum tokens; fewer are not worth a separate forward pass
ENOUGH = 512  # tokens that keep a processor busy; a larger batch takes no row that is a fifth padding
AREA = 1 << 24  # queries times keys in one batch: 64 MiB of attention mask in float32


@dataclass(frozen=True)
class Row:
    """Sequences that share a trunk.

    Attributes:
        trunk: the common beginning, at least one token.
        branches: the continuations, all different; one of them may be empty.
        fixed: number of leading tokens whose states are not needed, so that a stem may contain them.
        draw: number of the sample, if a continuation is sampled several times.
    """

    trunk: Tokens
    branches: tuple[Tokens, ...]
    fixed: int
    draw: int = 0

    @property
    def size(self) -> int:
        return len(self.trunk) + sum(map(len, self.branches))

    def sequences(self) -> list[Tokens]:
        return [self.trunk + branch for branch in self.branches]

    def starts(self) -> list[int]:
        """Start of each branch in the row."""
        at, found = len(self.trunk), []
        for branch in self.branches:
            found.append(at)
            at += len(branch)
        return found

    def place(self, branch: int, index: int) -> int:
        """Position in the row of the token `index` of a branch's sequence."""
        trunk = len(self.trunk)
        return index if index < trunk else self.starts()[branch] + index - trunk


@dataclass(frozen=True)
class Batch:
    """Rows that go through the model together, all beginning with the same `stem` tokens."""

    stem: int
    rows: tuple[Row, ...]

    @property
    def stem_tokens(self) -> Tokens:
        return self.rows[0].trunk[: self.stem]


def common_length(a: Sequence[int], b: Sequence[int], limit: int | None = None) -> int:
    """Length of the common beginning of two sequences, at most `limit`."""
    most = min(len(a), len(b)) if limit is None else min(len(a), len(b), limit)
    if a[:most] == b[:most]:
        return most
    low, high = 0, most  # equal in the first `low`, but not in the first `high`
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def rows_of(sequences: dict[Tokens, int], longest: int) -> list[Row]:
    """Combine sequences into rows of at most `longest` tokens, if that saves tokens.

    Args:
        sequences: sequence to the number of its leading tokens whose states are not needed.
    """
    ordered = sorted(sequences)
    beside = [0, *(common_length(a, b) for a, b in pairwise(ordered)), 0]
    rows: list[Row] = []
    members: list[Tokens] = []
    trunk = size = before = 0

    def close() -> None:
        if members:
            fixed = min(sequences[m] for m in members)
            rows.append(Row(members[0][:trunk], tuple(m[trunk:] for m in members), fixed))

    for i, tokens in enumerate(ordered):
        shared = common_length(members[0], tokens, trunk) if members else 0
        # The row's tokens: a shorter trunk makes every branch longer.
        grown = size + (len(members) - 1) * (trunk - shared) + len(tokens) - shared
        same_prompt = members and shared > max(sequences[members[0]], sequences[tokens])
        # Otherwise they share no more than all prompts of the task do, which is the stem's part.
        if (same_prompt or shared > max(before, beside[i + 1])) and grown < size + len(tokens) and grown <= longest:
            members.append(tokens)
            trunk, size = shared, grown
        else:
            close()
            members, trunk, size, before = [tokens], len(tokens), len(tokens), beside[i]
    close()
    return rows


def batches_of(rows: Sequence[Row], batch_size: int) -> list[Batch]:
    """Put rows into batches of similar lengths, rows with a common stem together."""
    alone: list[Row] = []
    batches: list[Batch] = []
    for stem, group in _groups(sorted(rows, key=lambda row: row.trunk)):
        if len(group) == 1:
            alone += group
        else:
            batches += _cut(stem, group, batch_size)
    return _cut(0, alone, batch_size) + batches


def _groups(rows: Sequence[Row]) -> list[tuple[int, list[Row]]]:
    """Neighbours in sorted order that share a stem, with its length."""
    most = [min(len(row.trunk) - 1, row.fixed) for row in rows]
    beside = [
        common_length(a.trunk, b.trunk, min(x, y)) for a, b, x, y in zip(rows, rows[1:], most, most[1:], strict=False)
    ]
    beside.append(0)
    groups: list[tuple[int, list[Row]]] = []
    group: list[Row] = []
    stem = 0
    for i, row in enumerate(rows):
        if group:
            shared = common_length(group[0].trunk, row.trunk, min(stem, most[i]))
            saves = (len(group) - 1) * (stem - shared) < shared
            better_later = beside[i] > 2 * shared  # it shares far more with the next row
            if shared >= SHORTEST_STEM and saves and not better_later:
                group.append(row)
                stem = shared
                continue
            groups.append((stem, group))
        stem, group = most[i], [row]
    if group:
        groups.append((stem, group))
    return groups


def _cut(stem: int, rows: Sequence[Row], batch_size: int) -> list[Batch]:
    """Batches with the longest rows first, so that the first batch shows whether memory suffices."""
    batches: list[Batch] = []
    batch: list[Row] = []
    for row in sorted(rows, key=lambda r: (-r.size, r.trunk, r.branches, r.draw)):
        longest = (batch[0] if batch else row).size
        area = (len(batch) + 1) * (longest - stem) * longest
        padded = len(batch) * (longest - stem) >= ENOUGH and 5 * (row.size - stem) < 4 * (longest - stem)
        if batch and (len(batch) == batch_size or area > AREA or padded):
            batches.append(Batch(stem, tuple(batch)))
            batch = []
        batch.append(row)
    if batch:
        batches.append(Batch(stem, tuple(batch)))
    return batches


def tokens_of(batch: Batch, padding: int) -> np.ndarray:
    """The batch's tokens after its stem, (B, T), int64, padded on the right."""
    length = max(row.size for row in batch.rows) - batch.stem
    tokens = np.full((len(batch.rows), length), padding, dtype=np.int64)
    for i, row in enumerate(batch.rows):
        whole = row.trunk[batch.stem :] + tuple(token for branch in row.branches for token in branch)
        tokens[i, : len(whole)] = whole
    return tokens


def is_plain(batch: Batch) -> bool:
    """Whether ordinary causal attention equals `visible_of`: there is no stem, and one branch per row."""
    return not batch.stem and all(len(row.branches) == 1 or not any(row.branches[:-1]) for row in batch.rows)


def visible_of(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Positions (B, T) of the batch's tokens, and the keys that each sees, (B, T, stem + T), bool.

    A token sees the stem, the trunk before it and its own branch before it. Padding sees everything before it, since a
    softmax over nothing would be NaN.
    """
    length = max(row.size for row in batch.rows) - batch.stem
    positions = np.zeros((len(batch.rows), length), dtype=np.int64)
    seen = np.tril(np.ones((length, length), dtype=bool))
    visible = np.ones((len(batch.rows), length, batch.stem + length), dtype=bool)
    visible[:, :, batch.stem :] = seen
    for i, row in enumerate(batch.rows):
        trunk = len(row.trunk) - batch.stem
        positions[i, :trunk] = np.arange(batch.stem, batch.stem + trunk)
        for start, branch in zip(row.starts(), row.branches, strict=True):
            first, end = start - batch.stem, start - batch.stem + len(branch)
            positions[i, first:end] = np.arange(len(row.trunk), len(row.trunk) + len(branch))
            visible[i, first:end, batch.stem + trunk : batch.stem + first] = False
    return positions, visible
