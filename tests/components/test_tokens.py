"""The tokens directory: reads cross shard borders unseen, every token leads to its document, damage is named."""

import json
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from components.tokens import DOCUMENTS, Manifest, Tokens, TokenSplit

SHARDS = (10, 1, 7, 3)
LENGTHS = (4, 1, 9, 2, 5)
STREAM = np.arange(sum(SHARDS)) + 100


def write_split(folder: Path, dtype: str) -> dict[str, Any]:
    folder.mkdir(parents=True)
    borders = np.cumsum((0, *SHARDS))
    shards = []
    for number, (start, stop) in enumerate(pairwise(borders)):
        name = f"shard-{number:05d}.bin"
        STREAM[start:stop].astype(dtype).tofile(folder / name)
        shards.append({"file": name, "tokens": int(stop - start), "sha256": ""})
    starts = np.cumsum((0, *LENGTHS))[:-1]
    columns = [list("abcde"), ["code"] * 5, [f"s{n}" for n in range(5)], starts, LENGTHS, [1] * 5]
    pq.write_table(pa.table(columns, schema=DOCUMENTS), folder / "documents.parquet")
    return {"tokens": len(STREAM), "documents": 5, "bytes": 5, "shards": shards, "by_kind": {}}


def write_tokens(directory: Path, dtype: str = "uint16", version: int = 1) -> Path:
    splits = {
        name: write_split(directory / name, "<u2" if dtype == "uint16" else "<u4") for name in ("train", "validation")
    }
    (directory / "tokenizer").mkdir()
    (directory / "tokenizer" / "tokenizer.json").write_text("{}")
    unsigned = Manifest(version, dtype, 200, 0, "", splits)
    Manifest(version, dtype, 200, 0, "", splits, unsigned.compute_fingerprint()).write(directory)
    return directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_tokens(tmp_path / "tokens")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Tokens.open(write_tokens(tmp_path_factory.mktemp("tokens") / "t", "uint32")).split("train")


@given(st.data())
def test_a_read_equals_the_slice_of_the_stream(split: Any, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(STREAM)))
    length = data.draw(st.integers(0, len(STREAM) - start))
    read = split.read(start, length)
    assert read.dtype == np.int64
    assert np.array_equal(read, STREAM[start : start + length])


@given(st.integers(0, sum(LENGTHS) - 1))
def test_every_token_leads_to_the_document_that_holds_it(split: Any, position: int) -> None:
    row = split.locate(position)
    assert row["start"] <= position < row["start"] + row["length"]


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.read(-1, 2),
        lambda s: s.read(20, 2),
        lambda s: s.locate(21),
        lambda s: s.rows_at(np.array([3, 21])),
        lambda s: s.trace(20, 2),
        lambda s: s.row(5),
    ],
)
def test_positions_outside_the_stream_are_refused(split: Any, call: Any) -> None:
    with pytest.raises(IndexError, match=r"of train, which has 21|no such row in .*train"):
        call(split)


@given(st.lists(st.integers(0, sum(LENGTHS) - 1), max_size=40))
def test_many_positions_are_located_at_once(split: Any, positions: list[int]) -> None:
    found = split.rows_at(np.array(positions, dtype=np.int64).reshape(-1, 1))
    assert found.shape == (len(positions), 1)
    ids = split.documents["id"].to_pylist()
    assert [ids[row] for row in found[:, 0]] == [split.locate(position)["id"] for position in positions]


@given(st.data())
def test_a_range_leads_to_its_documents(split: Any, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(STREAM)))
    length = data.draw(st.integers(0, len(STREAM) - start))
    pieces = split.trace(start, length)
    starts, lengths = (split.documents[name].to_pylist() for name in ("start", "length"))
    assert all(tokens > 0 and first + tokens <= lengths[row] for row, first, tokens in pieces)
    positions = [starts[row] + first + n for row, first, tokens in pieces for n in range(tokens)]
    assert positions == list(range(start, start + length))


def test_kinds_are_numbers_a_document(split: Any) -> None:
    names, codes = split.kinds
    assert [names[code] for code in codes] == ["code"] * 5


def test_a_split_is_one_phase_unless_the_manifest_says_more(tmp_path: Path, split: Any) -> None:
    assert split.phases.tolist() == [0, 21]
    phases = [{"kinds": ["code"], "tokens": 14, "documents": 3}, {"kinds": ["web"], "tokens": 7, "documents": 2}]
    counts = write_split(tmp_path / "train", "<u2") | {"phases": phases}
    found = TokenSplit(tmp_path / "train", "train", Manifest(1, "uint16", 200, 0, "", {"train": counts})).phases
    assert found.dtype == np.int64
    assert found.tolist() == [0, 14, 21]
    phases[0]["tokens"] = 13
    with pytest.raises(StepError, match=r"the phases of .* add up to 20 tokens; the manifest says 21"):
        TokenSplit(tmp_path / "train", "train", Manifest(1, "uint16", 200, 0, "", {"train": counts}))


def test_a_kind_that_nobody_knows_is_named(directory: Path) -> None:
    path = directory / "train" / "documents.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, DOCUMENTS.field("kind"), pa.array(["code"] * 4 + ["poem"])), path)
    with pytest.raises(StepError, match="documents of kind 'poem'; expected one of web, prose"):
        _ = Tokens.open(directory).split("train").kinds


def test_a_split_travels_to_another_process_without_its_tokens(split: Any) -> None:
    split.read(0, 5)
    split.rows_at(np.arange(3))
    assert len(split.kinds[1]) == len(split.documents)
    copy = pickle.loads(pickle.dumps(split))  # noqa: S301 - made here
    assert not {"_maps", "_starts", "kinds", "documents"} & copy.__dict__.keys()
    assert np.array_equal(copy.read(0, 21), STREAM)


def test_the_manifest_reads_as_attributes_and_as_a_mapping(directory: Path) -> None:
    tokens = Tokens.open(directory)
    assert tokens.manifest["vocab_size"] == tokens.manifest.vocab_size == dict(tokens.manifest)["vocab_size"] == 200
    assert tokens.tokenizer_dir == directory / "tokenizer"
    with pytest.raises(StepError, match="no split 'test'; it has train, validation"):
        tokens.split("test")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


DAMAGE = [
    (lambda d: (d / "manifest.json").unlink(), r"manifest\.json is not there; expected a tokens directory"),
    (lambda d: (d / "manifest.json").write_text("{"), r"manifest\.json is not the manifest"),
    (lambda d: (d / "manifest.json").write_text('{"rows": 3}'), r"manifest\.json is not the manifest"),
    (lambda d: (d / "manifest.json").write_text("[]"), r"manifest\.json is not the manifest"),
    (lambda d: edit(d / "manifest.json", vocab_size=9), "was changed after it was written"),
    (lambda d: edit(d / "manifest.json", format_version=2), "format version 2; this code reads 1"),
    (lambda d: cut(d / "train" / "shard-00002.bin"), r"shard-00002\.bin has 13 bytes; the manifest says 14 bytes"),
    (lambda d: (d / "validation" / "shard-00000.bin").unlink(), r"validation/shard-00000\.bin is not there"),
    (lambda d: (d / "train" / "documents.parquet").unlink(), r"train/documents\.parquet is not there"),
    (lambda d: cut(d / "train" / "documents.parquet"), "is not a readable Parquet file"),
    (lambda d: pq.write_table(pa.table({"id": ["a"]}), d / "train" / "documents.parquet"), "has 1 rows and lacks"),
    (lambda d: (d / "tokenizer" / "tokenizer.json").unlink(), r"has no tokenizer\.json"),
]


@pytest.mark.parametrize(("harm", "message"), DAMAGE)
def test_damage_is_named_when_the_directory_is_opened(directory: Path, harm: Any, message: str) -> None:
    harm(directory)
    with pytest.raises(StepError, match=message):
        Tokens.open(directory)


def test_an_index_with_a_gap_is_refused(directory: Path) -> None:
    path = directory / "train" / "documents.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(3, DOCUMENTS.field("start"), pa.array([0, 4, 6, 14, 16])), path)
    with pytest.raises(StepError, match="does not cover the 21 tokens of train in order"):
        Tokens.open(directory).split("train").locate(3)


def rename(directory: Path, name: str) -> None:
    """A manifest that names its first shard otherwise, with a fingerprint that fits, as anybody can compute it."""
    manifest = Manifest.read(directory)
    manifest.splits["train"]["shards"][0]["file"] = name
    signed = Manifest(**{**{key: manifest[key] for key in manifest}, "fingerprint": manifest.compute_fingerprint()})
    signed.write(directory)


@pytest.mark.parametrize("name", ["../../secret", "/etc/secret", "..\\secret", "sub/secret", "..", ""])
def test_a_manifest_names_no_file_from_elsewhere(directory: Path, name: str) -> None:
    rename(directory, name)
    with pytest.raises(StepError, match="expected a file beside it"):
        Tokens.open(directory)


@pytest.mark.parametrize("name", ["train/shard-00000.bin", "tokenizer/tokenizer.json", "validation"])
def test_nothing_of_the_directory_is_a_link_that_leads_elsewhere(directory: Path, tmp_path: Path, name: str) -> None:
    path = directory / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StepError, match=f"'{name}' is a link that leads out"):
        Tokens.open(directory)


HOSTILE = [0, -1, 2**31 + 1, 10**12, 10**400, True, None, "200", 1.5, [], {}]


def sealed(directory: Path, **changes: Any) -> None:
    """Change a manifest as whoever made it could: its fingerprint fits."""
    values = {**Manifest.read(directory), "fingerprint": ""} | changes
    values["fingerprint"] = Manifest(**values).compute_fingerprint()
    (directory / "manifest.json").write_text(json.dumps(values))


@pytest.mark.parametrize("key", ["vocab_size", "eos_token_id", "dtype", "splits"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:12])
def test_a_manifest_with_an_impossible_value_is_refused(directory: Path, key: str, value: Any) -> None:
    if (key, value) == ("eos_token_id", 0):
        return  # that one is possible
    sealed(directory, **{key: value})
    with pytest.raises(StepError, match=r"manifest\.json") as refused:
        Tokens.open(directory)
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("key", ["tokens", "documents", "shards"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:12])
def test_a_split_with_an_impossible_value_is_refused(directory: Path, key: str, value: Any) -> None:
    manifest = Manifest.read(directory)
    sealed(directory, splits={**manifest.splits, "train": {**manifest.splits["train"], key: value}})
    with pytest.raises(StepError, match=str(directory)) as refused:
        Tokens.open(directory)
    assert len(str(refused.value)) < 1_000


@pytest.mark.parametrize("name", ["pipe", "large", "device", "socket"])
def test_a_manifest_is_a_file(name: str, directory: Path, hostile_places: dict[str, Path]) -> None:
    (directory / "manifest.json").unlink()
    (directory / "manifest.json").symlink_to(hostile_places[name])
    with pytest.raises(StepError, match=r"manifest\.json is not the manifest of a tokens directory"):
        Tokens.open(directory)


@pytest.mark.parametrize("file", ["documents.parquet", "shard-00000.bin"])
@pytest.mark.parametrize("name", ["pipe", "device", "socket"])
def test_a_pipe_among_the_tokens_is_not_waited_for(
    file: str, name: str, directory: Path, hostile_places: dict[str, Path]
) -> None:
    (directory / "train" / file).unlink()
    (directory / "train" / file).symlink_to(hostile_places[name])
    with pytest.raises(StepError, match=file):
        Tokens.open(directory)
