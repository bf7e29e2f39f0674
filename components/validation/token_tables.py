"""The tables of a tokens directory: files, splits, and facts about the whole.

They are read from the files without the reader of training, because its checks would stop at the first fault, while a
gate reports all faults. CHUNK and the document index bound the memory.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import StepError
from components.files import sha256_file
from components.running.progress import Progress
from components.tokens import DTYPES, INDEX, SPLITS, TOKENIZER, Manifest

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 1 << 22  # tokens per read
MISSING = "no such file"


@dataclass
class TokenTables:
    """The tables of the tokens in `directory`."""

    directory: Path
    manifest: Manifest = field(init=False)

    def __post_init__(self) -> None:
        """Raises StepError if there is no manifest, or it was changed after it was written."""
        self.manifest = Manifest.read(self.directory)

    def shards(self) -> "pd.DataFrame":
        """One row per token file: size, hash, largest id and end-of-text tokens, with the manifest's values."""
        import pandas as pd

        return pd.DataFrame(self._shards)

    def splits(self) -> "pd.DataFrame":
        """One row per split: tokens, documents and bytes, with the manifest's values."""
        import pandas as pd

        return pd.DataFrame([self._split(name) for name in SPLITS])

    def facts(self) -> dict[str, Any]:
        """Tokens, documents, bytes per token, and the number of documents in both splits."""
        tokenizer = self.directory / TOKENIZER / "tokenizer.json"
        train, held_out = (self.manifest.splits[name] for name in SPLITS)
        return {
            "vocab_size": self.manifest.vocab_size,
            "train_tokens": train["tokens"],
            "train_documents": train["documents"],
            "validation_tokens": held_out["tokens"],
            "validation_documents": held_out["documents"],
            "bytes_per_token": round(train["bytes"] / train["tokens"], 4) if train["tokens"] else 0.0,
            "shared_documents": len(self._shared),
            "tokenizer_sha256": sha256_file(tokenizer) if tokenizer.is_file() else MISSING,
            "expected_tokenizer_sha256": self.manifest.tokenizer_sha256,
        }

    def examples(self, column: str) -> list[str]:
        """Three examples for a fact: documents in both splits."""
        return self._shared[:3] if column == "shared_documents" else []

    @cached_property
    def _shards(self) -> list[dict[str, Any]]:
        itemsize = DTYPES[self.manifest.dtype].itemsize
        named = [(name, shard) for name in SPLITS for shard in self.manifest.splits[name]["shards"]]
        progress = Progress(len(named))
        rows = []
        for done, (split, shard) in enumerate(named, start=1):
            path = self.directory / split / shard["file"]
            exists = path.is_file()
            largest, eos = self._scan(path) if exists else (0, 0)
            rows.append(
                {
                    "file": f"{split}/{shard['file']}",
                    "tokens": path.stat().st_size // itemsize if exists else 0,
                    "size_bytes": path.stat().st_size if exists else 0,
                    "expected_bytes": shard["tokens"] * itemsize,
                    "sha256": sha256_file(path) if exists else MISSING,
                    "expected_sha256": shard["sha256"],
                    "largest_id": largest,
                    "vocab_size": self.manifest.vocab_size,
                    "eos_tokens": eos,
                }
            )
            progress.update(done)
        return rows

    def _scan(self, path: Path) -> tuple[int, int]:
        """Largest id and number of end-of-text tokens of a file."""
        largest = eos = 0
        tokens = self._map(path)
        for start in range(0, len(tokens), CHUNK):
            part = tokens[start : start + CHUNK]
            largest = max(largest, int(part.max()))
            eos += int(np.count_nonzero(part == self.manifest.eos_token_id))
        return largest, eos

    def _map(self, path: Path) -> np.ndarray:
        """The complete tokens of a file, mapped; the rule for sizes reports extra bytes."""
        dtype = DTYPES[self.manifest.dtype]
        length = path.stat().st_size // dtype.itemsize if path.is_file() else 0
        return np.memmap(path, dtype, "r", shape=(length,)) if length else np.zeros(0, dtype)

    def _split(self, name: str) -> dict[str, Any]:
        counts, index = self.manifest.splits[name], self._index(name)
        starts, lengths = index["start"].to_numpy(), index["length"].to_numpy()
        ends = starts + lengths
        before = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
        files = [row for row in self._shards if row["file"].startswith(f"{name}/")]
        return {
            "split": name,
            "tokens": sum(row["tokens"] for row in files),
            "expected_tokens": counts["tokens"],
            "documents": index.num_rows,
            "expected_documents": counts["documents"],
            "document_bytes": int(index["bytes"].to_numpy().sum()),
            "expected_document_bytes": counts["bytes"],
            "eos_tokens": sum(row["eos_tokens"] for row in files),
            "documents_ended": self._ended(files, ends),
            "index_sha256": sha256_file(self.directory / name / INDEX),
            "expected_index_sha256": counts["documents_sha256"],
            "gaps": int(np.count_nonzero(starts != before[: len(starts)])),
        }

    def _ended(self, files: list[dict[str, Any]], ends: np.ndarray) -> int:
        """Number of documents with the end-of-text token at their end."""
        ended = offset = 0
        for row in files:
            tokens = self._map(self.directory / row["file"])
            inside = ends[(ends > offset) & (ends <= offset + len(tokens))] - 1 - offset
            ended += int(np.count_nonzero(tokens[inside] == self.manifest.eos_token_id))
            offset += len(tokens)
        return ended

    def _index(self, name: str) -> pa.Table:
        path = self.directory / name / INDEX
        try:
            return pq.read_table(path, columns=["id", "start", "length", "bytes"])
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            raise StepError(f"{path} cannot be read as the index of documents ({error}); tokenize again") from error

    @cached_property
    def _shared(self) -> list[str]:
        held_out = set(self._index("validation")["id"].to_pylist())
        shared: set[str] = set()
        for batch in self._index("train").select(["id"]).to_batches():
            shared.update(held_out.intersection(batch["id"].to_pylist()))
        return sorted(shared)
