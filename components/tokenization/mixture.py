"""Which documents are read, in which split, how often and in which order.

Everything here follows from hashes of document ids, never from the order in which documents are stored:

- the split and the share of a fractional epoch depend on the id alone, so they stay when the seed, the mixture or the
  rest of the corpus changes. The held-out documents ignore `epochs`: runs with different mixtures are measured on the
  same text.
- the order of training depends on the id, the pass and the seed. Each kind is spread evenly over the whole stream,
  and all its documents come by once before any comes by again.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.documents import KINDS, read_batches
from components.errors import StepError
from components.params import TokenizationParams


@dataclass(frozen=True)
class Corpus:
    """The rows of all document sets in reading order, without their text: about 200 bytes a row in memory."""

    ids: pa.ChunkedArray
    sources: pa.ChunkedArray
    kinds: np.ndarray  # int8 (rows,), index into KINDS
    bytes: np.ndarray  # int64 (rows,), of UTF-8
    first: np.ndarray  # bool (rows,), False for an id that an earlier row has

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True)
class Mixture:
    """The two streams as row numbers of a Corpus; a row that is passed over twice stands twice in `train`."""

    train: np.ndarray  # int64
    validation: np.ndarray  # int64

    @property
    def rows(self) -> np.ndarray:
        """The rows that are needed at all, ascending."""
        return np.union1d(self.train, self.validation)


def read_corpus(directories: list[Path]) -> Corpus:
    """Read ids, kinds, sources and sizes of all document sets, in order.

    Raises:
        StepError: a directory holds no document set, a value is missing, a kind is unknown, or there is no document
            at all.
    """
    ids, sources, kinds, sizes, first = [], [], [], [], []
    seen: set[str] = set()
    for directory in directories:
        for batch in read_batches(directory, columns=["id", "text", "kind", "source"]):
            _check_nulls(batch, directory)
            ids.append(batch["id"])
            sources.append(batch["source"])
            kinds.append(_kind_codes(batch["kind"], directory))
            sizes.append(pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False))
            fresh = []
            for name in batch["id"].to_pylist():
                fresh.append(name not in seen)
                seen.add(name)
            first.append(np.array(fresh, dtype=bool))
    if not seen:
        raise StepError(f"no document in {', '.join(map(str, directories))}; the steps before dropped everything")
    return Corpus(
        ids=pa.chunked_array(ids),
        sources=pa.chunked_array(sources),
        kinds=np.concatenate(kinds),
        bytes=np.concatenate(sizes).astype(np.int64),
        first=np.concatenate(first),
    )


def plan(corpus: Corpus, params: TokenizationParams, seed: int) -> Mixture:
    """Split, share out and order the documents as the module's docstring says.

    Raises:
        StepError: there are not two documents to split, or `epochs` leaves nothing to train on.
    """
    ids = corpus.ids.to_pylist()
    held_out = _held_out(corpus, ids, params.validation_fraction)
    validation = np.flatnonzero(held_out)
    validation = validation[np.argsort(uniform((ids[row] for row in validation), "validation order"), kind="stable")]
    candidates = np.flatnonzero(corpus.first & ~held_out)
    train = _order(corpus, ids, candidates, params.epochs, seed)
    if not len(train):
        raise StepError(
            f"tokenization.epochs {dict(params.epochs)} leaves none of {len(candidates):,} documents to train on; "
            "raise the epochs of a kind that the corpus has"
        )
    return Mixture(train=train, validation=validation)


def uniform(ids: Iterable[str], purpose: str) -> np.ndarray:
    """A number in [0, 1) for each id, float64, that depends on the id and the purpose alone."""
    key = hashlib.blake2b(purpose.encode(), digest_size=32).digest()
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in ids)
    return (np.frombuffer(digests, dtype="<u8") >> np.uint64(11)) * 2.0**-53


def _check_nulls(batch: pa.RecordBatch, directory: Path) -> None:
    for name in batch.schema.names:
        if batch[name].null_count:
            raise StepError(
                f"{directory} has {batch[name].null_count:,} documents without {name}; every document needs one: write "
                "the set with components.documents.DocumentWriter"
            )


def _kind_codes(kinds: pa.Array, directory: Path) -> np.ndarray:
    codes = pc.index_in(kinds, value_set=pa.array(KINDS))
    if codes.null_count:
        unknown = pc.unique(kinds.filter(codes.is_null())).to_pylist()
        raise StepError(f"{directory} has documents of kind {unknown[0]!r}; expected one of {', '.join(KINDS)}")
    return codes.to_numpy(zero_copy_only=False).astype(np.int8)


def _held_out(corpus: Corpus, ids: list[str], fraction: float) -> np.ndarray:
    """True for held-out rows: the given share by hash, at least one document and not all of them."""
    count = int(corpus.first.sum())
    if count < 2:
        raise StepError(f"{count} document cannot be split into train and validation; at least 2 are needed")
    numbers = uniform(ids, "split")
    numbers[~corpus.first] = np.inf
    held_out = numbers < fraction
    if not held_out.any():
        held_out[np.argmin(numbers)] = True
    if held_out.sum() == count:
        held_out[np.argmax(np.where(corpus.first, numbers, -1))] = False
    return held_out


def _order(
    corpus: Corpus, ids: list[str], candidates: np.ndarray, epochs: Mapping[str, float], seed: int
) -> np.ndarray:
    """Training rows in stream order.

    Pass p of a kind with E epochs covers the stretch [p/E, min(p+1, E)/E) of the stream, at random places within it,
    so its density is the same everywhere.
    """
    rows, places = [], []
    shares = uniform((ids[row] for row in candidates), "share")
    for code, kind in enumerate(KINDS):
        total = float(epochs.get(kind, 1.0))
        of_kind = corpus.kinds[candidates] == code
        done = 0
        while done < total:
            width = min(1.0, total - done)
            chosen = candidates[of_kind & (shares < width)]
            numbers = uniform((ids[row] for row in chosen), f"order {seed} {done}")
            rows.append(chosen)
            places.append((done + numbers * width) / total)
            done += 1
    if not rows:
        return np.empty(0, dtype=np.int64)
    return np.concatenate(rows)[np.argsort(np.concatenate(places), kind="stable")]
