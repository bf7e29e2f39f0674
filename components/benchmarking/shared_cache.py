"""Keys and values shared by the rows of a batch, continued by rows of unequal length."""

import math

import torch
from torch import Tensor

from components.phi.cache import KVCache


class SharedCache(KVCache):
    """A cache that continues a stem of one row, with given positions and masks for the next tokens.

    Args:
        stem: cache of a single row, which is not changed; None if there is no stem.
        keep: whether to keep the keys and values of further tokens, which generation needs.
    """

    def __init__(self, stem: KVCache | None, keep: bool) -> None:
        super().__init__()
        layers = [] if stem is None else [(k[:, :, : stem.length], v[:, :, : stem.length]) for k, v in stem.layers]
        self.stem_layers = layers
        self.keep = keep
        if keep and stem is not None:
            self.layers, self.length = list(self.stem_layers), stem.length
        self._positions: Tensor | None = None
        self._visible: Tensor | None = None

    def expect(self, positions_BT: Tensor, visible_BTS: Tensor | None) -> None:
        """Set the positions of the next tokens, and the keys that each of them sees (None = all)."""
        self._positions, self._visible = positions_BT, visible_BTS

    def positions(self, count: int) -> Tensor:
        assert self._positions is not None  # `expect` has been called
        return self._positions

    def mask(self, count: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
        if self._visible is None:
            return None
        empty = torch.zeros(self._visible.shape, dtype=dtype, device=device)
        return empty.masked_fill_(~self._visible, -math.inf)[:, None]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keep:
            return super().extend(layer, keys, values)  # the first growth spreads the stem over the rows
        if not self.stem_layers:
            return keys, values
        batch = keys.shape[0]
        held_keys, held_values = (held.expand(batch, -1, -1, -1) for held in self.stem_layers[layer])
        return torch.cat((held_keys, keys), 2), torch.cat((held_values, values), 2)

    def keep_rows(self, rows: Tensor) -> None:
        """Drop all rows except these."""
        self.layers = [(k[:, :, : self.length][rows], v[:, :, : self.length][rows]) for k, v in self.layers]
