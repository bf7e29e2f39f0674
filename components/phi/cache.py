"""A cache of keys and values of earlier positions."""

import math

import torch
from torch import Tensor

ROOM = 64  # minimum positions by which a full cache grows


class KVCache:
    """Keys and values of positions that a model has seen, so that they need not be computed again.

    Made empty; `Phi.hidden(tokens, cache=cache)` extends it. Sequences of unequal length are padded on the left: row b
    begins at index `starts[b]`, what comes before is never seen, and positions count from there.

    Attributes:
        length: positions held, padding included.
        starts: (B,) first index of each row that is not padding; None if no row is padded.
        layers: keys and values (B, H, room, K) of each block, of which the first `length` positions are in use.
    """

    def __init__(self, starts: Tensor | None = None, room: int = 0) -> None:
        """`room` is the number of positions to allocate at once; the cache grows beyond it by itself."""
        self.length, self.starts, self.room = 0, starts, room
        self.layers: list[tuple[Tensor, Tensor]] = []

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append one block's keys and values (B, H, T, K); returns all of them, (B, H, length + T, K).

        The model advances `length` once every block has appended.
        """
        end = self.length + keys.shape[2]
        if layer == len(self.layers):
            self.layers.append(self._empty(keys, max(end, self.room)))
        if end > self.layers[layer][0].shape[2]:
            grown = self._empty(keys, max(end + ROOM, end * 3 // 2))
            for old, new in zip(self.layers[layer], grown, strict=True):
                new[:, :, : self.length] = old[:, :, : self.length]
            self.layers[layer] = grown
        for held, added in zip(self.layers[layer], (keys, values), strict=True):
            held[:, :, self.length : end] = added
        all_keys, all_values = (held[:, :, :end] for held in self.layers[layer])
        return all_keys, all_values

    @staticmethod
    def _empty(like: Tensor, room: int) -> tuple[Tensor, Tensor]:
        batch, heads, _, width = like.shape
        shape = (batch, heads, room, width)
        return like.new_zeros(shape), like.new_zeros(shape)

    def select(self, rows: Tensor) -> "KVCache":
        """A new cache whose row i is this one's row `rows[i]`; (n,) indices, possibly repeated or missing."""
        other = KVCache(None if self.starts is None else self.starts[rows], self.room)
        other.length = self.length
        other.layers = [
            (keys[:, :, : self.length][rows], values[:, :, : self.length][rows]) for keys, values in self.layers
        ]
        return other

    def repeat(self, times: int) -> "KVCache":
        """A new cache with each row repeated `times` times: one prefix, several continuations."""
        batch = len(self.layers[0][0]) if self.layers else 0
        device = self.layers[0][0].device if self.layers else None
        return self.select(torch.arange(batch, device=device).repeat_interleave(times))

    def positions(self, count: int) -> Tensor | slice:
        """Positions of the next `count` tokens, as an index into a table by position: (B, count), or (count,) for
        all."""
        if self.starts is None:
            return slice(self.length, self.length + count)
        indices = torch.arange(self.length, self.length + count, device=self.starts.device)
        return (indices - self.starts[:, None]).clamp(min=0)

    def mask(self, count: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """The mask of the next `count` tokens, (1 or B, 1, count, length + count), to add to the scores. None if causal
        attention does the same.
        """
        if self.starts is None and (count == 1 or self.length == 0):
            return None
        keys = torch.arange(self.length + count, device=device)
        queries = keys[self.length :, None]
        seen = (keys <= queries)[None]
        if self.starts is not None:
            # Padding sees itself, since a softmax over nothing is NaN, and NaN would spread through the values.
            seen = (seen & (keys >= self.starts[:, None, None])) | (keys == queries)
        return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, -math.inf)[:, None]
