"""The edges: a missing value is named, older folders are read, foreign manifests refused, thread limits kept."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.documents import DOCUMENT, Document
from components.errors import StepError
from components.tokenization import tokenizer
from components.tokenization.corpus import read_corpus
from components.tokenization.tokenizer import Encoder
from components.tokens import DTYPES, Manifest


@pytest.mark.parametrize("column", ["id", "text", "kind", "source"])
def test_a_missing_value_is_named(made: Callable[[int], list[Document]], tmp_path: Path, column: str) -> None:
    rows = [document.row() for document in made(3)]
    rows[1][column] = None
    nullable = pa.schema([field.with_nullable(True) for field in DOCUMENT])
    pq.write_table(pa.Table.from_pylist(rows, schema=nullable), tmp_path / "part-00000.parquet")
    with pytest.raises(StepError, match=f"has 1 documents without {column}"):
        read_corpus([tmp_path], tmp_path / "names.arrow")


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    row = {name: "x" for name in DOCUMENT.names} | {"kind": "poem", "educational_value": None, "quality": None}
    pq.write_table(pa.Table.from_pylist([row], schema=DOCUMENT), tmp_path / "part-00000.parquet")
    with pytest.raises(StepError, match="documents of kind 'poem'; expected one of web, prose"):
        read_corpus([tmp_path], tmp_path / "names.arrow")


def test_an_empty_text_is_named(made: Callable[[int], list[Document]], write_set: Any, tmp_path: Path) -> None:
    documents = [*made(3), Document("", "prose", "a/blank/page", "MIT", "test")]
    with pytest.raises(StepError, match=r"has 1 documents with an empty text \(first: \w{32} from a/blank/page\)"):
        read_corpus([write_set(documents)], tmp_path / "names.arrow")


def test_a_token_named_only_in_the_older_file_is_found(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "older")
    (tmp_path / "older" / "tokenizer_config.json").unlink()
    (tmp_path / "older" / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "a"}}))
    tokenizer.take(tmp_path / "older", tmp_path / "taken")
    encoder = Encoder(tmp_path / "taken")
    assert encoder.decode([encoder.eos_token_id]) == "a"


def manifest(**values: Any) -> Manifest:
    given = {"format_version": 1, "dtype": "uint16", "vocab_size": 9, "eos_token_id": 0, "tokenizer_sha256": ""}
    return Manifest(**given | {"splits": {"train": {}, "validation": {}}} | values)


def test_the_manifest_behaves_as_a_mapping() -> None:
    found = manifest()
    assert "dtype" in found
    assert "rows" not in found
    assert list(found) == list(dict(found)) == found.keys()
    with pytest.raises(KeyError, match="rows"):
        found["rows"]


@pytest.mark.parametrize(
    "values", [{"splits": None}, {"splits": {"train": {}}}, {"dtype": ["uint16"]}, {"dtype": None}]
)
def test_a_foreign_manifest_is_refused_with_what_it_names(tmp_path: Path, values: dict[str, Any]) -> None:
    manifest(**values).write(tmp_path)
    with pytest.raises(StepError, match=f"expected one of {', '.join(DTYPES)} and train, validation"):
        Manifest.read(tmp_path)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokens").touch()
    with pytest.raises(StepError, match="is not there; expected a tokens directory"):
        Manifest.read(tmp_path / "tokens")


def test_a_limit_on_threads_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    with tokenizer.all_cores():
        assert os.environ["RAYON_NUM_THREADS"] == "1"
    assert os.environ["RAYON_NUM_THREADS"] == "1"
