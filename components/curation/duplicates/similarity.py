"""The Jaccard similarity of pairs of documents: exact from texts, estimated from sketches."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from components.curation.duplicates.sketches import SketchFiles
from components.text.shingles import shingles

TextsByPosition = Callable[[np.ndarray], Iterable[str]]
_CHARACTERS = 1 << 20  # of text shingled at once
_RUNS = 1 << 20  # compared at once
_ESTIMATED = 1 << 16  # pairs estimated at once


class ShingleSets:
    """The distinct shingles of documents in an unnamed file, 4 bytes each; closing this removes the file.

    These are four of the eight bytes of a shingle's hash: among 4,000 pairs of texts of 1,000 words, one run of words is
    wrongly taken as equal.
    """

    def __init__(self, documents: int, texts: TextsByPosition, folder: Path) -> None:
        self._texts = texts
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._starts = np.full(documents, -1, dtype=np.int64)
        self._counts = np.zeros(documents, dtype=np.int32)
        self._end = 0

    def __enter__(self) -> "ShingleSets":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def jaccard(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """float32 (pairs,): similarity of the documents at two positions each."""
        both = self._common(left, right)
        return (both / (self._counts[left] + self._counts[right] - both)).astype(np.float32)

    def containment(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """float32 (pairs,): the share of the first document's shingles that the second one contains."""
        return (self._common(left, right) / self._counts[left]).astype(np.float32)

    def _common(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """int64 (pairs,): shingles in both."""
        positions = np.union1d(left, right)
        self._add(positions[self._starts[positions] < 0])
        ends = np.cumsum(self._counts[left].astype(np.int64) + self._counts[right])
        common = np.empty(len(left), dtype=np.int64)
        start = 0
        while start < len(left):
            done = ends[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(ends, done + _RUNS)))
            common[start:end] = self._compare(left[start:end], right[start:end])
            start = end
        return common

    def _add(self, positions: np.ndarray) -> None:
        done = 0
        self._file.seek(self._end)
        for block in blocks(self._texts(positions)):
            runs, starts = shingles(block)
            counts = np.diff(starts)
            tagged = np.repeat(np.arange(len(block), dtype=np.uint64) << np.uint64(32), counts) | runs >> np.uint64(32)
            tagged.sort()
            tagged = tagged[np.append(True, tagged[1:] != tagged[:-1])]
            counts = np.bincount((tagged >> np.uint64(32)).astype(np.int64), minlength=len(block))
            into = positions[done : done + len(block)]
            self._counts[into] = counts
            self._starts[into] = self._end + 4 * (np.cumsum(counts) - counts)
            self._file.write(tagged.astype(np.uint32).tobytes())
            self._end += 4 * len(tagged)
            done += len(block)
        if done != len(positions):
            raise AssertionError(f"{len(positions)} texts were requested, {done} arrived")

    def _compare(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        held = {position: self._read(position) for position in np.union1d(left, right).tolist()}
        first, second = self._tagged(left, held), self._tagged(right, held)
        place = np.minimum(np.searchsorted(second, first), len(second) - 1)
        common = (first[second[place] == first] >> np.uint64(32)).astype(np.int64)
        return np.bincount(common, minlength=len(left))

    def _read(self, position: int) -> bytes:
        self._file.seek(int(self._starts[position]))
        return self._file.read(4 * int(self._counts[position]))

    def _tagged(self, positions: np.ndarray, held: dict[int, bytes]) -> np.ndarray:
        """Shingles of the documents, each with the number of its pair in the upper half; sorted."""
        values = np.frombuffer(b"".join(held[position] for position in positions.tolist()), dtype=np.uint32)
        return np.repeat(np.arange(len(positions), dtype=np.uint64) << np.uint64(32), self._counts[positions]) | values


def blocks(texts: Iterable[str], characters: int = _CHARACTERS) -> Iterator[Sequence[str]]:
    """Consecutive texts, grouped into blocks of at least `characters` characters."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= characters:
            yield block
            block, size = [], 0
    if block:
        yield block


def estimate(sketches: SketchFiles, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """float32 (pairs,): share of equal values; with 128 permutations the standard error is at most 0.04."""
    similarity = np.empty(len(left), dtype=np.float32)
    for start in range(0, len(left), _ESTIMATED):
        block = slice(start, start + _ESTIMATED)
        positions, place = np.unique(np.append(left[block], right[block]), return_inverse=True)
        held = sketches.take(positions)
        first, second = np.split(place, 2)
        similarity[block] = (held[first] == held[second]).mean(axis=1)
    return similarity
