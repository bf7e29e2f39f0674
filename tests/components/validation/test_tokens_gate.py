"""The gate of tokens: files, splits and the whole against the manifest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.errors import StepError


def failed(results: Any) -> set[str]:
    return {row["column"] for row in results("tokens")["expectations"] if row["state"] != "passed"}


def change(path: Path, position: int, value: int) -> None:
    stream = np.fromfile(path, "<u2")
    stream[position] = value
    stream.tofile(path)


def test_good_tokens_pass(gate: Any, tokens: Path) -> None:
    summary = gate("tokens", tokens)
    assert (summary["train_tokens"], summary["train_documents"], summary["shards"]) == (120, 10, 4)
    assert summary["bytes_per_token"] == 3
    assert summary["shared_documents"] == 0


def test_an_id_outside_the_vocabulary_is_found(gate: Any, tokens: Path, results: Any) -> None:
    change(tokens / "train" / "shard-00001.bin", 3, 50)
    with pytest.raises(StepError, match=r"\[\[50, 50\]\] \(expected: every id is in the vocabulary"):
        gate("tokens", tokens)
    assert failed(results) == {"vocab_size, largest_id", "sha256, expected_sha256"}


def test_a_lost_end_of_text_token_is_found(gate: Any, tokens: Path, results: Any) -> None:
    change(tokens / "train" / "shard-00000.bin", 11, 5)
    with pytest.raises(StepError, match=r"eos_tokens, documents: .*\[\[9, 10\]\]"):
        gate("tokens", tokens)
    assert failed(results) == {
        "eos_tokens, documents",
        "documents_ended, documents",
        "sha256, expected_sha256",
    }


def test_a_misplaced_end_of_text_token_is_found(gate: Any, tokens: Path, results: Any) -> None:
    path = tokens / "train" / "shard-00000.bin"
    change(path, 11, 5)
    change(path, 10, 0)
    with pytest.raises(StepError):
        gate("tokens", tokens)
    assert failed(results) == {"documents_ended, documents", "sha256, expected_sha256"}


def test_truncated_and_missing_files_are_found(gate: Any, tokens: Path, results: Any) -> None:
    path = tokens / "train" / "shard-00001.bin"
    path.write_bytes(path.read_bytes()[:-3])
    (tokens / "validation" / "shard-00000.bin").unlink()
    with pytest.raises(StepError, match="no such file"):
        gate("tokens", tokens)
    assert {"size_bytes, expected_bytes", "tokens, expected_tokens"} <= failed(results)
    sizes = next(row for row in results("tokens")["expectations"] if row["column"] == "size_bytes, expected_bytes")
    assert [example["file"] for example in sizes["examples"]] == [
        "train/shard-00001.bin",
        "validation/shard-00000.bin",
    ]


def test_a_document_in_both_splits_is_named(gate: Any, make_tokens: Any, tmp_path: Path, results: Any) -> None:
    documents = [[5] * 30 + [0], [6] * 30 + [0], [7] * 60 + [0]]
    ids = {"train": ["a", "b", "c"], "validation": ["d", "b", "e"]}
    directory = make_tokens(tmp_path / "leaky", {"train": documents, "validation": documents}, ids)
    with pytest.raises(StepError, match=r"shared_documents: .*e\.g\. \[1, 'b'\]"):
        gate("tokens", directory)
    assert failed(results) == {"shared_documents"}


def test_thresholds_are_parameters(gate: Any, tokens: Path, results: Any) -> None:
    with pytest.raises(StepError, match=r"validation\.min_tokens.*validation\.min_bytes_per_token"):
        gate("tokens", tokens, min_tokens=121, min_bytes_per_token=3.5)
    assert failed(results) == {"train_tokens", "bytes_per_token"}


def test_a_changed_index_is_found(gate: Any, tokens: Path, results: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tokens / "train" / "documents.parquet"
    table = pq.read_table(path)
    starts = table["start"].to_pylist()
    starts[4] += 1
    pq.write_table(table.set_column(3, table.schema.field("start"), pa.array(starts)), path)
    with pytest.raises(StepError):
        gate("tokens", tokens)
    assert failed(results) == {"gaps", "documents_ended, documents", "index_sha256, expected_index_sha256"}


def test_another_tokenizer_is_found(gate: Any, tokens: Path, results: Any) -> None:
    (tokens / "tokenizer" / "tokenizer.json").write_text("[]", encoding="utf-8")
    with pytest.raises(StepError, match="the tokenizer is the one that made the tokens"):
        gate("tokens", tokens)
    assert failed(results) == {"tokenizer_sha256, expected_tokenizer_sha256"}


def test_what_is_not_a_tokens_directory_is_refused(gate: Any, tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"manifest\.json is not there"):
        gate("tokens", tmp_path)
    (tokens / "train" / "documents.parquet").unlink()
    with pytest.raises(StepError, match=r"documents\.parquet cannot be read"):
        gate("tokens", tokens)
