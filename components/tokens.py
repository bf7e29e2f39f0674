"""The tokens directory: memory-mapped shards of token ids, with a manifest and an index of documents.

    manifest.json                    what lies here: counts, hashes, fingerprint
    tokenizer/                       the tokenizer that made the ids, as transformers reads it
    train/shard-00000.bin ...        ids, little-endian uint16 or uint32, one stream cut into files
    train/documents.parquet          one row per document of the stream: where it starts, how long it is, what it was
    validation/...                   the same for the held-out documents

A document may continue in the next shard, which readers do not notice. Each document ends with the end-of-text
token, so `length` counts it. A repeated document has a row for each time. A stream with a curriculum is written
phase after phase; the manifest says where each begins.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.documents import KINDS
from components.errors import StepError, short
from components.files import not_a_file, parse_json, read_text, write_json
from components.foreign.confined import is_name, refuse_links_out

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
INDEX = "documents.parquet"
TOKENIZER = "tokenizer"
SPLITS = ("train", "validation")
LARGEST_VOCABULARY = 2**31
DTYPES: dict[str, np.dtype] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),  # position of its first token in the split's stream
        pa.field("length", pa.int64(), nullable=False),  # tokens, the end-of-text token included
        pa.field("bytes", pa.int64(), nullable=False),  # of UTF-8 text
    ]
)


@dataclass(frozen=True)
class Manifest:
    """The manifest of a tokens directory. Reads as attributes and as a mapping.

    `splits[name]` holds `tokens`, `documents`, `distinct_documents`, `bytes`, `documents_sha256`, `shards` (list of
    file, tokens, sha256), `by_kind` (documents, distinct_documents, tokens, bytes per kind) and `phases` (list of kinds,
    tokens, documents in stream order; a split without it is one phase). Tokens include one end-of-text token per
    document. `vocab_size` is the model's: the tokenizer may have fewer entries, never more. `fingerprint` is the hash
    of everything else, and so of every shard.
    """

    format_version: int
    dtype: str
    vocab_size: int
    eos_token_id: int
    tokenizer_sha256: str
    splits: dict[str, dict[str, Any]]
    fingerprint: str = ""

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        return [field.name for field in fields(self)]

    def compute_fingerprint(self) -> str:
        """Hex SHA-256 of the manifest's content without the fingerprint itself."""
        content = {key: value for key, value in asdict(self).items() if key != "fingerprint"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def write(self, directory: Path) -> None:
        write_json(Path(directory) / MANIFEST, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """The manifest of a tokens directory.

        Raises:
            StepError: missing, not a manifest, of another format version, or changed after it was written.
        """
        path = Path(directory) / MANIFEST
        try:
            values = parse_json(read_text(path))
            manifest = cls(**values)
        except (FileNotFoundError, NotADirectoryError):
            raise StepError(
                f"{path} is not there; expected a tokens directory, as `python -m components.tokenization` writes it"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise StepError(f"{path} is not the manifest of a tokens directory ({error}); tokenize again") from error
        if manifest.format_version != FORMAT_VERSION:
            raise StepError(
                f"{path} has format version {short(manifest.format_version)}; this code reads {FORMAT_VERSION}: tokenize again"
            )
        if (
            str(manifest.dtype) not in DTYPES
            or not isinstance(manifest.splits, dict)
            or {*manifest.splits} != {*SPLITS}
        ):
            raise StepError(
                f"{path} names dtype {short(manifest.dtype)} and splits {short(manifest.splits)}; "
                f"expected one of {', '.join(DTYPES)} and {', '.join(SPLITS)}: tokenize again"
            )
        sizes = (manifest.vocab_size, manifest.eos_token_id)
        if not all(type(size) is int for size in sizes) or not 0 <= sizes[1] < sizes[0] <= LARGEST_VOCABULARY:
            raise StepError(
                f"{path} names vocab_size {short(sizes[0])} and eos_token_id {short(sizes[1])}; expected a whole number of at "
                f"most {LARGEST_VOCABULARY:,} and one below it: tokenize again"
            )
        if manifest.fingerprint != manifest.compute_fingerprint():
            raise StepError(f"{path} was changed after it was written (its fingerprint differs); tokenize again")
        manifest._check_names(path)
        return manifest

    def _check_names(self, path: Path) -> None:
        """Refuse shards outside the directory: anyone can compute a fingerprint."""
        try:
            names = [shard["file"] for split in self.splits.values() for shard in split["shards"]]
        except (KeyError, TypeError) as error:
            raise StepError(f"{path} lacks {error}; tokenize again") from error
        if wrong := [name for name in names if not isinstance(name, str) or not is_name(name)]:
            raise StepError(f"{path} names the shard {wrong[0]!r}; expected a file beside it: tokenize again")
        refuse_links_out(path.parent)


def phase_positions(counts: Mapping[str, Any]) -> np.ndarray:
    """`TokenSplit.phases` from the counts of a split in a manifest."""
    lengths = [phase["tokens"] for phase in counts.get("phases", [counts])]
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


class TokenSplit:
    """One stream of tokens, read by position. `len(split)` is its number of tokens."""

    def __init__(self, directory: Path, name: str, manifest: Manifest) -> None:
        self.directory, self.name = Path(directory), name
        self.counts = manifest.splits[name]
        self.dtype = DTYPES[manifest.dtype]
        lengths = [shard["tokens"] for shard in self.counts["shards"]]
        self._borders = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self._check_files()

    def __len__(self) -> int:
        return int(self.counts["tokens"])

    def read(self, start: int, length: int) -> np.ndarray:
        """Tokens [start, start + length) as a new int64 array of shape (length,).

        Raises:
            IndexError: the range is not within the stream.
        """
        self._check_range(start, length)
        tokens = np.empty(length, dtype=np.int64)
        shard = int(np.searchsorted(self._borders, start, side="right")) - 1
        done = 0
        while done < length:
            offset = start + done - int(self._borders[shard])
            part = self._maps[shard][offset : offset + length - done]
            tokens[done : done + len(part)] = part
            done += len(part)
            shard += 1
        return tokens

    def spread(self, length: int, tokens: int) -> np.ndarray:
        """Numbers of up to `tokens` tokens as whole sequences of `length` + 1, evenly spread over the stream, int64: number i
        begins at token i * length, and its targets are the `length` tokens after that one. At least one if there is
        one.
        """
        available = max(0, (len(self) - 1) // length)
        count = min(available, max(1, tokens // length))
        return np.arange(count) * available // max(1, count)

    @property
    def phases(self) -> np.ndarray:
        """Positions at which the phases of the curriculum begin, and the end of the stream; int64 (phases + 1,)."""
        return phase_positions(self.counts)

    @cached_property
    def documents(self) -> pa.Table:
        """One row per document in stream order, schema DOCUMENTS, all in memory (some 200 bytes per document).

        Raises:
            StepError: the index does not cover the stream without gaps.
        """
        table = pq.read_table(self.directory / INDEX, schema=DOCUMENTS)
        self._check_cover(table)
        return table

    @cached_property
    def kinds(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The names of all kinds, and the number of its kind for each document, int8 (documents,)."""
        column = pq.read_table(self.directory / INDEX, columns=["kind"])["kind"]
        codes = pc.index_in(column, value_set=pa.array(KINDS))
        if codes.null_count:
            unknown = pc.unique(column.filter(pc.is_null(codes)))[0].as_py()
            raise StepError(
                f"{self.directory / INDEX} has documents of kind {unknown!r}; expected one of {', '.join(KINDS)}: "
                "tokenize again"
            )
        return KINDS, codes.to_numpy().astype(np.int8)

    def tokens_by_kind(self, positions: np.ndarray) -> np.ndarray:
        """Tokens of each kind before each of the positions, summed over the positions; int64 (kinds,).

        Differences count ranges: those of many at once, without reading a token.
        """
        names, codes = self.kinds
        rows = np.minimum(np.searchsorted(self._starts, positions, side="right") - 1, len(codes) - 1)
        inside = np.asarray(positions) - self._starts[rows]
        lengths = np.diff(self._starts, append=len(self))
        totals = np.bincount(codes[rows], weights=inside, minlength=len(names)).astype(np.int64)
        for code in np.unique(codes):
            own = np.where(codes == code, lengths, 0)
            totals[code] += (np.cumsum(own) - own)[rows].sum()
        return totals

    def rows_at(self, positions: np.ndarray) -> np.ndarray:
        """Row of `documents` for each position, int64 of the shape of `positions`.

        Raises:
            IndexError: a position is not within the stream.
        """
        positions = np.asarray(positions)
        if positions.size and not 0 <= positions.min() <= positions.max() < len(self):
            raise IndexError(f"tokens {positions.min()} to {positions.max()} of {self.name}, which has {len(self)}")
        return np.searchsorted(self._starts, positions, side="right") - 1

    def row(self, number: int) -> dict[str, Any]:
        """One row of `documents`, read from its row group alone."""
        with pq.ParquetFile(self.directory / INDEX) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if 0 <= number < rows:
                    return file.read_row_group(group).slice(number, 1).to_pylist()[0]
                number -= rows
        raise IndexError(f"no such row in {self.directory / INDEX}, or it was cut while in use")

    def locate(self, position: int) -> dict[str, Any]:
        """The row of the document with the token at `position`."""
        if not 0 <= position < len(self):
            raise IndexError(f"token {position} of {self.name}, which has {len(self)}")
        return self.row(int(self.rows_at(np.array([position]))[0]))

    def trace(self, start: int, length: int) -> list[tuple[int, int, int]]:
        """Where tokens [start, start + length) come from: (row of `documents`, first token within that document,
        tokens of it), in stream order; the tokens add up to `length`.

        Raises:
            IndexError: the range is not within the stream.
        """
        self._check_range(start, length)
        if not length:
            return []
        first, last = self.rows_at(np.array([start, start + length - 1])).tolist()
        begins = self._starts[first : last + 1]
        ends = np.append(begins[1:], start + length)
        inside = np.maximum(start - begins, 0)
        return list(zip(range(first, last + 1), inside.tolist(), (ends - begins - inside).tolist(), strict=True))

    @cached_property
    def _starts(self) -> np.ndarray:
        """First token of each document, int64 (documents,): 8 bytes per document."""
        table = pq.read_table(self.directory / INDEX, columns=["start", "length"])
        self._check_cover(table)
        return table["start"].to_numpy()

    def _check_cover(self, table: pa.Table) -> None:
        starts, lengths = table["start"].to_numpy(), table["length"].to_numpy()
        ends = np.cumsum(lengths)
        if (lengths < 1).any() or not np.array_equal(starts, ends - lengths) or int(lengths.sum()) != len(self):
            raise StepError(f"{self.directory / INDEX} does not cover the {len(self):,} tokens of {self.name} in order")

    def _check_range(self, start: int, length: int) -> None:
        if start < 0 or length < 0 or start + length > len(self):
            raise IndexError(f"tokens {start} to {start + length} of {self.name}, which has {len(self)}")

    @cached_property
    def _maps(self) -> list[np.ndarray]:
        return [np.memmap(self.directory / s["file"], dtype=self.dtype, mode="r") for s in self.counts["shards"]]

    def __getstate__(self) -> dict[str, Any]:
        # A data loader's worker gets the paths and maps the files itself; a pickled map would carry the tokens along.
        cached = ("_maps", "documents", "kinds", "_starts")
        return {key: value for key, value in self.__dict__.items() if key not in cached}

    def _check_files(self) -> None:
        """Check sizes against the manifest, to find incomplete copies and foreign files."""
        for shard in self.counts["shards"]:
            path = self.directory / shard["file"]
            expected = shard["tokens"] * self.dtype.itemsize
            found = path.stat().st_size if path.is_file() else None
            if found != expected:
                state = "is not there" if found is None else f"has {found:,} bytes"
                raise StepError(f"{path} {state}; the manifest says {expected:,} bytes: fetch or tokenize again")
        if int(self._borders[-1]) != len(self):
            raise StepError(
                f"the shards of {self.directory} hold {int(self._borders[-1]):,} tokens; the manifest says {len(self):,}"
            )
        if int(self.phases[-1]) != len(self):
            raise StepError(
                f"the phases of {self.directory} add up to {int(self.phases[-1]):,} tokens; the manifest says "
                f"{len(self):,}: tokenize again"
            )
        self._check_index()

    def _check_index(self) -> None:
        path = self.directory / INDEX
        try:
            if reason := not_a_file(path):
                raise OSError(reason)
            metadata = pq.read_metadata(path)
        except FileNotFoundError:
            raise StepError(f"{path} is not there; fetch or tokenize again") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise StepError(f"{path} is not a readable Parquet file ({error}); fetch or tokenize again") from error
        missing = [name for name in DOCUMENTS.names if name not in metadata.schema.to_arrow_schema().names]
        if missing or metadata.num_rows != self.counts["documents"]:
            raise StepError(
                f"{path} has {metadata.num_rows:,} rows and lacks {missing or 'no column'}; the manifest says "
                f"{self.counts['documents']:,} documents: tokenize again"
            )


class Tokens:
    """A tokens directory. Opening it checks the manifest and the size of every file, and reads no token."""

    def __init__(self, directory: Path, manifest: Manifest, splits: dict[str, TokenSplit]) -> None:
        self.directory, self.manifest, self._splits = directory, manifest, splits

    @classmethod
    def open(cls, directory: Path) -> "Tokens":
        """Open a tokens directory.

        Raises:
            StepError: something is missing, foreign or truncated; the message names the file.
        """
        directory = Path(directory)
        manifest = Manifest.read(directory)
        if not (directory / TOKENIZER / "tokenizer.json").is_file():
            raise StepError(f"{directory / TOKENIZER} has no tokenizer.json; fetch or tokenize again")
        try:
            splits = {name: TokenSplit(directory / name, name, manifest) for name in SPLITS}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise StepError(
                f"{directory / MANIFEST} lacks a part or has a wrong one ({type(error).__name__}: {error}); tokenize again"
            ) from error
        return cls(directory, manifest, splits)

    def split(self, name: str) -> TokenSplit:
        if name not in self._splits:
            raise StepError(f"{self.directory} has no split {name!r}; it has {', '.join(self._splits)}")
        return self._splits[name]

    @property
    def tokenizer_dir(self) -> Path:
        return self.directory / TOKENIZER


def split_mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64, for orders and draws that depend on keys alone: every bit of the result depends on every
    bit of `x`, modulo 2^64."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
