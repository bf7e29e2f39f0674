"""The growth of one tensor as data: an affine map that is a product of a map of its rows and a map of its columns.

Each coordinate of a grown axis is a source coordinate times a factor, the mean of all source coordinates, 0, free
(random), or a constant. All operators are written in these terms, so one function evaluates them a few rows at a time,
one grows the optimizer's moments, and one marks the entries that are new.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

FREE, ZERO, MEAN, CONSTANT = -1, -2, -3, -4  # codes of a grown coordinate that is not a source coordinate
CHUNK = 2**22  # entries computed at once: 32 MB in float64
Noise = Literal["none", "null", "any"]


@dataclass(frozen=True)
class Axis:
    """The growth of one axis from n to N coordinates.

    Attributes:
        source: (N,) for each grown coordinate the source coordinate that it copies, or one of the codes above. Values
            from `size` on are coordinates of a second tensor, stacked below the first.
        scale: (N,) float64 factor of the copied coordinate; the value itself if the code is CONSTANT.
        size: number of coordinates of the source axis (n).
        centred: the mean over the source coordinates is subtracted first.
        offset: (N,) float64, added to each coordinate of a vector; None for none.
    """

    source: Tensor
    scale: Tensor
    size: int
    centred: bool = False
    offset: Tensor | None = None

    def __len__(self) -> int:
        return len(self.source)

    def times(self, factor: float | Tensor) -> "Axis":
        """The axis with all its factors multiplied; constants too."""
        return replace(self, scale=self.scale * factor)

    def silent(self) -> "Axis":
        """The axis with zeros for its free coordinates: biases are never random."""
        return replace(self, source=torch.where(self.source == FREE, ZERO, self.source))

    def among(self, start: int, stop: int) -> "Axis":
        """The axis of the coordinates from `start` to `stop`."""
        return replace(self, source=self.source[start:stop], scale=self.scale[start:stop])

    @cached_property
    def copied(self) -> Tensor:
        """(N,) whether a coordinate copies a source coordinate."""
        return self.source >= 0

    @cached_property
    def copies(self) -> Tensor:
        """(n,) number of copies of each source coordinate."""
        return torch.bincount(self.source[self.copied], minlength=self.size)

    @cached_property
    def is_new(self) -> Tensor:
        """(N,) whether a coordinate is not the first copy of a source coordinate."""
        new = torch.ones(len(self), dtype=torch.bool)
        coordinates, first = np.unique(self.source.numpy(), return_index=True)
        new[torch.from_numpy(first[(coordinates >= 0) & (coordinates < self.size)])] = False
        return new

    @cached_property
    def in_place(self) -> bool:
        """Whether the source's coordinates come first, in order, and no other coordinate copies one."""
        first, rest = self.source[: self.size], self.source[self.size :]
        return torch.equal(first, torch.arange(self.size)) and not (rest >= 0).any()


def axis(source: Tensor | list[int], size: int, scale: float = 1.0) -> Axis:
    """An axis of these source coordinates and codes, all with one factor."""
    source = torch.as_tensor(source, dtype=torch.int64)
    return Axis(source, torch.full((len(source),), scale, dtype=torch.float64), size)


def extended(size: int, wanted: int, code: int, scale: float = 1.0) -> Axis:
    """The source's coordinates in place, then new ones of one `code`, up to `wanted`."""
    return axis(torch.cat([torch.arange(size), torch.full((wanted - size,), code)]), size, scale)


@dataclass(frozen=True)
class TensorMap:
    """The map of one tensor of the target.

    Attributes:
        sources: tensors of the source, which are stacked along their rows before they are mapped.
        rows, columns: the maps of its axes; a vector has rows only.
        gain: factor of the whole tensor; 0 makes it silent.
        noise: where `Options.noise` adds noise: nowhere; in the null space of the activations that the columns read, so
            that copies diverge while the function is preserved; or anywhere, for outputs that are not used yet.
        new: all entries are new to the model, whatever they copy (those of an inserted block).
    """

    sources: tuple[str, ...]
    rows: Axis
    columns: Axis | None = None
    gain: float = 1.0
    noise: Noise = "none"
    new: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows),) if self.columns is None else (len(self.rows), len(self.columns))


Plan = dict[str, TensorMap]  # by Hugging Face's names of the target's tensors


@dataclass(frozen=True)
class Draws:
    """Parameters of random values: the standard deviation of free entries, and that of noise relative to the weights'."""

    seed: int
    free_std: float
    noise: float

    def generator(self, name: str) -> torch.Generator:
        """A generator per tensor, so that tensors can be made in any order."""
        digest = hashlib.sha256(f"{self.seed}:{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def grown(name: str, how: TensorMap, source: Tensor, draws: Draws) -> Tensor:
    """The whole tensor `name` of the target, in float64; see `grown_chunks`."""
    chunks = list(grown_chunks(name, how, source, draws))
    return chunks[0] if len(chunks) == 1 else torch.cat(chunks)


def grown_chunks(name: str, how: TensorMap, source: Tensor, draws: Draws) -> Iterator[Tensor]:
    """The target's tensor `name` in float64, a few rows at a time, from top to bottom.

    Args:
        source: the tensors of `how.sources`, stacked along their rows, in any dtype.
    """
    generator = draws.generator(name)
    row_mean = None
    if how.rows.centred or bool((how.rows.source == MEAN).any()):
        row_mean = source.to(torch.float64).mean(0)
    if how.columns is None:
        values = how.rows.scale * (how.gain * _copied_rows(how.rows, source, row_mean))
        values = torch.where(how.rows.source == CONSTANT, how.rows.scale, values)
        yield values if how.rows.offset is None else values + how.rows.offset
        return
    noise = _NoiseOf(how, source, draws.noise) if _is_noisy(how) and draws.noise else None
    step = max(1, CHUNK // len(how.columns))
    for start in range(0, len(how.rows), step):
        rows = how.rows.among(start, start + step)
        chunk = _copied_rows(rows, source, row_mean)
        chunk = how.gain * rows.scale[:, None] * _columns(how.columns, chunk)
        if noise is not None:
            chunk += noise.draw(rows, generator)
        _fill(chunk, rows, how.columns, draws.free_std, generator)
        yield chunk


def _is_noisy(how: TensorMap) -> bool:
    """Whether noise is possible: not in silent tensors, and not in the null space without copies."""
    assert how.columns is not None
    if how.noise == "null":
        return bool((how.columns.copies > 1).any())
    return how.noise == "any" and how.gain != 0


def _copied_rows(rows: Axis, source: Tensor, mean: Tensor | None) -> Tensor:
    """Rows of the source in the order of the target, float64; a row that copies none is 0."""
    chunk = source[rows.source.clamp(min=0)].to(torch.float64)
    if mean is not None:
        if rows.centred:
            chunk -= mean
        chunk[rows.source == MEAN] = mean
    chunk[~(rows.copied | (rows.source == MEAN))] = 0
    return chunk


def _columns(columns: Axis, chunk: Tensor) -> Tensor:
    means = columns.source == MEAN
    mean = chunk.mean(1, keepdim=True) if columns.centred or means.any() else None
    if mean is not None and columns.centred:
        chunk = chunk - mean
    if columns.in_place:  # the common case; copying columns one by one takes several times as long
        wide = torch.zeros(len(chunk), len(columns), dtype=torch.float64)
        wide[:, : columns.size] = chunk * columns.scale[: columns.size]
    else:
        wide = chunk[:, columns.source.clamp(min=0)]
        wide *= columns.scale * columns.copied
    if mean is not None and means.any():
        wide[:, means] = mean * columns.scale[means]
    return wide


def _fill(chunk: Tensor, rows: Axis, columns: Axis, std: float, generator: torch.Generator) -> None:
    """Fill in random values, in place: free columns of rows that are not zero, and free rows except in zero columns."""
    free_columns, free_rows = columns.source == FREE, rows.source == FREE
    if std and free_columns.any() and not free_rows.all():
        chunk[:, free_columns] = _normal(len(rows), int(free_columns.sum()), std, generator)
    if std and free_rows.any():
        values = _normal(int(free_rows.sum()), len(columns), std, generator)
        values[:, columns.source == ZERO] = 0
        chunk[free_rows] = values
    chunk[rows.source == ZERO] = 0


def _normal(rows: int, columns: int, std: float, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=generator).to(torch.float64) * std


class _NoiseOf:
    """Noise for the entries that a map copies, with a standard deviation relative to their own."""

    def __init__(self, how: TensorMap, source: Tensor, relative: float) -> None:
        assert how.columns is not None
        self.columns, self.anywhere = how.columns, how.noise == "any"
        factor = (
            how.rows.scale[how.rows.copied].square().mean() * self.columns.scale[self.columns.copied].square().mean()
        )
        size = source.to(torch.float64).square().mean()
        self.std = relative * float((size * factor).sqrt()) * how.gain

    def draw(self, rows: Axis, generator: torch.Generator) -> Tensor:
        """Noise (rows, columns). In the null space, it sums to 0 over all columns that read the same activation."""
        columns = self.columns
        noise = _normal(len(rows), len(columns), self.std, generator)
        noise[:, ~columns.copied] = 0
        noise[~rows.copied] = 0
        if not self.anywhere:
            groups = torch.where(columns.copied, columns.source, 0)
            sums = torch.zeros(len(rows), columns.size, dtype=torch.float64).index_add_(1, groups, noise)
            noise -= (sums / columns.copies.clamp(min=1))[:, groups] * columns.copied
        return noise
