"""A cache of the keys and values of earlier positions."""

import math

import torch
from torch import Tensor

ROOM = 64  # minimum positions by which a full cache grows


class KVCache:
    """Keys and values of earlier positions, so that they need not be computed again.

    It starts empty; `Phi.hidden(tokens, cache=cache)` extends it.

    Args:
        room: number of positions to allocate at once; the cache grows beyond it by itself.

    Attributes:
        length: number of cached positions.
        layers: keys and values (B, H, room, K) of each block; the first `length` positions are in use.
    """

    def __init__(self, room: int = 0) -> None:
        self.length, self.room = 0, room
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
        for cached, added in zip(self.layers[layer], (keys, values), strict=True):
            cached[:, :, self.length : end] = added
        all_keys, all_values = (cached[:, :, :end] for cached in self.layers[layer])
        return all_keys, all_values

    @staticmethod
    def _empty(like: Tensor, room: int) -> tuple[Tensor, Tensor]:
        batch, heads, _, width = like.shape
        shape = (batch, heads, room, width)
        return like.new_zeros(shape), like.new_zeros(shape)

    def positions(self, count: int) -> Tensor | slice:
        """Positions of the next `count` tokens, as an index into a table by position; a tensor is (B, count)."""
        return slice(self.length, self.length + count)

    def mask(self, count: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        """The mask of the next `count` tokens, (1 or B, 1, count, length + count), to add to the scores. None if causal
        attention is equivalent.
        """
        if count == 1 or self.length == 0:
            return None
        keys = torch.arange(self.length + count, device=device)
        visible = (keys <= keys[self.length :, None])[None]
        return torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, -math.inf)[:, None]
