"""Documents on disk: what is written is read back, in order, in bounded pieces; ledgers balance."""

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.documents import (
    CHARACTERS_PER_GROUP,
    DOCUMENT,
    KINDS,
    LEDGER,
    Document,
    DocumentWriter,
    Drop,
    add_increment,
    check_balance,
    count_documents,
    document_id,
    increments,
    join_ledgers,
    read_batches,
    read_ledger,
    shards,
    write_ledger,
)
from components.errors import StepError
from tests.documents import read_documents

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
documents = st.builds(
    Document,
    text=texts,
    kind=st.sampled_from(KINDS),
    source=texts,
    license=texts,
    created_by=texts,
    metadata=st.dictionaries(texts, st.one_of(texts, st.integers(-(2**53), 2**53)), max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(documents, max_size=20), st.integers(1, 7))
def test_round_trip(rows: list[Document], rows_per_shard: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with DocumentWriter(Path(folder), rows_per_shard) as writer:
            for row in rows:
                writer.write(row)
        assert list(read_documents(Path(folder))) == rows
        assert count_documents(Path(folder)) == len(rows) == writer.rows
        assert all(pq.read_metadata(path).num_rows <= rows_per_shard for path in shards(Path(folder)))


def test_tables_and_rows_keep_their_order(tmp_path: Path) -> None:
    rows = [Document(str(i), "prose", "s", "l", "c") for i in range(9)]
    table = pa.Table.from_pylist([row.row() for row in rows[2:7]], schema=DOCUMENT)
    with DocumentWriter(tmp_path, 4) as writer:
        writer.write(rows[0])
        writer.write(rows[1])
        writer.write_table(table)
        writer.write(rows[7])
        writer.write(rows[8])
    assert list(read_documents(tmp_path)) == rows


def test_ids_follow_from_the_text() -> None:
    assert document_id("a") == document_id("a") != document_id("b")
    assert len(document_id("")) == 32


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="'poem' is not one of web"):
        Document("t", "poem", "s", "l", "c")


def test_missing_and_empty_directories(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="does not exist"):
        shards(tmp_path / "nowhere")
    with pytest.raises(StepError, match=r"has no part-\*\.parquet"):
        shards(tmp_path)


def test_foreign_parquet_names_the_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["x"], "text": [1]}), tmp_path / "part-00000.parquet")
    with pytest.raises(
        StepError, match="text: expected string, found int64; kind: expected string, found no such column"
    ):
        shards(tmp_path)


def test_torn_parquet(tmp_path: Path) -> None:
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(StepError, match="not a readable Parquet file"):
        shards(tmp_path)


def test_ledger(tmp_path: Path) -> None:
    drops = [Drop(str(i), "curation", "min_chars", i, 80, "short", "s") for i in range(3)]
    assert write_ledger(tmp_path / "l.parquet", iter(drops)) == 3
    table = pq.read_table(tmp_path / "l.parquet")
    assert table.schema.equals(LEDGER)
    assert table["value"].to_pylist() == [0, 1, 2]


def test_an_unbalanced_ledger_is_a_defect() -> None:
    check_balance("s", 3, 2, 1)
    with pytest.raises(AssertionError, match="3 rows in, but 2 kept \\+ 0"):
        check_balance("s", 3, 2, 0)


def test_a_batch_never_spans_row_groups(tmp_path: Path) -> None:
    """A row group is bounded in characters, a batch of several of them would not be."""
    texts = [f"{n} " + "x" * (CHARACTERS_PER_GROUP // 2) for n in range(5)]
    with DocumentWriter(tmp_path) as writer:
        for text in texts:
            writer.write(Document(text, "prose", "s", "MIT", "t"))
    batches = list(read_batches(tmp_path, ["text"]))
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    assert [text for batch in batches for text in batch["text"].to_pylist()] == texts


def test_a_shard_is_not_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    for folder in ("own", "other"):
        with DocumentWriter(tmp_path / folder) as writer:
            writer.write(Document(text=folder, kind="prose", source="x", license="MIT", created_by="test"))
    (shard,) = shards(tmp_path / "other")
    (tmp_path / "own" / "part-00009.parquet").symlink_to(shard)
    with pytest.raises(StepError, match=r"'part-00009\.parquet' is a link that leads out of its folder"):
        shards(tmp_path / "own")


def test_a_pipe_in_the_place_of_a_shard_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    os.mkfifo(tmp_path / "set" / "part-00000.parquet")
    with pytest.raises(StepError, match="is a pipe, a socket or a device"):
        list(read_documents(tmp_path / "set"))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 99_999), min_size=1, max_size=8, unique=True))
def test_shards_of_later_increments_come_after_those_of_earlier_ones(numbers: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory, source = Path(name) / "set", Path(name) / "increment"
        directory.mkdir()
        for number in numbers:
            with DocumentWriter(source, rows_per_shard=1) as writer:
                for text in ("one", "two"):
                    writer.write(Document(f"{text} {number}", "prose", "s", "MIT", "test"))
            add_increment(directory, number, source)
        assert list(increments(directory)) == sorted(numbers)
        assert [d.text for d in read_documents(directory)] == [
            f"{text} {number}" for number in sorted(numbers) for text in ("one", "two")
        ]


def test_ledgers_are_joined_in_order(tmp_path: Path) -> None:
    drops = [Drop(str(number), "step", "rule", 0.5, None, "detail", "s") for number in range(5)]
    for name, rows in (("a", drops[:2]), ("b", []), ("c", drops[2:])):
        write_ledger(tmp_path / name, rows)
    join_ledgers(tmp_path / "all", [tmp_path / name for name in "abc"])
    assert list(read_ledger(tmp_path / "all")) == drops
